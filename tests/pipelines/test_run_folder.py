"""A run's folder belongs to one run at a time, and holds nothing half-written when the run is complete."""

from pathlib import Path
from typing import Any

import pytest
from cotmill.pipelines import run as running
from cotmill.pipelines.config import Config
from cotmill.pipelines.run import run
from cotmill.pipelines.sources import Read
from cotmill.schemas import BadInput


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "seeds.jsonl").write_text('{"question": "1+1?", "answer": "2", "cot": "1+1=2"}\n')
    source = {"kind": "seeds", "path": "seeds.jsonl", "roll_out": False}
    return Config.model_validate({"sources": [source], "policy": {"model": "none"}})


def test_two_runs_never_write_into_one_folder(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even while the first one clears the folder and reads its sources."""

    def second_run(*_: Any) -> Read:
        with pytest.raises(BadInput, match="another run is writing here"):
            run(config, tmp_path, tmp_path / "out")
        with pytest.raises(BadInput, match="another run is writing here"):
            run(config, tmp_path, tmp_path / "out", fresh=True)
        return Read(refusal=BadInput("enough seen"))

    monkeypatch.setattr(running, "write_shards", second_run)
    with pytest.raises(BadInput, match="enough seen"):
        run(config, tmp_path, tmp_path / "out")


def test_what_a_killed_run_left_behind_is_gone_when_the_next_is_complete(
    config: Config, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / ".work" / "seeds").mkdir(parents=True)
    (out / "traces").mkdir()
    for left in ("traces/.train-00000.parquet.7.part", "traces/train-00009.parquet", ".README.md.7.part"):
        (out / left).write_bytes(b"half")
    manifest = run(config, tmp_path, out, workers=1)
    there = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert there == {"README.md", "manifest.json", *(s.path for s in manifest.shards)}
    assert not (out / ".work").exists()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_somebody_else_is_left_alone(config: Config, fresh: bool, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "traces"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("precious")
    with pytest.raises(BadInput, match="holds no run of cotmill"):
        run(config, tmp_path, tmp_path / "out", fresh=fresh)
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["traces", "notes.txt"]


def test_a_file_is_no_folder(config: Config, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(BadInput, match="is a file"):
        run(config, tmp_path, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "precious"


def test_an_inventory_that_is_none_is_refused_before_anything_is_made(config: Config, tmp_path: Path) -> None:
    (tmp_path / "acts.yaml").write_text("factors: []\n")
    own = config.model_copy(update={"inventory": "acts.yaml"})
    with pytest.raises(BadInput) as e:
        run(own, tmp_path, tmp_path / "out")
    assert (e.value.file, e.value.field) == (tmp_path / "acts.yaml", "factors")
    assert not (tmp_path / "out").exists()
