"""From recorded Lean proofs back to the chain of thought behind them."""

from .faithful import unfaithful
from .policy import informalise
from .rows import FailedTactic, LeanSeed, RecordedCheck, TracedTactic, read_lean_row
from .write import reverse

__all__ = [
    "FailedTactic",
    "LeanSeed",
    "RecordedCheck",
    "TracedTactic",
    "informalise",
    "read_lean_row",
    "reverse",
    "unfaithful",
]
