"""`cotmill verify`: one output row per input row, in order, whatever the input row is."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from cotmill.pipelines.cli import app
from cotmill.pipelines.verify import native_lean, verify_file
from cotmill.schemas import BadInput, CotmillError
from cotmill.verifiers.lean import embedded_missing
from cotmill.verifiers.sandbox import sandbox_available
from native_lean import FakeToolchain
from typer.testing import CliRunner

_missing = sandbox_available()
needs_sandbox = pytest.mark.skipif(_missing is not None, reason=str(_missing))


Row = dict[str, Any]


def run(folder: Path, kind: Any, lines: list[Any], **more: Any) -> tuple[dict[str, int], list[Row]]:
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines), "utf-8")
    counts = verify_file(kind, source, target, **more)
    return counts, [json.loads(line) for line in target.read_text("utf-8").split("\n") if line]


def test_math_rows_keep_their_fields_and_order(tmp_path: Path) -> None:
    lines = [
        {"gold": "1/2", "pred": "So it is \\boxed{0.5}.", "id": 7},
        {"gold": "1/2", "pred": "0.6"},
        {"gold": 12, "pred": 12.0},
        {"gold": "1/2"},
        {"gold": ["1/2"], "pred": "0.5"},
        "not JSON",
        {"gold": "x", "pred": "1" * 3000},
    ]
    counts, rows = run(tmp_path, "math", lines)
    verdicts = ["correct", "wrong", "correct", "undecided", "undecided", "undecided", "undecided"]
    assert [row["verdict"] for row in rows] == verdicts
    assert counts == {"rows": 7, "correct": 2, "wrong": 1, "undecided": 4}
    assert rows[0]["id"] == 7
    assert all(row["reason"] and row["seconds"] >= 0 for row in rows)
    assert "pred" in rows[3]["reason"]
    assert (rows[5]["line"], rows[5]["raw"]) == (6, "not JSON")


@needs_sandbox
def test_code_rows_of_every_form(tmp_path: Path) -> None:
    prompt = "def f(x):\n    '''Double.'''\n"
    check = "def check(candidate):\n    assert candidate(2) == 4\n"
    lines = [
        {"prompt": prompt, "completion": "    return 2 * x\n", "tests": check, "entry_point": "f"},
        {"prompt": "Double x.", "completion": "def f(x): return x", "tests": ["assert f(2) == 4"]},
        {"completion": "print(input())", "cases": [{"stdin": "a", "stdout": "a\n"}]},
        {"completion": "def f(x): return x"},
        {"completion": None, "tests": "assert f(2) == 4"},
        {"completion": "x", "tests": 5},
        "{",
    ]
    counts, rows = run(tmp_path, "code", lines)
    verdicts = ["correct", "wrong", "correct", "undecided", "undecided", "undecided", "undecided"]
    assert [row["verdict"] for row in rows] == verdicts
    assert counts["rows"] == 7


def test_without_a_sandbox_programs_are_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotmill.verifiers.code.sandbox_available", lambda: "no sandbox here")
    row = {"completion": "def f(): return 1", "tests": "assert f() == 1"}
    _, rows = run(tmp_path, "code", [row])
    assert (rows[0]["verdict"], rows[0]["reason"]) == ("undecided", "no sandbox here")
    _, rows = run(tmp_path, "code", [row], unsafe_no_sandbox=True)
    assert rows[0]["verdict"] == "correct"


def test_progress_counts_rows(tmp_path: Path) -> None:
    seen: list[int] = []
    run(tmp_path, "math", [{"gold": "1", "pred": "1"}] * 3, progress=seen.append)
    assert seen == [1, 2, 3]


def test_compressed_input(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl.gz"
    source.write_bytes(gzip.compress(b'{"gold": "1", "pred": "1"}\n'))
    assert verify_file("math", source, tmp_path / "out.jsonl")["correct"] == 1


def test_an_empty_file_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"")
    with pytest.raises(BadInput):
        verify_file("math", tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_lean_rows_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = "theorem t : 1 = 1 := by\n"
    lines = [
        {"statement": statement, "proof": "rfl", "id": 3},
        {"statement": statement, "submission": "theorem t : 1 = 1 := rfl"},
        {"statement": statement, "submission": "theorem t : 2 = 2 := by sorry"},
        {"statement": statement},
        {"proof": "rfl"},
        {"statement": "1 = 1", "proof": "rfl"},
        "{",
    ]
    if embedded_missing() is None:
        _, rows = run(tmp_path, "lean", lines)
        verdicts = ["correct", "correct", "wrong", "undecided", "undecided", "undecided", "undecided"]
        assert [row["verdict"] for row in rows] == verdicts
        assert rows[0]["id"] == 3
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    counts, rows = run(tmp_path, "lean", lines)
    assert counts == {"rows": 7, "correct": 0, "wrong": 0, "undecided": 7}
    assert "cotmill lean setup" in rows[0]["reason"]


@needs_sandbox
def test_lean_rows_by_the_toolchain_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeToolchain(tmp_path / "native", monkeypatch)
    fake.says(verdict="proved propext")
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"statement": "theorem t : 1 = 1", "proof": proof} for proof in ("rfl", "run_tac x")]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--repository", str(fake.repository), "--imports-of", "A.lean", "--json"]
    done = CliRunner().invoke(app, ["verify", "lean", str(source), str(target), *options])
    assert done.exit_code == 0, done.output
    verdicts = [json.loads(line)["verdict"] for line in target.read_text().splitlines()]
    assert verdicts == ["correct", "undecided"]


@pytest.mark.parametrize(
    ("folder", "file", "said"),
    [("nowhere", "", "no such folder"), ("", "B.lean", "no such file"), ("", "", "lake")],
)
def test_a_repository_that_cannot_serve_is_refused(
    folder: str, file: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CotmillError, match=said):
        native_lean(tmp_path / folder, file)
