"""Linear equations in one unknown, with the unknown on one side or both, and brackets."""

import re
from collections.abc import Iterator

from .chart import Chart
from .draws import Draw
from .expressions import Expr, Num, Op, evaluate, show
from .moves import Calc, Move, Tell
from .problem import Problem, Remark, Said

NAME = "linear"
_UNKNOWNS = ("x", "y", "n")
_QUESTIONS = (
    "Solve {equation}.",
    "Find {x} if {equation}.",
    "If {equation}, what is {x}?",
    "What value of {x} makes {equation} true?",
    "Which number {x} satisfies {equation}?",
)
_EQUATION = r"[0-9xyn()+=-]{5,40}"
_READERS = tuple(
    re.compile(re.escape(q).replace(r"\{equation\}", f"(?P<equation>{_EQUATION})").replace(r"\{x\}", "[xyn]"))
    for q in _QUESTIONS
)
_FORM = re.compile(
    r"(?P<a>[0-9]{1,3})(?:\((?P<x>[xyn])(?P<b>[+-][0-9]{1,3})\)(?P<e>[+-][0-9]{1,3})?"
    r"|(?P<y>[xyn])(?P<f>[+-][0-9]{1,3}))"
    r"=(?:(?P<c>[0-9]{1,3})(?P<z>[xyn])(?P<g>[+-][0-9]{1,3})|(?P<d>[0-9]{1,3}))"
)
_TERM = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<k>[0-9]{0,4})(?P<x>[xyn])"
    r"|(?P<m>[0-9]{1,4})\((?P<z>[xyn])(?P<b>[+-][0-9]{1,4})\)|(?P<n>[0-9]{1,4}))"
)


class Linear(Problem):
    """a(x+b)+e = cx+d; without the bracket b is 0, with nothing on the right but d, c is 0."""

    def __init__(self, question: str, x: str, a: int, b: int, e: int, c: int, d: int) -> None:
        self.x, self.a, self.b, self.e, self.c, self.d = x, a, b, e, c, d
        self.constant = a * b + e
        self.solution = (d - self.constant) // (a - c)
        super().__init__(question, str(self.solution), self._chart())

    def _chart(self) -> Chart:
        chart = Chart()
        a, b, c, d, e = (chart.given(abs(n)) for n in (self.a, self.b, self.c, self.d, self.e))
        constant = e
        if self.b:
            constant = _joined(chart, chart.add("*", a, b), self.a * self.b, e, self.e)
        gap = _joined(chart, d, self.d, constant, -self.constant)
        x = chart.root = chart.add("/", gap, chart.add("-", a, c) if self.c else a)
        # The sides with x put in, for tests of the answer.
        left = chart.add("*", a, _plus(chart, x, self.b))
        _plus(chart, left, self.e)
        if self.c:
            _plus(chart, chart.add("*", c, x), self.d)
        return chart

    def remarks(self) -> tuple[Remark, ...]:
        named = {"unknown": self.x}
        general = (
            Remark("RephraseTarget", "target", "We want {unknown}", named),
            Remark("RephraseTarget", "target", "Find {unknown}", named),
            Remark("Plan", "strategy", "Get {unknown} alone", named),
            Remark("Plan", "strategy", "Bring {unknown} to one side", named),
        )
        bracket = Remark("Decompose", "strategy", "First the bracket, then {unknown}", named)
        return (*general, bracket) if self.b else general

    def said(self, claim: str) -> Said | None:
        """An equation in the unknown is right if it has the same solution."""
        claim = claim.replace(" ", "")
        sides = claim.split("=")
        if len(sides) != 2 or self.x not in claim:
            return None
        left, right = (side_of(side, self.x) for side in sides)
        if left is None or right is None:
            return None
        (a, b), (c, d) = left, right
        shape = re.sub("[0-9]+", "#", claim).replace("-", "+")
        return Said(a != c and (a - c) * self.solution == d - b, frozenset({shape}))

    def moves(self, draw: Draw) -> list[Move]:
        moves: list[Move] = []
        right = f"{self.c}{self.x}{self.d:+d}" if self.c else str(self.d)
        constant: int | str = abs(self.e)
        if self.b:
            moves.append(Calc.of("*", self.a, abs(self.b), "product"))
            constant = "product"
        if self.b and self.e:
            constant = "constant"
            if (self.b > 0) == (self.e > 0):
                moves.append(Calc.of("+", "product", abs(self.e), constant))
            elif abs(self.a * self.b) >= abs(self.e):
                moves.append(Calc.of("-", "product", abs(self.e), constant))
            else:
                moves.append(Calc.of("-", abs(self.e), "product", constant))
        if isinstance(constant, str):
            sign = "+" if self.constant > 0 else "-"
            opened = f"{self.a}{self.x}{sign}{{{constant}}}={right}"
            moves.append(Tell("Transform", "opened", (constant,), opened))
        joins = [Calc.of("-" if self.constant > 0 else "+", self.d, constant, "gap")]
        if self.c:
            joins.insert(draw.between(0, 1), Calc.of("-", self.a, self.c, "k"))
        needs = tuple(sorted(move.key for move in joins))
        k: int | str = "k" if self.c else self.a
        reduced = f"{'{k}' if self.c else self.a}{self.x}={{gap}}"
        return [*moves, *joins, Tell("Transform", "reduced", needs, reduced), Calc.of("/", "gap", k, "x")]

    def proofs(self, draw: Draw) -> Iterator[tuple[str, str]]:
        if draw.chance(0.3):
            yield "Deduce", f"{self.x}={self.solution}"
        if draw.chance(0.3):
            x = Num(self.solution)
            side = _with(Op("*", Num(self.a), _with(x, self.b)), self.e)
            if self.c and draw.chance(0.5):
                side = _with(Op("*", Num(self.c), x), self.d)
            yield "Substitute", f"{show(side)}={evaluate(side)}"


