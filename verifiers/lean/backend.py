"""What a Lean is to the rest of cotmill: LeanDojo's words for a proof environment, as plain values."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ...schemas import BadInput

# A declaration's name: parts divided by dots, each plain or in guillemets, before binders or universes.
_NAME = re.compile(
    r"\b(?:theorem|lemma)\s+((?:«[^»]*»|[^\s(){}\[\]⦃⦄:.,«»@]+)(?:\.(?:«[^»]*»|[^\s(){}\[\]⦃⦄:.,«»@]+))*)"
)
_COMMENT = re.compile(r"/-.*?-/|--[^\n]*", re.DOTALL)
_END = re.compile(r"\s*(:=\s*(by\b)?)?\s*\Z")
_STATEMENT_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Theorem:
    """A statement without its proof: `statement` is `theorem NAME … : …`."""

    full_name: str
    statement: str

    @classmethod
    def read(cls, text: str) -> "Theorem":
        """From `theorem NAME … : …`, ending in `:= by` or not; raises BadInput for anything else."""
        if len(text) > _STATEMENT_CHARS:
            raise BadInput("a statement of more than 20,000 characters", field="statement")
        found = _NAME.search(_COMMENT.sub(lambda m: " " * len(m[0]), text))
        if found is None:
            raise BadInput("expected `theorem NAME … : …`", field="statement")
        return cls(found[1], _END.sub("", text))


@dataclass(frozen=True, slots=True)
class TacticState:
    """The goals of `theorem` after `tactics`, as Lean prints them. `id` orders the states of an attempt."""

    pp: str
    theorem: Theorem
    id: int = 0
    tactics: tuple[str, ...] = ()
    message: str | None = None

    @property
    def num_goals(self) -> int:
        return sum(line.startswith("⊢") for line in self.pp.split("\n"))


@dataclass(frozen=True, slots=True)
class ProofFinished:
    """The theorem is proved by `tactics`, audited: its axioms are among the standard three."""

    tactic_state_id: int
    tactics: tuple[str, ...] = ()
    axioms: tuple[str, ...] = ()
    message: str | None = None


@dataclass(frozen=True, slots=True)
class LeanError:
    """Lean refused the tactic; `error` is its message. `undecided`: a limit or a crash, not a refusal."""

    error: str
    undecided: bool = False


@dataclass(frozen=True, slots=True)
class ProofGivenUp:
    """The proof was closed by `sorry`."""


TacticResult = TacticState | ProofFinished | LeanError | ProofGivenUp


@dataclass(frozen=True, slots=True)
class Message:
    """One of Lean's messages; `line` counts from 1, `column` code points from 0."""

    severity: str
    text: str
    line: int
    column: int
    kind: str = ""


def messages_of(rows: Iterable[dict[str, Any]]) -> list[Message]:
    """From Lean's own JSON."""
    return [
        Message(m["severity"], m["data"], m["pos"]["line"], m["pos"]["column"], str(m.get("kind", "")))
        for m in rows
    ]


@dataclass(frozen=True, slots=True)
class TracedTactic:
    """A tactic with the states around it, in source order; positions are (line, column) as in Message."""

    tactic: str
    state_before: str
    state_after: str
    start: tuple[int, int]
    end: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of a submission. `proved` is None where a limit or a crash left it open.

    `axioms`: those of the three standard ones that the submission itself names.
    """

    proved: bool | None
    reason: str
    evidence: str = ""
    axioms: tuple[str, ...] = ()


class LeanUnavailable(Exception):
    """This backend cannot work here; the message says what is missing and how to get it."""


class LeanLost(Exception):
    """The Lean process was ended (a limit) or died (a crash): nothing is known about the request."""


class LeanBackend(Protocol):
    """A Lean that checks proofs. Implementations own processes: close them after use."""

    @property
    def name(self) -> str:
        """What a row's provenance calls it."""

    def start(self, theorem: Theorem) -> TacticState:
        """The first state. Raises BadInput where the statement does not elaborate, LeanLost at a limit."""

    def run_tac(self, state: TacticState, tactic: str) -> TacticResult:
        """What `tactic` makes of `state`, which `start` or `run_tac` returned."""

    def check(self, code: str) -> list[Message]:
        """Lean's messages on a whole file. Raises LeanLost at a limit."""

    def trace(self, code: str) -> list[TracedTactic]:
        """The tactics of a whole file with their states. Raises LeanLost at a limit."""

    def audit(self, theorem: Theorem, submission: str) -> Audit:
        """Whether `submission`, a whole file, proves `theorem` by name and statement."""

    def audit_many(self, jobs: Iterable[tuple[Theorem, str]]) -> Iterator[Audit]:
        """The audits of (theorem, submission) pairs, in order. Like `audit`, it raises nothing."""

    def close(self) -> None:
        """End what the backend owns. It may be used again afterwards."""
