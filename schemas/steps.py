"""Where a chain of thought is cut into steps."""

import re
from bisect import bisect_right
from collections.abc import Sequence

from .records import ActSpan

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")
_LINE = re.compile(r"\n\s*")
_MARK = re.compile(r"^[ \t]*```|\$\$|(?<!\\)\\[\[\]]|\\(?:begin|end)\{\w+\*?\}", re.MULTILINE)


def split_steps(text: str, acts: Sequence[ActSpan] = ()) -> tuple[tuple[int, int], ...]:
    """The steps' spans: cut at blank lines where the text has any, else at newlines.

    A cut falls between acts, never inside one; without acts, never inside a code fence or a displayed
    formula. Spans carry no white space at their ends; together they hold every other character.
    """
    whole = [(a.start, a.end) for a in acts] or blocks(text)
    ends = [end for _, end in whole]
    for pattern in (_BLANK, _LINE):
        cuts = [m.span() for m in pattern.finditer(text) if not _inside(*m.span(), whole, ends)]
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


def blocks(text: str) -> list[tuple[int, int]]:
    """The outermost code fences and displayed formulas, in one pass; what is never closed is none."""
    marks = [(m.group().lstrip(" \t"), m.start(), m.end()) for m in _MARK.finditer(text)]
    last = {mark: at for mark, at, _ in marks}
    found, closer, start = [], "", 0
    for mark, at, to in marks:
        if closer:
            if mark == closer:
                found.append((start, to))
                closer = ""
        elif last.get(end := _closer(mark), -1) > at:
            closer, start = end, at
    return found


def _closer(mark: str) -> str:
    """What closes a block that `mark` opens; empty where it opens none."""
    if mark.startswith("\\begin"):
        return mark.replace("begin", "end", 1)
    return {"```": "```", "$$": "$$", "\\[": "\\]"}.get(mark, "")


def _inside(start: int, end: int, spans: Sequence[tuple[int, int]], ends: Sequence[int]) -> bool:
    """Whether [start, end) meets one of the ordered spans."""
    i = bisect_right(ends, start)
    return i < len(spans) and spans[i][0] < end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip())
    return start + lead, start + len(piece.rstrip())
