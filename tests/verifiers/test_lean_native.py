"""lean-dojo's results become ours, without lean-dojo; where lake is, a real proof runs."""

import os
import sys

import pytest
from cotmill.verifiers.lean import (
    LeanError,
    LeanUnavailable,
    ProofFinished,
    ProofGivenUp,
    TacticState,
    Theorem,
)
from cotmill.verifiers.lean.native import NativeLean, Repository, from_reply, native_missing, to_reply

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


@pytest.mark.skipif(native_missing() is not None, reason=str(native_missing()))
@pytest.mark.skipif(not REPOSITORY, reason="COTMILL_LEAN_REPOSITORY names no repository that holds T.lean")
def test_a_proof_runs() -> None:
    lean = NativeLean(Repository(REPOSITORY, "", "T.lean"))
    try:
        assert isinstance(lean.run_tac(lean.start(THEOREM), "exact h"), ProofFinished)
    finally:
        lean.close()
