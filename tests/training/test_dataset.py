"""A run's table behind torch's DataLoader: every row once among ranks and workers, and exact resumption."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
from cotmill.schemas import BadInput
from cotmill.training.dataset import ShardRows
from cotmill.training.reader import ShardReader
from torch.utils.data import DataLoader

KEY = "epoch order"


def names(rows: Sequence[dict[str, str]]) -> list[str]:
    return [row["trace_id"] for row in rows]


def loaded(data: ShardRows, workers: int) -> list[str]:
    return names(
        [
            row
            for batch in DataLoader(data, batch_size=7, num_workers=workers, collate_fn=list)
            for row in batch
        ]
    )


@pytest.mark.parametrize(("world", "workers"), [(1, 0), (2, 0), (2, 2)])
def test_ranks_and_workers_share_every_row_once(run_folder: Path, world: int, workers: int) -> None:
    expected = names(list(ShardReader(run_folder, "traces", ["trace_id"]).rows()))
    read: list[str] = []
    for rank in range(world):
        read += loaded(ShardRows(run_folder, "traces", ["trace_id"], "train", rank, world, KEY), workers)
    assert sorted(read) == sorted(expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_of_its_own_order(run_folder: Path, workers: int) -> None:
    data = ShardRows(run_folder, "traces", ["trace_id"], shuffle_key=KEY)
    first = loaded(data, workers)
    data.set_epoch(1)
    second = loaded(data, workers)
    assert sorted(first) == sorted(second)
    assert first != second


def test_it_goes_on_after_the_last_row(run_folder: Path) -> None:
    data = ShardRows(run_folder, "traces", ["trace_id"], shuffle_key=KEY)
    whole = [*names(list(data)), *names(list(data))]
    data.set_epoch(0)
    seen = names(list(islice(data, 23)))
    again = ShardRows(run_folder, "traces", ["trace_id"], shuffle_key=KEY)
    again.load_state_dict(data.state_dict())
    assert [*seen, *names(list(again)), *names(list(again))] == whole


def test_a_folder_that_is_no_run_is_named_before_any_worker_starts(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not the folder of a finished run"):
        ShardRows(tmp_path, "traces")
