"""Markup of thinking factors: `<Think_Start> <ACT_Check_Start>…<ACT_Check_End> … <Think_End>`.

`render` and `parse` are each other's inverse. A tag that occurs in the text itself is escaped by a
backslash behind its `<` (one more where it already has some), and restored on the way out.
"""

import re
from collections.abc import Iterable, Sequence

from .errors import MarkupError
from .records import ActSpan

THINK_START, THINK_END = "<Think_Start>", "<Think_End>"
END = "Think_End"
"""The action that ends a chain of thought, beside the acts. No act can have this name."""
_TAG = re.compile(r"<(?:Think|ACT_(?P<act>\w+?))_(?P<side>Start|End)>")
_ESCAPABLE = re.compile(r"<(\\*(?:Think|ACT_\w+?)_(?:Start|End)>)")
_ESCAPED = re.compile(r"<\\(\\*(?:Think|ACT_\w+?)_(?:Start|End)>)")


def act_start(act: str) -> str:
    return f"<ACT_{act}_Start>"


def act_end(act: str) -> str:
    return f"<ACT_{act}_End>"


def escape(text: str) -> str:
    return _ESCAPABLE.sub(r"<\\\1", text)


def unescape(text: str) -> str:
    return _ESCAPED.sub(r"<\1", text) if "<\\" in text else text


def strip_tags(markup: str) -> str:
    """The text of a piece of markup, well-formed or not."""
    return unescape(_TAG.sub("", markup))


def render(text: str, acts: Sequence[ActSpan], *, closed: bool = True) -> str:
    """Text and acts as markup. `closed=False` leaves `<Think_End>` off, for a prefix to be continued.

    Raises MarkupError where spans overlap, are out of order, or leave text outside every act.
    """
    parts, at = [THINK_START], 0
    for span in acts:
        if span.start < at or span.end < span.start or span.end > len(text):
            raise MarkupError(f"act {span.act} overlaps another or leaves the text", span.start)
        _only_space(text, at, span.start)
        parts += [text[at : span.start], act_start(span.act), escape(text[span.start : span.end])]
        parts.append(act_end(span.act))
        at = span.end
    _only_space(text, at, len(text))
    parts.append(text[at:])
    if closed:
        parts.append(THINK_END)
    return "".join(parts)


def marked_steps(text: str, acts: Sequence[ActSpan], ends: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """Text and acts as open markup, and where in it the steps end that end at `ends` in the text.

    Raises MarkupError where an act crosses a step's end.
    """
    lengths = [len(render(text[:end], [a for a in acts if a.start < end], closed=False)) for end in ends]
    return render(text, acts, closed=False), tuple(lengths)


def parse(markup: str, *, closed: bool = True) -> tuple[str, tuple[ActSpan, ...]]:
    """Markup as text and acts. `closed=False` also takes a prefix that ends at an act's end.

    Raises MarkupError with the position where the markup is not well-formed.
    """
    if not markup.startswith(THINK_START):
        raise MarkupError(f"expected {THINK_START}", 0)
    parts: list[str] = []
    acts: list[ActSpan] = []
    length, at, opened, start, ended = 0, len(THINK_START), "", 0, False

    def append(piece: str, position: int) -> None:
        nonlocal length
        if not opened and piece.strip():
            raise MarkupError("text outside an act", position)
        piece = unescape(piece) if opened else piece
        parts.append(piece)
        length += len(piece)

    for tag in _TAG.finditer(markup, at):
        if ended:
            raise MarkupError(f"{tag.group()} after {THINK_END}", tag.start())
        append(markup[at : tag.start()], at)
        at, act, side = tag.end(), tag.group("act"), tag.group("side")
        if act and side == "Start" and not opened:
            opened, start = act, length
        elif act and side == "End" and opened == act:
            acts.append(ActSpan(start=start, end=length, act=act))
            opened = ""
        elif not act and side == "End" and not opened:
            ended = True
        else:
            raise MarkupError(f"unexpected {tag.group()}", tag.start())
    if ended and at < len(markup):
        raise MarkupError(f"text after {THINK_END}", at)
    if opened or (closed and not ended):
        raise MarkupError(f"missing {act_end(opened) if opened else THINK_END}", len(markup))
    append(markup[at:], at)
    return "".join(parts), tuple(acts)


def looks_like_markup(text: str) -> bool:
    return text.lstrip().startswith(THINK_START)


def trim(text: str, acts: Iterable[ActSpan]) -> tuple[str, tuple[ActSpan, ...]]:
    """The text without white space at its ends, its acts moved along."""
    lead = len(text) - len(text.lstrip())
    trimmed = text.strip()
    if trimmed == text:
        return text, tuple(a for a in acts if a.end > a.start)
    moved = (
        a.model_copy(update={"start": max(0, a.start - lead), "end": min(len(trimmed), a.end - lead)})
        for a in acts
    )
    return trimmed, tuple(a for a in moved if a.end > a.start)


def _only_space(text: str, start: int, end: int) -> None:
    if text[start:end].strip():
        raise MarkupError("text outside an act", start)
