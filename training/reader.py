"""Reads a run's tables (`traces`, `steps`, `search`) as a training job wants them.

Streaming, by columns, from a local folder or any address that fsspec opens. The unit is a Parquet row
group: groups are dealt out to ranks and workers, so no row is lost or read twice, and are shuffled by a key,
so an interrupted job goes on exactly where it stood.
"""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..schemas import SCHEMA_VERSION, BadInput, generator, rng_key
from ..schemas.tables import TABLES


@dataclass(frozen=True, slots=True)
class ReaderState:
    """Where a reader stands: `position` row groups of its share of `epoch`, and `row` rows, are behind it."""

    epoch: int = 0
    position: int = 0
    row: int = 0


@dataclass(frozen=True, slots=True)
class _Group:
    file: int
    index: int
    rows: int


class ShardReader:
    """One rank's share of one table and split of a run's folder.

    Iterating gives Arrow record batches (a row group each) until the end of the epoch; iterating again
    gives the next epoch. Without `shuffle_key` the order is the files'. With it, row groups and the rows
    within each are shuffled anew per epoch; which rows a rank gets then changes from epoch to epoch too.
    Several DataLoader workers: give each its own reader, with `rank * workers + worker` of `world * workers`.

    Raises BadInput where the folder is not that of a run, the table or a column does not exist, or a file
    was written by another schema version.
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
        state: ReaderState | None = None,
    ) -> None:
        if table not in TABLES:
            raise BadInput(f"no table '{table}': there are {', '.join(TABLES)}", field="table")
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is not one of {world}")
        if unknown := [c for c in columns or () if c not in TABLES[table].names]:
            raise BadInput(f"table '{table}' has no column '{unknown[0]}'", field="columns")
        self.columns = None if columns is None else list(columns)
        self.rank, self.world, self.shuffle_key = rank, world, shuffle_key
        self.state = state or ReaderState()
        self._fs, self._root = fsspec.core.url_to_fs(str(folder))
        self._files = self._find(str(folder), table, split)
        self._metadata: list[pq.FileMetaData] = []
        self._groups = self._list_groups()

    @property
    def n_rows(self) -> int:
        """Rows of the table and split, of all ranks together."""
        return sum(g.rows for g in self._groups)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        epoch = self.state.epoch
        mine = self._order(epoch)[self.rank :: self.world]
        for position in range(self.state.position, len(mine)):
            batch = self._read(mine[position], epoch).slice(self.state.row)
            # Set before the batch is handed out: whoever holds it and saves the state has it behind them.
            self.state = ReaderState(epoch, position + 1)
            yield batch
        self.state = ReaderState(epoch + 1, 0)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of the rest of this epoch. The state says after which row to go on."""
        first = self.state.row
        for batch in self:
            behind = self.state
            for row, values in enumerate(batch.to_pylist(), first + 1):
                self.state = ReaderState(behind.epoch, behind.position - 1, row)
                yield values
            self.state, first = behind, 0

    def _find(self, folder: str, table: str, split: str) -> list[str]:
        if not self._fs.exists(posixpath.join(self._root, "manifest.json")):
            what = "not the folder of a finished run: no manifest" if self._fs.exists(self._root) else None
            raise BadInput(what or "no such folder", file=folder)
        files = sorted(self._fs.glob(posixpath.join(self._root, table, f"{split}-*.parquet")))
        if not files:
            raise BadInput(f"has no shards of '{table}', split '{split}'", file=folder)
        return [str(f) for f in files]

    def _list_groups(self) -> list[_Group]:
        groups = []
        for i, path in enumerate(self._files):
            with self._open(path) as file:
                metadata = file.metadata
                self._metadata.append(metadata)
                groups += [
                    _Group(i, g, metadata.row_group(g).num_rows)
                    for g in range(metadata.num_row_groups)
                    if metadata.row_group(g).num_rows
                ]
                self._check_version(path, file)
        return groups

    def _check_version(self, path: str, file: pq.ParquetFile) -> None:
        if "schema_version" not in file.schema_arrow.names:
            raise BadInput("has no schema_version: not a shard of cotmill", file=path)
        if not file.metadata.num_row_groups:
            return
        found = set(file.read_row_group(0, columns=["schema_version"])[0].to_pylist())
        if found - {SCHEMA_VERSION}:
            raise BadInput(
                f"was written by schema version {found.pop()}; this is {SCHEMA_VERSION}: run it again",
                file=path,
                field="schema_version",
            )

    def _open(self, path: str, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._fs.open(path, "rb"), metadata=metadata)
        except (OSError, pa.ArrowException) as e:
            raise BadInput("cannot be read as Parquet", file=path) from e

    def _order(self, epoch: int) -> list[_Group]:
        if self.shuffle_key is None:
            return self._groups
        draw = generator(rng_key(0, self.shuffle_key, "groups", epoch))
        return [self._groups[i] for i in draw.permutation(len(self._groups))]

    def _read(self, group: _Group, epoch: int) -> pa.RecordBatch:
        path = self._files[group.file]
        with self._open(path, self._metadata[group.file]) as file:
            try:
                table = file.read_row_group(group.index, columns=self.columns)
            except (OSError, pa.ArrowException) as e:
                raise BadInput("is damaged", file=path) from e
        if self.shuffle_key is not None:
            name = f"{self.shuffle_key} {posixpath.basename(path)} {group.index}"
            order: np.ndarray[Any, Any] = generator(rng_key(0, name, "rows", epoch)).permutation(group.rows)
            table = table.take(order)
        batch: pa.RecordBatch = table.combine_chunks().to_batches()[0]
        return batch
