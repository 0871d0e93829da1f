"""Sums and products: chained arithmetic with brackets, and arithmetic series."""

import re
from collections.abc import Callable

from .chart import Chart
from .draws import Draw
from .expressions import Expr, Num, Op, evaluate, parse, show
from .moves import MAX, Calc, Move, Tell, tree_moves
from .problem import Problem, Remark, Said, first_match

NAME = "sums"
_CHAINS = (
    "Compute {expr}.",
    "What is {expr}?",
    "Work out {expr}.",
    "Find the value of {expr}.",
    "Evaluate {expr}.",
)
_SERIES = (
    "Add the first {n} terms of {a}, {b}, {c}, ...",
    "Sum the first {n} numbers of {a}, {b}, {c}, and so on.",
    "The terms {a}, {b}, {c}, ... go on alike. What is the sum of the first {n}?",
    "Each day the count goes {a}, {b}, {c}, ... What is the total of {n} days?",
)
_CHAIN_READERS = tuple(
    re.compile(re.escape(q).replace(r"\{expr\}", r"(?P<expr>[0-9+*()-]{3,30})")) for q in _CHAINS
)


class Chain(Problem):
    """An expression to be worked out."""

    def __init__(self, question: str, tree: Op) -> None:
        super().__init__(question, str(evaluate(tree)), Chart.of(tree))
        self.tree = tree

    def remarks(self) -> tuple[Remark, ...]:
        text = show(self.tree)
        out = [Remark("RephraseTarget", "target", "We want the value", {})]
        if "(" in text:
            out += [
                Remark("Plan", "strategy", "The bracket first", {}),
                Remark("Recall", "strategy", "Brackets come first", {}),
            ]
        elif "*" in text and ("+" in text or "-" in text):
            out += [
                Remark("Plan", "strategy", "Products first", {}),
                Remark("Recall", "strategy", "Products come before sums", {}),
            ]
        else:
            out.append(Remark("Plan", "strategy", "From left to right", {}))
        return tuple(out)

    def moves(self, draw: Draw) -> list[Move]:
        return tree_moves(self.tree, rest=draw.chance(0.3))


