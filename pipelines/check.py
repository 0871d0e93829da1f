"""A run's folder against its manifest: what is missing, damaged or foreign, and which rows cannot be true."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..schemas.tables import TABLES, Row
from .browse import BATCH_ROWS
from .files import sha256
from .invariants import faults
from .manifest import Manifest, read_manifest
from .shards import ShardFile, split_of

if TYPE_CHECKING:
    from rich.console import Console

# Rows of one seed stand together, and each of them asks.
_split = lru_cache(maxsize=1024)(split_of)
Kind = Literal["missing", "damaged", "foreign"]
_CARD = "README.md"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the manifest says. `rows` counts the rows it concerns (0: the whole file)."""

    kind: Kind
    path: str
    what: str
    rows: int = 0

    def __str__(self) -> str:
        rows = f" ({self.rows:,} row{'s' * (self.rows != 1)})" if self.rows else ""
        return f"{self.kind} {self.path}: {self.what}{rows}"


@dataclass
class CheckReport:
    """What was checked, and what was found."""

    findings: list[Finding] = field(default_factory=list)
    shards: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    markup: int = 0

    @property
    def ok(self) -> bool:
        return not self.findings

    def lines(self) -> list[str]:
        """For people: a line per finding, then what was checked."""
        rows = ", ".join(f"{self.rows[name]:,} {name}" for name in TABLES)
        checked = f"{self.shards:,} shards checked: {rows}; {self.markup:,} texts found again in their markup"
        return [*map(str, self.findings), checked, self._verdict()]

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "shards": self.shards,
            "rows": {name: self.rows[name] for name in TABLES},
            "markup": self.markup,
            "findings": [asdict(f) for f in self.findings],
        }

    def _verdict(self) -> str:
        if self.ok:
            return "nothing is missing, damaged or foreign"
        found = Counter(f.kind for f in self.findings)
        return ", ".join(f"{n:,} {kind}" for kind, n in found.items())


def check(folder: Path, console: "Console | None" = None) -> CheckReport:
    """Check every shard and every row of a finished run; `console`, a terminal, shows the progress.

    Memory: one batch of rows, and 8 bytes for each trace. Raises BadInput for a folder that holds no run.
    """
    return _Checker(folder, read_manifest(folder)).check(console)


