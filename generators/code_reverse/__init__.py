"""From working programs back to the chain of thought behind them."""

from .asking import PolicyWriting
from .batch import Reversed, reverse_all
from .faithful import unfaithful
from .observe import Facts, Unusable, observe
from .rows import CodeSeed, read_code_row
from .write import reverse, write

__all__ = [
    "CodeSeed",
    "Facts",
    "PolicyWriting",
    "Reversed",
    "Unusable",
    "observe",
    "read_code_row",
    "reverse",
    "reverse_all",
    "unfaithful",
    "write",
]
