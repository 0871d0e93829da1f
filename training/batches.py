"""Batches of about equally many tokens, planned before training starts."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ..models.packing import Shape, bins
from ..schemas import generator, rng_key

_WINDOW = 2048  # rows sorted by length, or packed, together: little padding, batches still mixed


class TokenBatches(Sampler[list[int]]):
    """Every batch of a training run, in order: row indices whose padded size is at most `tokens_per_batch`.

    With `pack`, what fills as many rows of `pack` tokens as `tokens_per_batch` holds (see `models.packing`).

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
        pack: int | None = None,
    ) -> None:
        if not lengths:
            raise ValueError("no rows to make batches of")
        sizes = np.asarray(lengths)
        self.plan: list[list[int]] = []
        epoch, left = 0, epochs
        while len(self.plan) < steps * world if steps is not None else left > 0:
            draw = generator(rng_key(0, key, "batches", epoch))
            batches = (
                _padded(sizes, tokens_per_batch, draw)
                if pack is None
                else _packed(sizes, (max(1, tokens_per_batch // pack), pack), draw)
            )
            share = 1.0 if steps is not None else min(left, 1.0)
            self.plan += batches[: max(1, round(share * len(batches)))]
            epoch, left = epoch + 1, left - 1
        whole = len(self.plan) // world * world or world
        self.plan = (self.plan * world)[: min(whole, steps * world if steps is not None else whole)]

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.plan)


def _padded(lengths: NDArray[np.int64], budget: int, draw: np.random.Generator) -> list[list[int]]:
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


def _packed(lengths: NDArray[np.int64], shape: Shape, draw: np.random.Generator) -> list[list[int]]:
    order = draw.permutation(len(lengths))
    rows: list[list[int]] = []
    for start in range(0, len(order), _WINDOW):
        window = order[start : start + _WINDOW]
        rows += [window[row].tolist() for row in bins(lengths[window].tolist(), shape[1])]
    mixed = [rows[i] for i in draw.permutation(len(rows))]
    return [list(chain(*mixed[i : i + shape[0]])) for i in range(0, len(mixed), shape[0])]
