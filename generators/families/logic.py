"""Small logic: who stands where in an order, and how many of some statements are true."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from .chart import Chart
from .draws import Draw
from .expressions import Num, Op, apply, parse
from .moves import Calc, Held, Move, Tell
from .problem import Problem, Remark, Said
from .word import NAMES

NAME = "logic"
# more, less, most, least
_SCALES = (
    ("taller", "shorter", "tallest", "shortest"),
    ("older", "younger", "oldest", "youngest"),
    ("faster", "slower", "fastest", "slowest"),
    ("richer", "poorer", "richest", "poorest"),
)
_ASK = ("Who is the {end}?", "Name the {end}.", "Who of them is the {end}?", "Which one is the {end}?")
_ASK_SECOND = "Who is the second {end}?"
_COUNT = (
    "How many of these are true? {list}",
    "Count the true statements. {list}",
    "Some of these are true: {list} How many?",
    "{list} How many of them hold?",
)
_FACT = re.compile(r"([A-Z][a-z]+) is ([a-z]+) than ([A-Z][a-z]+)\.")
_ITEM = re.compile(r"([A-E]): ([^.:]{3,30})\.")
_CHAIN = re.compile(r"[A-Z][a-z]+(?:>[A-Z][a-z]+)+")


class Ordering(Problem):
    """Facts of the form `a > b` that put all names in one order; asks for a place in it."""

    def __init__(
        self, question: str, facts: Sequence[tuple[str, str, bool]], order: list[str], place: int, end: str
    ) -> None:
        super().__init__(question, order[place], Chart())
        self.facts, self.order, self.end = facts, order, end
        self.place = {name: i for i, name in enumerate(order)}

    def remarks(self) -> tuple[Remark, ...]:
        return (
            Remark("RephraseTarget", "target", "We want the {end}", {"end": self.end}),
            Remark("RephraseTarget", "target", "Find the {end}", {"end": self.end}),
            Remark("Plan", "strategy", "Put them in order", {}),
            Remark("Plan", "strategy", "Write each fact as a pair", {}),
        )

    def said(self, claim: str) -> Said | None:
        """A chain of names from most to least; it states the order of every two names in it."""
        if not _CHAIN.fullmatch(claim):
            return None
        names = claim.split(">")
        wrong, stated = set(), set()
        for one, two in combinations(names, 2):
            topic = ">".join(sorted((one, two)))
            stated.add(topic)
            if one not in self.place or two not in self.place or self.place[one] >= self.place[two]:
                wrong.add(topic)
        return Said(not wrong, frozenset(wrong or stated))

    def moves(self, draw: Draw) -> list[Move]:
        moves: list[Move] = []
        for i, (more, less, turned) in enumerate(self.facts):
            moves.append(Pair("Transform" if turned else "NoteGiven", f"f{i}", (), more, less))
        keys = tuple(f"f{i}" for i in range(len(self.facts)))
        if len(self.order) > 3 and draw.chance(0.4):
            start = draw.between(0, len(self.order) - 3)
            part = tuple(self.order[start : start + 3])
            used = tuple(
                k for k, (one, two, _) in zip(keys, self.facts, strict=True) if {one, two} <= {*part}
            )
            moves.append(Line("Deduce", "part", used, part))
            keys = (*keys, "part")
        return [*moves, Line("Enumerate", "order", keys, tuple(self.order))]


class Counting(Problem):
    """Lettered statements about numbers; asks how many are true."""

    def __init__(self, question: str, items: dict[str, "Statement"]) -> None:
        self.items = items
        self.true = [letter for letter, item in items.items() if item.true]
        chart = Chart()
        for item in items.values():
            for number in item.numbers:
                chart.given(number)
            if item.work:
                chart.enter(item.work)
        super().__init__(question, str(len(self.true)), chart)

    def remarks(self) -> tuple[Remark, ...]:
        n = {"n": len(self.items)}
        return (
            Remark("RephraseTarget", "target", "Count the true ones", {}),
            Remark("RephraseTarget", "target", "We want how many hold", {}),
            Remark("Plan", "strategy", "Take them one by one", {}),
            Remark("NoteGiven", "given", "There are {n} statements", n),
        )

    def said(self, claim: str) -> Said | None:
        """`A is true`, `True: A, C` and `that makes 2`."""
        if verdict := re.fullmatch(r"([A-E]) is (true|false)", claim):
            item = self.items.get(verdict[1])
            true = item is not None and item.true == (verdict[2] == "true")
            return Said(true, frozenset({verdict[1]}))
        if claim.startswith("True: "):
            listed = [] if claim == "True: none" else claim.removeprefix("True: ").split(", ")
            return Said(sorted(listed) == self.true, frozenset({"list"}))
        if count := re.fullmatch(r"that makes ([0-9])", claim):
            return Said(count[1] == self.answer, frozenset({"count"}))
        return None

    def moves(self, draw: Draw) -> list[Move]:
        moves: list[Move] = []
        for letter, item in self.items.items():
            if item.work:
                left, right = item.numbers[:2]
                moves.append(Calc.of(item.work.sign, left, right, f"{letter} work"))
            elif item.sign in "<>":
                left, right = item.numbers
                moves.append(
                    Tell("Compare", f"{letter} work", (), f"{left}{'>' if left > right else '<'}{right}")
                )
            moves.append(Holds("Deduce", letter, (), item.true))
        letters = tuple(self.items)
        return [*moves, Listed("Enumerate", "list", letters, letters)]


@dataclass(frozen=True, slots=True)
class Pair(Move):
    """One fact in the notation `more>less`; a slip turns it round."""

    more: str
    less: str

    def value(self, held: Held) -> str:
        return f"{self.more}>{self.less}"

    def text(self, held: Held) -> str:
        return str(held[self.key])

    def slip(self, draw: Draw, held: Held) -> str:
        return f"{self.less}>{self.more}"


@dataclass(frozen=True, slots=True)
class Line(Move):
    """Several names in order; a slip exchanges two neighbours."""

    names: tuple[str, ...]

    def value(self, held: Held) -> str | None:
        """Needs every fact it uses to be held rightly: from a wrong one no order follows."""
        places = {name: i for i, name in enumerate(self.names)}
        for key in self.needs:
            stated = [places[name] for name in held[key].split(">")]
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


@dataclass(frozen=True, slots=True)
class Holds(Move):
    """Whether a lettered statement is true."""

    true: bool

    def value(self, held: Held) -> bool:
        return self.true

    def text(self, held: Held) -> str:
        return f"{self.key} is {'true' if held[self.key] else 'false'}"

    def slip(self, draw: Draw, held: Held) -> bool:
        return not self.true


@dataclass(frozen=True, slots=True)
class Listed(Move):
    """The letters held to be true."""

    letters: tuple[str, ...]

    def value(self, held: Held) -> tuple[str, ...]:
        return tuple(letter for letter in self.letters if held[letter])

    def text(self, held: Held) -> str:
        return "True: " + (", ".join(held[self.key]) or "none")

    def slip(self, draw: Draw, held: Held) -> Any | None:
        one = draw.pick(self.letters)
        return tuple(x for x in self.letters if (x in self.value(held)) != (x == one))


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim about numbers: `sign` is < > = even, odd or divides; `work` is what must be computed."""

    sign: str
    numbers: tuple[int, ...]
    work: Op | None
    true: bool


