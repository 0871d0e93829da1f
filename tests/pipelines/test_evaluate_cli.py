"""`cotmill evaluate`: figures on a file of problems, and what it says of bad input."""

import json
from pathlib import Path

import pytest
from conftest import Cotmill


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    rows = [
        {"question": f"Compute {i} + {i + 1}.", "answer": str(2 * i + 1), "level": i % 2} for i in range(4)
    ]
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return file


def test_figures_plots_and_json(cotmill: Cotmill, problems: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    done = cotmill(
        "evaluate", "--policy", "embedded", "--problems", problems, "--n", "1,2", "--limit", "3",
        "--set", "resamples=50", "--out", out, "--device", "cpu", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {(p["method"], p["n"]) for p in found["points"]} == {
        ("greedy", 1), *((m, n) for m in ("pass", "majority", "logprob") for n in (1, 2))
    }  # fmt: skip
    assert found["problems"] == 3
    assert found["levels"] == {"0": 2, "1": 1}
    written = json.loads((out / "evaluation.json").read_text())
    assert written["points"] == found["points"]
    assert written["policy"] == "embedded"
    for name in ("accuracy.png", "levels.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


def test_the_table_leaves_out_choices_of_one(cotmill: Cotmill, problems: Path) -> None:
    done = cotmill(
        "evaluate", "--policy", "embedded", "--problems", problems, "--n", "1,2", "--methods", "majority",
        "--set", "resamples=50", "--set", "level_samples=0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sum("majority" in line for line in done.stdout.splitlines()) == 2  # the column's head, and n = 2
    assert sum("pass (bound)" in line for line in done.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--methods", "guess"), "methods"),
        (("--n", "1,x"), "n."),
        (("--n", "0"), "n.0"),
        (("--set", "search=3"), "search"),
        (("--methods", "prm"), "give --prm"),
        (("--methods", "search"), "policy with heads"),
        (("--set", "tempo=3"), "no such setting"),
        (("--set", "search.simulation=3"), "no such setting"),
    ],
)
def test_bad_settings(cotmill: Cotmill, problems: Path, arguments: tuple[str, ...], said: str) -> None:
    done = cotmill("evaluate", "--policy", "embedded", "--problems", problems, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_row_is_named(cotmill: Cotmill, problems: Path) -> None:
    problems.write_text(problems.read_text() + '{"question": "no answer"}\n')
    done = cotmill("evaluate", "--policy", "embedded", "--problems", problems)
    assert done.returncode == 2
    assert "line 5, field 'answer'" in done.stderr
