"""What is true: mathematics, code in a sandbox."""

from .answers import extract_answer
from .base import Verifier
from .code import CodeVerifier
from .math import MathVerifier
from .programs import Case, Task
from .sandbox import Limits, Run, run_in_sandbox, sandbox_available

__all__ = [
    "Case",
    "CodeVerifier",
    "Limits",
    "MathVerifier",
    "Run",
    "Task",
    "Verifier",
    "extract_answer",
    "run_in_sandbox",
    "sandbox_available",
]
