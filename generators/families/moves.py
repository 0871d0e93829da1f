"""The steps of a solution, as something that can be taken rightly, wrongly, or from wrong values."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .chart import inverse
from .draws import Draw, slipped
from .expressions import Expr, Num, Op, apply, show

Held = Mapping[str, Any]
MAX = 999
_CONFUSED = {"+": "-", "-": "+", "*": "+", "/": "-"}


@dataclass(frozen=True, slots=True)
class Move(ABC):
    """One step: from the values held so far to a new one, and the claim that states it.

    `key` names its value, `needs` the values that it uses.
    """

    act: str
    key: str
    needs: tuple[str, ...]

    def value(self, held: Held) -> Any | None:
        """Its value, from what is held (right or wrong); None where it cannot be taken."""
        return True

    @abstractmethod
    def text(self, held: Held) -> str:
        """Its claim, where `held` has its own value too."""

    def slip(self, draw: Draw, held: Held) -> Any | None:
        """A wrong value in place of its own; None where nobody would slip."""
        return None

    def confused(self, held: Held) -> tuple[str, str] | None:
        """A claim that answers another question than the one due, and the number to go back to."""
        return None

    def tests(self, held: Held) -> Iterator[tuple[Op, int]]:
        """Expressions that test its value, with what they must come to."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Calc(Move):
    """`left sign right = value`; operands are numbers or keys of earlier moves."""

    sign: str
    left: int | str
    right: int | str

    @classmethod
    def of(cls, sign: str, left: int | str, right: int | str, key: str) -> "Calc":
        return cls("Calculate", key, tuple(x for x in (left, right) if isinstance(x, str)), sign, left, right)

    def _operands(self, held: Held) -> tuple[int, int]:
        left, right = (held[x] if isinstance(x, str) else x for x in (self.left, self.right))
        return left, right

    def _claim(self, sign: str, held: Held, value: int) -> str:
        left, right = self._operands(held)
        return f"{show(Op(sign, Num(left), Num(right)))}={value}"

    def value(self, held: Held) -> int | None:
        value = apply(self.sign, *self._operands(held))
        return value if value is not None and 0 <= value <= MAX else None

    def expression(self, held: Held) -> str:
        """What it works out."""
        left, right = self._operands(held)
        return show(Op(self.sign, Num(left), Num(right)))

    def text(self, held: Held) -> str:
        return self._claim(self.sign, held, held[self.key])

    def slip(self, draw: Draw, held: Held) -> int | None:
        value = self.value(held)
        return None if value is None else slipped(draw, value)

    def confused(self, held: Held) -> tuple[str, str] | None:
        left, right = self._operands(held)
        sign = _CONFUSED.get(self.sign, "")
        value = apply(sign, left, right) if sign else None
        return None if value is None or value < 0 else (self._claim(sign, held, value), str(left))

    def tests(self, held: Held) -> Iterator[tuple[Op, int]]:
        return inverse(self.sign, *self._operands(held), held[self.key])


@dataclass(frozen=True, slots=True)
class Tell(Move):
    """A sentence about values already held, such as `3x=15` from 3 and 15."""

    template: str

    def text(self, held: Held) -> str:
        return self.template.format(**held)


@dataclass(frozen=True, slots=True)
class Rest(Move):
    """What is left of an expression once the part `done` has been worked out, as `needs[0]`."""

    tree: Op
    done: Op

    def text(self, held: Held) -> str:
        return show(self._left(self.tree, Num(held[self.needs[0]])))

    def _left(self, node: Expr, result: Num) -> Expr:
        if node is self.done:
            return result
        if isinstance(node, Num):
            return node
        return Op(node.sign, self._left(node.left, result), self._left(node.right, result))


def tree_moves(tree: Op, *, rest: bool = False) -> list[Move]:
    """An expression worked out from the inside; `rest` adds what is left of it after the first result."""
    moves: list[Move] = []
    parts: list[Op] = []

    def enter(node: Expr) -> int | str:
        if isinstance(node, Num):
            return node.value
        left, right = enter(node.left), enter(node.right)
        moves.append(Calc.of(node.sign, left, right, f"v{len(parts)}"))
        parts.append(node)
        return moves[-1].key

    enter(tree)
    if rest and len(moves) > 2:
        moves.insert(1, Rest("Transform", "rest", (moves[0].key,), tree, parts[0]))
    return moves
