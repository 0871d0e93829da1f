"""lean-dojo's results become ours; whole files go through `lean`; where lake is, a real proof runs."""

import json
import os
import stat
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cotmill.verifiers.lean import (
    LeanBackend,
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


class Fake:
    """A repository, and a toolchain whose `lean` says what it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prefix = folder / "toolchain"
        for made in (self.prefix / "bin", folder / "bin", folder / "repository"):
            made.mkdir(parents=True)
        (folder / "repository" / "A.lean").write_text("import Init\n\ntheorem t : True := trivial\n")
        lean = (
            f'echo "$@" >> "$PWD/seen" 2>/dev/null; here={self.prefix}\n'
            'if [ "$1" = --run ]; then echo noise; echo "$3 $(cat $here/verdict)"; exit 0; fi\n'
            'for file; do :; done; if grep -q sorry "$file"; then exit 0; fi\n'
            "cat $here/messages; [ ! -s $here/fails ]\n"
        )
        self._program(self.prefix / "bin" / "lean", lean)
        lake = f'[ "$2" = lean ] && echo {self.prefix} || echo lib:lib/lean'
        self._program(folder / "bin" / "lake", lake)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        self.lean: LeanBackend = NativeLean(Repository(str(folder / "repository"), "", "A.lean"), 60)

    def says(self, *messages: dict[str, object], verdict: str = "", fails: bool = False) -> None:
        lines = "".join(json.dumps(message) + "\n" for message in messages)
        for name, text in (("messages", lines), ("verdict", verdict), ("fails", "x" * fails)):
            (self.prefix / name).write_text(text)

    @staticmethod
    def _program(path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    if missing := sandbox_available():
        pytest.skip(missing)
    return Fake(tmp_path, monkeypatch)


def message(text: str, severity: str = "error", line: int = 2) -> dict[str, object]:
    return {"severity": severity, "pos": {"line": line, "column": 3}, "data": text, "kind": "[anonymous]"}


def test_a_whole_files_messages_are_leans(fake: Fake) -> None:
    fake.says(message("unsolved goals"), fails=True)
    (found,) = fake.lean.check("theorem t : 1 = 2 := by\n  simp")
    assert (found.severity, found.text, found.line, found.column) == ("error", "unsolved goals", 2, 3)


def test_tactics_are_traced_with_their_states(fake: Fake) -> None:
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
def test_the_audit_decides(fake: Fake, says: dict[str, str], proved: bool | None, reason: str) -> None:
    fake.says(**says)  # type: ignore[arg-type]
    audit = fake.lean.audit(THEOREM, "theorem t (p : Prop) (h : p) : p := h")
    assert (audit.proved, audit.reason) == (proved, reason)
    assert audit.axioms == (("propext",) if proved else ())


def test_an_error_is_wrong_and_a_timeout_undecided(fake: Fake) -> None:
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
def test_files_that_run_code_of_their_own_are_undecided(fake: Fake, submission: str) -> None:
    fake.says(verdict="proved")
    assert fake.lean.audit(THEOREM, f"{submission}\ntheorem t (p : Prop) (h : p) : p := h").proved is None


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