class _Checker:
    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.report = CheckReport()
        self.trace_keys: list[NDArray[np.int64]] = []
        self.known: NDArray[np.int64] | None = None
        self.described_steps = 0
        share = manifest.config.get("shards.validation_share")
        self.validation_share = float(share) if share is not None else None

    def check(self, console: "Console | None") -> CheckReport:
        self._folder()
        self._totals()
        traces = [s for s in self.manifest.shards if s.table == "traces"]
        others = [s for s in self.manifest.shards if s.table != "traces"]
        shards = _tracked([*traces, *others], console)
        unread = sum(not self._shard(s) for s in islice(shards, len(traces)))
        self._know(complete=not unread)
        unread += sum(not self._shard(s) for s in shards)
        if not unread and self.described_steps != self.report.rows["steps"]:
            what = f"{self.report.rows['steps']:,} rows, the traces describe {self.described_steps:,}"
            self._found("damaged", "steps", what)
        return self.report

    def _folder(self) -> None:
        listed = Counter(s.path for s in self.manifest.shards)
        for path, n in listed.items():
            if n > 1:
                self._found("damaged", path, f"is listed {n} times in the manifest")
        if not (self.folder / _CARD).is_file():
            self._found("missing", _CARD, "the dataset card, which load_dataset reads")
        for name in TABLES:
            for file in sorted((self.folder / name).rglob("*")):
                relative = file.relative_to(self.folder).as_posix()
                if not file.is_dir() and relative not in listed:
                    self._found("foreign", relative, "the manifest does not list it")

    def _totals(self) -> None:
        """The shards that are listed hold as many rows as the run counted."""
        totals = self.manifest.totals
        counted = {
            "traces": sum(n for outcomes in totals.traces.values() for n in outcomes.values()),
            "search": totals.search_states,
        }
        for name, n in counted.items():
            if (listed := self.manifest.rows(name)) != n:
                kind: Kind = "missing" if listed < n else "foreign"
                self._found(kind, name, f"the shards listed hold {listed:,} rows, the run counted {n:,}")

    def _shard(self, shard: ShardFile) -> bool:
        """Check one shard; returns whether its rows could be read."""
        self.report.shards += 1
        path = self.folder / shard.path
        if shard.table not in TABLES or Path(shard.path).parts[:-1] != (shard.table,):
            self._found("damaged", shard.path, "the manifest lists what is no shard of a table")
            return False
        if not path.is_file():
            self._found("missing", shard.path, "the manifest lists it")
            return False
        if path.stat().st_size != shard.bytes:
            self._found("damaged", shard.path, f"{path.stat().st_size:,} bytes, expected {shard.bytes:,}")
        elif sha256(path) != shard.sha256:
            self._found("damaged", shard.path, "its checksum differs from the manifest's")
        try:
            with pq.ParquetFile(path) as file:
                return self._file(shard, file)
        except (OSError, pa.ArrowException) as e:
            self._found("damaged", shard.path, f"cannot be read: {str(e).splitlines()[0]}")
            return False

    def _file(self, shard: ShardFile, file: pq.ParquetFile) -> bool:
        schema, expected = file.schema_arrow, TABLES[shard.table]
        if file.metadata.num_rows != shard.rows:
            self._found("damaged", shard.path, f"{file.metadata.num_rows:,} rows, expected {shard.rows:,}")
        if not schema.equals(expected):
            self._found("damaged", shard.path, f"its schema differs: {_difference(schema, expected)}")
            return False
        found: Counter[str] = Counter()
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            rows = batch.to_pylist()
            self.report.rows[shard.table] += len(rows)
            for row in rows:
                found.update(self._row(shard, row))
            self._keys(shard, batch, found)
        for what, n in sorted(found.items()):
            self._found("damaged", shard.path, what, rows=n)
        return True

    def _row(self, shard: ShardFile, row: Row) -> Iterator[str]:
        share = self.validation_share
        if share is not None and _split(row["seed_id"], share) != shard.split:
            yield f"the hash of seed_id puts it outside {shard.split}"
        if shard.table == "traces":
            self.described_steps += _labelled(row["steps"] or ())
        self.report.markup += row.get("markup") is not None
        yield from faults(shard.table, row)

    def _keys(self, shard: ShardFile, batch: pa.RecordBatch, found: Counter[str]) -> None:
        """Remember the traces' ids; hold those of other tables against them."""
        keys = np.array([hash(i) for i in batch.column("trace_id").to_pylist()], dtype=np.int64)
        if shard.table == "traces":
            self.trace_keys.append(keys)
        elif self.known is not None and (strangers := int((~np.isin(keys, self.known)).sum())):
            found["trace_id is none of traces"] += strangers

    def _know(self, *, complete: bool) -> None:
        keys = np.concatenate([np.empty(0, np.int64), *self.trace_keys])
        distinct = np.unique(keys)
        if len(distinct) < len(keys):
            self._found("damaged", "traces", "a trace_id stands twice", rows=len(keys) - len(distinct))
        self.trace_keys, self.known = [], distinct if complete else None

    def _found(self, kind: Kind, path: str, what: str, rows: int = 0) -> None:
        self.report.findings.append(Finding(kind, path, what, rows))


def _difference(found: pa.Schema, expected: pa.Schema) -> str:
    there, wanted = ({f.name: f.type for f in schema} for schema in (found, expected))
    parts = [f"no {name}" for name in wanted if name not in there]
    parts += [f"{name} is foreign" for name in there if name not in wanted]
    parts += [f"{n} is {there[n]}" for n in wanted if n in there and there[n] != wanted[n]]
    return "; ".join(parts) or "its columns are in another order"


def _tracked(shards: Sequence[ShardFile], console: "Console | None") -> Iterator[ShardFile]:
    if console is None or not console.is_terminal:
        return iter(shards)
    from rich.progress import track

    return iter(track(shards, description="checking shards", console=console, transient=True))


def _labelled(steps: Iterable[Mapping[str, Any] | None]) -> int:
    """How many rows of `steps` a trace's steps make: none unless one but the last has a label."""
    known = [s for s in steps if s]
    if not any(s["n_rollouts"] or s["reason"] for s in known) and not any(s["method"] for s in known[:-1]):
        return 0
    return sum(bool(s["method"] or s["reason"]) for s in known)
