"""Keys and values that were computed once and are kept for whoever begins alike."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence

from .slots import Prefix


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Prefixes:
    """Sequences of tokens by what they begin with; the longest unused leave when `limit` bytes are reached.

    Of all sequences the one that shares most with another is its neighbour in lexicographic order.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self._sorted: list[tuple[int, ...]] = []
        self._by_ids: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()

    def longest(self, ids: tuple[int, ...]) -> tuple[Prefix | None, int]:
        """Who shares most with these tokens, and how many they share."""
        at = bisect_left(self._sorted, ids)
        best, shared = None, 0
        for neighbour in self._sorted[max(at - 1, 0) : at + 1]:
            if (n := common(neighbour, ids)) > shared:
                best, shared = neighbour, n
        if best is None:
            return None, 0
        self._by_ids.move_to_end(best)
        return self._by_ids[best], shared

    def put(self, prefix: Prefix) -> None:
        """Keep it; what it begins with need not be kept any more."""
        ids = prefix.ids
        if not ids or self.longest(ids)[1] == len(ids):
            return
        at = bisect_left(self._sorted, ids)
        while at and ids[: len(self._sorted[at - 1])] == self._sorted[at - 1]:
            at -= 1
            self._drop(self._sorted[at])
        insort(self._sorted, ids)
        self._by_ids[ids] = prefix
        self.bytes += prefix.bytes
        while self.bytes > self.limit and len(self._by_ids) > 1:
            self._drop(next(iter(self._by_ids)))

    def clear(self) -> None:
        self._sorted.clear()
        self._by_ids.clear()
        self.bytes = 0

    def _drop(self, ids: tuple[int, ...]) -> None:
        self.bytes -= self._by_ids.pop(ids).bytes
        del self._sorted[bisect_left(self._sorted, ids)]
