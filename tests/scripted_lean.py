"""A Lean that knows a table by heart. `from scripted_lean import ScriptedLean` works in every test folder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cotmill.schemas import BadInput
from cotmill.verifiers.lean import (
    Audit,
    LeanError,
    Message,
    ProofFinished,
    TacticResult,
    TacticState,
    Theorem,
    TracedTactic,
)


@dataclass
class ScriptedLean:
    """Tactics from state to state; what the script does not know is refused. State `done` is a proof."""

    script: dict[tuple[str, str], str]
    needed: frozenset[str] = frozenset()
    ran: list[tuple[str, str]] = field(default_factory=list)
    name: str = "scripted"

    def start(self, theorem: Theorem) -> TacticState:
        if "nonsense" in theorem.statement:
            raise BadInput("the statement does not elaborate: nonsense", field="statement")
        return TacticState("⊢ a", theorem)

    def run_tac(self, state: TacticState, tactic: str) -> TacticResult:
        self.ran.append((state.pp, tactic))
        tactics = (*state.tactics, tactic)
        if tactic == "slow":
            return LeanError("limit: CPU time", undecided=True)
        after = self.script.get((state.pp, tactic))
        if after is None:
            return LeanError(f"{tactic} failed at {state.pp}")
        if after == "done":
            return ProofFinished(state.id + 1, tactics)
        return TacticState(after, state.theorem, state.id + 1, tactics)

    def check(self, code: str) -> list[Message]:
        return [Message("information", "Try this:\n  [apply] exact magic", 2, 2)]

    def trace(self, code: str) -> list[TracedTactic]:
        return []

    def audit(self, theorem: Theorem, submission: str) -> Audit:
        return Audit(all(n in submission for n in self.needed), "")

    def audit_many(self, jobs: Iterable[tuple[Theorem, str]]) -> Iterator[Audit]:
        return (self.audit(*job) for job in jobs)

    def close(self) -> None: ...
