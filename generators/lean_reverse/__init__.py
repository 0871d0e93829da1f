"""From recorded Lean proofs back to the chain of thought behind them."""

from .faithful import unfaithful
from .rows import FailedTactic, LeanSeed, RecordedCheck, TracedTactic, read_lean_row
from .write import reverse

__all__ = [
    "FailedTactic",
    "LeanSeed",
    "RecordedCheck",
    "TracedTactic",
    "read_lean_row",
    "reverse",
    "unfaithful",
]
