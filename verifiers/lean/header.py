"""The imports at the top of a Lean file."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(r"\s+|--[^\n]*|/-|(?:public\s+|meta\s+)*import[ \t]+([\w.«»]+)")
_SIDE = re.compile(r"/-|-/")


def imports(code: str) -> Iterator[re.Match[str]]:
    """Each import before the first declaration, its module as group 1. Takes time in proportion to `code`.

    Comments are passed over, with those nested in them.
    """
    at = 0
    while token := _TOKEN.match(code, at):
        at = token.end()
        if token[0] == "/-":
            at = _comment_end(code, at)
        elif token[1] is not None:
            yield token


def _comment_end(code: str, at: int) -> int:
    """Where the comment ends whose inside begins at `at`."""
    depth = 1
    for side in _SIDE.finditer(code, at):
        depth += 1 if side[0] == "/-" else -1
        if not depth:
            return side.end()
    return len(code)
