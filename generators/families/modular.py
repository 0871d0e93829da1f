"""Remainders of sums and products."""

import re
from itertools import product

from .chart import Chart
from .draws import Draw
from .expressions import Expr, Num, Op, apply, evaluate, parse
from .moves import Calc, Move
from .problem import Problem, Remark

NAME = "modular"
_QUESTIONS = (
    "What is {expr} mod {m}?",
    "Find the remainder of {expr} divided by {m}.",
    "{expr} is divided by {m}. What remains?",
    "{expr} balls are packed in groups of {m}. How many are left over?",
    "Work out {expr} modulo {m}.",
)
_READERS = tuple(
    re.compile(
        re.escape(q).replace(r"\{expr\}", r"(?P<expr>[0-9+*]{1,24})").replace(r"\{m\}", r"(?P<m>[0-9]{1,3})")
    )
    for q in _QUESTIONS
)
_MOST_NUMBERS = 5


class Modular(Problem):
    def __init__(self, question: str, tree: Expr, m: int) -> None:
        self.tree, self.m = tree, m
        super().__init__(question, str(evaluate(Op("mod", tree, Num(m)))), _chart(tree, m))

    def remarks(self) -> tuple[Remark, ...]:
        m = {"m": self.m}
        general = (
            Remark("RephraseTarget", "target", "We want the remainder by {m}", m),
            Remark("RephraseTarget", "target", "What is left after groups of {m}", m),
        )
        if isinstance(self.tree, Num):
            return general
        return (
            *general,
            Remark("Recall", "rule", "Each number may be reduced first", {}),
            Remark("Plan", "strategy", "Reduce by {m}, then combine", m),
        )

    def moves(self, draw: Draw) -> list[Move]:
        """Reduces every number first; works the expression out as it stands where that is small, at times."""
        moves: list[Move] = []
        early = (evaluate(self.tree) or 0) > 99 or draw.chance(0.6)

        def take(sign: str, left: int | str, right: int | str) -> str:
            moves.append(Calc.of(sign, left, right, f"v{len(moves)}"))
            return moves[-1].key

        def reduced(ref: int | str, value: int) -> tuple[int | str, int]:
            return (ref, value) if value < self.m else (take("mod", ref, self.m), value % self.m)

        def enter(node: Expr) -> tuple[int | str, int]:
            if isinstance(node, Num):
                return reduced(node.value, node.value) if early else (node.value, node.value)
            (left, a), (right, b) = enter(node.left), enter(node.right)
            ref, value = take(node.sign, left, right), apply(node.sign, a, b) or 0
            return reduced(ref, value) if early and draw.chance(0.3) else (ref, value)

        reduced(*enter(self.tree))
        return moves


def draw(d: Draw, level: int) -> str:
    """A question of the given level; its numbers are distinct."""
    if level == 1:
        m = d.between(3, 7)
        shape = "{}+{}" if d.chance(0.7) else "{}"
        ranges = [(5, 30), (5, 30)] if "+" in shape else [(12, 60)]
    elif level == 2:
        m = d.between(4, 9)
        shape = "{}*{}+{}" if d.chance(0.7) else "{}*{}"
        ranges = [(5, 40)] * 3
    else:
        m = d.between(6, 13)
        shape, last = ("{}*{}+{}*{}", (11, 60)) if d.chance(0.4) else ("{}*{}+{}", (50, 99))
        ranges = [(11, 99), (11, 99), (11, 99), last] if shape.count("*") == 2 else [(11, 99), (11, 99), last]
    numbers = [d.between(low, high) for low, high in ranges]
    if len({*numbers, m}) <= len(numbers):
        return draw(d, level)
    return d.pick(_QUESTIONS).format(expr=shape.format(*numbers), m=m)


def read(question: str) -> Modular | None:
    """The problem that a question is, or None."""
    for reader in _READERS:
        if match := reader.fullmatch(question):
            tree, m = parse(match["expr"]), int(match["m"])
            numbers = re.findall("[0-9]+", match["expr"])
            good = m > 1 and len(numbers) <= _MOST_NUMBERS
            return Modular(question, tree, m) if tree and good else None
    return None


def _chart(tree: Expr, m: int) -> Chart:
    """Every part of the expression may stand as it is or reduced."""
    chart = Chart()
    modulus = chart.given(m)

    def with_residues(keys: list[str], name: str) -> list[str]:
        out = dict.fromkeys(keys)
        for key in keys:
            if (value := chart.values[key]) >= m:
                out[chart.add("mod", key, modulus, f"{name}~{value % m}")] = None
        return list(out)

    def enter(node: Expr, name: str) -> list[str]:
        if isinstance(node, Num):
            return with_residues([chart.given(node.value)], name)
        made = []
        for left, right in product(enter(node.left, name + "l"), enter(node.right, name + "r")):
            value = apply(node.sign, chart.values[left], chart.values[right])
            made.append(chart.add(node.sign, left, right, f"{name}~{value}"))
        return with_residues(made, name)

    chart.root = min(enter(tree, "t"), key=lambda key: chart.values[key])
    return chart
