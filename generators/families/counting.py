"""Truth counting: how many of some lettered statements about numbers are true."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .chart import Chart
from .draws import Draw
from .expressions import Num, Op, apply
from .moves import Calc, Held, Move, Tell
from .problem import Problem, Remark, Said

LETTERS = "ABCDE"
_ASK = (
    "How many of these are true? {list}",
    "Count the true statements. {list}",
    "Some of these are true: {list} How many?",
    "{list} How many of them hold?",
)
_ITEM = re.compile(r"([A-E]): ([^.:]{3,30})\. ")


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim about numbers; `sign` is one of < > + * mod even odd.

    For + and *, `stated` is the result it gives; for mod it says that no remainder is left.
    """

    sign: str
    numbers: tuple[int, ...]
    stated: int = 0

    @property
    def work(self) -> Op | None:
        """What must be computed to judge it."""
        return Op(self.sign, *map(Num, self.numbers)) if self.sign in ("+", "*", "mod") else None

    @property
    def true(self) -> bool:
        first, last = self.numbers[0], self.numbers[-1]
        if self.sign in ("even", "odd"):
            return (first % 2 == 0) == (self.sign == "even")
        if self.sign in "<>":
            return first > last if self.sign == ">" else first < last
        return apply(self.sign, first, last) == self.stated


class Counting(Problem):
    def __init__(self, question: str, items: Mapping[str, Statement]) -> None:
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
        return (
            Remark("RephraseTarget", "target", "Count the true ones", {}),
            Remark("RephraseTarget", "target", "We want how many hold", {}),
            Remark("Plan", "strategy", "Take them one by one", {}),
            Remark("NoteGiven", "given", "There are {n} statements", {"n": len(self.items)}),
        )

    def said(self, claim: str) -> Said | None:
        """`A: true`, or the list `True: A, C`."""
        if verdict := re.fullmatch(r"([A-E]): (true|false)", claim):
            item = self.items.get(verdict[1])
            return Said(item is not None and item.true == (verdict[2] == "true"), frozenset({verdict[1]}))
        if claim.startswith("True: "):
            listed = [] if claim == "True: none" else claim.removeprefix("True: ").split(", ")
            return Said(sorted(listed) == self.true, frozenset({"list"}))
        return None

    def moves(self, draw: Draw) -> list[Move]:
        moves: list[Move] = []
        for letter, item in self.items.items():
            first, last = item.numbers[0], item.numbers[-1]
            if item.work:
                moves.append(Calc.of(item.sign, first, last, f"{letter} work"))
                moves.append(Holds("Deduce", letter, (f"{letter} work",), item))
                continue
            if item.sign in "<>":
                sign = ">" if first > last else "<"
                moves.append(Tell("Compare", f"{letter} work", (), f"{first}{sign}{last}"))
            moves.append(Holds("Deduce", letter, (), item))
        letters = tuple(self.items)
        return [*moves, Listed("Enumerate", "list", letters)]

    def concluded(self, held: Held, moves: Sequence[Move]) -> str:
        return str(len(held["list"]))


@dataclass(frozen=True, slots=True)
class Holds(Move):
    """Whether a lettered statement is true, by what was computed for it."""

    statement: Statement

    def value(self, held: Held) -> bool:
        return held[self.needs[0]] == self.statement.stated if self.needs else self.statement.true

    def text(self, held: Held) -> str:
        return f"{self.key}: {'true' if held[self.key] else 'false'}"

    def slip(self, draw: Draw, held: Held) -> bool:
        return not self.value(held)


@dataclass(frozen=True, slots=True)
class Listed(Move):
    """The letters held to be true; a slip leaves one out, or puts one in."""

    def value(self, held: Held) -> tuple[str, ...]:
        return tuple(letter for letter in self.needs if held[letter])

    def text(self, held: Held) -> str:
        return "True: " + (", ".join(held[self.key]) or "none")

    def slip(self, draw: Draw, held: Held) -> tuple[str, ...]:
        one = draw.pick(self.needs)
        return tuple(letter for letter in self.needs if held[letter] != (letter == one))


def draw_question(d: Draw, level: int) -> str:
    """3 or 4 statements; products, sums and divisibility from level 2 on."""
    items = [_draw_statement(d, level) for _ in range((3, 3, 4)[level - 1])]
    listed = " ".join(f"{letter}: {item}." for letter, item in zip(LETTERS, items, strict=False))
    return d.pick(_ASK).format(list=listed)


def _draw_statement(d: Draw, level: int) -> str:
    high = (20, 50, 99)[level - 1]
    n = d.between(2, high)
    kind = d.pick(("<", "parity") if level == 1 else ("<", "parity", "+", "*", "mod"))
    if kind == "<":
        m = d.between(2, high)
        return f"{n}{d.pick('<>')}{m if m != n else m + 1}"
    if kind == "parity":
        return f"{n} is {d.pick(('even', 'odd'))}"
    if kind == "mod":
        k = d.between(3, 9)
        return f"{d.between(2, 99 // k) * k if d.chance(0.5) else n + k} is divisible by {k}"
    a, b = (d.between(2, 9), d.between(2, 9)) if kind == "*" else (n, d.between(2, high // 2))
    result = apply(kind, a, b) or 0
    return f"{a}{kind}{b}={result if d.chance(0.5) else max(0, result + d.pick((-1, 1, -2, 2, 10)))}"


def read(question: str) -> Counting | None:
    """The problem that a question is, or None."""
    for ask in _ASK:
        before, after = ask.split("{list}")
        if len(question) < 300 and question.startswith(before) and question.endswith(after):
            listed = question[len(before) : len(question) - len(after)] + " "
            break
    else:
        return None
    items: dict[str, Statement] = {}
    at = 0
    while match := _ITEM.match(listed, at):
        statement = _read_statement(match[2])
        if statement is None or match[1] != LETTERS[len(items)]:
            return None
        items[match[1]] = statement
        at = match.end()
        if len(items) == len(LETTERS):
            break
    return Counting(question, items) if len(items) > 1 and at == len(listed) else None


def _read_statement(text: str) -> Statement | None:
    if m := re.fullmatch(r"([0-9]{1,4})([<>])([0-9]{1,4})", text):
        return Statement(m[2], (int(m[1]), int(m[3])))
    if m := re.fullmatch(r"([0-9]{1,4}) is (even|odd)", text):
        return Statement(m[2], (int(m[1]),))
    if m := re.fullmatch(r"([0-9]{1,4}) is divisible by ([1-9][0-9]?)", text):
        return Statement("mod", (int(m[1]), int(m[2])))
    if m := re.fullmatch(r"([0-9]{1,3})([+*])([0-9]{1,3})=([0-9]{1,6})", text):
        return Statement(m[2], (int(m[1]), int(m[3])), int(m[4]))
    return None
