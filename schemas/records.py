"""The records everyone shares. All are frozen; every character offset counts code points, end exclusive."""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .ids import content_hash

SCHEMA_VERSION = 1


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Domain(StrEnum):
    MATH = "math"
    CODE = "code"
    LEAN = "lean"
    OPEN = "open"


class Outcome(StrEnum):
    CORRECT = "correct"
    WRONG = "wrong"
    UNDECIDED = "undecided"


class Generator(StrEnum):
    """Where a trace comes from."""

    HUMAN = "human"
    FAMILY = "family"
    IMPORTED = "imported"
    COMPLETION = "completion"
    SEARCH = "search"
    CODE_REVERSE = "code_reverse"
    LEAN_REVERSE = "lean_reverse"


class Origin(StrEnum):
    """Who wrote a step."""

    HUMAN = "human"
    POLICY = "policy"
    PROGRAM = "program"
    PROOF = "proof"


class Method(StrEnum):
    """How a step's counts were obtained. Only ROLLOUTS fixes their number beforehand."""

    ROLLOUTS = "rollouts"
    BINARY_SEARCH = "binary_search"
    SCAN = "scan"
    PROOF = "proof"
    EXECUTION = "execution"
    INFERRED = "inferred"


class Verdict(Record):
    """What a verifier says. A timeout, a crash of the verifier or a parse failure is `undecided`."""

    outcome: Outcome
    reason: str
    evidence: str = ""


class ActSpan(Record):
    """One thinking factor: `text[start:end]` performs `act`; `score` in [0, 1], 1 where a person tagged."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    act: str
    score: float = Field(default=1.0, ge=0.0, le=1.0)


class Judge(Record):
    """An opinion on one step: wrong (-1), neutral (0), right (1), its score, and who gave it."""

    label: int = Field(ge=-1, le=1)
    score: float
    by: str


class RoundTrip(Record):
    """Programs that `policy` wrote from a CoT's words (from a prefix of it) alone: `n_correct` of
    `n_rollouts` pass the tests, their number fixed beforehand. For a Lean proof, tries at its tactics: those
    that close the goal (that Lean takes up to a step's end)."""

    n_rollouts: int = Field(ge=0)
    n_correct: int = Field(ge=0)
    policy: str


class Step(Record):
    """One step and the evidence about it: of `n_rollouts` from its end, `n_correct` ended right.

    A checked step (`proof`, `execution`) counts as one rollout; an `inferred` one has none.
    `reason` says why a step has no label (for instance a policy too weak to judge it); `evidence`, what its
    claims rest on, where that is known step by step.
    """

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    origin: Origin
    n_rollouts: int = Field(default=0, ge=0)
    n_correct: int = Field(default=0, ge=0)
    method: Method | None = None
    judge: Judge | None = None
    reason: str | None = None
    round_trip: RoundTrip | None = None
    evidence: str | None = None

    @model_validator(mode="after")
    def _counts(self) -> Self:
        if self.n_correct > self.n_rollouts:
            raise ValueError(f"n_correct {self.n_correct} exceeds n_rollouts {self.n_rollouts}")
        return self


class Source(Record):
    """Where a row was read: a data set's or file's name (no path), its row from 1, its licence."""

    name: str
    row: int = 0
    licence: str = ""


class Provenance(Record):
    """How a trace was made: enough to make it again."""

    policy: str = ""
    policy_hash: str = ""
    temperature: float | None = None
    rng_key: str = ""
    parent_id: str = ""
    verifier: str = ""
    config_hash: str = ""
    code_version: str = ""


class Seed(Record):
    """A question with its answer and, where somebody wrote one, the CoT; `acts` may be empty (untagged)."""

    question: str = Field(min_length=1)
    answer: str
    text: str = ""
    acts: tuple[ActSpan, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()
    domain: Domain = Domain.MATH
    generator: Generator = Generator.HUMAN
    origin: Origin = Origin.HUMAN
    source: Source

    @property
    def seed_id(self) -> str:
        """The id of the seed's own trace."""
        return trace_id(self.question, self.text, self.generator)


class Trace(Record):
    """A chain of thought with everything known about it: a human's, a rollout, a search path, a reversal."""

    seed_id: str
    domain: Domain
    question: str
    text: str
    generator: Generator
    steps: tuple[Step, ...] = ()
    acts: tuple[ActSpan, ...] = ()
    answer: str | None = None
    reference: str | None = None
    outcome: Outcome = Outcome.UNDECIDED
    evidence: str = ""
    prefix_steps: int = 0
    summary: str | None = None
    tokens: int = 0
    error: str | None = None
    count: int = 1
    round_trip: RoundTrip | None = None
    source: Source
    provenance: Provenance = Provenance()

    @property
    def trace_id(self) -> str:
        return trace_id(self.question, self.text, self.generator, self.provenance.parent_id)

    @property
    def measured(self) -> bool:
        """Whether a step has a label, or a reason for none, beyond what the answer says of the last."""
        return any(s.n_rollouts or s.reason for s in self.steps) or any(s.method for s in self.steps[:-1])

    @property
    def reward(self) -> int | None:
        """The outcome reward: +1, -1, or null where nobody knows."""
        return {Outcome.CORRECT: 1, Outcome.WRONG: -1, Outcome.UNDECIDED: None}[self.outcome]


class Candidate(Record):
    """One best-of-N segment under an action, with its judge's score and the name of the policy it is by."""

    action: str
    text: str
    score: float | None = None
    chosen: bool = False
    policy: str | None = None


class SearchState(Record):
    """A searched state: visit counts and values per action, and how its game ended. Lists are aligned."""

    trace_id: str
    seed_id: str
    question: str
    prefix: str
    action_kind: str
    actions: tuple[str, ...]
    prior: tuple[float, ...]
    visits: tuple[int, ...]
    pi: tuple[float, ...]
    q: tuple[float, ...]
    chosen: str
    candidates: tuple[Candidate, ...] = ()
    value: int | None
    depth: int

    @property
    def state_id(self) -> str:
        return content_hash("state", self.trace_id, self.prefix, self.action_kind)


def trace_id(question: str, text: str, generator: str, parent_id: str = "") -> str:
    """The id of a trace: its content and its parent, nothing else."""
    return content_hash("trace", question, text, str(generator), parent_id)