class Series(Problem):
    """The sum of n terms a, a+d, a+2d, ..."""

    def __init__(self, question: str, a: int, d: int, n: int) -> None:
        self.a, self.d, self.n = a, d, n
        self.terms = [a + i * d for i in range(n)]
        super().__init__(question, str(sum(self.terms)), self._chart())

    def _chart(self) -> Chart:
        chart, n = Chart(), self.n
        terms = [chart.given(term) for term in self.terms[:3]]
        step = chart.add("-", terms[1], terms[0], "step")
        chart.add("-", terms[2], terms[1], "step")
        for i in range(3, n):
            terms.append(chart.add("+", terms[-1], step, f"term {i}"))
        count = chart.given(n)
        gaps = chart.add("-", count, chart.given(1), "gaps")
        last = chart.add("+", terms[0], chart.add("*", gaps, step, "rise"), f"term {n - 1}")
        ends = chart.add("+", terms[0], last, "ends")
        two = chart.given(2)
        total = terms[0]
        for i, term in enumerate(terms[1:], 1):
            total = chart.add("+", total, term, f"total {i}")
        if n % 2 == 0:
            chart.add("*", ends, chart.add("/", count, two, "pairs"), total)
        chart.add("/", chart.add("*", ends, count, "twice"), two, total)
        chart.root = total
        return chart

    def remarks(self) -> tuple[Remark, ...]:
        n, ends = {"n": self.n}, {"n": self.n, "a": self.a}
        return (
            Remark("RephraseTarget", "target", "We want the sum of {n} terms", n),
            Remark("NoteGiven", "given", "{n} terms from {a} on", ends),
            Remark("Decompose", "strategy", "First the step, then the last term", {}),
            Remark("Recall", "rule", "Pairs from both ends are equal", {}),
        )

    def said(self, claim: str) -> Said | None:
        """A list of terms."""
        numbers = claim.removeprefix("Terms: ").split(", ")
        if len(numbers) < 2 or not all(re.fullmatch("[0-9]{1,4}", x) for x in numbers):
            return None
        listed = [int(x) for x in numbers]
        return Said(listed == self.terms[: len(listed)], frozenset({"terms"}))

    def moves(self, draw: Draw) -> list[Move]:
        a, b = self.terms[:2]
        if self.n <= 5:
            listed = "Terms: " + ", ".join(map(str, self.terms))
            moves: list[Move] = [Calc.of("-", b, a, "step"), Tell("Enumerate", "terms", (), listed)]
            total: int | str = a
            for i, term in enumerate(self.terms[1:]):
                moves.append(Calc.of("+", total, term, f"t{i}"))
                total = f"t{i}"
            return moves
        moves = [
            Calc.of("-", b, a, "step"),
            Calc.of("*", self.n - 1, "step", "rise"),
            Calc.of("+", a, "rise", "last"),
            Calc.of("+", a, "last", "ends"),
        ]
        if self.n % 2:
            return [*moves, Calc.of("*", "ends", self.n, "twice"), Calc.of("/", "twice", 2, "total")]
        return [*moves, Calc.of("*", "ends", self.n // 2, "total")]


def draw(d: Draw, level: int) -> str:
    """A question of the given level."""
    if level > 1 and d.chance(0.3):
        n = d.between(4, 5) if level == 2 else d.between(6, 9)
        a, step = (d.between(1, 30), d.between(2, 9)) if level == 2 else (d.between(2, 25), d.between(2, 9))
        if n * (2 * a + (n - 1) * step) > MAX:
            return draw(d, level)
        return d.pick(_SERIES).format(n=n, a=a, b=a + step, c=a + 2 * step)
    expr = _chain(d, level)
    value = evaluate(expr)
    parts_ok = value is not None and 0 < value < (30, 150, 300)[level - 1] and _all_positive(expr)
    return d.pick(_CHAINS).format(expr=show(expr)) if parts_ok else draw(d, level)


def _chain(d: Draw, level: int) -> Expr:
    def num(low: int, high: int) -> Num:
        return Num(d.between(low, high))

    def times(high: int) -> Op:
        return Op("*", num(2, 9), num(2, high))

    sign = d.pick("+-")
    shapes: tuple[Callable[[], Expr], ...]
    if level == 1:
        if d.chance(0.3):
            return Op(sign, times(4), num(2, 9))
        return Op(sign, Op(d.pick("+-"), num(2, 15), num(2, 9)), num(2, 9))
    if level == 2:
        shapes = (
            lambda: Op(sign, Op(d.pick("+-"), times(9), num(2, 30)), num(2, 20)),
            lambda: Op(sign, Op(d.pick("+-"), num(10, 50), times(6)), num(2, 20)),
            lambda: Op("*", num(2, 9), Op(sign, num(2, 25), num(2, 19))),
            lambda: Op("*", Op("*", num(2, 9), num(2, 9)), num(2, 5)),
        )
    else:
        shapes = (
            lambda: Op(d.pick("+-"), Op(sign, times(12), times(9)), num(11, 60)),
            lambda: Op(sign, Op("*", num(2, 9), Op(d.pick("+-"), num(8, 30), num(2, 15))), times(9)),
            lambda: Op(
                sign, Op("*", Op("+", num(2, 9), num(2, 9)), Op("-", num(9, 20), num(2, 8))), num(11, 60)
            ),
            lambda: Op(d.pick("+-"), Op(sign, Op("+", num(20, 70), num(20, 70)), times(9)), num(11, 40)),
        )
    return d.pick(shapes)()


def _all_positive(expr: Expr) -> bool:
    if isinstance(expr, Num):
        return True
    return (evaluate(expr) or 0) > 0 and _all_positive(expr.left) and _all_positive(expr.right)


def read(question: str) -> Problem | None:
    """The problem that a question is, or None."""
    if fields := first_match(_SERIES, question):
        n, a, b, c = (int(fields[name]) for name in "nabc")
        return Series(question, a, b - a, n) if 3 <= n <= 30 and c - b == b - a > 0 else None
    for reader in _CHAIN_READERS:
        if match := reader.fullmatch(question):
            tree = parse(match["expr"])
            return Chain(question, tree) if isinstance(tree, Op) else None
    return None
