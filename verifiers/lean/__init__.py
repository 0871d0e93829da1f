"""Lean proofs: a proof environment in LeanDojo's words, and an audit of submissions."""

from .backend import (
    Audit,
    LeanBackend,
    LeanError,
    LeanLost,
    LeanUnavailable,
    Message,
    ProofFinished,
    ProofGivenUp,
    TacticResult,
    TacticState,
    Theorem,
    TracedTactic,
)
from .embedded import EmbeddedLean
from .location import embedded_missing
from .native import NativeLean, Repository, toolchain_missing
from .process import LeanLimits
from .verifier import LeanVerifier

__all__ = [
    "Audit",
    "EmbeddedLean",
    "LeanBackend",
    "LeanError",
    "LeanLimits",
    "LeanLost",
    "LeanUnavailable",
    "LeanVerifier",
    "Message",
    "NativeLean",
    "ProofFinished",
    "ProofGivenUp",
    "Repository",
    "TacticResult",
    "TacticState",
    "Theorem",
    "TracedTactic",
    "embedded_missing",
    "toolchain_missing",
]
