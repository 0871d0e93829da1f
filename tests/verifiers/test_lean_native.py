"""lean-dojo's results become ours; whole files go through `lean`; where lake is, a real proof runs."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cotmill.verifiers.lean import (
    LeanError,
    LeanUnavailable,
    ProofFinished,
    ProofGivenUp,
    TacticState,
    Theorem,
    TracedTactic,
)
from cotmill.verifiers.lean.native import NativeLean, Repository, from_reply, native_missing, to_reply
from cotmill.verifiers.sandbox import sandbox_available
from native_lean import FakeToolchain

REPOSITORY = os.environ.get("COTMILL_LEAN_REPOSITORY", "")
THEOREM = Theorem("t", "theorem t (p : Prop) (h : p) : p")


def made(name: str, **fields: object) -> object:
    """An object as lean-dojo makes it: a class of that name with those attributes."""
    return type(name, (), fields)()


@pytest.mark.parametrize(
    ("result", "ours"),
    [
        (
            made("TacticState", pp="h : p\n⊢ p", id=3, message=None, goals=[]),
            TacticState("h : p\n⊢ p", THEOREM, 3, ("intro",)),
        ),
        (made("ProofFinished", tactic_state_id=4, message="ok"), ProofFinished(4, ("intro",), message="ok")),
        (made("LeanError", error="unknown tactic"), LeanError("unknown tactic")),
        (made("ProofGivenUp"), ProofGivenUp()),
        (made("TimeoutError"), LeanError("an unknown result TimeoutError", undecided=True)),
    ],
)
def test_each_result_of_lean_dojo_has_one_of_ours(result: object, ours: object) -> None:
    assert from_reply(to_reply(result), THEOREM, ("intro",)) == ours
    assert "lean_dojo" not in sys.modules


def test_a_crash_is_undecided() -> None:
    assert from_reply({"kind": "Lost", "error": "DojoCrashError"}, THEOREM, ()) == LeanError(
        "DojoCrashError", undecided=True
    )


@pytest.mark.skipif(native_missing() is None, reason="native Lean is installed here")
def test_without_native_lean_it_says_what_is_missing() -> None:
    with pytest.raises(LeanUnavailable, match="install"):
        NativeLean(Repository("https://example.org/repo", "main", "A.lean")).start(THEOREM)


@pytest.mark.skipif(find_spec("lean_dojo") is None, reason="lean-dojo is not installed")
def test_lean_dojos_own_objects_have_these_names_and_fields() -> None:
    """In a process of its own: importing lean-dojo has side effects."""
    script = (
        "from lean_dojo import *; from cotmill.verifiers.lean.native import to_reply; import json\n"
        "print(json.dumps([to_reply(x) for x in (TacticState('⊢ True', 1), ProofFinished(2), LeanError('no'),"
        " ProofGivenUp())]))"
    )
    replies = json.loads(os.popen(f"{sys.executable} -c {json.dumps(script)}").read().splitlines()[-1])
    assert [reply["kind"] for reply in replies] == [
        "TacticState",
        "ProofFinished",
        "LeanError",
        "ProofGivenUp",
    ]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeToolchain:
    if missing := sandbox_available():
        pytest.skip(missing)
    return FakeToolchain(tmp_path, monkeypatch)


def message(text: str, severity: str = "error", line: int = 2) -> dict[str, object]:
    return {"severity": severity, "pos": {"line": line, "column": 3}, "data": text, "kind": "[anonymous]"}


def test_a_whole_files_messages_are_leans(fake: FakeToolchain) -> None:
    fake.says(message("unsolved goals"), fails=True)
    (found,) = fake.lean.check("theorem t : 1 = 2 := by\n  simp")
    assert (found.severity, found.text, found.line, found.column) == ("error", "unsolved goals", 2, 3)


def test_tactics_are_traced_with_their_states(fake: FakeToolchain) -> None:
    tree = (
        "[Elab.info] command\n"
        "  • [Tactic] @ ⟨1, 22⟩-⟨2, 9⟩\n    (Tactic.tacticSeq1Indented)\n"
        "    before \n    ⊢ True\n    after no goals\n"
        "    • [Tactic] @ ⟨2, 2⟩-⟨2, 9⟩\n      trivial\n      before \n      ⊢ True\n      after no goals"
    )
    fake.says(message(tree, "information"))
    traced = fake.lean.trace("theorem t : True := by\n  trivial\n")
    assert traced == [TracedTactic("trivial", "⊢ True", "no goals", (2, 2), (2, 9))]


@pytest.mark.parametrize(
    ("says", "proved", "reason"),
    [
        ({"verdict": "proved propext"}, True, ""),
        ({"verdict": "refused rests on sorryAx"}, False, "rests on sorryAx"),
        ({"verdict": "undecided out of cheese"}, None, "out of cheese"),
        ({"verdict": ""}, None, "the audit ended without a verdict"),
        ({"fails": True, "verdict": "proved"}, None, "Lean failed: "),
    ],
)
def test_the_audit_decides(
    fake: FakeToolchain, says: dict[str, str], proved: bool | None, reason: str
) -> None:
    fake.says(**says)  # type: ignore[arg-type]
    audit = fake.lean.audit(THEOREM, "theorem t (p : Prop) (h : p) : p := h")
    assert (audit.proved, audit.reason) == (proved, reason)
    assert audit.axioms == (("propext",) if proved else ())


def test_an_error_is_wrong_and_a_timeout_undecided(fake: FakeToolchain) -> None:
    submission = "theorem t (p : Prop) (h : p) : p := by simp"
    fake.says(message("simp made no progress"), verdict="proved", fails=True)
    assert fake.lean.audit(THEOREM, submission).proved is False
    fake.says(message("(deterministic) timeout at `whnf`"), verdict="proved", fails=True)
    assert fake.lean.audit(THEOREM, submission).proved is None


@pytest.mark.parametrize(
    "submission",
    [
        '#eval (IO.FS.writeFile "Main.olean" "" : IO Unit)',
        "run_cmd pure ()",
        'elab "x" : term => do return .const ``True.intro []',
        "initialize x : Nat ← pure 1",
        'macro "x" : tactic => `(tactic| trivial)',
        "@[implemented_by f] def g := 1",
        "attribute [command_elab x] y",
        "open Lean Elab in\n@[tactic x] def f : Tactic.Tactic := fun _ => pure ()",
    ],
)
def test_files_that_run_code_of_their_own_are_undecided(fake: FakeToolchain, submission: str) -> None:
    fake.says(verdict="proved")
    assert fake.lean.audit(THEOREM, f"{submission}\ntheorem t (p : Prop) (h : p) : p := h").proved is None


def test_a_theorem_that_the_repository_does_not_hold_is_stepped_by_files(fake: FakeToolchain) -> None:
    theorem = Theorem("u", "theorem u : True ∧ True")
    fake.says(verdict="proved propext")
    fake.steps("⊢ True ∧ True", "⊢ True", "no goals")
    state = fake.lean.start(theorem)
    assert state == TacticState("⊢ True ∧ True", theorem)
    state = fake.lean.run_tac(state, "constructor")
    assert isinstance(state, TacticState)
    assert state.pp == "⊢ True"
    tactics = ("constructor", "all_goals trivial")
    assert fake.lean.run_tac(state, tactics[1]) == ProofFinished(2, tactics, ("propext",))
    fake.says(verdict="refused rests on sorryAx")
    assert fake.lean.run_tac(state, tactics[1]) == ProofGivenUp()


@pytest.mark.skipif(native_missing() is None, reason="native Lean is installed here")
def test_a_theorem_of_the_repositorys_file_needs_lean_dojo(fake: FakeToolchain) -> None:
    with pytest.raises(LeanUnavailable, match="lean-dojo is missing"):
        fake.lean.start(THEOREM)


@pytest.mark.skipif(native_missing() is not None, reason=str(native_missing()))
@pytest.mark.skipif(not REPOSITORY, reason="COTMILL_LEAN_REPOSITORY names no repository that holds T.lean")
def test_a_proof_runs() -> None:
    lean = NativeLean(Repository(REPOSITORY, "", "T.lean"))
    try:
        assert isinstance(lean.run_tac(lean.start(THEOREM), "exact h"), ProofFinished)
        hostile = ["sorry", "by sorry", "(sorryAx _ : p)"]
        proofs = [f"theorem t (p : Prop) (h : p) : p := {proof}" for proof in ["h", *hostile]]
        audits = list(
            lean.audit_many((THEOREM, proof) for proof in [*proofs, "axiom t (p : Prop) (h : p) : p"])
        )
        assert [audit.proved for audit in audits] == [True, False, False, False, False]
        assert [t.tactic for t in lean.trace("theorem u : True := by\n  trivial\n")] == ["trivial"]
    finally:
        lean.close()
