"""Random draws owned by one key."""

from collections.abc import Sequence
from typing import TypeVar

from ...schemas.ids import generator

T = TypeVar("T")
_BLOCK = 64


class Draw:
    """A stream of draws that depends on its key alone. Uniforms are fetched in blocks, for speed."""

    def __init__(self, key: str) -> None:
        self._generator = generator(key)
        self._block: list[float] = []

    def unit(self) -> float:
        """Uniform in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(_BLOCK).tolist()[::-1]
        return self._block.pop()

    def between(self, low: int, high: int) -> int:
        """Uniform in low..high, both included; `low` where the range is empty."""
        return low + int(self.unit() * max(1, high - low + 1))

    def chance(self, p: float) -> bool:
        return self.unit() < p

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.unit() * len(options))]

    def some(self, options: Sequence[T], k: int) -> list[T]:
        """`k` distinct places of `options`, in random order."""
        rest = list(options)
        return [rest.pop(int(self.unit() * len(rest))) for _ in range(k)]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        return self.some(options, len(options))


def slipped(draw: Draw, value: int) -> int:
    """A number that somebody may write for `value` by mistake; never negative, never `value`."""
    while True:
        wrong = value + draw.pick((-1, 1, -1, 1, -2, 2, -10, 10, 3, -3))
        if 0 <= wrong < 1000:
            return wrong
