"""Lean in a run: what is searched, stated and tried back, by which Lean, and what is counted."""

import json
from pathlib import Path

import pytest
from cotmill.pipelines.config import Config, load
from cotmill.pipelines.lean_rows import formalise_seeds, prove_back, with_lean
from cotmill.schemas import Seed, Source
from cotmill.verifiers.lean import embedded_missing
from doubles import TablePolicy

_missing = embedded_missing()
needs_lean = pytest.mark.skipif(_missing is not None, reason=str(_missing))
SEEDS = [Seed(question="Work out 3+4.", answer="7", source=Source(name="sums", row=i)) for i in (1, 2)]
LEAN_SOURCE = {"kind": "lean", "path": "rows.jsonl"}
SEED_SOURCE = {"kind": "families", "count": 1}


def config(source: dict, backend: str = "auto", share: float = 0.0, rollouts: int = 0) -> Config:
    lean = {"backend": backend, "formalise": {"share": share, "candidates": 1}}
    reverse = {"lean": lean, "round_trip": {"rollouts": rollouts}}
    return Config.model_validate({"sources": [source], "reverse": reverse})


@pytest.mark.parametrize(
    ("chosen", "settled"),
    [
        (config(LEAN_SOURCE), True),
        (config(SEED_SOURCE, share=0.5), True),
        (config(SEED_SOURCE), False),
        (config(LEAN_SOURCE, backend="none"), True),
    ],
)
def test_which_lean_is_used_is_settled_before_a_run_only_where_lean_makes_rows(chosen, settled):
    assert (with_lean(chosen).reverse.lean.backend != "auto") is settled


def test_without_a_lean_nothing_is_stated_or_tried_and_seeds_say_why():
    policy = TablePolicy(lambda *_: ["theorem q : 3 + 4 = 7"])
    done = formalise_seeds(SEEDS, policy, config(SEED_SOURCE, backend="none", share=1.0))
    assert [(source.row, why) for source, why, _ in done.rejected] == [
        (1, "no Lean to hold a formal statement against"),
        (2, "no Lean to hold a formal statement against"),
    ]
    assert prove_back([], policy, config(LEAN_SOURCE, backend="none", rollouts=2)).traces == []
    assert policy.requests == []


@needs_lean
def test_a_stated_question_gives_a_trace_of_its_seed():
    policy = TablePolicy(lambda *_: ["theorem q : 3 + 4 = 7"])
    done = formalise_seeds(SEEDS[:1], policy, config(SEED_SOURCE, backend="embedded", share=1.0))
    assert done.rejected == []
    assert [(t.seed_id, t.answer) for t in done.traces] == [(SEEDS[0].seed_id, "7")]
    assert done.sampled == 1


def test_the_keys_stand_in_the_shipped_configuration(configs):
    own, _ = load(configs / "own.yaml")
    assert own.reverse.lean.formalise.share == 0
    text = (configs / "own.yaml").read_text("utf-8")
    assert "formalise:" in text
    assert "round_trip:" in text


@needs_lean
def test_a_run_writes_proof_searches_to_the_search_table_and_checks(tmp_path: Path, cotmill):
    rows = [
        {"statement": "theorem sw (p q : Prop) (h : p ∧ q) : q ∧ p"},
        {"statement": "theorem no (n : Nat) : n < 5"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    (tmp_path / "run.yaml").write_text(
        "policy: {model: none}\nsources: [{kind: lean, path: rows.jsonl}]\nreverse: {lean: {budget: 12}}\n"
    )
    done = cotmill("run", tmp_path / "run.yaml", "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert cotmill("check", tmp_path / "out").returncode == 0
    shown = cotmill("inspect", tmp_path / "out", "--json")
    assert shown.returncode == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["totals"]["search_states"] >= 1
    assert manifest["totals"]["rejected"] == {"no proof": 1}
