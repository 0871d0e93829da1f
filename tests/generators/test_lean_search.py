"""The search for Lean proofs, on a scripted Lean: what it finds, what it spends, what it says of failures."""

import pytest
from cotmill.generators.lean_reverse.files import lean_rows
from cotmill.generators.lean_search import (
    PolicyProposer,
    Proposal,
    TacticSearch,
    generic,
    prove,
)
from cotmill.models.policy import Sample
from cotmill.verifiers.lean import TacticState, Theorem
from hypothesis import given
from hypothesis import strategies as st
from scripted_lean import ScriptedLean

THEOREM = Theorem("t", "theorem t : goal")
METHODS = ("best_first", "mcts")


def proposing(*tactics: str):
    return lambda state: [Proposal(t, 1.0 + len(tactics) - i) for i, t in enumerate(tactics)]


CHAIN = {("⊢ a", "one"): "⊢ b", ("⊢ b", "two"): "⊢ c", ("⊢ c", "three"): "done"}


@pytest.mark.parametrize("method", METHODS)
def test_a_proof_of_several_tactics_is_found(method):
    lean = ScriptedLean(CHAIN, needed=frozenset({"one", "two", "three"}))
    found = prove(THEOREM, lean, TacticSearch(method=method), [proposing("three", "two", "one")])
    assert found.tactics == ("one", "two", "three")
    assert found.run == len(lean.ran)


@pytest.mark.parametrize("method", METHODS)
def test_failed_attempts_come_with_leans_own_words_and_the_state(method):
    found = prove(
        THEOREM, ScriptedLean(CHAIN), TacticSearch(method=method), [proposing("three", "two", "one")]
    )
    assert ("⊢ a", "three", "three failed at ⊢ a") in [
        (a.state.pp, a.tactic, a.error) for a in found.attempts
    ]
    assert all(a.error == f"{a.tactic} failed at {a.state.pp}" for a in found.attempts)


@pytest.mark.parametrize("method", METHODS)
@given(budget=st.integers(0, 12))
def test_no_more_tactics_are_run_than_the_budget_allows(method, budget):
    lean = ScriptedLean({("⊢ a", "x"): "⊢ b", ("⊢ b", "x"): "⊢ c"})
    tactics = proposing("x", "y", "z", "exact?")
    found = prove(THEOREM, lean, TacticSearch(method=method, budget=budget), [tactics])
    assert found.tactics is None
    assert len(lean.ran) <= found.run <= budget


@pytest.mark.parametrize("method", METHODS)
def test_a_circle_of_states_ends_the_search(method):
    lean = ScriptedLean({("⊢ a", "x"): "⊢ b", ("⊢ b", "x"): "⊢ a"})
    found = prove(THEOREM, lean, TacticSearch(method=method, budget=1000), [proposing("x")])
    assert (found.tactics, found.reason, found.run) == (None, "no tactic left to try", 2)


@pytest.mark.parametrize("method", METHODS)
def test_what_the_library_search_suggests_stands_in_the_proof(method):
    lean = ScriptedLean({("⊢ a", "exact magic"): "done"})
    found = prove(THEOREM, lean, TacticSearch(method=method), [proposing("exact?")])
    assert found.tactics == ("exact magic",)
    assert found.run == 2


def test_the_tree_search_gives_its_states_on_the_way_to_the_proof():
    found = prove(THEOREM, ScriptedLean(CHAIN), TacticSearch(), [proposing("three", "two", "one")])
    assert [(s.state, s.chosen) for s in found.searched] == [("⊢ a", "one"), ("⊢ b", "two"), ("⊢ c", "three")]
    for s in found.searched:
        assert len({len(s.actions), len(s.prior), len(s.visits), len(s.q), len(s.ran)}) == 1
        assert sum(s.visits) >= 1
        assert [bool(r) for r in s.ran] == [n > 0 for n in s.visits]
        refused = [q for a, q, r in zip(s.actions, s.q, s.ran, strict=True) if r and a != s.chosen]
        assert refused == [-1.0] * len(refused)
    assert found.searched[-1].q[found.searched[-1].actions.index("three")] == 1.0


def test_what_was_looked_up_stands_beside_the_action_that_looked():
    lean = ScriptedLean({("⊢ a", "exact magic"): "done"})
    [state] = prove(THEOREM, lean, TacticSearch(), [proposing("exact?")]).searched
    assert (state.actions, state.ran) == (("exact?",), ("exact magic",))


def test_a_search_without_a_tree_or_without_a_proof_has_no_states():
    best_first = TacticSearch("best_first")
    assert prove(THEOREM, ScriptedLean(CHAIN), best_first, [proposing("one", "two", "three")]).searched == ()
    assert prove(THEOREM, ScriptedLean(CHAIN), TacticSearch(), [proposing("one")]).searched == ()


def test_a_limit_is_no_refusal():
    found = prove(THEOREM, ScriptedLean({}), TacticSearch(), [proposing("slow", "bad")])
    assert [(a.tactic, a.undecided) for a in found.attempts] == [("slow", True), ("bad", False)]


def test_a_statement_that_does_not_elaborate_is_a_reason():
    found = prove(Theorem("t", "theorem t : nonsense"), ScriptedLean({}), TacticSearch(), [proposing("x")])
    assert (found.tactics, found.run) == (None, 0)
    assert "does not elaborate" in found.reason


