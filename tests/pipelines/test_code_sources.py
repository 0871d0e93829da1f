"""Programs as a run's source: published files, whole programs, folders of modules; who writes about them."""

import json
from pathlib import Path

import pytest
from cotmill.pipelines.config import Config, load
from cotmill.pipelines.sources import input_digests, write_shards
from cotmill.schemas import BadInput

MODULE = 'def double(n):\n    """Double.\n\n    >>> double(2)\n    4\n    """\n    return n + n\n'


def rows_of(tmp_path: Path, path: Path, **settings: object) -> tuple[list[dict], list[dict]]:
    """The rows of the shards and the bad ones."""
    config = Config.model_validate(
        {"sources": [{"kind": "code", "path": str(path)}], "policy": {"model": "none"}, **settings}
    )
    read = write_shards(config, tmp_path, tmp_path / "shards")
    if read.refusal:
        raise read.refusal
    lines = (tmp_path / "shards" / "00000.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines], read.bad


def test_a_folder_of_modules_is_a_source(tmp_path):
    folder = tmp_path / "modules"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.py").write_text(MODULE)
    (folder / "inner" / "b.py").write_text(MODULE.replace("double", "twice"))
    (folder / "inner" / "plain.py").write_text("def f(x):\n    return x\n")
    (folder / ".hidden.py").write_text("def f(:")
    rows, bad = rows_of(tmp_path, folder)
    assert [row["row"]["entry_point"] for row in rows] == ["double", "twice"]
    assert [row["source"]["name"] for row in rows] == ["modules:a.py:double", "modules:inner/b.py:twice"]
    assert bad == []


def test_one_module_is_a_source(tmp_path):
    (tmp_path / "a.py").write_text(MODULE)
    rows, _ = rows_of(tmp_path, tmp_path / "a.py")
    assert rows[0]["row"]["doctest"] == ">>> double(2)\n4"


def test_a_module_that_is_no_python_is_named_and_the_rest_is_read(tmp_path):
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "a.py").write_text(MODULE)
    (folder / "b.py").write_text("def f(:")
    rows, bad = rows_of(tmp_path, folder, max_rejected=0.5)
    assert len(rows) == 1
    assert "b.py: not Python" in bad[0]["reason"]


def test_a_folder_without_doctests_is_bad_input(tmp_path):
    (tmp_path / "modules").mkdir()
    with pytest.raises(BadInput, match="doctests"):
        rows_of(tmp_path, tmp_path / "modules")


def test_a_folders_digest_follows_its_modules(tmp_path):
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "a.py").write_text(MODULE)
    config = Config.model_validate(
        {"sources": [{"kind": "code", "path": "modules"}], "policy": {"model": "none"}}
    )
    before = input_digests(config, tmp_path)
    (folder / "note.txt").write_text("not Python")
    assert input_digests(config, tmp_path) == before
    (folder / "a.py").write_text(MODULE + "\n")
    assert input_digests(config, tmp_path) != before


def test_whole_programs_are_a_source(tmp_path):
    row = {"question": "Add.", "solution": "print(1)", "cases": [{"stdin": "", "stdout": "1"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"cases": [3]}) + "\n")
    rows, bad = rows_of(tmp_path, tmp_path / "rows.jsonl", max_rejected=0.5)
    assert rows[0]["row"] == row
    assert (bad[0]["line"], bad[0]["field"]) == (2, "cases")


@pytest.mark.parametrize(
    "reverse", [{"writer": "policy"}, {"writer": "rewrite"}, {"round_trip": {"rollouts": 2}}]
)
def test_a_run_without_a_policy_cannot_ask_one_about_programs(tmp_path, reverse):
    path = tmp_path / "run.yaml"
    path.write_text(
        json.dumps(
            {
                "sources": [{"kind": "code", "path": "rows.jsonl"}],
                "policy": {"model": "none"},
                "reverse": reverse,
            }
        )
    )
    with pytest.raises(BadInput, match="`reverse` asks it to write"):
        load(path)
