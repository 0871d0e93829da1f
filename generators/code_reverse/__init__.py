"""From working programs back to the chain of thought behind them."""

from .faithful import unfaithful
from .observe import Facts, Unusable, observe
from .rows import CodeSeed, read_code_row
from .write import reverse, write

__all__ = [
    "CodeSeed",
    "Facts",
    "Unusable",
    "observe",
    "read_code_row",
    "reverse",
    "unfaithful",
    "write",
]
