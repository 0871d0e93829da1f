"""The demonstration, as a newcomer runs it: once, with everything that its closing page promises."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

ROOT = Path(__file__).parents[2]
Cotmill = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    """What `make run` prints, in the environment that runs the tests."""
    done = subprocess.run(
        ["make", "run", f"VENV={sys.prefix}", f"OUT={out}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    assert "label: " in done.stderr, "no progress was shown"
    return done.stdout


def test_the_page_says_what_the_manifest_holds(page: str, out: Path) -> None:
    manifest = json.loads((out / "demo" / "manifest.json").read_text())
    totals = manifest["totals"]
    assert {"completion", "family", "human", "search", "code_reverse", "lean_reverse"} <= set(
        totals["traces"]
    )
    for figure in (totals["tokens"], totals["sampled"], totals["truth"]["wrong_traces"]):
        assert f"{figure:,}" in page
    for words in ("AUC within a problem", "first-error F1", "Labels against truth", "cotmill review"):
        assert words in page
    assert re.search(r"shipped", page)


def test_outcomes_are_mixed_and_steps_labelled(page: str, out: Path) -> None:
    totals = json.loads((out / "demo" / "manifest.json").read_text())["totals"]
    sampled = totals["traces"]["completion"]
    share = sampled["correct"] / (sampled["correct"] + sampled["wrong"])
    assert 0.1 < share < 0.9
    assert totals["steps"]["rollouts"] > 500
    assert totals["truth"]["first_error_exact"] > 0


def test_every_table_loads(page: str, out: Path) -> None:
    for table in ("traces", "steps", "search"):
        rows = datasets.load_dataset(str(out / "demo"), table)
        assert len(rows["train"]) > 0


def test_the_run_is_sound_and_the_prm_usable(page: str, out: Path, cotmill: Cotmill) -> None:
    checked = cotmill("check", out / "demo")
    assert checked.returncode == 0, checked.stdout
    done = cotmill(
        "evaluate-prm",
        "--prm",
        out / "prm",
        "--data",
        ROOT / "data" / "heldout" / "first_errors.jsonl",
        "--json",
    )
    figures = json.loads(done.stdout)
    assert figures["auc"] > 0.5
    assert f"{figures['auc']:.3f}" in page


def test_a_second_run_makes_nothing_anew(page: str, out: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")}
    done = subprocess.run(
        ["make", "run", f"VENV={sys.prefix}", f"OUT={out}"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.parquet")} == before
    assert done.stdout == page
