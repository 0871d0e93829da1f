"""The steps of a solution, as something that can be taken rightly, wrongly, or from wrong values."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .chart import inverse
from .draws import Draw, slipped
from .expressions import Num, Op, apply, show

Held = Mapping[str, Any]
MAX = 999


@dataclass(frozen=True, slots=True)
class Move:
    """One step: from the values held so far to a new one, and the line that says so.

    `key` names its value, `needs` the values that it uses.
    """

    act: str
    key: str
    needs: tuple[str, ...]

    def value(self, held: Held) -> Any | None:
        """Its value, computed from what is held (right or wrong); None where it cannot be taken."""
        return True

    def text(self, held: Held) -> str:
        """Its claim, where `held` has its own value too."""
        raise NotImplementedError

    def slip(self, draw: Draw, held: Held) -> Any | None:
        """A wrong value in place of its own; None where nobody would slip."""
        return None

    def confused(self, draw: Draw, held: Held) -> tuple[str, str] | None:
        """A claim that answers another question than the one due, and where to go back to."""
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

    def _show(self, sign: str, held: Held) -> str:
        left, right = self._operands(held)
        return show(Op(sign, Num(left), Num(right)))

    def value(self, held: Held) -> int | None:
        value = apply(self.sign, *self._operands(held))
        return value if value is not None and 0 <= value <= MAX else None

    def text(self, held: Held) -> str:
        return f"{self._show(self.sign, held)}={held[self.key]}"

    def slip(self, draw: Draw, held: Held) -> int | None:
        value = self.value(held)
        return None if value is None else slipped(draw, value)

    def confused(self, draw: Draw, held: Held) -> tuple[str, str] | None:
        left, right = self._operands(held)
        sign = {"+": "-", "-": "+", "*": "+", "/": "-"}.get(self.sign, "")
        value = apply(sign, left, right) if sign else None
        if value is None or not 0 <= value <= MAX:
            return None
        return f"{self._show(sign, held)}={value}", str(left)

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
    """What is left of an expression once some of its parts have been worked out."""

    show_rest: Callable[[Held], str]

    def text(self, held: Held) -> str:
        return self.show_rest(held)


def tree_moves(tree: Op, *, rest: bool = False) -> list[Move]:
    """An expression worked out from the inside; `rest` adds what is left after the first result."""
    moves: list[Move] = []
    names: dict[int, str] = {}
    known: set[str | None] = set()

    def enter(node: Num | Op) -> int | str:
        if isinstance(node, Num):
            return node.value
        left, right = enter(node.left), enter(node.right)
        key = names[id(node)] = f"v{len(names)}"
        moves.append(Calc.of(node.sign, left, right, key))
        return key

    def remaining(node: Num | Op, held: Held) -> Num | Op:
        if isinstance(node, Num):
            return node
        if (name := names.get(id(node))) in known:
            return Num(held[name])
        return Op(node.sign, remaining(node.left, held), remaining(node.right, held))

    enter(tree)
    known.add(moves[0].key)
    if rest and len(moves) > 2:
        told = Rest("Transform", "rest", (moves[0].key,), lambda held: show(remaining(tree, held)))
        moves.insert(1, told)
    return moves
