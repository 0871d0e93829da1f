"""Integer expressions as the families write them: + - * / mod and brackets; never run as code."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\s*(?:([0-9]{1,6})|(mod)\b|([-+*/()]))")
_MAX_TOKENS = 40
_PRECEDENCE = {"mod": 0, "+": 1, "-": 1, "*": 2, "/": 2}


@dataclass(frozen=True, slots=True)
class Num:
    value: int


@dataclass(frozen=True, slots=True)
class Op:
    """`left sign right`, with sign one of + - * / mod. `mod` binds weakest: 4*5 mod 7 is (4*5) mod 7."""

    sign: str
    left: "Expr"
    right: "Expr"


Expr = Num | Op


def apply(sign: str, left: int, right: int) -> int | None:
    """The result; None for a division with a remainder or by zero, and for a modulus below 1."""
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    if sign == "/":
        return left // right if right and left % right == 0 else None
    return left % right if right > 0 else None


def evaluate(expr: Expr) -> int | None:
    if isinstance(expr, Num):
        return expr.value
    left, right = evaluate(expr.left), evaluate(expr.right)
    return None if left is None or right is None else apply(expr.sign, left, right)


def parse(text: str) -> Expr | None:
    """The expression that `text` is, or None. Bounded: at most 40 tokens, numbers of at most 6 digits."""
    tokens: list[str] = []
    at = 0
    text = text.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or len(tokens) == _MAX_TOKENS:
            return None
        tokens.append(token.group().strip())
        at = token.end()
    reader = _Reader(tokens)
    expr = reader.level(0)
    return expr if reader.at == len(tokens) else None


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def level(self, precedence: int) -> Expr | None:
        if precedence > 2:
            return self.atom()
        left = self.level(precedence + 1)
        while left is not None and _PRECEDENCE.get(self.peek()) == precedence:
            sign = self.peek()
            self.at += 1
            right = self.level(precedence + 1)
            left = None if right is None else Op(sign, left, right)
        return left

    def atom(self) -> Expr | None:
        token = self.peek()
        self.at += 1
        if token.isdigit():
            return Num(int(token))
        if token == "-" and self.peek().isdigit():
            self.at += 1
            return Num(-int(self.tokens[self.at - 1]))
        if token == "(":
            inner = self.level(0)
            closed = self.peek() == ")"
            self.at += 1
            return inner if closed else None
        return None


def show(expr: Expr) -> str:
    """As text, with no brackets but those that are needed."""
    if isinstance(expr, Num):
        return str(expr.value)
    mine = _PRECEDENCE[expr.sign]
    left, right = show(expr.left), show(expr.right)
    if isinstance(expr.left, Op) and _PRECEDENCE[expr.left.sign] < mine:
        left = f"({left})"
    if isinstance(expr.right, Op) and _PRECEDENCE[expr.right.sign] <= mine:
        right = f"({right})"
    return f"{left} mod {right}" if expr.sign == "mod" else f"{left}{expr.sign}{right}"


def canonical(expr: Expr) -> str:
    """A text that is the same for expressions that differ only in the order of + and * operands."""
    if isinstance(expr, Num):
        return str(expr.value)
    sides = [canonical(expr.left), canonical(expr.right)]
    if expr.sign in "+*":
        sides.sort()
    return f"({sides[0]} {expr.sign} {sides[1]})"


def equation(text: str) -> tuple[Op, int] | None:
    """`expression = number` (either way round) as its two sides, or None."""
    sides = text.split("=")
    if len(sides) != 2:
        return None
    left, right = parse(sides[0]), parse(sides[1])
    if isinstance(left, Num):
        left, right = right, left
    return (left, right.value) if isinstance(left, Op) and isinstance(right, Num) else None
