"""Written criteria: a Markdown file with named criteria, their weights, and anchors for their scores.

# Title
What is judged, in a paragraph.
Pass: 0.7

## Name of a criterion (weight 2)
What it asks.
- 0: what a text with this score looks like
- 1: …
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from ...schemas import BadInput
from ...schemas.ids import content_hash

MAX_CRITERIA = 20
MAX_LENGTH = 50_000

_PASS = re.compile(r"pass\s*:\s*(.*)", re.IGNORECASE)
_WEIGHT = re.compile(r"(.*?)\s*\(weight\s+([^()]*)\)")
_ANCHOR = re.compile(r"[-*]\s+([-+]?\d{1,3})\s*:\s*(.*)")
_NUMBER = re.compile(r"\d{1,6}(?:\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One question to a text. `anchors`: (score, what a text with it looks like), from the lowest score."""

    name: str
    weight: float
    asks: str
    anchors: tuple[tuple[int, str], ...]

    @property
    def lowest(self) -> int:
        return self.anchors[0][0]

    @property
    def scores(self) -> frozenset[int]:
        return frozenset(score for score, _ in self.anchors)


@dataclass(frozen=True)
class Rubric:
    """Criteria under a title. A text passes from a weighted score of `pass_at` on, in (0, 1]."""

    title: str
    purpose: str
    criteria: tuple[Criterion, ...]
    pass_at: float

    @classmethod
    def shipped(cls, name: str) -> "Rubric":
        """A rubric of this package by its name: `careful_reply`, `clear_plan`."""
        path = files("cotmill.data") / "rubric" / f"{name}.md"
        if not re.fullmatch(r"\w+", name) or not path.is_file():
            raise BadInput("there is no shipped rubric of this name", field=name)
        return cls.parse(path.read_text("utf-8"), file=path.name)

    @classmethod
    def read(cls, path: Path) -> "Rubric":
        """From a file; raises BadInput naming the file, the line and the criterion at fault."""
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise BadInput(f"not readable as UTF-8 text: {e}", file=path) from e
        return cls.parse(text, file=path)

    @classmethod
    def parse(cls, text: str, *, file: str | Path | None = None) -> "Rubric":
        """From Markdown; raises BadInput."""
        return _Parser(file).parse(text)

    @cached_property
    def hash(self) -> str:
        """Equal for rubrics that ask the same."""
        parts: list[str | float | int] = [self.title, self.purpose, self.pass_at]
        for c in self.criteria:
            parts += [c.name, c.weight, c.asks, len(c.anchors)]
            parts += [part for anchor in c.anchors for part in anchor]
        return content_hash("rubric", *parts)

    def score(self, scores: Mapping[str, int]) -> float:
        """The weighted mean in [0, 1] of one score per criterion, each on its own scale."""
        total = sum(c.weight for c in self.criteria)
        return sum(
            c.weight * (scores[c.name] - c.lowest) / (c.anchors[-1][0] - c.lowest) for c in self.criteria
        ) / (total or 1.0)

    def markdown(self) -> str:
        """The criteria as a judge reads them: without weights, which are none of its business."""
        return "\n\n".join(
            "\n".join([f"## {c.name}", c.asks, *(f"- {score}: {says}" for score, says in c.anchors)])
            for c in self.criteria
        )


class _Parser:
    def __init__(self, file: str | Path | None) -> None:
        self.file = file

    def parse(self, text: str) -> Rubric:
        if len(text) > MAX_LENGTH:
            raise self._bad(f"longer than {MAX_LENGTH} characters")
        title, purpose, pass_at = "", [], None
        sections: list[tuple[int, str, list[tuple[int, str]]]] = []
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
            line = line.strip()
            if line.startswith("## "):
                sections.append((number, line[3:].strip(), []))
            elif line.startswith("# "):
                if title:
                    raise self._bad("a second title", number, "title")
                title = line[2:].strip()
            elif sections:
                sections[-1][2].append((number, line))
            elif line and not title:
                raise self._bad("text before the title (a line '# Title')", number, "title")
            elif match := _PASS.fullmatch(line):
                if pass_at is not None:
                    raise self._bad("a second pass mark", number, "pass")
                pass_at = self._number(match.group(1), number, "pass")
                if not 0 < pass_at <= 1:
                    raise self._bad("the pass mark is not above 0 and at most 1", number, "pass")
            elif line:
                purpose.append(line)
        if not title:
            raise self._bad("no title (a line '# Title')", 1, "title")
        if pass_at is None:
            raise self._bad("no pass mark (a line 'Pass: 0.7' before the criteria)", field="pass")
        criteria = tuple(self._criterion(*section) for section in sections)
        if not 1 <= len(criteria) <= MAX_CRITERIA:
            raise self._bad(
                f"{len(criteria)} criteria (lines '## Name'); between 1 and {MAX_CRITERIA} are needed"
            )
        for index, (number, _, _) in enumerate(sections):
            if criteria[index].name.lower() in {c.name.lower() for c in criteria[:index]}:
                raise self._bad("a second criterion of this name", number, criteria[index].name)
        return Rubric(title, " ".join(purpose), criteria, pass_at)

    def _criterion(self, number: int, heading: str, lines: list[tuple[int, str]]) -> Criterion:
        weighted = _WEIGHT.fullmatch(heading)
        name = weighted.group(1) if weighted else heading
        if not name or "|" in name:
            raise self._bad("a criterion needs a name without '|'", number, name or "criterion")
        weight = self._number(weighted.group(2), number, name) if weighted else 1.0
        if weight <= 0:
            raise self._bad("the weight is not above 0", number, name)
        asks: list[str] = []
        anchors: dict[int, str] = {}
        last = 0
        for at, line in lines:
            if match := _ANCHOR.fullmatch(line):
                last = int(match.group(1))
                if last in anchors:
                    raise self._bad(f"a second anchor for the score {last}", at, name)
                if not match.group(2):
                    raise self._bad(f"the anchor for the score {last} is empty", at, name)
                anchors[last] = match.group(2)
            elif line.startswith(("- ", "* ")):
                raise self._bad("an anchor is '- SCORE: what such a text looks like'", at, name)
            elif line and anchors:
                anchors[last] += " " + line
            elif line:
                asks.append(line)
        if len(anchors) < 2:
            raise self._bad("fewer than two anchors ('- 0: …')", number, name)
        return Criterion(name, weight, " ".join(asks), tuple(sorted(anchors.items())))

    def _number(self, text: str, line: int, field: str) -> float:
        if not _NUMBER.fullmatch(text.strip()) or not text.isascii():
            raise self._bad(f"not a number: '{text.strip()[:40]}'", line, field)
        return float(text)

    def _bad(self, what: str, line: int | None = None, field: str | None = None) -> BadInput:
        return BadInput(what, file=self.file, line=line, field=field)
