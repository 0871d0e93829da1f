"""Ordering puzzles: facts about pairs put all names in one order; somebody's place in it is asked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from .chart import Chart
from .draws import Draw
from .moves import Held, Move
from .problem import Problem, Remark, Said
from .word import NAMES

# more, less, most, least
_SCALES = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
)
_ASK = ("Who is the {end}?", "Name the {end}.", "Who of them is the {end}?", "Which one is the {end}?")
_ASK_SECOND = "Who is the second {end}?"
_FACT = re.compile(r"([A-Z][a-z]{1,9}) is ([a-z]+) than ([A-Z][a-z]{1,9})\. ")
_CHAIN = re.compile(r"[A-Z][a-z]+(?:>[A-Z][a-z]+){1,9}")
_MOST_FACTS = 8


@dataclass(frozen=True, slots=True)
class Fact:
    """`more` stands before `less`; `turned`: the question says it the other way round."""

    more: str
    less: str
    turned: bool


class Ordering(Problem):
    """Names in one order, from most to least; asks who stands at `place`."""

    def __init__(self, question: str, facts: Sequence[Fact], order: list[str], place: int, end: str) -> None:
        super().__init__(question, order[place], Chart())
        self.facts, self.order, self.place, self.end = facts, order, place, end
        self.rank = {name: i for i, name in enumerate(order)}

    def remarks(self) -> tuple[Remark, ...]:
        return (
            Remark("RephraseTarget", "target", "We want the {end}", {"end": self.end}),
            Remark("RephraseTarget", "target", "Find the {end}", {"end": self.end}),
            Remark("Plan", "strategy", "Put them in order", {}),
            Remark("Plan", "strategy", "Write each fact as a pair", {}),
        )

    def said(self, claim: str) -> Said | None:
        """A chain of names states the order of every two names in it."""
        if not _CHAIN.fullmatch(claim):
            return None
        wrong, stated = set(), set()
        for one, two in combinations(claim.split(">"), 2):
            topic = ">".join(sorted((one, two)))
            stated.add(topic)
            if one not in self.rank or two not in self.rank or self.rank[one] >= self.rank[two]:
                wrong.add(topic)
        return Said(not wrong, frozenset(wrong or stated))

    def moves(self, draw: Draw) -> list[Move]:
        moves: list[Move] = []
        used: tuple[str, ...] = ()
        for fact in self.facts:
            key = f"{fact.more}>{fact.less}"
            act = "Transform" if fact.turned else "NoteGiven"
            moves.append(Ranked(act, key, (), (fact.more, fact.less)))
            used = (*used, key)
        if len(self.order) > 3 and draw.chance(0.3):
            start = draw.between(0, len(self.order) - 3)
            part = tuple(self.order[start : start + 3])
            needs = tuple(">".join(pair) for pair in pairwise(part))
            moves.append(Ranked("Deduce", "part", tuple(k for k in used if k in needs), part))
            used = (*used, "part")
        return [*moves, Ranked("Enumerate", "order", used, tuple(self.order))]

    def concluded(self, held: Held, moves: Sequence[Move]) -> str:
        return str(held["order"]).split(">")[self.place]


@dataclass(frozen=True, slots=True)
class Ranked(Move):
    """Names from most to least; a slip exchanges two neighbours."""

    names: tuple[str, ...]

    def value(self, held: Held) -> str | None:
        """The order itself; None where it contradicts what is held, so that it does not follow."""
        rank = {name: i for i, name in enumerate(self.names)}
        for key in self.needs:
            stated = [rank[name] for name in held[key].split(">")]
            if stated != sorted(stated):
                return None
        return ">".join(self.names)

    def text(self, held: Held) -> str:
        return str(held[self.key])

    def slip(self, draw: Draw, held: Held) -> str:
        i = draw.between(0, len(self.names) - 2)
        names = list(self.names)
        names[i], names[i + 1] = names[i + 1], names[i]
        return ">".join(names)


def draw_question(d: Draw, level: int) -> str:
    """3, 4 or 5 names; from level 2 on facts are turned round and second places asked."""
    order = d.some(NAMES, level + 2)
    more, less, most, least = d.pick(_SCALES)
    facts = []
    for one, two in pairwise(order):
        turned = d.chance(0.0 if level == 1 else 0.5)
        facts.append(f"{two} is {less} than {one}." if turned else f"{one} is {more} than {two}.")
    ask = d.pick((*_ASK, _ASK_SECOND, _ASK_SECOND) if level > 1 else _ASK)
    return " ".join([*d.shuffled(facts), ask.format(end=d.pick((most, least)))])


def read(question: str) -> Ordering | None:
    """The problem that a question is, or None."""
    facts: list[Fact] = []
    at, scale = 0, None
    while match := _FACT.match(question, at):
        scale = scale or next((s for s in _SCALES if match[2] in s[:2]), None)
        if scale is None or match[2] not in scale[:2] or len(facts) == _MOST_FACTS:
            return None
        turned = match[2] == scale[1]
        facts.append(Fact(match[3], match[1], True) if turned else Fact(match[1], match[3], False))
        at = match.end()
    order = _order(facts)
    if scale is None or order is None:
        return None
    for end in scale[2:]:
        asks = {ask.format(end=end): (0, end) for ask in _ASK}
        asks[_ASK_SECOND.format(end=end)] = (1, f"second {end}")
        if question[at:] in asks:
            place, asked = asks[question[at:]]
            return Ordering(question, facts, order, place if end == scale[2] else -1 - place, asked)
    return None


def _order(facts: Sequence[Fact]) -> list[str] | None:
    """The one order in which all facts hold, from most to least; None if there are several, or none."""
    pairs = {(fact.more, fact.less) for fact in facts}
    names = {name for pair in pairs for name in pair}
    order: list[str] = []
    while names:
        top = [name for name in names if not any(less == name for more, less in pairs if more in names)]
        if len(top) != 1:
            return None
        order += top
        names -= set(top)
    return order
