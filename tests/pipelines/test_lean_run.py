"""Lean in a run: what is searched, stated and tried back, by which Lean, and what is counted."""

import json
from pathlib import Path

import pytest
from cotmill.pipelines.config import Config, flat, load
from cotmill.pipelines.lean_rows import (
    formalise_seeds,
    lean_digests,
    prove_back,
    reverse_lean_rows,
    with_lean,
)
from cotmill.schemas import BadInput, Seed, Source
from cotmill.verifiers.lean import embedded_missing
from cotmill.verifiers.sandbox import sandbox_available
from doubles import TablePolicy
from native_lean import FakeToolchain

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
    assert (with_lean(chosen, Path()).reverse.lean.backend != "auto") is settled


TREE = (
    "[Elab.info] command\n"
    "  • [Tactic] @ ⟨1, 22⟩-⟨2, 9⟩\n    (Tactic.tacticSeq1Indented)\n"
    "    before \n    ⊢ True\n    after no goals\n"
    "    • [Tactic] @ ⟨2, 2⟩-⟨2, 9⟩\n      trivial\n      before \n      ⊢ True\n      after no goals"
)


def native(path: str, **more: str) -> Config:
    lean = {"backend": "native", "repository": path, **more}
    return Config.model_validate(
        {"sources": [LEAN_SOURCE], "reverse": {"lean": lean}, "policy": {"model": "none"}}
    )


@pytest.mark.skipif(sandbox_available() is not None, reason=str(sandbox_available()))
def test_recorded_proofs_are_replayed_by_the_lean_of_a_repository(tmp_path, monkeypatch):
    fake = FakeToolchain(tmp_path / "native", monkeypatch)
    message = {"severity": "information", "pos": {"line": 1, "column": 0}, "data": TREE, "kind": "trace"}
    fake.says(message, verdict="proved propext")
    settled = with_lean(native("native/repository", file="A.lean"), tmp_path).reverse
    row = {"id": "t", "statement": "theorem t : True", "proof": "trivial"}
    rows = [(row, Source(name="rows.jsonl", row=1))]
    done = reverse_lean_rows(rows, settled, 0)
    assert done.rejected == []
    assert [trace.provenance.verifier for trace in done.traces] == ["lean-native"]
    fake.says(message, verdict="refused rests on sorryAx")
    ((_, why, _),) = reverse_lean_rows(rows, settled, 0).rejected
    assert "rests on sorryAx" in why


def test_a_repository_stands_in_the_configuration_by_name_and_contents(tmp_path, monkeypatch):
    FakeToolchain(tmp_path / "native", monkeypatch)
    chosen = native("native/repository", file="A.lean")
    seen = set()
    for version in ("v1", "v2", "v2"):
        (tmp_path / "native" / "repository" / "lean-toolchain").write_text(version)
        settings = flat(chosen, lean_digests(chosen.reverse.lean, tmp_path), "")
        assert settings["reverse.lean.repository"].startswith("repository ")
        assert str(tmp_path) not in str(settings)
        seen.add(settings["reverse.lean.repository"])
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("path", "more", "said"),
    [
        ("nowhere", {}, "no such folder"),
        ("native/repository", {"file": "B.lean"}, "no such file"),
    ],
)
def test_a_repository_that_is_not_there_is_named(path, more, said, tmp_path, monkeypatch):
    FakeToolchain(tmp_path / "native", monkeypatch)
    with pytest.raises(BadInput, match=said):
        lean_digests(native(path, **more).reverse.lean, tmp_path)


@pytest.mark.parametrize("lean", [{"backend": "native"}, {"backend": "embedded", "repository": "x"}])
def test_native_and_a_repository_go_together(lean):
    with pytest.raises(ValueError, match="native needs a repository"):
        Config.model_validate({"sources": [LEAN_SOURCE], "reverse": {"lean": lean}})


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