def draw(d: Draw, level: int) -> str:
    """A question of the given level: x on one side, on both sides, and with a bracket."""
    x = d.pick(_UNKNOWNS)
    while True:
        solution = d.between(2, 12 if level == 3 else 9)
        a = d.between(2, 5) if level == 1 else d.between(4, 9)
        c = 0 if level == 1 else d.between(2, a - 2)
        b = 0 if level < 3 else d.pick((-1, 1, 1)) * d.between(1, 9)
        e = d.pick((-1, 1, 1)) * d.between(1, 9 if level == 1 else 20)
        if level == 3:
            e = d.between(-12, 12) if d.chance(0.5) else 0
        right = (a - c) * solution + a * b + e
        if 1 <= right <= 99 and a * b + e:
            left = (f"{a}({x}{b:+d})" if b else f"{a}{x}") + (f"{e:+d}" if e else "")
            equation = f"{left}={c}{x}{right:+d}" if c else f"{left}={right}"
            return d.pick(_QUESTIONS).format(equation=equation, x=x)


def read(question: str) -> Linear | None:
    """The problem that a question is, or None."""
    match = next((m for reader in _READERS if (m := reader.fullmatch(question))), None)
    form = _FORM.fullmatch(match["equation"]) if match else None
    if form is None:
        return None
    letters = {form[name] for name in "xyz" if form[name]}
    a, b, c = (int(form[name] or 0) for name in "abc")
    e, d = int(form["e"] or form["f"] or 0), int(form["g"] or form["d"])
    gap = d - a * b - e
    fits = a - c > 1 and d > 0 and gap > 0 and gap % (a - c) == 0 and a * b + e != 0
    return Linear(question, letters.pop(), a, b, e, c, d) if fits and len(letters) == 1 else None


def side_of(text: str, x: str) -> tuple[int, int] | None:
    """One side of an equation as (coefficient of x, constant), or None."""
    a = b = at = 0
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None or (at and not term["sign"]) or {term["x"], term["z"]} - {x, None}:
            return None
        sign = -1 if term["sign"] == "-" else 1
        if term["x"]:
            a += sign * int(term["k"] or 1)
        elif term["z"]:
            a += sign * int(term["m"])
            b += sign * int(term["m"]) * int(term["b"])
        else:
            b += sign * int(term["n"])
        at = term.end()
    return (a, b) if text else None


def _joined(chart: Chart, one: str, n: int, two: str, m: int) -> str:
    """Enter |n + m| as made from |n| (`one`) and |m| (`two`)."""
    if m == 0:
        return one
    if (n > 0) == (m > 0):
        return chart.add("+", one, two)
    return chart.add("-", one, two) if abs(n) >= abs(m) else chart.add("-", two, one)


def _plus(chart: Chart, key: str, n: int) -> str:
    return chart.add("+" if n > 0 else "-", key, chart.given(abs(n))) if n else key


def _with(expr: Expr, n: int) -> Expr:
    return Op("+" if n > 0 else "-", expr, Num(abs(n))) if n else expr
