"""Where a chain of thought is cut into steps."""

import re
from collections.abc import Sequence

from .records import ActSpan

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_LINE = re.compile(r"\n\s*")
# Nothing is cut inside a code fence or a displayed formula.
_WHOLE = re.compile(
    r"^```.*?^```|\$\$.*?\$\$|\\\[.*?\\\]|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL | re.MULTILINE
)


def split_steps(text: str, acts: Sequence[ActSpan] = ()) -> tuple[tuple[int, int], ...]:
    """The steps' spans: cut at blank lines where the text has any, else at newlines.

    A cut falls between acts, never inside one; without acts, never inside a code fence or a displayed
    formula. Spans carry no white space at their ends; together they hold every other character.
    """
    whole = [(a.start, a.end) for a in acts] or [m.span() for m in _WHOLE.finditer(text)]
    for pattern in (_BLANK, _LINE):
        cuts = [m.span() for m in pattern.finditer(text) if not _inside(m.start(), m.end(), whole)]
        if any(text[:a].strip() and text[b:].strip() for a, b in cuts):
            break
    edges = [0, *(x for cut in cuts for x in cut), len(text)]
    return tuple(
        span
        for start, end in zip(edges[::2], edges[1::2], strict=True)
        if (span := _trimmed(text, start, end))[1] > span[0]
    )


def join_steps(steps: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A list of steps as one text (blank lines between) and their spans; empty steps are left out."""
    kept = [s.strip() for s in steps if s.strip()]
    spans, at = [], 0
    for step in kept:
        spans.append((at, at + len(step)))
        at += len(step) + 2
    return "\n\n".join(kept), tuple(spans)


def _inside(start: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(a < end and start < b for a, b in spans)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip())
    return start + lead, start + len(piece.rstrip())
