"""Shards: the same bytes for the same rows, a split decided by the seed alone, readable by `datasets`."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cotmill.pipelines.files import sha256
from cotmill.pipelines.shards import SPLITS, ShardFile, split_of, write_shard
from cotmill.schemas import Domain, Generator, Source, Trace
from cotmill.schemas.tables import TABLES, Row, trace_row
from hypothesis import given
from hypothesis import strategies as st


def rows(n: int = 40, **given: Any) -> list[Row]:
    return [
        trace_row(
            Trace(
                seed_id=f"seed {i // 2}",
                domain=Domain.MATH,
                question=f"{i}?",
                text="x",
                generator=Generator.HUMAN,
                source=Source(name="test"),
                **given,
            )
        )
        for i in range(n)
    ]


def read(folder: Path, files: list[ShardFile]) -> list[Row]:
    return [row for f in files for row in pq.read_table(folder / f.path).to_pylist()]


def test_every_row_is_written_once_on_its_seeds_side(tmp_path: Path) -> None:
    files = write_shard(tmp_path, "traces", 3, rows(), 0.5)
    assert [f.path for f in files] == ["traces/train-00003.parquet", "traces/validation-00003.parquet"]
    assert Counter(r["trace_id"] for r in read(tmp_path, files)) == Counter(r["trace_id"] for r in rows())
    for f in files:
        assert {split_of(r["seed_id"], 0.5) for r in read(tmp_path, [f])} == {f.split}


def test_an_entry_describes_its_file(tmp_path: Path) -> None:
    for f in write_shard(tmp_path, "traces", 0, rows(), 0.5):
        path = tmp_path / f.path
        assert (f.table, f.bytes, f.sha256) == ("traces", path.stat().st_size, sha256(path))
        assert f.rows == pq.read_metadata(path).num_rows
        assert pq.read_schema(path).equals(TABLES["traces"])


def test_a_side_without_rows_has_no_file(tmp_path: Path) -> None:
    """`datasets` cannot start from an empty one."""
    assert [f.split for f in write_shard(tmp_path, "traces", 0, rows(), 0.0)] == ["train"]
    assert write_shard(tmp_path, "search", 0, [], 0.5) == []
    assert not (tmp_path / "search").exists()


def test_equal_rows_give_equal_bytes_and_other_rows_do_not(tmp_path: Path) -> None:
    first, again, other = (
        [f.sha256 for f in write_shard(tmp_path / name, "traces", 0, data, 0.5)]
        for name, data in (("a", rows()), ("b", rows()), ("c", rows(tokens=1)))
    )
    assert first == again
    assert not set(first) & set(other)


def test_writing_again_replaces(tmp_path: Path) -> None:
    write_shard(tmp_path, "traces", 0, rows(10), 0.5)
    files = write_shard(tmp_path, "traces", 0, rows(40), 0.5)
    assert len(read(tmp_path, files)) == 40
    assert len(list(tmp_path.rglob("*"))) == 3  # the folder and two files: nothing half-written stays


def test_a_faulty_row_leaves_no_file(tmp_path: Path) -> None:
    bad = rows(4)
    bad[2]["tokens"] = "many"
    with pytest.raises(pa.ArrowInvalid):
        write_shard(tmp_path, "traces", 0, bad, 0.0)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_only_moves_seeds_to_validation(seed_id: str, a: float, b: float) -> None:
    lower, upper = split_of(seed_id, min(a, b)), split_of(seed_id, max(a, b))
    assert SPLITS.index(lower) <= SPLITS.index(upper)


def test_the_split_has_the_share_asked_for() -> None:
    drawn = Counter(split_of(f"seed {i}", 0.1) for i in range(5000))
    assert 400 < drawn["validation"] < 600
    assert {split_of(str(i), 0.0) for i in range(100)} == {"train"}
