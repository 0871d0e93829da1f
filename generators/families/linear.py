"""Linear equations in one unknown, with the unknown on one side or both, and brackets."""

import re
from collections.abc import Iterator

from .chart import Chart
from .draws import Draw
from .expressions import Num, Op, evaluate, show
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
    r"(?P<a>[0-9]{1,3})(?:\((?P<x>[xyn])(?P<b>[+-][0-9]{1,3})\)(?P<e>[+-][0-9]{1,3})?|(?P<y>[xyn])(?P<f>[+-][0-9]{1,3}))"
    r"=(?:(?P<c>[0-9]{1,3})(?P<z>[xyn])(?P<g>[+-][0-9]{1,3})|(?P<d>-?[0-9]{1,3}))"
)
_TERM = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<k>[0-9]{0,4})(?P<x>[xyn])|(?P<m>[0-9]{1,4})\((?P<z>[xyn])(?P<b>[+-][0-9]{1,4})\)|(?P<n>[0-9]{1,4}))"
)


class Linear(Problem):
    """a(x+b)+e = cx+d, or ax+e = cx+d where `b` is None; c may be 0."""

    def __init__(
        self, question: str, text: str, x: str, a: int, b: int | None, e: int, c: int, d: int
    ) -> None:
        self.text, self.x = text, x
        self.a, self.b, self.e, self.c, self.d = a, b, e, c, d
        self.left = a * (b or 0) + e
        self.solution = (d - self.left) // (a - c)
        super().__init__(question, str(self.solution), self._chart())

    def _chart(self) -> Chart:
        chart, x = Chart(), self.solution
        a, c, d, e = (chart.given(abs(n)) for n in (self.a, self.c, self.d, self.e))
        constant, value = e, self.e
        if self.b is not None:
            product = chart.add("*", a, chart.given(abs(self.b)))
            value = self.a * self.b
            constant = _signed_sum(chart, product, value, e, self.e)
            value += self.e
        k = chart.add("-", a, c) if self.c else a
        r = _signed_sum(chart, d, self.d, constant, -value) if value else d
        chart.root = chart.add("/", r, k) if self.a - self.c != 1 else r
        for side in self._sides():
            if chart.denotes(Num(x)):
                chart.enter(side)
        return chart

    def _sides(self) -> tuple[Op, ...]:
        """Both sides with the solution put in, where there is something to work out."""
        x = Num(self.solution)
        inner = x if self.b is None else _plus(x, self.b)
        left = _plus(Op("*", Num(self.a), inner), self.e)
        right = _plus(Op("*", Num(self.c), x), self.d) if self.c else Num(self.d)
        return tuple(side for side in (left, right) if isinstance(side, Op))

    def remarks(self) -> tuple[Remark, ...]:
        x = {"x": self.x}
        return (
            Remark("RephraseTarget", "target", "We want {x}", x),
            Remark("RephraseTarget", "target", "Find {x}", x),
            Remark("Plan", "strategy", "Get {x} alone", x),
            Remark("Plan", "strategy", "Bring {x} to one side", x),
            *(
                (Remark("Decompose", "strategy", "First the bracket, then {x}", x),)
                if self.b is not None
                else ()
            ),
        )

    def said(self, claim: str) -> Said | None:
        """An equation in the unknown is right if it has the same solution."""
        sides = claim.removeprefix("Given ").split("=")
        if len(sides) != 2 or self.x not in claim:
            return None
        left, right = (side_of(side, self.x) for side in sides)
        if left is None or right is None:
            return None
        (a, b), (c, d) = left, right
        shape = re.sub("[0-9]+", "#", "=".join(sides)).replace("-", "+")
        return Said(a != c and (a - c) * self.solution == d - b, frozenset({shape}))

    def moves(self, draw: Draw) -> list[Move]:
        moves: list[Move] = []
        left, k = self.left, self.a - self.c
        cx = f"{self.c}{self.x}" if self.c else ""
        right = f"{cx}{self.d:+d}" if self.c else f"{self.d}"
        constant: int | str = abs(left)
        if self.b is not None:
            moves.append(Calc.of("*", self.a, abs(self.b), "p"))
            constant = "p"
            if self.e:
                same = (self.b > 0) == (self.e > 0)
                swap = not same and abs(self.a * self.b) < abs(self.e)
                one, two = (abs(self.e), "p") if swap else ("p", abs(self.e))
                moves.append(Calc.of("+" if same else "-", one, two, "q"))
                constant = "q"
            if left:
                sign = "+" if left > 0 else "-"
                template = f"{self.a}{self.x}{sign}{{{constant}}}={right}"
                moves.append(Tell("Transform", "open", (constant,), template))
        if left:
            moves.append(Calc.of("-" if left > 0 else "+", self.d, constant, "r"))
        if self.c:
            at = draw.between(len(moves) - 1, len(moves)) if left else len(moves)
            moves.insert(at, Calc.of("-", self.a, self.c, "k"))
        kx = f"{'{k}' if self.c else k}{self.x}" if k != 1 else self.x
        r = "{r}" if left else str(self.d)
        needs = (*(("k",) if self.c else ()), *(("r",) if left else ()))
        moves.append(Tell("Transform", "reduced", needs, f"{kx}={r}"))
        if k != 1:
            moves.append(Calc.of("/", "r" if left else self.d, "k" if self.c else k, "x"))
        return moves

    def proofs(self, draw: Draw) -> Iterator[tuple[str, str]]:
        if draw.chance(0.3):
            yield "Deduce", f"{self.x}={self.solution}"
        if draw.chance(0.3):
            side = draw.pick(self._sides())
            yield "Substitute", f"{show(side)}={evaluate(side)}"


