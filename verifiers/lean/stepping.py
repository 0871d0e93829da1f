"""Proofs tactic by tactic through whole files: each step is the file so far, its state printed at the end."""

import re

from ...schemas import BadInput
from .backend import (
    LeanBackend,
    LeanError,
    LeanLost,
    Message,
    ProofFinished,
    ProofGivenUp,
    TacticResult,
    TacticState,
    Theorem,
)

_TIMEOUT = re.compile(r"\(deterministic\) timeout|maximum number of heartbeats")


def timed_out(message: Message) -> bool:
    """Whether Lean stopped at a limit of its own."""
    return _TIMEOUT.search(message.text) is not None


def start(lean: LeanBackend, theorem: Theorem) -> TacticState:
    """Raises BadInput where the statement does not elaborate, and what `lean.check` raises."""
    state = _state(lean, theorem, (), 0)
    if isinstance(state, LeanError):
        raise BadInput(f"the statement does not elaborate: {state.error}", field="statement")
    return state


def run_tac(lean: LeanBackend, state: TacticState, tactic: str) -> TacticResult:
    """A proof without goals is finished only if the audit of the whole file says so."""
    tactics = (*state.tactics, tactic)
    theorem = state.theorem
    try:
        after = _state(lean, theorem, tactics, state.id + 1)
    except LeanLost as e:
        return LeanError(str(e), undecided=True)
    if isinstance(after, LeanError) or after.pp not in ("", "no goals"):
        return after
    audit = lean.audit(theorem, f"{theorem.statement} := by\n{_block(tactics)}")
    if audit.proved:
        return ProofFinished(after.id, tactics, audit.axioms)
    if audit.reason.endswith("sorryAx"):
        return ProofGivenUp()
    return LeanError(f"{audit.reason}: {audit.evidence}".rstrip(": "), undecided=audit.proved is None)


def _state(
    lean: LeanBackend, theorem: Theorem, tactics: tuple[str, ...], number: int
) -> TacticState | LeanError:
    head = f"{theorem.statement} := by\n{_block(tactics)}"
    messages = lean.check(f"{head}  trace_state\n  all_goals sorry\n")
    if errors := [m for m in messages if m.severity == "error"]:
        return LeanError("\n".join(m.text for m in errors), undecided=any(map(timed_out, errors)))
    line = head.count("\n") + 1
    states = [m.text for m in messages if m.severity == "information" and m.line == line]
    if not states:
        return LeanError("the tactic is not closed")
    return TacticState(states[-1].strip(), theorem, number, tactics)


def _block(tactics: tuple[str, ...]) -> str:
    lines = "\n".join(tactics).split("\n") if tactics else []
    return "".join(f"  {line}\n" for line in lines)
