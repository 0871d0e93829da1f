"""The search and the replay on the embedded Lean: what is found is proved, told, and told faithfully."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from cotmill.generators.lean_reverse import LeanSeed, read_lean_row, reverse, unfaithful
from cotmill.generators.lean_reverse.files import lean_rows
from cotmill.generators.lean_search import TacticSearch, prove, settled, tactic_states
from cotmill.generators.rejected import Rejected
from cotmill.pipelines.invariants import faults
from cotmill.schemas import Outcome, Source, Trace, markup
from cotmill.schemas.tables import search_row
from cotmill.verifiers.lean import EmbeddedLean, LeanLimits, LeanVerifier, Theorem, embedded_missing

_missing = embedded_missing()
pytestmark = pytest.mark.skipif(_missing is not None, reason=str(_missing))
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DATA = files("cotmill.data") / "lean"


@pytest.fixture(scope="module")
def lean() -> Iterator[EmbeddedLean]:
    backend = EmbeddedLean(LeanLimits(cpu_s=30.0, wall_s=300.0))
    yield backend
    backend.close()


def seed_of(row: dict) -> LeanSeed:
    return read_lean_row(row, Source(name="rows", row=1))


def recorded_row(name: str) -> dict:
    rows = json.loads((DATA / "traces.json").read_text(encoding="utf-8"))
    return next(r for r in rows if r["full_name"] == name)


def test_every_shipped_theorem_is_proved(lean):
    lines = (DATA / "theorems.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    verdicts = LeanVerifier(lean).verify_many((r["proof"], r["statement"]) for r in rows)
    assert [r["name"] for r, v in zip(rows, verdicts, strict=True) if v.outcome is not Outcome.CORRECT] == []


@pytest.mark.parametrize("method", ["best_first", "mcts"])
@pytest.mark.parametrize(
    "statement",
    [
        "theorem swap (p q : Prop) (h : p ∧ q) : q ∧ p",
        "theorem cubes (n : Nat) : n * n * n % 3 = n % 3",
        "theorem ten (n : Nat) : 3 ∣ 10 ^ n - 1",
    ],
)
def test_small_theorems_are_closed_and_the_audit_agrees(lean, statement, method):
    found = prove(Theorem.read(statement), lean, TacticSearch(method, budget=60))
    assert found.tactics is not None
    assert LeanVerifier(lean).verify_proof("\n".join(found.tactics), statement).outcome is Outcome.CORRECT


def test_what_is_not_true_is_not_proved(lean):
    found = prove(Theorem.read("theorem no (n : Nat) : n < 5"), lean, TacticSearch(budget=15))
    assert found.tactics is None
    assert found.attempts


def test_a_found_proof_is_told_with_its_failed_attempts(lean):
    seed = settled(seed_of({"statement": "theorem sq (a : Int) : a ^ 2 % 4 = 0 ∨ a ^ 2 % 4 = 1"}), lean)
    assert isinstance(seed, LeanSeed)
    assert seed.replayed == lean.name
    assert "omega could not prove the goal" in seed.failed[0].error
    trace = reverse(seed, run_seed=0)
    assert isinstance(trace, Trace)
    assert unfaithful(trace, seed) == []
    acts = [a.act for a in trace.acts]
    assert {"Propose", "DetectError", "Backtrack"} <= set(acts)
    assert (trace.outcome, trace.provenance.verifier) == (Outcome.CORRECT, lean.name)
    assert "not replayed" not in trace.evidence


def test_the_states_of_a_search_are_targets_where_its_trace_comes_to_them(lean):
    seed = settled(seed_of({"statement": "theorem sw (p q : Prop) (h : p ∧ q) : q ∧ p ∧ q"}), lean)
    trace = reverse(seed, run_seed=0)
    rows = [search_row(s) for s in tactic_states(trace, seed)]
    assert rows
    assert [fault for row in rows for fault in faults("search", row)] == []
    assert len({r["state_id"] for r in rows}) == len(rows)
    tagged = markup.render(trace.text, trace.acts)
    for row in rows:
        assert (row["action_kind"], row["value"], row["trace_id"]) == ("tactic", 1, trace.trace_id)
        assert tagged.startswith(row["prefix"])
        assert [c["action"] for c in row["candidates"] if c["chosen"]] == [row["chosen"]]
    assert rows[0]["depth"] == 0
    kept = {" ".join(t.tactic.split()) for t in seed.traced}
    assert {r["chosen"] for r in rows} <= kept


def test_a_recorded_proof_is_verified_again(lean):
    row = recorded_row("even_or_odd")
    seed = settled(seed_of({k: row[k] for k in ("full_name", "statement", "proof")}), lean)
    assert isinstance(seed, LeanSeed)
    assert [t.state_before for t in seed.traced] == [t["state_before"] for t in row["traced_tactics"]]


def test_a_trace_of_what_this_lean_lacks_stays_a_record(lean):
    row = recorded_row("iff_symm_of")
    seed = seed_of({k: row[k] for k in ("full_name", "traced_tactics")})
    ready = settled(seed, lean)
    assert ready == seed
    assert reverse(ready, run_seed=0).evidence == "recorded trace, not replayed"


def test_a_proof_that_lean_refuses_is_rejected_whatever_was_recorded(lean):
    row = recorded_row("mul_two_double") | {"proof": "rfl", "traced_tactics": []}
    refused = settled(seed_of(row), lean)
    assert isinstance(refused, Rejected)
    assert refused.reason.startswith("Lean refuses the proof")


def test_proofs_that_need_mathlib_are_rejected_with_that_reason(lean):
    path = SHARED / "minif2f_lean4_proofs_67.jsonl"
    if not path.exists():
        pytest.skip("needs ../shared/data beside the project")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    with_reals = [r for r in rows if "ℝ" in r["formal_statement"] or "ℂ" in r["formal_statement"]]
    reasons = [settled(seed_of(r), lean) for r in with_reals[:8]]
    assert all(isinstance(r, Rejected) and "does not elaborate" in r.reason for r in reasons)


def test_a_theorem_of_a_file_is_proved_behind_what_stands_before_it(lean):
    text = (
        "namespace Foo\n/-- Twice a number. -/\ndef twice (n : Nat) : Nat := n + n\n\n"
        "theorem twice_eq (n : Nat) : twice n = 2 * n := by\n  unfold twice\n  omega\n\n"
        "theorem twice_add (m n : Nat) : twice (m + n) = twice m + twice n := by\n"
        "  rw [twice_eq, twice_eq, twice_eq]\n  omega\nend Foo\n"
    )
    seeds = [settled(seed_of(row), lean) for _, row in lean_rows(text)]
    assert [s.full_name for s in seeds] == ["Foo.twice_eq", "Foo.twice_add"]
    assert [t.tactic for t in seeds[1].traced][-1] == "omega"
    traces = [reverse(s, run_seed=0) for s in seeds]
    assert all(unfaithful(t, s) == [] for t, s in zip(traces, seeds, strict=True))
    assert "def twice" in traces[1].question