def test_the_proof_keeps_only_what_it_needs():
    lean = ScriptedLean(CHAIN, needed=frozenset({"one", "three"}))
    assert prove(THEOREM, lean, TacticSearch(), [proposing("one", "two", "three")]).tactics == (
        "one",
        "three",
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_proof_deeper_than_allowed_is_not_looked_for(method):
    settings = TacticSearch(method=method, depth=2)
    found = prove(THEOREM, ScriptedLean(CHAIN), settings, [proposing("one", "two", "three")])
    assert found.tactics is None


def tactics_at(state: str) -> list[str]:
    return [p.tactic for p in generic(state)]


@pytest.mark.parametrize(
    ("state", "tactic"),
    [
        ("p q : Prop\n⊢ p ∧ q", "constructor"),
        ("p q : Prop\n⊢ p → q", "intro h"),
        ("h : True\np q : Prop\n⊢ p → q", "intro h1"),
        ("p q : Prop\nh : p ∧ q\n⊢ q", "obtain ⟨hl, hr⟩ := h"),
        ("p q : Prop\nh : p ∨ q\n⊢ q", "rcases h with h | h"),
        ("p : Nat → Prop\nh : ∃ x, p x\n⊢ False", "obtain ⟨x, hx⟩ := h"),
        ("m n : Nat\n⊢ ∃ k, k = m + n", "refine ⟨m + n, ?_⟩"),
        ("n : Nat\n⊢ 0 + n = n", "induction n with\n| zero => ?_\n| succ n ih => ?_"),
        ("xs : List Nat\n⊢ xs ++ [] = xs", "induction xs with\n| nil => ?_\n| cons x xs ih => ?_"),
        ("b : Bool\n⊢ (!(!b)) = b", "cases b with\n| false => ?_\n| true => ?_"),
        ("n : Nat\n⊢ n * n % 2 = 0", "have hr : n % 2 = 0 ∨ n % 2 = 1 := by\n  omega"),
        ("n : Nat\nh₀ : 1 ≤ n ∧ n ≤ 2\n⊢ n * n ≤ 4", "have hv : n = 1 ∨ n = 2 := by\n  omega"),
        (
            "m n : Nat\nh : m * n = 6\n⊢ m ≤ 6",
            "have hd : m ∣ 6 := by\n  rw [← h]\n  exact Nat.dvd_mul_right m n",
        ),
    ],
)
def test_the_shape_of_the_goal_suggests_tactics(state, tactic):
    assert tactic in tactics_at(state)


def test_powers_are_said_to_go_round_modulo_m():
    [lemma] = [t for t in tactics_at("n : Nat\n⊢ ¬7 ∣ 2 ^ n + 1") if t.startswith("have hp")]
    assert "2 ^ k % 7 = 1 ∨ 2 ^ k % 7 = 2 ∨ 2 ^ k % 7 = 4" in lemma


@given(st.text(alphabet="⊢∀∃→∧∨¬=≤<∣%^*+()[]:, \nnxh0123456789Nat", max_size=80))
def test_any_state_is_taken_without_complaint(text):
    proposals = generic(f"n : Nat\nh : {text}\n⊢ {text}")
    assert len({p.tactic for p in proposals}) == len(proposals)
    assert all(p.weight > 0 for p in proposals)


class Writer:
    """Writes the same lines for every request."""

    name, hash, writes_tags = "writer", "0", False

    def __init__(self, *lines: str) -> None:
        self.lines, self.prompts = lines, []

    def prompt(self, question: str, prefix: str = "") -> str:
        return question

    def sample(self, requests):
        self.prompts += [r.prompt for r in requests]
        return [[Sample(line, 3, "stop") for line in self.lines[: r.n]] for r in requests]

    def logprobs(self, prompts, continuations):
        raise NotImplementedError


def test_a_policys_tactics_are_weighted_by_how_often_it_writes_them():
    writer = Writer("omega\n", " omega", "simp", "sorry", "-- no", "```", "")
    proposals = PolicyProposer(writer, 0, samples=7, weight=7.0)(TacticState("⊢ a", THEOREM, tactics=("x",)))
    assert proposals == [Proposal("omega", 2.0), Proposal("simp", 1.0)]
    assert all(part in writer.prompts[0] for part in ("theorem t : goal", "⊢ a", "\nx\n"))


def test_a_policys_proposal_closes_what_generic_tactics_do_not():
    lean = ScriptedLean({("⊢ a", "exact my_lemma"): "done"})
    policy = PolicyProposer(Writer("exact my_lemma"), 0, samples=1)
    assert prove(THEOREM, lean, TacticSearch(), [policy]).tactics == ("exact my_lemma",)


FILE = """/- theorem commented : out := by simp -/
open Nat
/-- Twice
a number. -/
def twice (n : Nat) := n + n
namespace Foo
/-- It is
even. -/
@[simp]
theorem even (n : Nat) : twice n % 2 = 0 := by
  -- unfold first
  unfold twice
  omega
theorem term : 1 = 1 := rfl
section
theorem inner : 2 = 2 := by rfl
end
end Foo
private theorem last
    (n : Nat) : n = n := by
    cases n with
    | zero => rfl
    | succ n => rfl
"""


def test_a_lean_file_gives_a_row_for_each_proof_by_tactics():
    rows = dict(lean_rows(FILE))
    assert rows[14] == "term: not a proof by tactics"
    names = [r["full_name"] for r in rows.values() if isinstance(r, dict)]
    assert names == ["Foo.even", "Foo.inner", "last"]
    even = next(r for r in rows.values() if isinstance(r, dict))
    assert even["informal"] == "It is even."
    assert even["statement"].endswith("theorem even (n : Nat) : twice n % 2 = 0")
    assert even["proof"].split("\n")[-2:] == ["unfold twice", "omega"]
    assert even["preamble"].endswith("namespace Foo")
    assert rows[19]["proof"].startswith("cases n with\n| zero")


@given(st.text(alphabet="theorem lemma:=by\n-/@[]()«»namespace end.xy ", max_size=120))
def test_any_text_is_read_as_a_lean_file(text):
    for line, _ in lean_rows(text):
        assert 1 <= line <= text.count("\n") + 1
