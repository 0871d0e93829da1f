"""Step labels by rollouts: the share of completions from a step's end that reach the right answer.

Math-Shepherd's estimate (arXiv 2312.08935), its number of rollouts fixed beforehand. The rollouts are
traces too and are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from ..generators.completion import CompletionSettings, Cut, complete, cuts_of, merge, with_counts
from ..models.policy import Policy
from ..schemas import Generator, Method, Outcome, Seed, Step, Trace, unit_interval
from ..verifiers.base import Verifier

TOO_WEAK = "policy too weak to judge: no rollout succeeds even from the complete right CoT"
UNSOLVED = "policy too weak to judge: no rollout succeeds from the question"


class LabelSettings(BaseModel):
    """How steps are labelled. Of each seed's sampled traces, so many wrong and right ones are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rollouts: int = Field(default=8, ge=0, description="per step; fixed beforehand")
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=256, ge=1)
    wrong_per_seed: int = Field(default=2, ge=0)
    right_per_seed: int = Field(default=1, ge=0)
    threshold: float = Field(default=0.0, ge=0, lt=1, description="a step is right above this share")

    def completion(self, stop: tuple[str, ...]) -> CompletionSettings:
        return CompletionSettings(
            rollouts=self.rollouts,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            from_question=False,
            stop=stop,
        )


@dataclass
class Labelled:
    """Every trace of a shard, labelled ones among them, and what the labels cost."""

    traces: list[Trace] = field(default_factory=list)
    rollouts: int = 0
    tokens: int = 0


def choose(seed_id: str, traces: Sequence[Trace], settings: LabelSettings, run_seed: int) -> list[Trace]:
    """Which of a seed's sampled traces are labelled: well-formed ones, drawn by a key."""
    chosen: list[Trace] = []
    for outcome, k in (
        (Outcome.WRONG, settings.wrong_per_seed),
        (Outcome.CORRECT, settings.right_per_seed),
    ):
        fit = [t for t in traces if t.outcome is outcome and t.error is None and t.answer is not None]
        fit.sort(key=lambda t: unit_interval(run_seed, seed_id, "label", t.trace_id))
        chosen += fit[:k]
    return chosen


def label_shard(
    seeds: Sequence[Seed],
    traces: Sequence[Trace],
    policy: Policy,
    verifier: Verifier,
    settings: LabelSettings,
    run_seed: int,
    *,
    stop: tuple[str, ...] = (),
) -> Labelled:
    """Label the chosen traces of each seed by rollouts from every step that the policy wrote.

    `stop` ends a rollout early, as it ended the completions. Steps copied from the seed take the seed's
    counts. Where the policy cannot finish even the seed's whole CoT, no rollout is spent: the seed's steps
    and those of its chosen traces get a reason instead of a label.
    """
    of_seed: dict[str, list[Trace]] = {s.seed_id: [] for s in seeds}
    for trace in traces:
        of_seed[trace.seed_id].append(trace)
    by_id = {t.trace_id: t for t in traces}
    cuts: list[Cut] = []
    for seed in seeds:
        own, others = by_id.get(seed.seed_id), of_seed[seed.seed_id]
        sampled = [t for t in others if t.generator in _SAMPLED]
        chosen = choose(seed.seed_id, sampled, settings, run_seed)
        if reason := _too_weak(own, sampled):
            measured = [t for t in others if any(s.method is Method.ROLLOUTS for s in t.steps)]
            by_id |= {t.trace_id: _without_label(t, reason) for t in (*chosen, *measured)}
            continue
        for trace in chosen:
            whole = cuts_of(seed, trace, from_question=False)
            cuts.append(Cut(seed, trace, [n for n in whole.after if n > trace.prefix_steps]))
    done = complete(cuts, policy, verifier, settings.completion(stop), run_seed)
    for cut, counts in zip(cuts, done.counts, strict=True):
        by_id[cut.parent.trace_id] = with_counts(cut.parent, counts)
    for trace in traces:
        fresh = by_id[trace.trace_id]
        by_id[trace.trace_id] = _with_seed_counts(fresh, by_id.get(trace.seed_id))
    return Labelled(merge([*by_id.values(), *done.traces]), done.rollouts, done.tokens)


_SAMPLED = {Generator.COMPLETION, Generator.SEARCH}


def _too_weak(own: Trace | None, sampled: Sequence[Trace]) -> str | None:
    """Why the policy cannot judge this seed's traces, or None."""
    if own is None:
        return None
    measured = [s for s in own.steps if s.method is Method.ROLLOUTS]
    if measured:
        return TOO_WEAK if own.outcome is Outcome.CORRECT and measured[-1].n_correct == 0 else None
    fresh = [t for t in sampled if t.prefix_steps == 0]
    return UNSOLVED if fresh and not any(t.outcome is Outcome.CORRECT for t in fresh) else None


def _with_seed_counts(trace: Trace, own: Trace | None) -> Trace:
    """Where a trace is labelled, its copied steps take the counts of the seed's own."""
    labelled = any(s.method is Method.ROLLOUTS for s in trace.steps)
    if own is None or not labelled or trace.trace_id == own.trace_id or not trace.prefix_steps:
        return trace
    copied = tuple(
        step.model_copy(update={"n_rollouts": s.n_rollouts, "n_correct": s.n_correct, "method": s.method})
        for step, s in zip(trace.steps[: trace.prefix_steps], own.steps, strict=False)
    )
    return trace.model_copy(update={"steps": copied + trace.steps[len(copied) :]})


def _without_label(trace: Trace, reason: str) -> Trace:
    """The reason in every step's stead but the last one's, which the answer alone decides."""

    def mark(step: Step) -> Step:
        return step if step.method is Method.INFERRED else step.model_copy(update={"reason": reason})

    return trace.model_copy(update={"steps": tuple(map(mark, trace.steps))})
