"""Heads trained on one run's searched states lead the next run's search, beside a pool and a judge."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import Cotmill

ONLY = ("--set", "sources=[{kind: families, count: 6, levels: [1]}]", "--set", "search.share=1")


@pytest.fixture(scope="module")
def checkpoint(tiny_run: Path, cotmill: Cotmill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("heads") / "pv"
    done = cotmill(
        "train", "policy-value", "--data", tiny_run, "--out", out, "--init", "embedded", "--device", "cpu",
        "--set", "epochs=2", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def searched(
    checkpoint: Path, cotmill: Cotmill, configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("searched") / "run"
    done = cotmill(
        "run", configs / "tiny.yaml", "--out", out, *ONLY, "--set", f"policy.model={checkpoint}",
        "--set", "search.prm=embedded", "--set", "search.pool=[embedded]",
        "--set", "search.settings.candidates=4", "--set", "search.settings.rollouts=0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def rows(folder: Path) -> list[dict[str, Any]]:
    return [r for f in sorted(folder.glob("search/*.parquet")) for r in pq.read_table(f).to_pylist()]


def test_candidates_are_by_both_models_and_judged(searched: Path) -> None:
    candidates = [c for row in rows(searched) for c in row["candidates"]]
    assert {c["policy"] for c in candidates} == {"pv", "embedded"}
    scores = [c["score"] for c in candidates if c["score"] is not None]
    assert scores
    assert all(0 <= s <= 1 for s in scores)


def test_the_run_checks_and_names_its_models_without_paths(
    searched: Path, checkpoint: Path, cotmill: Cotmill
) -> None:
    done = cotmill("check", searched)
    assert done.returncode == 0, done.stdout
    manifest = (searched / "manifest.json").read_text()
    assert str(checkpoint.parent) not in manifest
    assert '"search.pool": "embedded ' in manifest
    assert '"search.prm": "embedded ' in manifest


def test_another_judge_is_another_run(
    searched: Path, checkpoint: Path, cotmill: Cotmill, configs: Path
) -> None:
    done = cotmill(
        "run", configs / "tiny.yaml", "--out", searched, *ONLY, "--set", f"policy.model={checkpoint}"
    )
    assert done.returncode == 2
    assert "search.p" in done.stderr


def test_priors_that_the_policy_cannot_give_are_refused(
    cotmill: Cotmill, configs: Path, tmp_path: Path
) -> None:
    done = cotmill(
        "run", configs / "tiny.yaml", "--out", tmp_path / "x", *ONLY, "--set", "search.settings.priors=head"
    )
    assert done.returncode == 2
    assert "no policy head" in done.stderr
