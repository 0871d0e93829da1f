"""A table of a run as a torch dataset: for the DataLoader of a training job of one's own."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from .reader import ReaderState, ShardReader


class ShardRows(IterableDataset[dict[str, Any]]):
    """The rows of one rank's share of a table, dealt out once more to the workers of its DataLoader.

    Iterating gives the rest of an epoch, then the next. `state_dict` and `load_state_dict` follow torchdata's
    `StatefulDataLoader`, which calls them in each worker: it resumes after the last row, with as many workers
    as before. Raises what `ShardReader` does.
    """

    def __init__(
        self,
        folder: str | Path,
        table: str,
        columns: Sequence[str] | None = None,
        split: str = "train",
        rank: int = 0,
        world: int = 1,
        shuffle_key: str | None = None,
    ) -> None:
        self._given = (folder, table, columns, split)
        self._rank, self._world, self._key = rank, world, shuffle_key
        self._reader = ShardReader(*self._given, rank, world, shuffle_key)  # bad input is named at once
        self._shared = 1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        if worker is not None and self._shared != worker.num_workers:
            self._shared = worker.num_workers
            rank = self._rank * worker.num_workers + worker.id
            world, state = self._world * worker.num_workers, self._reader.state
            self._reader = ShardReader(*self._given, rank, world, self._key, state)
        yield from self._reader.rows()

    def state_dict(self) -> dict[str, int]:
        return asdict(self._reader.state)

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._reader.state = ReaderState(**state)

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch: a DataLoader makes its workers anew for each, unless they are persistent."""
        self._reader.state = ReaderState(epoch)
