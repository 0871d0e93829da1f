"""The trees that answers are read into."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

SCALARS = frozenset(
    {"num", "sym", "const", "add", "mul", "pow", "fn", "percent", "degree", "based", "pm", "mp"}
)


@dataclass(frozen=True, slots=True)
class Node:
    """`op` with its arguments; `value` is a number's value, a symbol's or function's name, a bracket pair.

    Scalars: num, sym, const, add, mul, pow, fn, pm (±), mp (∓), percent, degree, based.
    Answers: unit, text, list, tuple, set, union, inter, minus, matrix, chain (relations), in.
    """

    op: str
    args: tuple["Node", ...] = ()
    value: str | Fraction = ""

    def walk(self) -> Iterator["Node"]:
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.args)


def num(value: int | Fraction) -> Node:
    return Node("num", value=Fraction(value))


def neg(node: Node) -> Node:
    return (
        num(-node.value)
        if isinstance(node.value, Fraction) and node.op == "num"
        else Node("mul", (num(-1), node))
    )


def symbols(node: Node) -> frozenset[str]:
    return frozenset(str(n.value) for n in node.walk() if n.op == "sym")


def has_i(node: Node) -> bool:
    return any(n.op == "const" and n.value == "i" for n in node.walk())


def is_infinite(node: Node) -> bool:
    return any(n.op == "const" and n.value == "infinity" for n in node.walk())
