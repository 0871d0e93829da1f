"""Text cut into the units that the tagger labels: sentences and clauses, lines of code, whole formulas.

Rules, not a model: decimals, abbreviations, list marks, step numbers and factorials end no sentence;
nothing is cut inside a code fence, a formula, inline code or brackets.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..schemas import split_steps
from ..schemas.steps import blocks


class Boundary(IntEnum):
    """What stands between a unit and the one before it."""

    STEP = 0
    LINE = 1
    SENTENCE = 2
    CLAUSE = 3
    BLOCK = 4


@dataclass(frozen=True, slots=True)
class Unit:
    """`text[start:end]` without white space at its ends; `step` counts from 0."""

    start: int
    end: int
    boundary: Boundary
    step: int


# Bounded, so that an opening that is never closed costs little.
_INLINE = re.compile(r"\\\(.{1,400}?\\\)|\$(?![\s$])[^$\n]{0,400}?(?<![\s\\])\$(?!\d)|`[^`\n]{1,400}`")
_BRACKET_REACH = 400
# Every repetition starts behind a character that it cannot hold, so that a run is read once.
_CUT = re.compile(
    r"(?P<line>(?<![^\S\n])[^\S\n]*\n\s*)"
    r"|(?P<wide>(?<![。！？])[。！？]+[」』）”’]*\s*)"
    r"|(?P<stop>(?<!\.)\.+|…|(?<![?!])[?!]+)[\"')\]”’*]*[^\S\n]+"
    r"|;[^\S\n]+"
    r"|(?<!\s)[^\S\n]+[—–][^\S\n]+(?=wait|no|hmm|but|so)"
    r"|(?<![,.…\s])[,.…]*[^\S\n]+(?=(?:but|oh|hmm|and),? wait\b)"
    r"|,[^\S\n]+(?=(?:so|therefore|hence|thus|which (?:means|implies|gives|is wrong|matches|checks))\b"
    r"(?! that\b| far\b))"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|vs|cf|mr|mrs|ms|dr|st|no|fig|eq|eqs|approx|resp|ca|sec|ch|thm|w\.r\.t|def|prop|viz|al)"
    r"|^[ \t]*(?:[-*#>(]+[ \t]*)*(?:\**(?:step|case|part)[ \t]+)?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4}))$",
    re.IGNORECASE,
)
_ABBREVIATION_UNLESS_CAPITAL = re.compile(r"\b(?:etc|min|sec|hrs?|ft|in|approx)$", re.IGNORECASE)
_FACTORIAL = re.compile(r"[\w)\]}]!$")
_LIST_MARK = re.compile(
    r"(?:[-*•+#>|]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]|step\s+\d|case\s+\w)", re.IGNORECASE
)
_CODE_LINE = re.compile(
    r"[ \t]*(?:(?:async )?def \w+\(|class \w+.*:$|return\b.*[^.]$|return$|for \w[\w, ]* in .*:$|while .*:$"
    r"|(?:el)?if .*:$|else:|try:|except\b.*:$|import \w|from \w+ import|print\(|with .*:$|@\w|#include|\}"
    r"|.*[;{]$|(?:theorem|lemma) .*:|assert |pass$|break$|continue$)"
)
_OPENER = re.compile(
    r"(?:(?:hm+|mm+|wait(?: a (?:minute|second|moment))?|hold on|hang on|okay|ok|oh+|ah+|aha|ugh|oops|argh"
    r"|right|well|so|alright|now|no|nope|actually|uh|um|yes|yeah|let'?s see|let me (?:see|think))\b"
    r"[\s,.!?…—-]*)+$",
    re.IGNORECASE,
)
# What a sentence comes to, not what the next one opens with: "It has two roots, so yes."
_VERDICT = re.compile(r"so,? (?:yes|no|nope|okay|ok|right|fine|good)\W*$", re.IGNORECASE)


def units(text: str, steps: Sequence[tuple[int, int]] | None = None) -> list[Unit]:
    """The units of a text in order; together they hold every character but white space.

    `steps` are the spans no unit may cross (default: `split_steps`); text outside them forms steps of
    its own.
    """
    whole = blocks(text)
    keep = _merged(whole, [m.span() for m in _INLINE.finditer(text)])
    starts = [a for a, _ in keep]
    block_starts = [a for a, _ in whole]
    out: list[Unit] = []
    for number, (start, end) in enumerate(_tiled(text, split_steps(text) if steps is None else steps)):
        inside = whole[bisect_left(block_starts, start) : bisect_left(block_starts, end)]
        cuts = _cuts(text, start, end, keep, starts) + _block_cuts(text, start, end, inside)
        out += _pieces(text, start, end, sorted(cuts), number)
    return out


def _merged(whole: Sequence[tuple[int, int]], inline: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans nothing is cut in, without those inside others."""
    out: list[tuple[int, int]] = []
    for start, end in sorted([*whole, *inline]):
        if not out or start >= out[-1][1]:
            out.append((start, end))
        elif end > out[-1][1]:
            out[-1] = (out[-1][0], end)
    return out


