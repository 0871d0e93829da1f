"""Unit conversion: mixed quantities brought to the smaller unit, added, compared, multiplied, cut up."""

import re
from dataclasses import dataclass

from .chart import Chart
from .draws import Draw
from .expressions import Expr, Num, Op, evaluate, show
from .moves import MAX, Move, tree_moves
from .problem import Problem, Remark, Value

NAME = "units"


@dataclass(frozen=True, slots=True)
class Unit:
    """`big` is `factor` times `small`; `one` is the singular of `big`."""

    big: str
    one: str
    small: str
    factor: int


UNITS = (
    Unit("hours", "hour", "minutes", 60),
    Unit("minutes", "minute", "seconds", 60),
    Unit("weeks", "week", "days", 7),
    Unit("days", "day", "hours", 24),
    Unit("years", "year", "months", 12),
    Unit("feet", "foot", "inches", 12),
    Unit("meters", "meter", "cm", 100),
    Unit("cm", "cm", "mm", 10),
    Unit("dollars", "dollar", "cents", 100),
    Unit("pounds", "pound", "ounces", 16),
)
_ONE = (
    "How many {small} are {p}?",
    "Write {p} in {small}.",
    "Convert {p} to {small}.",
    "Express {p} in {small}.",
)
_TWO = (
    ("+", "How many {small} are {p} and another {q} together?"),
    ("+", "Add {p} to {q}. Give the total in {small}."),
    ("-", "Take {q} from {p}. How many {small} are left?"),
    ("-", "How many {small} more is {p} than {q}?"),
)
_MANY = (
    ("*+", "{k} times {p}, plus {q}: how many {small} is that?"),
    ("*-", "{k} times {p}, less {q}: how many {small} is that?"),
    ("/", "{p} is split into {k} equal parts. How many {small} is each?"),
    ("-/", "Take {q} from {p} and split the rest in {k} equal parts. How many {small} is each?"),
    ("+/", "{p} and {q} are put together and split in {k} equal parts. How many {small} is each?"),
)
_AMOUNT = "([0-9]{1,3}) ([a-z]+)(?: ([0-9]{1,3}) ([a-z]+))?"


def _reader(template: str) -> re.Pattern[str]:
    text = re.escape(template)
    for field, shape in (("p", _AMOUNT), ("q", _AMOUNT), ("k", "[0-9]{1,2}"), ("small", "[a-z]+")):
        text = text.replace(rf"\{{{field}\}}", f"(?P<{field}>{shape})")
    return re.compile(text)


_READERS = tuple((ops, _reader(template)) for ops, template in (*(("", t) for t in _ONE), *_TWO, *_MANY))


class Conversion(Problem):
    def __init__(self, question: str, tree: Op, unit: Unit, bigs: tuple[int, ...]) -> None:
        super().__init__(question, str(evaluate(tree)), Chart.of(tree))
        self.tree, self.unit, self.bigs = tree, unit, bigs

    def remarks(self) -> tuple[Remark, ...]:
        unit = self.unit
        rule: dict[str, Value] = {"big": unit.big, "one": unit.one, "f": unit.factor, "small": unit.small}
        general = (
            Remark("RephraseTarget", "target", "We want {small}", rule),
            Remark("RephraseTarget", "target", "Count in {small}", rule),
            Remark("Recall", "rule", "One {one} is {f} {small}", rule),
            Remark("Recall", "rule", "There are {f} {small} in a {one}", rule),
            Remark("Plan", "strategy", "All to {small} first", rule),
        )
        amount = "{a} {big} is {a}*{f} {small}"
        return (*general, *(Remark("Transform", "amount", amount, rule | {"a": a}) for a in self.bigs))

    def plan(self) -> str:
        return show(self.tree)

    def moves(self, draw: Draw) -> list[Move]:
        return tree_moves(self.tree)


def draw(d: Draw, level: int) -> str:
    """A question of the given level."""
    while True:
        unit = d.pick(UNITS)
        p, n = _amount(d, unit, level, big=True)
        q, m = _amount(d, unit, level, big=d.chance(0.6 if level == 3 else 0.4))
        if p.split()[0] == q.split()[0]:
            continue
        if level == 1:
            return d.pick(_ONE).format(small=unit.small, p=p)
        if level == 2:
            sign, template = d.pick(_TWO)
            if n + m <= MAX and (sign == "+" or n > m):
                return template.format(small=unit.small, p=p, q=q)
            continue
        ops, template = d.pick(_MANY)
        k = d.between(2, 6)
        total = {"*+": n * k + m, "*-": n * k - m, "/": n, "-/": n - m, "+/": n + m}[ops]
        small = max(n * k if "*" in ops else 0, n + m, total) <= MAX
        whole = "/" not in ops or (total % k == 0 and total > k)
        if total > 0 and small and whole:
            return template.format(small=unit.small, p=p, q=q, k=k)


def _amount(d: Draw, unit: Unit, level: int, *, big: bool) -> tuple[str, int]:
    """A quantity in words, and in the smaller unit."""
    small = d.between(2, min(unit.factor - 1, (20, 50, 99)[level - 1]))
    if not big:
        return f"{small} {unit.small}", small
    many = d.between(2, min((5, 7, 9)[level - 1], 500 // unit.factor))
    if level > 1 and d.chance(0.2):
        return f"{many} {unit.big}", many * unit.factor
    return f"{many} {unit.big} {small} {unit.small}", many * unit.factor + small


def read(question: str) -> Conversion | None:
    """The problem that a question is, or None."""
    found = next(((ops, m) for ops, reader in _READERS if (m := reader.fullmatch(question))), None)
    if found is None:
        return None
    ops, match = found
    fields = match.groupdict()
    texts = [fields[name] for name in "pq" if fields.get(name)]
    for unit in UNITS:
        amounts = [_read_amount(text, unit) for text in texts]
        if unit.small == fields["small"] and None not in amounts:
            break
    else:
        return None
    trees = [tree for tree in amounts if tree is not None]
    whole = _combine(ops, trees, int(fields.get("k") or 1))
    bigs = tuple(dict.fromkeys(int(t.split()[0]) for t in texts if t.split()[1] == unit.big))
    if not isinstance(whole, Op) or not bigs or (evaluate(whole) or 0) <= 0:
        return None
    return Conversion(question, whole, unit, bigs)


def _read_amount(text: str, unit: Unit) -> Expr | None:
    words = text.split()
    if words[1:] == [unit.small]:
        return Num(int(words[0]))
    if words[1] != unit.big or (len(words) == 4 and words[3] != unit.small):
        return None
    big = Op("*", Num(int(words[0])), Num(unit.factor))
    return Op("+", big, Num(int(words[2]))) if len(words) == 4 else big


def _combine(ops: str, trees: list[Expr], k: int) -> Expr:
    whole = trees[0]
    for sign in ops:
        whole = Op(sign, whole, Num(k) if sign in "*/" else trees[1])
    return whole
