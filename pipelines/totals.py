"""What a run did, in numbers that add up over shards."""

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from ..labelers.truth import Truth, compare
from ..schemas import Trace

Counts = dict[str, int]


class Totals(BaseModel):
    """Counts of one shard, or of a whole run."""

    model_config = ConfigDict(extra="forbid")

    seeds: int = 0
    traces: dict[str, Counts] = Field(default_factory=dict, description="generator -> outcome -> rows")
    sampled: int = Field(default=0, description="completions drawn from the policy, equal ones counted")
    tokens: int = Field(default=0, description="tokens that the policy wrote")
    label_rollouts: int = 0
    steps: Counts = Field(default_factory=dict, description="method -> steps")
    unlabelled: Counts = Field(default_factory=dict, description="reason -> steps without a label")
    acts: Counts = Field(default_factory=dict)
    act_outcomes: dict[str, Counts] = Field(default_factory=dict, description="act -> outcome -> traces")
    errors: Counts = Field(default_factory=dict, description="what went wrong in traces -> rows")
    rejected: Counts = Field(default_factory=dict, description="reason -> rows dropped")
    solve_rates: Counts = Field(default_factory=dict, description="share solved -> questions")
    search_states: int = 0
    engine: Counts = Field(default_factory=dict, description="models.work.Work of local policies")
    server: Counts = Field(default_factory=dict, description="tokens, as a model server counts them")
    truth: Truth = Field(default_factory=Truth, description="of the steps that a policy wrote")
    seed_truth: Truth = Field(default_factory=Truth, description="of the seeds' own steps")

    def add(self, other: "Totals") -> "Totals":
        return Totals(
            seeds=self.seeds + other.seeds,
            traces=_nested(self.traces, other.traces),
            sampled=self.sampled + other.sampled,
            tokens=self.tokens + other.tokens,
            label_rollouts=self.label_rollouts + other.label_rollouts,
            steps=_plus(self.steps, other.steps),
            unlabelled=_plus(self.unlabelled, other.unlabelled),
            acts=_plus(self.acts, other.acts),
            act_outcomes=_nested(self.act_outcomes, other.act_outcomes),
            errors=_plus(self.errors, other.errors),
            rejected=_plus(self.rejected, other.rejected),
            solve_rates=_plus(self.solve_rates, other.solve_rates),
            search_states=self.search_states + other.search_states,
            engine=_plus(self.engine, other.engine),
            server=_plus(self.server, other.server),
            truth=self.truth.add(other.truth),
            seed_truth=self.seed_truth.add(other.seed_truth),
        )

    def count(self, traces: Iterable[Trace]) -> None:
        """Count these traces, their steps and acts."""
        by_generator: dict[str, Counter[str]] = {}
        by_act: dict[str, Counter[str]] = {}
        steps, unlabelled, acts, errors = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        for t in traces:
            by_generator.setdefault(t.generator, Counter())[t.outcome] += 1
            for step in t.steps if t.measured else ():
                if step.reason:
                    unlabelled[step.reason] += 1
                elif step.method:
                    steps[step.method] += 1
            acts.update(a.act for a in t.acts)
            for act in {a.act for a in t.acts}:
                by_act.setdefault(act, Counter())[t.outcome] += 1
            if t.error:
                errors[t.error.partition(":")[0]] += 1
        self.traces = _nested(self.traces, by_generator)
        self.act_outcomes = _nested(self.act_outcomes, by_act)
        self.steps = _plus(self.steps, steps)
        self.unlabelled = _plus(self.unlabelled, unlabelled)
        self.acts = _plus(self.acts, acts)
        self.errors = _plus(self.errors, errors)

    def recounted(self, traces: Sequence[Trace], threshold: float) -> "Totals":
        """What it cost as it was, and counts of these traces alone."""
        cost = {"seeds", "sampled", "tokens", "label_rollouts", "rejected", "search_states"}
        cost |= {"engine", "server"}
        out = Totals(**self.model_dump(include=cost))
        out.count(traces)
        out.hold_against_truth(traces, threshold)
        return out

    def hold_against_truth(self, traces: Sequence[Trace], threshold: float) -> None:
        """Compare the labels with what the families' step checker knows."""
        self.truth = compare(traces, threshold)
        self.seed_truth = compare(traces, threshold, seeds=True)


def total(parts: Sequence[Totals]) -> Totals:
    whole = Totals()
    for part in parts:
        whole = whole.add(part)
    return whole


def _plus(a: Counts, b: Counts) -> Counts:
    return {k: a.get(k, 0) + b.get(k, 0) for k in sorted({*a, *b})}


def _nested(a: dict[str, Counts], b: dict[str, Counts] | dict[str, Counter[str]]) -> dict[str, Counts]:
    return {k: _plus(a.get(k, {}), dict(b.get(k, {}))) for k in sorted({*a, *b})}