def _tiled(text: str, steps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The steps and, where anything but white space stands between them, the gaps too."""
    edges, at = [], 0
    for start, end in [*steps, (len(text), len(text))]:
        if text[at:start].strip():
            edges.append((at, start))
        if start < end:
            edges.append((start, end))
        at = max(at, end)
    return edges


def _block_cuts(
    text: str, start: int, end: int, inside: Sequence[tuple[int, int]]
) -> list[tuple[int, int, Boundary]]:
    """Cuts around fences and displayed formulas that stand on lines of their own."""
    cuts = []
    for a, b in inside:
        if b > end:
            continue
        before, after = text.rfind("\n", start, a) + 1 or start, text.find("\n", b, end)
        after = end if after < 0 else after
        if text[before:a].strip() or text[b:after].strip(" .,;:\t"):
            continue
        cuts.append((before, before, Boundary.BLOCK))
        cuts.append((after, after, Boundary.BLOCK))
    return cuts


def _cuts(
    text: str, start: int, end: int, keep: Sequence[tuple[int, int]], starts: Sequence[int]
) -> list[tuple[int, int, Boundary]]:
    cuts: list[tuple[int, int, Boundary]] = []
    line_start, opened_from, code = start, start, False
    for m in _CUT.finditer(text, start, end):
        at, to = m.span()
        i = bisect_right(starts, at) - 1
        if i >= 0 and at < keep[i][1]:
            continue
        if m["line"]:
            code = bool(_CODE_LINE.match(text, line_start, at)) or (code and _indented(text, line_start))
            if _line_ends(text, line_start, at, to, end, code):
                cuts.append((at, to, Boundary.LINE))
                opened_from = to
            line_start = to
            continue
        if _bracket_open(text, opened_from, at):
            continue
        if m["wide"]:
            kind = Boundary.SENTENCE
        elif stop := m["stop"]:
            if not _sentence_ends(text, stop, m.end("stop"), line_start, to):
                continue
            kind = Boundary.SENTENCE
        else:
            kind = Boundary.CLAUSE
        cuts.append((to, to, kind))
        opened_from = to
    return cuts


def _line_ends(text: str, line_start: int, at: int, to: int, end: int, code: bool) -> bool:
    """Whether a newline ends a unit: not within a hard-wrapped sentence, not between lines of code."""
    here = text[line_start:at]
    stop = text.find("\n", to, end)
    following = text[to : end if stop < 0 else stop]
    if code and (_CODE_LINE.match(following) or _indented(text, to)):
        return False
    if not any(c.isalnum() for c in here) or not any(c.isalnum() for c in following):
        return False
    return (
        len(here) < 60
        or here.rstrip()[-1:] in ".?!:;…。！？"
        or following[:1] in "\\$|`"
        or bool(_LIST_MARK.match(following))
    )


def _indented(text: str, at: int) -> bool:
    return text[at - 1 : at] in (" ", "\t")


def _sentence_ends(text: str, stop: str, at: int, line_start: int, to: int) -> bool:
    before, after = text[max(line_start, at - 24) : at], text[to : to + 1]
    if not after:
        return False
    lower = after.islower()
    if stop in ("...", "…") or (len(stop) > 2 and set(stop) == {"."}):
        return not lower
    if stop == ".":
        head = before[:-1]
        if at - line_start > 24:
            head = " " + head.split(" ", 1)[-1] if " " in head else head
            return not (
                _ABBREVIATION.search("x " + head) or (lower and _ABBREVIATION_UNLESS_CAPITAL.search(head))
            )
        return not (_ABBREVIATION.search(head) or (lower and _ABBREVIATION_UNLESS_CAPITAL.search(head)))
    if stop == "!" and _FACTORIAL.search(before):
        word = re.search(r"\w+!$", before)
        short = (word is not None and len(word[0]) <= 2) or before[-2:-1].isdigit() or before[-2:-1] in ")]}"
        return not (short and (lower or after in "=<>+-*/·×,≤≥"))
    return True


def _bracket_open(text: str, start: int, end: int) -> bool:
    start = max(start, end - _BRACKET_REACH)
    return text.count("(", start, end) > text.count(")", start, end)


def _pieces(
    text: str, start: int, end: int, cuts: Sequence[tuple[int, int, Boundary]], step: int
) -> list[Unit]:
    pieces: list[tuple[int, int, Boundary]] = []
    at, kind = start, Boundary.STEP
    for a, b, boundary in [*cuts, (end, end, Boundary.STEP)]:
        if a < at:
            continue
        left, right = _trimmed(text, at, a)
        if left < right:
            pieces.append((left, right, kind))
            kind = boundary
        elif pieces and boundary < kind:
            kind = boundary
        at = b
    return [Unit(a, b, k, step) for a, b, k in _glued(text, pieces)]


def _glued(text: str, pieces: Sequence[tuple[int, int, Boundary]]) -> list[tuple[int, int, Boundary]]:
    """Interjections go with what follows, verdicts and bare punctuation with what precedes."""
    out: list[tuple[int, int, Boundary]] = []
    waiting: tuple[int, Boundary] | None = None
    for i, (start, end, kind) in enumerate(pieces):
        piece = text[start:end]
        last = i == len(pieces) - 1
        following = pieces[i + 1][2] if not last else None
        bare = not any(c.isalnum() for c in piece)
        verdict = kind is Boundary.CLAUSE and _VERDICT.match(piece)
        if (bare or verdict) and out and waiting is None and kind is not Boundary.BLOCK:
            out[-1] = (out[-1][0], end, out[-1][2])
            continue
        if following in (Boundary.SENTENCE, Boundary.CLAUSE) and (
            bare or (len(piece) < 40 and _OPENER.match(piece))
        ):
            waiting = waiting or (start, kind)
            continue
        if waiting:
            start, kind = waiting
            waiting = None
        out.append((start, end, kind))
    return out


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
