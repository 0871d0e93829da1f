"""What every family offers: questions drawn and read, and what may truly be said about a problem."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from .chart import Chart
from .draws import Draw, slipped
from .moves import Calc, Held, Move

Value = int | str


@dataclass(frozen=True, slots=True)
class Said:
    """A claim judged by the problem alone. `topics`: what it settles or, when false, gets wrong."""

    true: bool
    topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about the problem: a template, and the fields that make it true of this problem."""

    act: str
    topic: str
    template: str
    fields: Mapping[str, Value]

    @property
    def text(self) -> str:
        return self.template.format(**self.fields)

    def read(self, text: str) -> Said | None:
        """Whether the text is this sentence, and with the right fields; None if it is another one."""
        match = pattern(self.template).fullmatch(text)
        if match is None:
            return None
        true = all(value == str(self.fields[name]) for name, value in match.groupdict().items())
        return Said(true, frozenset({self.topic}))

    def misread(self, draw: Draw) -> str | None:
        """The sentence with one of its numbers wrong; None if it has none."""
        numbers = {
            name: value
            for name in pattern(self.template).groupindex
            if isinstance(value := self.fields[name], int)
        }
        if not numbers:
            return None
        name = draw.pick(tuple(numbers))
        return self.template.format(**{**self.fields, name: slipped(draw, numbers[name])})


class Problem(ABC):
    """A problem as read from its question. Families derive from it; the checker and the writer use it."""

    def __init__(self, question: str, answer: str, chart: Chart) -> None:
        self.question = question
        self.answer = answer
        self.chart = chart

    def remarks(self) -> tuple[Remark, ...]:
        """True sentences with which a CoT about it may open."""
        return ()

    def plan(self) -> str | None:
        """The whole expression for its answer, where the question does not already say it."""
        return None

    def said(self, claim: str) -> Said | None:
        """Judge a claim in the family's own notation; None where the claim is not in it."""
        return None

    @abstractmethod
    def moves(self, draw: Draw) -> list[Move]:
        """One way to solve it, step by step."""

    def concluded(self, held: Held, moves: Sequence[Move]) -> str:
        """The answer that follows from what is held after all moves, right or wrong."""
        return str(held[[move.key for move in moves if isinstance(move, Calc)][-1]])

    def proofs(self, draw: Draw) -> Iterator[tuple[str, str]]:
        """Acts and claims that may stand between the last move and the answer."""
        return iter(())


class Family(Protocol):
    """A family of problems; each is a module."""

    NAME: str

    def draw(self, d: Draw, level: int) -> str:
        """A question of the given level."""

    def read(self, question: str) -> Problem | None:
        """The problem that a question is, or None where it is none of this family."""


def first_match(templates: Iterable[str], text: str) -> dict[str, str] | None:
    """The fields of the first template that the text fits."""
    for template in templates:
        if match := pattern(template).fullmatch(text):
            return match.groupdict()
    return None


@lru_cache(maxsize=4096)
def pattern(template: str) -> re.Pattern[str]:
    """A template as a pattern: a field of one letter reads a number, a longer one a word or two."""
    pieces = re.split(r"\{(\w+)\}", template)
    seen: set[str] = set()
    out = [re.escape(pieces[0])]
    for name, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        field = "[0-9]{1,6}" if len(name) == 1 else "[A-Za-z]+(?: [a-z]+)?"
        out.append(f"(?P={name})" if name in seen else f"(?P<{name}>{field})")
        seen.add(name)
        out.append(re.escape(rest))
    return re.compile("".join(out))
