import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from cotmill.schemas import SCHEMA_VERSION, BadInput
from cotmill.schemas.tables import TABLES, Row, table
from cotmill.training.reader import ReaderState, ShardReader
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES = {"train": (25, 0, 7, 40), "validation": (5,)}
GROUP = 10


def step_row(name: str) -> Row:
    row: dict[str, Any] = dict.fromkeys(TABLES["steps"].names)
    return row | {"step_id": name, "question": "q", "index": 0, "q": 0.5, "schema_version": SCHEMA_VERSION}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "steps").mkdir()
    (folder / "manifest.json").write_text("{}")
    for split, sizes in SIZES.items():
        for i, n in enumerate(sizes):
            rows = [step_row(f"{split}-{i}-{j}") for j in range(n)]
            pq.write_table(
                table("steps", rows), folder / "steps" / f"{split}-{i:05d}.parquet", row_group_size=GROUP
            )
    return folder


def names(split: str = "train") -> list[str]:
    return [f"{split}-{i}-{j}" for i, n in enumerate(SIZES[split]) for j in range(n)]


def ids(reader: ShardReader) -> list[str]:
    return [row["step_id"] for row in reader.rows()]


def test_all_rows_in_file_order(run: Path) -> None:
    reader = ShardReader(run, "steps")
    assert ids(reader) == names()
    assert reader.n_rows == len(names())


def test_splits_are_apart(run: Path) -> None:
    assert ids(ShardReader(run, "steps", split="validation")) == names("validation")


def test_only_the_columns_asked_for(run: Path) -> None:
    [first, *_] = ShardReader(run, "steps", columns=["q", "step_id"])
    assert set(first.schema.names) == {"q", "step_id"}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.one_of(st.none(), st.text(max_size=3)), st.integers(0, 3))
def test_ranks_share_every_row_once(run: Path, world: int, key: str | None, epoch: int) -> None:
    state = ReaderState(epoch=epoch)
    read: list[str] = []
    for rank in range(world):
        read += ids(ShardReader(run, "steps", rank=rank, world=world, shuffle_key=key, state=state))
    assert sorted(read) == sorted(names())


def test_a_key_shuffles_groups_and_rows_anew_per_epoch(run: Path) -> None:
    reader = ShardReader(run, "steps", shuffle_key="k")
    first, second = ids(reader), ids(reader)
    assert sorted(first) == sorted(second) == sorted(names())
    assert len({tuple(first), tuple(second), tuple(names())}) == 3
    assert ids(ShardReader(run, "steps", shuffle_key="k")) == first
    assert ids(ShardReader(run, "steps", shuffle_key="other")) != first
    # Rows are shuffled within their group, not only the groups.
    group = [n for n in first if n.startswith("train-2")]
    assert group != sorted(group)


def test_an_interrupted_epoch_goes_on_where_it_stood(run: Path) -> None:
    whole = ShardReader(run, "steps", shuffle_key="k")
    expected = [*ids(whole), *ids(whole)]
    for stop in range(1, 9):
        first = ShardReader(run, "steps", shuffle_key="k")
        seen: list[str] = []
        for i, batch in enumerate(first):
            seen += batch["step_id"].to_pylist()
            if i + 1 == stop:
                break
        saved = json.loads(json.dumps({"epoch": first.state.epoch, "position": first.state.position}))
        second = ShardReader(run, "steps", shuffle_key="k", state=ReaderState(**saved))
        assert [*seen, *ids(second), *ids(second)] == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 71), st.one_of(st.none(), st.just("k")))
def test_rows_go_on_after_the_last_one_that_was_read(run: Path, stop: int, key: str | None) -> None:
    whole = ShardReader(run, "steps", shuffle_key=key)
    expected = [*ids(whole), *ids(whole)]
    first = ShardReader(run, "steps", shuffle_key=key)
    seen = [row["step_id"] for row in islice(first.rows(), stop)]
    second = ShardReader(run, "steps", shuffle_key=key, state=ReaderState(**asdict(first.state)))
    assert [*seen, *ids(second), *ids(second)] == expected


def test_an_fsspec_address(run: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(f"{run}/", "/run", recursive=True)
    assert ids(ShardReader("memory://run", "steps")) == names()


def test_bad_folders_and_names(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no such folder"):
        ShardReader(tmp_path / "nowhere", "steps")
    with pytest.raises(BadInput, match=r"not the folder of a finished run"):
        ShardReader(tmp_path, "steps")
    with pytest.raises(BadInput, match=r"no shards of 'traces'"):
        ShardReader(run, "traces")
    with pytest.raises(BadInput, match=r"no shards of 'steps', split 'test'"):
        ShardReader(run, "steps", split="test")
    with pytest.raises(BadInput, match=r"no table 'letters'"):
        ShardReader(run, "letters")
    with pytest.raises(BadInput, match=r"no column 'colour'"):
        ShardReader(run, "steps", columns=["colour"])
    with pytest.raises(ValueError, match="rank 2"):
        ShardReader(run, "steps", rank=2, world=2)


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "manifest.json").write_text("{}")
    file = tmp_path / "steps" / "train-00000.parquet"
    pq.write_table(table("steps", [step_row("a") | {"schema_version": 99}]), file)
    with pytest.raises(BadInput, match=r"train-00000.*schema version 99"):
        ShardReader(tmp_path, "steps")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "steps" / "train-00000.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(BadInput, match="train-00000"):
        ShardReader(tmp_path, "steps")
