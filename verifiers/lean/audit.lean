/-
The audit of the native backend: which theorem does a compiled file prove, and from what?

    lean --run audit.lean WORD STATEMENT.olean SUBMISSION.olean TARGET

Both files are read as data. Nothing of the submission runs here, and none of its notation, macros, instances
or options takes part: Lean's kernel checks its declarations again on top of the imported library alone.
Prints `WORD proved AXIOM…`, `WORD refused REASON` or `WORD undecided REASON`.
-/
import Lean

open Lean

/-- The only axioms that a proof may rest on. -/
def standard : List Name := [``propext, ``Classical.choice, ``Quot.sound]

inductive Verdict
  | proved (axioms : List Name)
  | refused (reason : String)
  | undecided (reason : String)

def Verdict.line : Verdict → String
  | .proved axioms => " ".intercalate ("proved" :: axioms.map toString)
  | .refused reason => "refused " ++ reason
  | .undecided reason => "undecided " ++ reason

def table (data : ModuleData) : Std.HashMap Name ConstantInfo :=
  data.constants.foldl (init := {}) fun known info => known.insert info.name info

/-- Whether two declarations say the same, names of bound variables apart. -/
def same (one other : ConstantInfo) : Bool :=
  one.levelParams == other.levelParams && one.type == other.type && one.value? == other.value?

/-- Whether what the statement itself declares (matchers, for instance) stands in the submission unchanged. -/
def unchanged (stated given : Std.HashMap Name ConstantInfo) (target : Name) : Bool :=
  stated.toList.all fun (name, info) =>
    name == target || !(stated[target]?.any fun goal => goal.type.getUsedConstants.contains name) ||
      (given[name]?.any (same info))

def judge (stated given : ModuleData) (target : Name) : IO Verdict := do
  let goals := table stated
  let proofs := table given
  let some goal := goals[target]? | return .undecided "the statement declares another name"
  let some proof := proofs[target]? | return .refused s!"no theorem {target}"
  let .thmInfo theorem_ := proof | return .refused "the target is no theorem"
  unless goal.levelParams.length == theorem_.levelParams.length do
    return .refused "the target has another type than the statement"
  let levels := goal.levelParams.map mkLevelParam
  unless goal.type == proof.type.instantiateLevelParams proof.levelParams levels do
    return .refused "the target has another type than the statement"
  unless unchanged goals proofs target do
    return .refused "what the statement itself declares was changed"
  let base ← importModules (stated.imports ++ given.imports) {}
  if let some name := proofs.toList.map (·.1) |>.find? base.contains then
    return .refused s!"declares {name} again"
  let env ← try base.replay proofs catch e => return .refused s!"the kernel refuses it: {e}"
  let ((), found) := ((CollectAxioms.collect target).run env).run {}
  match found.axioms.toList.find? (!standard.contains ·) with
  | some name => return .refused s!"rests on {name}"
  | none => return .proved found.axioms.toList

def main (args : List String) : IO UInt32 := do
  let [word, statement, submission, target] := args | return 2
  initSearchPath (← findSysroot)
  let (stated, _) ← readModuleData statement
  let (given, _) ← readModuleData submission
  let verdict ← try judge stated given target.toName catch e => pure (.undecided (toString e))
  IO.println s!"{word} {verdict.line}"
  return 0
