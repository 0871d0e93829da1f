"""Parquet shards: the only place of the project that writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from ..schemas import unit_interval
from ..schemas.tables import Row, table
from .files import atomic, sha256

SPLITS = ("train", "validation")


class ShardFile(BaseModel):
    """One Parquet file of a run, as the manifest lists it. `path` is relative to the run's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    table: str
    split: str
    rows: int
    bytes: int
    sha256: str


def split_of(seed_id: str, validation_share: float) -> str:
    """The split of everything that comes from one seed."""
    return "validation" if unit_interval("split", seed_id) < validation_share else "train"


def write_shard(
    folder: Path, name: str, index: int, rows: Sequence[Row], validation_share: float
) -> list[ShardFile]:
    """Write a shard's rows of one table, one file per split that has any.

    An empty file would be valid Parquet, and `datasets` takes its batch size from the first file's rows.
    """
    parts: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for row in rows:
        parts[split_of(row["seed_id"], validation_share)].append(row)
    return [_write(folder, name, split, index, part) for split, part in parts.items() if part]


def _write(folder: Path, name: str, split: str, index: int, rows: list[Row]) -> ShardFile:
    relative = f"{name}/{split}-{index:05d}.parquet"
    path = folder / relative
    with atomic(path) as file:
        pq.write_table(
            table(name, rows),
            file,
            compression="zstd",
            compression_level=3,
            row_group_size=1000,
            write_page_index=True,
        )
    return ShardFile(
        path=relative,
        table=name,
        split=split,
        rows=len(rows),
        bytes=path.stat().st_size,
        sha256=sha256(path),
    )


def entry(value: dict[str, Any]) -> ShardFile:
    return ShardFile.model_validate(value)