def draw(d: Draw, level: int) -> str:
    """A question of the given level."""
    x = d.pick(_UNKNOWNS)
    while True:
        solution = d.between(2, 9 if level < 3 else 12)
        a = d.between(2, {1: 5, 2: 9, 3: 9}[level])
        c = d.between(2, a - 2) if level > 1 and a > 3 else 0
        if level == 3:
            b = d.between(1, 9) * (1 if d.chance(0.6) else -1)
            e = d.between(-12, 12) if d.chance(0.5) else 0
            left, shown = a * b + e, f"{a}({x}{b:+d})" + (f"{e:+d}" if e else "")
        else:
            left = d.between(1, 9 if level == 1 else 20) * (1 if d.chance(0.65) else -1)
            shown = f"{a}{x}{left:+d}"
        right = (a - c) * solution + left
        if not 1 <= right <= 99 or left == 0 or (level > 1 and c == 0):
            continue
        equation = f"{shown}={c}{x}{right:+d}" if c else f"{shown}={right}"
        return d.pick(_QUESTIONS).format(equation=equation, x=x)


def read(question: str) -> Linear | None:
    """The problem that a question is, or None."""
    for reader in _READERS:
        if (match := reader.fullmatch(question)) and (form := _FORM.fullmatch(match["equation"])):
            break
    else:
        return None
    letters = {form[name] for name in "xyz" if form[name]}
    a, c = int(form["a"]), int(form["c"] or 0)
    b = int(form["b"]) if form["b"] else None
    e = int(form["e"] or form["f"] or 0)
    right = int(form["g"] or form["d"])
    gap = right - a * (b or 0) - e
    if len(letters) != 1 or a <= c or gap % (a - c) or right < 0 or gap < 0 or b == 0:
        return None
    return Linear(question, match["equation"], letters.pop(), a, b, e, c, right)


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


def _signed_sum(chart: Chart, one: str, n: int, two: str, m: int) -> str:
    """Enter |n + m| made from |n| (`one`) and |m| (`two`)."""
    if m == 0:
        return one
    if (n > 0) == (m > 0):
        return chart.add("+", one, two)
    return chart.add("-", one, two) if abs(n) >= abs(m) else chart.add("-", two, one)


def _plus(left: Op | Num, n: int) -> Op | Num:
    return Op("+" if n > 0 else "-", left, Num(abs(n))) if n else left
