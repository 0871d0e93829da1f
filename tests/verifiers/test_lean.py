# ruff: noqa: E501
"""Proofs are proofs of the statement: Lean decides, and no submission can make itself pass."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cotmill.schemas import BadInput, Outcome
from cotmill.verifiers.lean import (
    EmbeddedLean,
    LeanError,
    LeanLimits,
    LeanVerifier,
    ProofFinished,
    ProofGivenUp,
    TacticState,
    Theorem,
    embedded_missing,
)
from cotmill.verifiers.lean.process import LeanProcess

_missing = embedded_missing()
needs_lean = pytest.mark.skipif(_missing is not None, reason=str(_missing))
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
FALSE = "theorem target : 1 = 2"


@pytest.fixture(scope="module")
def lean() -> Iterator[EmbeddedLean]:
    backend = EmbeddedLean(LeanLimits(cpu_s=20.0, wall_s=300.0))
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def verifier(lean: EmbeddedLean) -> LeanVerifier:
    return LeanVerifier(lean)


def shared(name: str) -> list[dict[str, str]]:
    path = SHARED / name
    if not path.exists():
        pytest.skip("the shared data does not lie beside the project")
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


@needs_lean
def test_hostile_examples_come_out_as_expected(verifier: LeanVerifier) -> None:
    rows = shared("lean_hostile_examples_3.jsonl")
    verdicts = [verifier.verify_submission(row["submission"], row["target"]) for row in rows]
    assert [v.outcome is Outcome.CORRECT for v in verdicts] == [r["expected"] == "verified" for r in rows]


@needs_lean
def test_known_proofs_are_correct(verifier: LeanVerifier) -> None:
    rows = [row for row in shared("lean_core_valid.jsonl") if row["core_proof"]]
    verdicts = {row["name"]: verifier.verify_proof(row["core_proof"], row["statement"]) for row in rows}
    assert {name: v for name, v in verdicts.items() if v.outcome is not Outcome.CORRECT} == {}


# None of these proves 1 = 2, though each would like to seem so.
ATTACKS = {
    "sorry": "theorem target : 1 = 2 := by sorry",
    "sorry as a term": "theorem target : 1 = 2 := sorry",
    "admit": "theorem target : 1 = 2 := by admit",
    "stop": "theorem target : 1 = 2 := by\n  stop\n  rfl",
    "sorry by its constant": "theorem target : 1 = 2 := sorryAx _ true",
    "sorry in guillemets": "theorem target : 1 = 2 := «sorryAx» _",
    "sorry in a lemma": "theorem helper : 1 = 2 := by sorry\ntheorem target : 1 = 2 := helper",
    "sorry in an instance": "instance : Subsingleton Nat := ⟨sorry⟩\ntheorem target : 1 = 2 := Subsingleton.elim _ _",
    "sorry by a macro": 'macro "easy" : tactic => `(tactic| sorry)\ntheorem target : 1 = 2 := by easy',
    "a built macro name": 'open Lean in\nmacro "easy" : term => return mkIdent (.mkSimple ("sorry" ++ "Ax"))\n'
    "theorem target : 1 = 2 := easy _ true",
    "an axiom": "axiom bad : (1 : Nat) = 2\ntheorem target : 1 = 2 := bad",
    "the target as an axiom": "axiom target : 1 = 2",
    "an axiom of False": "axiom f : False\ntheorem target : 1 = 2 := f.elim",
    "an axiom by a macro": 'macro "x" : command => `(axiom bad : (1 : Nat) = 2)\nx\ntheorem target : 1 = 2 := by simp',
    "native_decide": "def lie : Bool := false\n@[implemented_by lie] def truth : Bool := true\n"
    "theorem target : 1 = 2 := by native_decide",
    "implemented_by": "def yes (_ : Unit) : Bool := true\n@[implemented_by yes] def no (_ : Unit) : Bool := false\n"
    "theorem no_eq : no () = true := by native_decide\n"
    "theorem target : 1 = 2 := by have := no_eq; simp [no] at this",
    "decide +native": "theorem target : 1 = 2 := by decide +native",
    "ofReduceBool": "theorem target : 1 = 2 := absurd (Lean.ofReduceBool false true rfl) (by decide)",
    "no kernel": "set_option debug.skipKernelTC true\ntheorem target : 1 = 2 := by\n  apply (rfl : (1 : Nat) = 1)",
    "no kernel, quoted": "set_option «debug».«skipKernelTC» true in\ntheorem target : 1 = 2 := by decide +kernel",
    "no kernel for a lemma": "set_option debug.skipKernelTC true in\ntheorem helper : 1 = 2 := by decide +kernel\n"
    "theorem target : 1 = 2 := helper",
    "no kernel for a definition": "set_option debug.skipKernelTC true\n"
    "def helper : 1 = 2 := by decide +kernel\ntheorem target : 1 = 2 := helper",
    "no kernel and its own snapshots": "set_option internal.cmdlineSnapshots false\nset_option debug.skipKernelTC true\n"
    "theorem target : 1 = 2 := by decide +kernel",
    "dropped errors": "/-- error: x -/\n#guard_msgs (drop error) in\ntheorem target : 1 = 2 := by simp",
    "another statement": "theorem target : 1 = 1 := rfl",
    "another name": "theorem target' : 1 = 1 := rfl\ntheorem other : 2 = 2 := rfl",
    "in a comment": "/- theorem target : 1 = 2 := rfl -/\ntheorem t : True := trivial",
    "in a string": 'def s := "theorem target : 1 = 2 := rfl"',
    "in a namespace": "namespace A\ntheorem target : 1 = 1 := rfl\nend A\nopen A",
    "local notation": 'local notation "2" => 1\ntheorem target : 1 = 2 := rfl',
    "infix": 'local infix:50 (priority := high) " = " => fun (_ _ : Nat) => True\n'
    "theorem target : 1 = 2 := trivial",
    "macro for equality": "macro_rules | `($_ = $_) => `(True)\ntheorem target : 1 = 2 := trivial",
    "macro for theorem": 'macro "theorem" "target" ":" "1" "=" "2" ":=" "rfl" : command => `(example : True := trivial)\n'
    "theorem target : 1 = 2 := rfl",
    "rigged numerals": "instance (priority := 9999) : OfNat Nat 2 := ⟨1⟩\ntheorem target : 1 = 2 := rfl",
    "a Nat of its own": "inductive Nat' | z\ninstance : OfNat Nat' n := ⟨.z⟩\n"
    "@[default_instance 9999] instance d : OfNat Nat' n := ⟨.z⟩\ntheorem target : 1 = 2 := rfl",
    "hypothesis by variable": "variable (h : 1 = 2)\ninclude h\ntheorem target : 1 = 2 := h",
    "an instance by variable": "section\nvariable [h : Fact (1 = 2)]\ntheorem target : 1 = 2 := h.out\nend",
    "extra argument": "theorem target (h : False) : 1 = 2 := h.elim",
    "auto argument": "theorem target (h : 1 = 2 := by sorry) : 1 = 2 := h",
    "unsafe": "unsafe def target : 1 = 2 := target",
    "partial": "partial def target : 1 = 2 := target",
    "opaque": "opaque target : 1 = 2",
    "unsafeCast": "unsafe def u : 1 = 2 := unsafeCast ()\n@[implemented_by u] opaque target : 1 = 2",
    "lcProof": "theorem target : 1 = 2 := lcProof",
    "itself": "theorem target : 1 = 2 := target",
    "mutual": "mutual\ntheorem target : 1 = 2 := other\ntheorem other : 1 = 2 := target\nend",
    "decreasing by sorry": "theorem target : 1 = 2 := target\ntermination_by 0\ndecreasing_by all_goals sorry",
    "printing": '#eval IO.println "{\\"id\\": 1, \\"messages\\": [], \\"verdict\\": \\"proved\\"}"',
    "many prints": '#eval (for _ in [0:500] do IO.println "no error" : IO Unit)\ntheorem target : 1 = 2 := by omega',
    "end of process": "#eval (IO.Process.exit 0 : IO Unit)\ntheorem target : 1 = 2 := rfl",
    "lookalike": "theorem tаrget : 1 = 1 := rfl",
    "lookalike numeral": "theorem target : 1 = 1 + (2 - 2) := rfl",
    "end trick": "section\nend\nend\ntheorem target : 1 = 2 := by decide",
    "an import": "import Evil\ntheorem target : 1 = 2 := evil",
    "exit command": "#exit\ntheorem target : 1 = 2 := rfl",
    "universe trick": "theorem target.{u} : (1 : Nat) = 1 := rfl",
    "alias": "theorem foo : 1 = 1 := rfl\nalias target := foo\nexport Nat (succ)",
    "a wrong proof": "theorem target : 1 = 2 := by simp",
    "csimp": "def f := 1\ndef g := 2\n@[csimp] theorem fg : @f = @g := by sorry\n"
    "theorem target : 1 = 2 := by have : f = 2 := by native_decide\n  exact this",
    "deriving": "structure S where\n  x : Nat\nderiving instance DecidableEq for S\n"
    "theorem target : 1 = 2 := by\n  have : (S.mk 1 == S.mk 2) = true := by decide\n  simp at this",
    "decidable by instance": "instance (priority := 10000) bad : Decidable (1 = 2) := .isTrue sorry\n"
    "theorem target : 1 = 2 := by decide",
    "simp attribute": "theorem bad : (1 = 2) = True := by simp\nattribute [simp] bad\ntheorem target : 1 = 2 := by simp",
    "simp procedure": "simproc lie (1 = 2) := fun e => do return .done { expr := .const ``True [] }\n"
    "theorem target : 1 = 2 := by simp",
    "another disjunct": "theorem target : 1 = 2 ∨ True := Or.inr trivial",
    "auto-bound": "set_option autoImplicit true in\ntheorem target : n = n := rfl",
    "shadowed equality": 'namespace Shadow\ndef Eq (_ _ : Nat) := True\nlocal infix:50 " = " => Eq\n'
    "theorem _root_.target : 1 = 2 := trivial\nend Shadow",
    "shadowed Nat": "namespace X\ninductive Nat | one\nend X\nopen X\n"
    "instance : OfNat X.Nat n := ⟨.one⟩\ntheorem target : (1 : X.Nat) = 2 := rfl",
    "coercion": "instance : Coe True (1 = 2) := ⟨fun _ => sorry⟩\ntheorem target : 1 = 2 := (trivial : True)",
    "elaborator": 'open Lean Elab Term in\nelab "cheat" : term => return .const ``True.intro []\n'
    "theorem target : 1 = 2 := cheat",
    "added unchecked": "open Lean in\nrun_cmd liftCoreM <| addDecl (.thmDecl { name := `target, levelParams := [], "
    "type := .const ``True [], value := .const ``True.intro [] })",
    "reduceBool": "def no : Bool := Lean.reduceBool true\ntheorem target : 1 = 2 := by\n"
    "  have : no = true := rfl\n  simp [no] at this",
    "a type of universes": "def Big := (α : Type 1) → α\ntheorem target : 1 = 2 := (sorry : Big) _",
    "recursion without end": "set_option maxRecDepth 100000\ntheorem target : 1 = 2 := by\n"
    "  apply target\ndecreasing_by trivial",
    "positivity": "unsafe inductive Bad | mk (f : Bad → False)\n"
    "unsafe def no (b : Bad) : False := match b with | .mk f => f b\n"
    "unsafe def bad : False := no (.mk no)\n@[implemented_by bad] opaque good : False := good",
    "private twin": "private theorem target : 1 = 1 := rfl",
    "protected twin": "protected theorem target : 1 = 1 := rfl",
    "extern": '@[extern "x"] opaque f : Unit → 1 = 2\ntheorem target : 1 = 2 := f ()',
    "nonempty": "class Trust (p : Prop) : Prop where\n  out : p\ninstance : Trust p := ⟨by assumption⟩\n"
    "theorem target : 1 = 2 := Trust.out",
    "nothing": "",
    "noise": "\x00\ufeff ∀ )( «",
}


@needs_lean
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_do_not_pass(verifier: LeanVerifier, attack: str) -> None:
    assert verifier.verify_submission(ATTACKS[attack], FALSE).outcome is not Outcome.CORRECT


@needs_lean
@pytest.mark.parametrize(
    "proof",
    [
        "trivial",
        "rfl\n\naxiom x : False",
        "skip\nend\naxiom x : 1 = 2\n",
        "exact (by decide : 1 = 1)",
        "simp -- \n/- ",
        "all_goals sorry",
        "exact?",
        "exact Classical.choice (by infer_instance)",
    ],
)
def test_bad_proofs_do_not_pass(verifier: LeanVerifier, proof: str) -> None:
    assert verifier.verify_proof(proof, FALSE).outcome is not Outcome.CORRECT


@needs_lean
@pytest.mark.parametrize(
    ("statement", "submission"),
    [
        ("theorem target : 2 + 2 = 4", "theorem target : 2 + 2 = 4 := rfl"),
        ("theorem target : 2 + 2 = 4 := by\n", "import Init\n\ntheorem target : 2 + 2 = 4 := by decide\n"),
        (
            "theorem target (a : Nat) : a + 0 = a :=",
            "theorem h (a : Nat) : a + 0 = a := rfl\ntheorem target (b : Nat) : b + 0 = b := h b",
        ),
        (
            "theorem target (p : Prop) : p ∨ ¬p",
            "open Classical in\ntheorem target (p : Prop) : p ∨ ¬p := em p",
        ),
        (
            "theorem target (p : Prop) : p ∨ ¬p",
            "namespace A\ntheorem _root_.target (p : Prop) : p ∨ ¬p := Classical.em p\nend A",
        ),
        ("theorem A.target : True", "namespace A\ntheorem target : True := trivial\nend A"),
        (
            "theorem target {α : Type u} (a : α) : a = a",
            "variable {β : Type v} in\ntheorem target (a : β) : a = a := rfl",
        ),
        (
            "theorem target : 10 < 20",
            'macro "finish" : tactic => `(tactic| decide)\ntheorem target : 10 < 20 := by finish',
        ),
        (
            "theorem target : 10 < 20",
            "#eval 1 + 1\ntheorem target : 10 < 20 := by decide\n#print axioms target",
        ),
        ("theorem target : 1 = 1", "-- sorry\n/- axiom bad : False -/\ntheorem target : 1 = 1 := rfl"),
        (
            "theorem target (o : Option Nat) : (match o with | none => 0 | some x => x) ≤ o.getD 0 + 1",
            "theorem target (o : Option Nat) : (match o with | none => 0 | some x => x) ≤ o.getD 0 + 1 := by\n"
            "  cases o <;> simp",
        ),
        (
            "theorem target (n : Nat) : 0 + n = n",
            "inductive T | leaf | node (l r : T)\ndef T.size : T → Nat\n  | .leaf => 1\n  | .node l r => l.size + r.size\n"
            "theorem T.pos (t : T) : 0 < t.size := by\n  induction t with\n  | leaf => simp [T.size]\n"
            "  | node l r hl hr => simp [T.size]; omega\n"
            "theorem target (n : Nat) : 0 + n = n := by\n  have := T.leaf.pos\n  omega",
        ),
        (
            "theorem target (a b : Nat) (h : a = b) : b = a",
            "structure P where\n  x : Nat\n  y : Nat\nmutual\ndef ev : Nat → Bool\n  | 0 => true\n  | n + 1 => od n\n"
            "def od : Nat → Bool\n  | 0 => false\n  | n + 1 => ev n\nend\n"
            "theorem l (p : P) : P.mk p.x p.y = p := rfl\n"
            "theorem target (a b : Nat) (h : a = b) : b = a := by\n  have := l ⟨a, b⟩\n  exact h.symm",
        ),
    ],
)
def test_proofs_pass(verifier: LeanVerifier, statement: str, submission: str) -> None:
    verdict = verifier.verify_submission(submission, statement)
    assert verdict.outcome is Outcome.CORRECT, verdict


@needs_lean
def test_terms_that_look_alike_stay_apart(verifier: LeanVerifier) -> None:
    lemmas = (
        'theorem «1» : (1 : Nat) = 1 := rfl\ntheorem «1,2» : "1,2" = "1" ++ ",2" := by decide\n'
        'theorem «2».«1» : "12".length = 2 := by decide\n'
    )
    statement = 'theorem target : "1,2" = "1" ++ ",2" ∧ (1 : Nat) = 1 ∧ "12".length = 2'
    right = f"{lemmas}{statement} := ⟨«1,2», «1», «2».«1»⟩"
    assert verifier.verify_submission(right, statement).outcome is Outcome.CORRECT
    wrong = f"{lemmas}{statement} := ⟨«1», «1,2», «2».«1»⟩"
    assert verifier.verify_submission(wrong, statement).outcome is Outcome.WRONG


@needs_lean
def test_universe_levels_of_the_same_constants_stay_apart(verifier: LeanVerifier) -> None:
    levels = ["Type", "Type 1", "Type 2", "Type", "Type 20", "Type u", "Type (max 1 u)", "Type 1"]
    statements = [f"theorem target (α : {u}) (a b : α) : [a, b].map id = [a, b]" for u in levels]
    verdicts = verifier.verify_many(("exact (rfl : List.map id [a, b] = _)", s) for s in statements)
    assert [v.outcome for v in verdicts] == [Outcome.CORRECT] * len(levels)


@needs_lean
def test_a_submission_leaves_nothing_to_the_next(verifier: LeanVerifier) -> None:
    poison = (
        "set_option debug.skipKernelTC false\naxiom helper : 1 = 2\n"
        "@[simp] theorem rigged : (1 = 2) = True := by simp [helper]\n"
        'macro "easy" : tactic => `(tactic| exact helper)\n'
        "instance (priority := 10000) : Decidable (1 = 2) := .isTrue helper\ntheorem target : 1 = 2 := helper"
    )
    proofs = ["theorem target : 1 = 2 := " + p for p in ("helper", "by simp", "by easy", "by decide")]
    verdicts = verifier.verify_many((file, FALSE) for proof in proofs for file in (poison, proof))
    assert {v.outcome for v in verdicts} == {Outcome.WRONG}


@needs_lean
@pytest.mark.parametrize(
    "proof", ["omega", "by omega", ":= by\n  omega", "  have := h\n  omega", "by\nhave := h\nomega"]
)
def test_forms_of_a_proof(verifier: LeanVerifier, proof: str) -> None:
    statement = "theorem t (n : Nat) (h : 2 * n = 6) : n = 3 := by\n"
    assert verifier.verify_proof(proof, statement).outcome is Outcome.CORRECT
    assert verifier.verify(proof, statement).outcome is Outcome.CORRECT


@needs_lean
def test_what_cannot_be_judged_is_undecided(verifier: LeanVerifier) -> None:
    cases = [
        ("rfl", "1 = 1"),
        ("rfl", "theorem t : x = = 1"),
        ("rfl", "theorem t : Undefined.thing = 1"),
        ("import Mathlib\ntheorem t : 1 = 1 := rfl", "theorem t : 1 = 1"),
        ("x" * 300_000, "theorem t : 1 = 1"),
    ]
    assert {verifier.verify(p, s).outcome for p, s in cases} == {Outcome.UNDECIDED}


@needs_lean
def test_a_wrong_proof_is_wrong_with_leans_message(verifier: LeanVerifier) -> None:
    verdict = verifier.verify_proof("omega", "theorem t (a b : Nat) : a = b")
    assert verdict.outcome is Outcome.WRONG
    assert "omega could not prove the goal" in verdict.evidence


@needs_lean
def test_limits_are_undecided_and_the_next_request_is_served() -> None:
    limits = LeanLimits(cpu_s=3.0, wall_s=300.0)
    with LeanVerifier(EmbeddedLean(limits)) as verifier:
        loop = "partial def g (n : Nat) : Nat := g n\n#eval g 0\ntheorem t : 1 = 1 := rfl"
        verdict = verifier.verify_submission(loop, "theorem t : 1 = 1")
        assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "limit: CPU time")
        assert verifier.verify_proof("rfl", "theorem t : 1 = 1").outcome is Outcome.CORRECT


@needs_lean
@pytest.mark.parametrize(
    "submission",
    [
        "#eval (IO.Process.exit 0 : IO Unit)",
        "partial def f (n : Nat) : Nat := f (n + 1) + 1\n#eval f 0",
        "partial def f (n : Nat) : Nat := f (n + 1) + 1\n#eval (Task.spawn fun _ => f 0).get",
    ],
    ids=["exit", "full stack", "full stack of a task"],
)
def test_what_ends_lean_is_a_crash_and_the_next_request_is_served(
    lean: EmbeddedLean, submission: str
) -> None:
    theorem = Theorem.read("theorem t : 1 = 1")
    audit = lean.audit(theorem, f"{submission}\ntheorem t : 1 = 1 := rfl")
    assert (audit.proved, audit.reason) == (None, "Lean crashed")
    assert lean.audit(theorem, "theorem t : 1 = 1 := rfl").proved


@needs_lean
def test_many_threads_do_not_wait_for_each_other(lean: EmbeddedLean) -> None:
    nested = (
        "partial def f : Nat → Nat\n  | 0 => 0\n  | n + 1 => (Task.spawn fun _ => f n).get + 1\n#eval f 20"
    )
    many = "\n".join(
        f"theorem t{i} (a b : Nat) (h : a < b) : a + {i} ≤ b + {i} := by omega" for i in range(40)
    )
    assert [m.text for m in lean.check(f"{nested}\n{many}")] == ["20"]


@needs_lean
def test_long_replies_arrive_whole(lean: EmbeddedLean) -> None:
    source = "theorem t : True := by\n" + '  trace "' + "x" * 30_000 + '"\n'
    messages = lean.check(source * 1 + "  trivial\n" + "\n".join(f"#eval {i}" for i in range(100)))
    assert len(messages[0].text) == 30_000
    assert [m.text for m in messages[1:]] == [str(i) for i in range(100)]


@needs_lean
def test_audits_come_in_order(verifier: LeanVerifier) -> None:
    pairs = [("rfl", f"theorem t : {i} = {i % 3}") for i in range(8)]
    pairs[4] = ("rfl", "nonsense")
    outcomes = [v.outcome for v in verifier.verify_many(pairs)]
    expected = [Outcome.CORRECT if i < 3 else Outcome.WRONG for i in range(8)]
    expected[4] = Outcome.UNDECIDED
    assert outcomes == expected


@needs_lean
def test_tactics_as_in_leandojo(lean: EmbeddedLean) -> None:
    state = lean.start(Theorem.read("theorem t (p q : Prop) (hp : p) (hq : q) : p ∧ q := by"))
    assert state.pp == "p q : Prop\nhp : p\nhq : q\n⊢ p ∧ q"
    assert isinstance(lean.run_tac(state, "omega"), LeanError)
    both = lean.run_tac(state, "constructor")
    assert isinstance(both, TacticState)
    assert both.num_goals == 2
    one = lean.run_tac(both, "· exact hp")
    assert isinstance(one, TacticState)
    assert one.num_goals == 1
    done = lean.run_tac(one, "exact hq")
    assert isinstance(done, ProofFinished)
    assert done.tactics == ("constructor", "· exact hp", "exact hq")
    assert isinstance(lean.run_tac(one, "sorry"), ProofGivenUp)
    assert isinstance(lean.run_tac(state, 'trace "⊢ False"\nskip'), TacticState)
    with pytest.raises(BadInput):
        lean.start(Theorem.read("theorem t : nonsense"))


@needs_lean
def test_whole_proofs_are_traced_with_their_states(lean: EmbeddedLean) -> None:
    source = (
        "theorem t (a b c : Nat) (h : a = b) : a + c = b + c ∧ True := by\n"
        "  constructor\n  · rw [h]\n  · trivial\n"
    )
    traced = lean.trace(source)
    assert [t.tactic for t in traced if not t.tactic.startswith("·")] == [
        "constructor",
        "rw [h]",
        "trivial",
    ]
    first = traced[0]
    assert first.state_before == "a b c : Nat\nh : a = b\n⊢ a + c = b + c ∧ True"
    assert first.state_after.count("⊢") == 2
    assert (first.start, first.end) == ((2, 2), (2, 13))


@needs_lean
def test_messages_have_places(lean: EmbeddedLean) -> None:
    (message,) = lean.check("\ntheorem t : 1 = 2 := by\n  rfl\n")
    assert (message.severity, message.line, message.column) == ("error", 3, 2)


@pytest.mark.parametrize(
    ("text", "name", "statement"),
    [
        ("theorem a.b (n : Nat) : n = n := by\n", "a.b", "theorem a.b (n : Nat) : n = n"),
        ("theorem «x y».z.{u} : True", "«x y».z", "theorem «x y».z.{u} : True"),
        ("/-- theorem no -/\ntheorem yes : True :=", "yes", "/-- theorem no -/\ntheorem yes : True"),
        ("theorem t₁': True", "t₁'", "theorem t₁': True"),
    ],
)
def test_statements_are_read(text: str, name: str, statement: str) -> None:
    assert Theorem.read(text) == Theorem(name, statement)


def test_without_lean_everything_is_undecided(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with LeanVerifier() as verifier:
        verdict = verifier.verify("rfl", "theorem t : 1 = 1")
    assert verdict.outcome is Outcome.UNDECIDED
    assert "cotmill lean setup" in verdict.reason


@needs_lean
def test_an_instance_found_before_does_not_stand_for_one_that_a_file_brings(lean: EmbeddedLean) -> None:
    zero = "theorem t : (default : Nat) = 0 := rfl\n"
    five = "theorem t : (default : Nat) = 5 := rfl\n"
    a_five = "def five : Inhabited Nat := ⟨5⟩\n"
    for _ in range(2):
        assert lean.check(zero) == []
        assert lean.check(f"instance : Inhabited Nat := ⟨5⟩\n{five}") == []
        assert lean.check(f"{a_five}attribute [local instance] five in\n{five}") == []
        assert lean.check(f"{a_five}theorem u : True := trivial\nattribute [instance] five\n{five}") == []
        assert (
            lean.check(
                f"section\nlocal instance : Inhabited Nat := ⟨5⟩\n{five}end\n{zero.replace('t', 'u', 1)}"
            )
            != []
        )
        assert lean.check(five) != []
    assert (
        lean.check(
            "theorem t : (default : Nat) = 0 ∧ (fun [Inhabited Nat] => (default : Nat)) = fun [i : Inhabited Nat] => i.default := ⟨rfl, rfl⟩"
        )
        == []
    )


@needs_lean
def test_a_kept_instance_changes_neither_message_nor_proof() -> None:
    theorems = Path(__file__).parents[2] / "data" / "lean" / "theorems.jsonl"
    files = [
        "theorem t : ∃ x, x + 1 = 3 := ⟨2, rfl⟩\n",
        "theorem t : ∃ x, x + 1 = (3 : Int) := ⟨2, by decide⟩\n",
        "theorem t : 2 + 2 = 5 := by decide\n",
        "theorem t (x) : x + 1 = 2 + x := by omega\n",
        'theorem t : 1 + "a" = 2 := rfl\n',
        "theorem t (α : Type u) [DecidableEq α] (a b : α) : a = b ∨ a ≠ b := Decidable.em (a = b)\n",
        "theorem t (p : Prop) [Decidable p] : (if p then 1 else 1) = 1 := by split <;> rfl\n",
        "theorem t (p : Prop) : (if p then 1 else 1) = 1 := by split <;> rfl\n",
    ]
    for row in map(json.loads, theorems.read_text("utf-8").splitlines()):
        proof = row["proof"].split("\n")
        shorter = proof[:-1] or ["skip"]
        files += [f"{row['statement']} := by\n" + "".join(f"  {x}\n" for x in y) for y in (proof, shorter)]
    lean = LeanProcess(LeanLimits())
    try:
        for _ in range(2):
            for file in files:
                target = Theorem.read(file.partition(":=")[0]).full_name
                # The word keeps what is kept from being asked.
                said, own = (
                    lean.request(op="elaborate", code=file.rstrip("\n") + end, target=target)
                    for end in ("\n", " -- open\n")
                )
                assert (said["messages"], said["proof"]) == (own["messages"], own["proof"]), file
    finally:
        lean.close()