def draw(d: Draw, level: int) -> str:
    """A question of the given level."""
    return _draw_order(d, level) if d.chance(0.5) else _draw_count(d, level)


def _draw_order(d: Draw, level: int) -> str:
    order = d.some(NAMES, level + 2)
    more, less, most, least = d.pick(_SCALES)
    facts = []
    for one, two in zip(order, order[1:], strict=False):
        turned = d.chance(0.0 if level == 1 else 0.5)
        facts.append(f"{two} is {less} than {one}." if turned else f"{one} is {more} than {two}.")
    ask = d.pick((*_ASK, _ASK_SECOND, _ASK_SECOND) if level > 1 else _ASK)
    return " ".join([*d.shuffled(facts), ask.format(end=d.pick((most, least)))])


def _draw_count(d: Draw, level: int) -> str:
    items = [_draw_statement(d, level) for _ in range((3, 3, 4)[level - 1])]
    listed = " ".join(f"{letter}: {item}." for letter, item in zip("ABCDE", items, strict=False))
    return d.pick(_COUNT).format(list=listed)


def _draw_statement(d: Draw, level: int) -> str:
    high = (20, 50, 99)[level - 1]
    n = d.between(2, high)
    kind = d.pick(("<", "parity") if level == 1 else ("<", "parity", "+", "*", "divides"))
    if kind == "<":
        m = d.between(2, high)
        return f"{n}{d.pick('<>')}{m if m != n else m + 1}"
    if kind == "parity":
        return f"{n} is {d.pick(('even', 'odd'))}"
    if kind == "divides":
        k = d.between(3, 9)
        return f"{n * k if d.chance(0.4) and n * k < 100 else n + k} is divisible by {k}"
    a, b = (d.between(2, 9), d.between(2, 9)) if kind == "*" else (n, d.between(2, high // 2))
    right = apply(kind, a, b) or 0
    return f"{a}{kind}{b}={right if d.chance(0.5) else max(0, right + d.pick((-1, 1, -2, 2, 10)))}"


def read(question: str) -> Problem | None:
    """The problem that a question is, or None."""
    return _read_count(question) if ": " in question else _read_order(question)


def _read_order(question: str) -> Ordering | None:
    facts, at, scale = [], 0, None
    while match := _FACT.match(question, at):
        scale = scale or next((s for s in _SCALES if match[2] in s[:2]), None)
        if scale is None or match[2] not in scale[:2] or len(facts) == 8:
            return None
        turned = match[2] == scale[1]
        facts.append((match[3], match[1], True) if turned else (match[1], match[3], False))
        at = match.end() + 1
    if scale is None:
        return None
    order = _order(facts)
    asks = {ask.format(end=end): (end, 0) for ask in _ASK for end in scale[2:]}
    asks |= {_ASK_SECOND.format(end=end): (f"second {end}", 1) for end in scale[2:]}
    if order is None or question[at:] not in asks:
        return None
    end, place = asks[question[at:]]
    return Ordering(question, facts, order, place if end.endswith(scale[2]) else -1 - place, end)


def _order(facts: Sequence[tuple[str, str, bool]]) -> list[str] | None:
    """The one order in which all facts hold, from most to least; None if there are several, or none."""
    pairs = {(more, less) for more, less, _ in facts}
    names = {name for pair in pairs for name in pair}
    order: list[str] = []
    while names:
        top = [name for name in names if not any(less == name for more, less in pairs if more in names)]
        if len(top) != 1:
            return None
        order += top
        names -= set(top)
    return order


def _read_count(question: str) -> Counting | None:
    for template in _COUNT:
        before, after = template.split("{list}")
        if question.startswith(before) and question.endswith(after):
            listed = question[len(before) : len(question) - len(after)]
            break
    else:
        return None
    items: dict[str, Statement] = {}
    at = 0
    while match := _ITEM.match(listed, at):
        statement = _read_statement(match[2])
        if statement is None or match[1] != "ABCDE"[len(items)]:
            return None
        items[match[1]] = statement
        at = match.end() + 1
    return Counting(question, items) if len(items) > 1 and at == len(listed) + 1 else None


def _read_statement(text: str) -> Statement | None:
    if m := re.fullmatch(r"([0-9]{1,4})([<>])([0-9]{1,4})", text):
        a, b = int(m[1]), int(m[3])
        return Statement(m[2], (a, b), None, a > b if m[2] == ">" else a < b)
    if m := re.fullmatch(r"([0-9]{1,4}) is (even|odd)", text):
        return Statement(m[2], (int(m[1]),), None, (int(m[1]) % 2 == 0) == (m[2] == "even"))
    if m := re.fullmatch(r"([0-9]{1,4}) is divisible by ([1-9][0-9]?)", text):
        a, b = int(m[1]), int(m[2])
        return Statement("divides", (a, b), Op("mod", Num(a), Num(b)), a % b == 0)
    if m := re.fullmatch(r"([0-9]{1,3})([+*])([0-9]{1,3})=([0-9]{1,6})", text):
        work = parse(f"{m[1]}{m[2]}{m[3]}")
        assert isinstance(work, Op)
        return Statement("=", (int(m[1]), int(m[3])), work, apply(m[2], int(m[1]), int(m[3])) == int(m[4]))
    return None
