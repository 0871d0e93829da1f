"""What every family's problem offers: its answer, what may truly be said about it, and how to solve it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from .chart import Chart
from .draws import Draw, slipped
from .moves import Move

Value = int | str


@dataclass(frozen=True, slots=True)
class Said:
    """A claim judged by the problem alone. `topics` names what it settles (or, when false, gets wrong)."""

    true: bool
    topics: frozenset[str]


@dataclass(frozen=True)
class Remark:
    """A sentence about the problem: a template and the fields that make it true of this problem."""

    act: str
    topic: str
    template: str
    fields: Mapping[str, Value]

    @property
    def text(self) -> str:
        return self.template.format(**self.fields)

    def read(self, text: str) -> Said | None:
        """Whether the text is this sentence, and with the right fields."""
        match = pattern(self.template).fullmatch(text)
        if match is None:
            return None
        true = all(value == str(self.fields[name]) for name, value in match.groupdict().items())
        return Said(true, frozenset({self.topic}))

    def misread(self, draw: Draw) -> str | None:
        """The sentence with one of its numbers wrong; None if it has none."""
        used = pattern(self.template).groupindex
        numbers = [name for name in used if isinstance(self.fields[name], int)]
        if not numbers:
            return None
        name = draw.pick(numbers)
        return self.template.format(**{**self.fields, name: slipped(draw, int(self.fields[name]))})


class Problem:
    """A problem as read from its question. Families derive from it; the checker and the writer use it."""

    def __init__(self, question: str, answer: str, chart: Chart) -> None:
        self.question = question
        self.answer = answer
        self.chart = chart

    def remarks(self) -> tuple[Remark, ...]:
        """True sentences with which a CoT about it may open."""
        return ()

    def plans(self) -> tuple[str, ...]:
        """Whole expressions for its answer."""
        return ()

    def said(self, claim: str) -> Said | None:
        """Judge a claim in the family's own notation; None where the claim is not in it."""
        return None

    def moves(self, draw: Draw) -> list[Move]:
        """One way to solve it, step by step."""
        raise NotImplementedError

    def proofs(self, draw: Draw) -> Iterator[tuple[str, str]]:
        """Acts and lines with which one may check the answer in the end."""
        return iter(())


def first_match(templates: Iterable[str], text: str) -> dict[str, str] | None:
    """The fields of the first template that the text fits."""
    for template in templates:
        if match := pattern(template).fullmatch(text):
            return match.groupdict()
    return None


@lru_cache(maxsize=4096)
def pattern(template: str) -> re.Pattern[str]:
    """A template as a pattern; any field reads a number or words."""
    pieces = re.split(r"\{(\w+)\}", template)
    seen: set[str] = set()
    out = [re.escape(pieces[0])]
    for name, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        out.append(f"(?P={name})" if name in seen else f"(?P<{name}>-?[0-9]{{1,6}}|[A-Za-z]+(?: [a-z]+)?)")
        seen.add(name)
        out.append(re.escape(rest))
    return re.compile("".join(out))
