"""Prefix completion: a CoT is cut after a step and finished by the policy, many times over.

Used twice: to make traces from a seed's CoT and its bare question, and to label the steps of any trace by
the share of its completions that end right (Math-Shepherd, arXiv 2312.08935).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from pydantic import BaseModel, ConfigDict, Field

from ..models.policy import Policy, SampleRequest
from ..schemas import Generator, Method, Outcome, Seed, Step, Trace, markup, rng_key
from ..verifiers.base import Verifier
from .assemble import assemble, decide, open_prefix


class CompletionSettings(BaseModel):
    """How a CoT is completed. `max_tokens` bounds one completion; `stop` strings end it early."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rollouts: int = Field(default=8, ge=0, description="completions per cut; fixed beforehand")
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=256, ge=1)
    from_question: bool = Field(default=True, description="complete the bare question too")
    stop: tuple[str, ...] = ()


@dataclass
class Completions:
    """Completions of several CoTs: distinct traces, and per CoT the counts at each cut.

    `counts[i][cut]` is (n_correct, n_decided) after `cut` steps of the i-th CoT.
    """

    traces: list[Trace] = field(default_factory=list)
    counts: list[dict[int, tuple[int, int]]] = field(default_factory=list)
    rollouts: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Cut:
    """A CoT to be completed after each of `after` steps. `parent` is the trace that it is."""

    seed: Seed
    parent: Trace
    after: Sequence[int]


@dataclass(frozen=True)
class Continuation:
    """`n` completions of a CoT after `after` of its steps, drawn by `key`."""

    seed: Seed
    parent: Trace
    after: int
    n: int
    key: str


def cuts_of(seed: Seed, parent: Trace, *, from_question: bool) -> Cut:
    """Every step boundary that leaves something to complete, and the bare question if asked for."""
    last = max(len(parent.steps), 1)
    return Cut(seed, parent, range(0 if from_question or not parent.steps else 1, last))


def complete(
    cuts: Iterable[Cut], policy: Policy, verifier: Verifier, settings: CompletionSettings, run_seed: int
) -> Completions:
    """Complete every cut `settings.rollouts` times, in one call of the policy.

    Equal texts under one parent become one trace with their `count`. A completion that its policy or
    verifier left undecided is kept, and left out of the counts.
    """
    cuts = list(cuts)
    wanted = [
        Continuation(
            cut.seed,
            cut.parent,
            after,
            settings.rollouts,
            rng_key(run_seed, cut.parent.trace_id, "completion", after),
        )
        for cut in cuts
        for after in cut.after
    ]
    answers = continue_all(wanted, policy, verifier, settings) if settings.rollouts else [[]] * len(wanted)
    made = [trace for traces in answers for trace in traces]
    done = Completions(
        traces=merge(made),
        counts=[{} for _ in cuts],
        rollouts=len(made),
        tokens=sum(t.tokens for t in made),
    )
    owners = ((i, after) for i, cut in enumerate(cuts) for after in cut.after)
    for (i, after), traces in zip(owners, answers, strict=True):
        done.counts[i][after] = successes(traces)
    return done


def continue_all(
    wanted: Sequence[Continuation], policy: Policy, verifier: Verifier, settings: CompletionSettings
) -> list[list[Trace]]:
    """The completions as decided traces, in one call of the policy; `settings.rollouts` plays no part."""
    requests, prefixes = [], []
    for c in wanted:
        spans = [(s.start, s.end) for s in c.parent.steps]
        prefix = open_prefix(c.parent.text, c.parent.acts if policy.writes_tags else (), spans, c.after)
        prefixes.append(prefix or (markup.THINK_START if policy.writes_tags else ""))
        requests.append(
            SampleRequest(
                prompt=policy.prompt(c.seed.question, prefixes[-1]),
                key=c.key,
                n=c.n,
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                stop=settings.stop,
            )
        )
    answers = policy.sample(requests) if requests else []
    traces = decide(
        (
            assemble(
                c.seed,
                prefix + sample.text,
                generator=Generator.COMPLETION,
                prefix_steps=_from_seed(c),
                copied=c.parent.steps[: c.after],
                policy=policy.name,
                policy_hash=policy.hash,
                temperature=settings.temperature,
                key=c.key,
                sample=sample,
                parent_id=c.parent.trace_id,
            )
            for c, prefix, samples in zip(wanted, prefixes, answers, strict=True)
            for sample in samples
        ),
        verifier,
    )
    left = iter(traces)
    return [list(islice(left, len(samples))) for samples in answers]


def successes(traces: Sequence[Trace]) -> tuple[int, int]:
    """How many completions are right, and how many are decided."""
    outcomes = [t.outcome for t in traces]
    return outcomes.count(Outcome.CORRECT), len(outcomes) - outcomes.count(Outcome.UNDECIDED)


def with_counts(trace: Trace, counts: dict[int, tuple[int, int]]) -> Trace:
    """The trace with each step's counts: those of the completions that start at the step's end."""
    steps = [_counted(step, counts.get(i + 1)) for i, step in enumerate(trace.steps)]
    return trace.model_copy(update={"steps": tuple(steps)})


def merge(traces: Iterable[Trace]) -> list[Trace]:
    """Distinct traces in order of first appearance, with how often each appeared."""
    out: dict[str, Trace] = {}
    for trace in traces:
        seen = out.get(trace.trace_id)
        out[trace.trace_id] = (
            seen.model_copy(update={"count": seen.count + trace.count}) if seen is not None else trace
        )
    return list(out.values())


def _from_seed(c: Continuation) -> int:
    """How many of the copied steps are the seed's own."""
    own = c.parent.trace_id == c.seed.seed_id
    return c.after if own else min(c.after, c.parent.prefix_steps)


def _counted(step: Step, count: tuple[int, int] | None) -> Step:
    if count is None or count[1] == 0:
        return step
    return step.model_copy(update={"n_correct": count[0], "n_rollouts": count[1], "method": Method.ROLLOUTS})
