"""Rows of a finished run, read shard by shard: counted, searched, and sampled by a fixed key."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..schemas import BadInput, Trace, content_hash
from ..schemas.tables import TABLES, Row, trace_from_row
from .manifest import read_manifest
from .shards import ShardFile
from .where import EVERY, Where, columns_of

BATCH_ROWS = 1024
NAMES = {"traces": "traces", "steps": "labelled steps", "search": "searched states"}
IDS = {"traces": "trace_id", "steps": "step_id", "search": "state_id"}


class Run:
    """A run's folder, opened for reading. Raises BadInput for a folder that holds no finished run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)

    @cached_property
    def threshold(self) -> float:
        """The success ratio that a right step exceeds, as the run was configured."""
        return float(self.manifest.config.get("labels.threshold", 0.0))

    @property
    def title(self) -> str:
        """The run in one line."""
        m = self.manifest
        policy = f"{m.policy} {m.policy_hash[:12]}".strip()
        made = f"configuration {m.config_hash[:12]}, cotmill {m.code_version}, schema {m.schema_version}"
        return f"{self.folder.resolve().name}: policy {policy}, {made}"

    def files(self, table: str) -> list[ShardFile]:
        """The table's shards that hold rows, in the manifest's order."""
        columns_of(table)
        return [s for s in self.manifest.shards if s.table == table and s.rows]

    def batches(self, table: str, columns: Iterable[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The table's rows, batch by batch, with only the named columns (None: all)."""
        wanted = None if columns is None else [f.name for f in TABLES[table] if f.name in set(columns)]
        for shard in self.files(table):
            with self._open(shard) as file:
                yield from file.iter_batches(batch_size=BATCH_ROWS, columns=wanted)

    def count(self, table: str, where: Where = EVERY) -> int:
        """How many rows pass."""
        if where is EVERY:
            columns_of(table)
            return self.manifest.rows(table)
        return sum(1 for _ in self._matching(table, where))

    def draw(
        self, table: str, where: Where = EVERY, *, n: int, start: int = 0, key: str = "review"
    ) -> list[Row]:
        """Rows `start` to `start + n` of the passing ones, in the order that `key` shuffles them into.

        Everybody who draws with the same key sees the same rows; each has its `split` beside its columns.
        """
        drawn = heapq.nsmallest(start + n, self._matching(table, where, key))[start:]
        wanted: dict[int, list[int]] = {}
        for _, shard, row in drawn:
            wanted.setdefault(shard, []).append(row)
        found = {(s, r): row for s, rows in wanted.items() for r, row in self._rows(table, s, rows)}
        return [found[shard, row] for _, shard, row in drawn]

    def find(self, table: str, column: str, values: Iterable[str]) -> list[Row]:
        """Every row whose text column holds one of these values."""
        wanted = set(values)
        rows: list[Row] = []
        for index, shard in enumerate(self.files(table)):
            with self._open(shard) as file:
                held = file.read(columns=[column]).column(column).to_pylist()
            at = [i for i, value in enumerate(held) if value in wanted]
            rows += [row for _, row in self._rows(table, index, at)]
        return rows

    def seed_of(self, row: Row) -> Trace | None:
        """The trace of the seed that a row of any table comes from; None where the run has none."""
        rows = self.find("traces", "trace_id", [row["seed_id"]])
        return trace_from_row(rows[0]) if rows else None

    def _matching(self, table: str, where: Where, key: str = "") -> Iterator[tuple[str, int, int]]:
        """(place in the drawing order, shard, row) of each passing row."""
        columns_of(table)
        needed = [IDS[table], *sorted(where.columns - {IDS[table], "split"})]
        for index, shard in enumerate(self.files(table)):
            row = 0
            with self._open(shard) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=needed):
                    for values in batch.to_pylist():
                        values["split"] = shard.split
                        if where.matches(values):
                            yield content_hash("draw", key, values[IDS[table]]), index, row
                        row += 1

    def _rows(self, table: str, index: int, wanted: Sequence[int]) -> Iterator[tuple[int, Row]]:
        """The wanted rows of one shard, by number; only their row groups are read."""
        shard = self.files(table)[index]
        left = sorted(wanted)
        with self._open(shard) as file:
            first = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if here := [r for r in left if first <= r < first + rows]:
                    read = file.read_row_group(group).take([r - first for r in here])
                    for r, row in zip(here, read.to_pylist(), strict=True):
                        yield r, row | {"split": shard.split}
                first += rows

    @contextmanager
    def _open(self, shard: ShardFile) -> Iterator[pq.ParquetFile]:
        path = self.folder / shard.path
        try:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(TABLES[shard.table]):
                    raise BadInput(f"is no shard of this version's {shard.table}", file=path)
                yield file
        except (OSError, pa.ArrowException) as e:
            raise BadInput("cannot be read; `cotmill check` says what is damaged", file=path) from e
