"""Tokenised rows: made once, read back as they were, made anew where anything that they depend on differs."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from cotmill.schemas import BadInput
from cotmill.training import sft, tokens
from cotmill.training.progress import Progress
from cotmill.training.sft import Example, ExampleCodec, SFTSettings, train_sft
from cotmill.training.tokens import tokenised
from hypothesis import given
from hypothesis import strategies as st

QUIET = Progress(quiet=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COTMILL_TOKENS", str(tmp_path / "tokens"))
    return tmp_path / "tokens"


def example(ids: list[int], start: int = 0) -> Example:
    return Example(np.array(ids, dtype=np.int32), start)


ROWS = st.lists(st.tuples(st.lists(st.integers(0, 2**31 - 1), max_size=5), st.integers(0, 9)), max_size=8)


@given(ROWS, st.integers())
def test_rows_come_back_as_they_were(rows: list[tuple[list[int], int]], key: int) -> None:
    def build(left_out: Counter[str]) -> Iterable[Example]:
        left_out["odd"] += len(rows)
        return (example(*row) for row in rows)

    found = tokenised({"rows": repr(rows), "key": key}, ExampleCodec(), build)
    assert [(e.ids.tolist(), e.start) for e in found] == rows
    assert all(e.ids.dtype == np.int32 for e in found)
    assert found.lengths() == [len(ids) for ids, _ in rows]
    assert found.total("ids") == sum(sum(ids) for ids, _ in rows)
    assert found.left_out == {"odd": len(rows)}


def test_many_rows_by_any_index() -> None:
    found = tokenised({}, ExampleCodec(), lambda _: (example([i], i) for i in range(2500)))
    assert [found[i].start for i in (0, 999, 1000, 2499, -1)] == [0, 999, 1000, 2499, 2499]
    assert [e.start for e in found[998:1002]] == [998, 999, 1000, 1001]
    with pytest.raises(IndexError):
        found[2500]


def test_threads_and_processes_that_ask_at_once_build_once() -> None:
    built: list[int] = []

    def build(_: Counter[str]) -> Iterable[Example]:
        built.append(1)
        time.sleep(0.1)
        return [example([1])]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: len(tokenised({}, ExampleCodec(), build)), range(4)))
    assert found == [1] * 4
    assert len(built) == 1


def test_a_build_that_fails_leaves_nothing_behind(folder: Path) -> None:
    def dying(_: Counter[str]) -> Iterable[Example]:
        yield example([1])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenised({}, ExampleCodec(), dying)
    assert not list(folder.glob("*.arrow"))
    assert len(tokenised({}, ExampleCodec(), lambda _: [example([1]), example([2])])) == 2


def test_what_nobody_used_for_a_month_goes(folder: Path) -> None:
    tokenised({"a": 1}, ExampleCodec(), lambda _: [example([1])])
    [old] = folder.glob("*.arrow")
    os.utime(old, (time.time() - 40 * 86400,) * 2)
    tokenised({"a": 2}, ExampleCodec(), lambda _: [example([1])])
    assert not old.exists()
    assert len(list(folder.glob("*.arrow"))) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COTMILL_TOKENS", str(tmp_path / "file" / "tokens"))
    with pytest.raises(BadInput, match="cannot be kept here"):
        tokenised({}, ExampleCodec(), lambda _: [])


SMALL = SFTSettings(width=32, layers=1, context=128, max_steps=3, warmup_steps=0, tokens_per_batch=512)


def test_a_second_training_tokenises_nothing(
    run_folder: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_sft(run_folder, tmp_path / "a", SMALL, progress=QUIET)
    monkeypatch.setattr(sft, "encode", lambda *_: pytest.fail("tokenised again"))
    other_rate = SMALL.model_copy(update={"lr": 1e-3, "pack": 256})
    again = train_sft(run_folder, tmp_path / "b", other_rate, progress=QUIET)
    assert (first.rows, first.left_out) == (again.rows, again.left_out)


@pytest.mark.parametrize("change", [{"outcomes": ()}, {"seed": 1}, {"context": 256}])
def test_rows_that_another_setting_chooses_are_made_anew(
    run_folder: Path, tmp_path: Path, folder: Path, change: dict[str, object]
) -> None:
    train_sft(run_folder, tmp_path / "a", SMALL, progress=QUIET)
    train_sft(run_folder, tmp_path / "b", SMALL.model_copy(update=change), progress=QUIET)
    assert len(list(folder.glob("*.arrow"))) == 2


def test_rows_of_other_code_are_made_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenised({}, ExampleCodec(), lambda _: [example([1])])
    monkeypatch.setattr(tokens, "_code", lambda: "another")
    assert len(tokenised({}, ExampleCodec(), lambda _: [])) == 0
