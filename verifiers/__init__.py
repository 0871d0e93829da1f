"""What is true: mathematics, code in a sandbox."""

from .answers import extract_answer
from .base import Verifier
from .math import MathVerifier

__all__ = ["MathVerifier", "Verifier", "extract_answer"]
