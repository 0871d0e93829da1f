"""Step labels by rollouts: how many completions from a step's end reach the right answer.

By brute force, a fixed number from every step (Math-Shepherd, arXiv 2312.08935); by a search for the first
error; or along OmegaPRM's tree. The rollouts are traces too and are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..generators.completion import CompletionSettings, Cut, complete, cuts_of, merge, with_counts
from ..models.policy import Policy
from ..schemas import Generator, Method, Outcome, Seed, Step, Trace, labels, unit_interval
from ..verifiers.base import Verifier
from .first_error import Suspect, find_first_errors, inferred
from .judges import JudgeSettings
from .omegaprm import Tree, TreeSettings, grow_trees
from .opinion import StepJudge, with_opinion

TOO_WEAK = "policy too weak to judge: no rollout succeeds even from the complete right CoT"
UNSOLVED = "policy too weak to judge: no rollout succeeds from the question"


class LabelSettings(BaseModel):
    """How steps are labelled. Of each seed's sampled traces, so many wrong and right ones are.

    `rollouts`: so many from every step. `scan` and `binary_search` look for the first error alone and stop
    at the first success; `first_error` takes the first where fewer than `solve_rate` of the completions of a
    question succeed, else the second. `omegaprm` grows one tree for each question, from all its completions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["rollouts", "first_error", "scan", "binary_search", "omegaprm"] = "rollouts"
    rollouts: int = Field(default=8, ge=0, description="per step; fixed beforehand, or the most of a search")
    solve_rate: float = Field(default=0.3, ge=0, le=1, description="from which on binary search is chosen")
    tree: TreeSettings = TreeSettings()
    judge: JudgeSettings = JudgeSettings()
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
    judge: StepJudge | None = None,
) -> Labelled:
    """Label the chosen traces of each seed by the settings' method, behind what they copy from the seed.

    Where the first error is searched for, an imported trace is chosen itself. `stop` ends a rollout early, as
    it ended the completions. Steps copied from the seed take the seed's counts. Where the policy cannot
    finish even the seed's whole CoT, no rollout is spent: the seed's steps and those of its chosen traces get
    a reason instead of a label. What is labelled, `judge` judges too, also an imported trace that brings its
    counts.
    """
    of_seed: dict[str, list[Trace]] = {s.seed_id: [] for s in seeds}
    for trace in traces:
        of_seed[trace.seed_id].append(trace)
    by_id = {t.trace_id: t for t in traces}
    counted: dict[str, Trace] = {}
    plan = _Plan(settings)
    for seed in seeds:
        own, others = by_id.get(seed.seed_id), of_seed[seed.seed_id]
        sampled = [t for t in others if t.generator in _SAMPLED]
        chosen = choose(seed.seed_id, sampled, settings, run_seed)
        if own is not None and own.generator is Generator.IMPORTED and settings.method in SEARCHES:
            chosen = [own]
        if reason := _too_weak(own, sampled):
            measured = [t for t in others if any(s.method is Method.ROLLOUTS for s in t.steps)]
            by_id |= {t.trace_id: _without_label(t, reason) for t in (*chosen, *measured)}
        else:
            plan.take(seed, own, sampled, chosen)
            if own is not None and own.generator is Generator.IMPORTED and own.measured:
                counted[own.trace_id] = own
    done, labelled = plan.carry_out(policy, verifier, settings.completion(stop), run_seed)
    if judge is not None:
        labelled = counted | labelled
        order = sorted(labelled)
        opinions = judge.opinions([labelled[i] for i in order], traces)
        labelled |= {
            i: with_opinion(labelled[i], said, judge.name) for i, said in zip(order, opinions, strict=True)
        }
    for trace in traces:
        fresh = labelled.get(trace.trace_id, by_id[trace.trace_id])
        # In a tree a prefix is labelled on one trace only.
        copies = settings.method != "omegaprm"
        by_id[trace.trace_id] = _with_seed_counts(fresh, by_id.get(trace.seed_id)) if copies else fresh
    made = (
        labelled[t.trace_id].model_copy(update={"count": t.count}) if t.trace_id in labelled else t
        for t in done.traces
    )
    return Labelled(merge([*by_id.values(), *made]), done.rollouts, done.tokens)


@dataclass
class _Plan:
    """What is to be labelled, by the method of the settings or by the one that fits."""

    settings: LabelSettings
    cuts: list[Cut] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    right: list[Trace] = field(default_factory=list)

    def take(self, seed: Seed, own: Trace | None, sampled: Sequence[Trace], chosen: Sequence[Trace]) -> None:
        if self.settings.method == "rollouts":
            for trace in chosen:
                whole = cuts_of(seed, trace, from_question=False)
                self.cuts.append(Cut(seed, trace, [n for n in whole.after if n > trace.prefix_steps]))
        elif self.settings.method == "omegaprm":
            if own is not None:
                tree = Tree(seed, self.settings.tree)
                tree.plant(own, sampled)
                self.trees.append(tree)
        else:
            method = self._search(sampled)
            self.suspects += [Suspect(seed, t, method) for t in chosen if t.outcome is Outcome.WRONG]
            self.right += [t for t in chosen if t.outcome is Outcome.CORRECT]

    def carry_out(
        self, policy: Policy, verifier: Verifier, settings: CompletionSettings, run_seed: int
    ) -> tuple[Labelled, dict[str, Trace]]:
        """All rollouts with what they cost, and the labelled traces by their ids."""
        done = complete(self.cuts, policy, verifier, settings, run_seed)
        labelled = [
            with_counts(cut.parent, counts) for cut, counts in zip(self.cuts, done.counts, strict=True)
        ]
        made = find_first_errors(self.suspects, policy, verifier, settings, run_seed)
        made += grow_trees(self.trees, policy, verifier, settings, run_seed)
        labelled += [s.labelled for s in self.suspects] + [inferred(t) for t in self.right]
        labelled += [t for tree in self.trees for t in tree.labels.values()]
        cost = Labelled(
            [*done.traces, *made], done.rollouts + len(made), done.tokens + sum(t.tokens for t in made)
        )
        return cost, {t.trace_id: t for t in labelled}

    def _search(self, sampled: Sequence[Trace]) -> Method:
        if self.settings.method != "first_error":
            return Method(self.settings.method)
        rate = solve_rate(sampled)
        return Method.SCAN if rate is None or rate < self.settings.solve_rate else Method.BINARY_SEARCH


def solve_rate(sampled: Sequence[Trace]) -> float | None:
    """The share of a question's own completions that are right; None where there are none."""
    fresh = [t for t in sampled if t.generator is Generator.COMPLETION and not t.prefix_steps]
    decided = sum(t.count for t in fresh if t.outcome is not Outcome.UNDECIDED)
    return sum(t.count for t in fresh if t.outcome is Outcome.CORRECT) / decided if decided else None


SEARCHES = ("first_error", "scan", "binary_search")
_COUNTED = {Method.ROLLOUTS, *labels.EARLY_STOPPED}
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
    labelled = any(s.method in _COUNTED for s in trace.steps)
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
