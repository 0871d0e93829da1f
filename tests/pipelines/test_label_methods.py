"""Runs that label otherwise than by brute force: what reaches the tables, with the embedded policy."""

from pathlib import Path
from typing import Any

import pytest
from cotmill.pipelines.browse import Run
from cotmill.pipelines.check import check
from cotmill.pipelines.config import Config
from cotmill.pipelines.run import run


def made(folder: Path, **labels: Any) -> Run:
    config = Config.model_validate(
        {
            "seed": 4,
            "sources": [{"kind": "families", "count": 6, "levels": [1, 2]}],
            "completion": {"rollouts": 4, "max_tokens": 120},
            "labels": {"rollouts": 4, "max_tokens": 120} | labels,
        }
    )
    run(config, folder, folder / "out", workers=1)
    assert check(folder / "out").ok
    return Run(folder / "out")


def test_first_errors_with_a_second_opinion(tmp_path: Path) -> None:
    rows = made(tmp_path, method="first_error", judge={"kind": "contrast"}).draw("steps", n=1000)
    searched = [r for r in rows if r["method"] in ("scan", "binary_search")]
    assert searched
    assert all(r["q"] is None and r["hard"] is not None for r in searched)
    assert {r["judge"]["by"] for r in searched} == {"contrast"}
    assert {r["consensus"] for r in searched} <= {True, False}
    assert any(r["method"] == "rollouts" and r["q"] is not None for r in rows)


@pytest.mark.parametrize("judge", ["prm"])
def test_a_tree_labels_no_prefix_twice(tmp_path: Path, judge: str) -> None:
    found = made(tmp_path, method="omegaprm", tree={"searches": 2}, judge={"kind": judge})
    rows = [r for r in found.draw("steps", n=1000) if r["method"] == "rollouts"]
    prefixes = [(r["question"], r["prefix"]) for r in rows]
    assert len(prefixes) == len(set(prefixes)) > 0
    assert all(r["n_rollouts"] <= 4 for r in rows)
    assert any(r["judge"] and r["judge"]["by"] == "embedded_prm" for r in rows)
    assert found.manifest.config["labels.judge.model"].startswith("embedded ")
