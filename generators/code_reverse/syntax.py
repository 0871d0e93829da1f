"""Programs as syntax trees."""

import ast
import warnings
from functools import lru_cache


class NotPython(ValueError):
    """The text is not a Python program; the message says where."""


@lru_cache(maxsize=256)
def parse(code: str) -> ast.Module:
    """A program's tree, shared between callers (do not change it); raises NotPython."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise NotPython(f"not Python: {e}") from e
