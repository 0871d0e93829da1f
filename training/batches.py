"""Batches of about equally many tokens, planned before training starts."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ..schemas import generator, rng_key

_WINDOW = 2048  # rows sorted by length together: little padding, batches still mixed


class TokenBatches(Sampler[list[int]]):
    """Every batch of a training run, in order: row indices whose padded size is at most `tokens_per_batch`.

    Each epoch takes every row once, in an order drawn from `key` and the epoch. There are `steps` batches
    per rank, or as many as `epochs` need, the last epoch being cut short where it is a fraction. Since the
    plan is the whole run, the batch of any step is known, and a resumed run skips to it without reading.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        tokens_per_batch: int,
        key: str,
        *,
        epochs: float = 1.0,
        steps: int | None = None,
        world: int = 1,
    ) -> None:
        if not lengths:
            raise ValueError("no rows to make batches of")
        self.plan: list[list[int]] = []
        epoch, left = 0, epochs
        while len(self.plan) < steps * world if steps is not None else left > 0:
            batches = _epoch(np.asarray(lengths), tokens_per_batch, key, epoch)
            share = 1.0 if steps is not None else min(left, 1.0)
            self.plan += batches[: max(1, round(share * len(batches)))]
            epoch, left = epoch + 1, left - 1
        whole = len(self.plan) // world * world or world
        self.plan = (self.plan * world)[: min(whole, steps * world if steps is not None else whole)]

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.plan)


def _epoch(lengths: NDArray[np.int64], budget: int, key: str, epoch: int) -> list[list[int]]:
    draw = generator(rng_key(0, key, "batches", epoch))
    order = draw.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), _WINDOW):
        window = order[start : start + _WINDOW]
        batch: list[int] = []
        for i in window[np.argsort(lengths[window], kind="stable")].tolist():
            # Sorted: this row is the longest so far, so it sets the width.
            if batch and int(lengths[i]) * (len(batch) + 1) > budget:
                batches.append(batch)
                batch = []
            batch.append(i)
        batches.append(batch)
    return [batches[i] for i in draw.permutation(len(batches))]
