"""Step labels against the truth, by method and budget: the embedded policy on held-out family problems.

    python benchmarks/labels.py

Truth is the families' step checker. Every method labels the same wrong solutions, chosen as a run chooses
them. Tokens are those that the policy writes for a method, and those that a judge reads; what a rollout reads
before it writes is counted for no method. No timing: a busy machine changes nothing.
"""

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import torch
from cotmill.generators import families
from cotmill.generators.assemble import decide, seed_trace
from cotmill.generators.completion import CompletionSettings, complete, cuts_of, merge, with_counts
from cotmill.labelers.contrast import ContrastJudge
from cotmill.labelers.judges import RewardJudge
from cotmill.labelers.opinion import StepJudge, with_opinion
from cotmill.labelers.rollouts import LabelSettings, choose, label_shard, solve_rate
from cotmill.labelers.truth import Truth, compare
from cotmill.models.local import LocalPolicy
from cotmill.models.network import RewardModel
from cotmill.models.policy import Policy, Sample, SampleRequest
from cotmill.schemas import Generator, Method, Outcome, Seed, Trace
from cotmill.schemas.labels import EARLY_STOPPED, agreed, first_error, hard, opinion
from cotmill.verifiers.math import MathVerifier

SEEDS, ROLLOUTS, TEMPERATURE, MAX_TOKENS, RUN_SEED = 80, 8, 0.7, 200, 13
BRUTE, SEARCHES = (2, 8), (1, 2, 4, 8)
Name = Callable[[Trace], int | None]


class Counted:
    """A policy that counts the tokens it is given to read for their log-probabilities."""

    def __init__(self, policy: LocalPolicy) -> None:
        self.policy, self.read = policy, 0
        self.name, self.hash, self.writes_tags = policy.name, policy.hash, policy.writes_tags
        self.prompt = policy.prompt

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        return self.policy.sample(requests)

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        texts = [*prompts, *(c for cs in continuations for c in cs)]
        self.read += sum(map(len, self.policy.tokenizer(texts, add_special_tokens=False).input_ids))
        return self.policy.logprobs(prompts, continuations)


@dataclass(frozen=True)
class Line:
    """One method at one budget: of `n` wrong solutions, whose first error it names, for how many tokens."""

    method: str
    budget: str
    n: int
    named: int
    exact: int
    near: int
    tokens: float

    @property
    def share(self) -> float:
        return self.exact / self.n

    @property
    def per_mtok(self) -> float:
        return 1e6 * self.exact / self.tokens if self.tokens else float("inf")

    def __str__(self) -> str:
        per = f"{self.per_mtok:,.0f}" if self.tokens else "-"
        shown = (f"{x:.3f}" for x in (self.named / self.n, self.share, self.near / self.n))
        of_named = f"{self.exact / self.named:.3f}" if self.named else "-"
        cells = (self.method, self.budget, *shown, of_named, f"{self.tokens / self.n:,.0f}", per)
        return "| " + " | ".join(cells) + " |"


HEAD = "| method | budget | named | exact | within one | exact of named | tokens | exact per million tokens |"


def generated(seeds: Sequence[Seed], policy: Policy, verifier: MathVerifier) -> list[Trace]:
    """What a run's first stage makes of the seeds."""
    own = decide(map(seed_trace, seeds), verifier)
    cuts = [cuts_of(s, t, from_question=True) for s, t in zip(seeds, own, strict=True)]
    settings = CompletionSettings(rollouts=ROLLOUTS, temperature=TEMPERATURE, max_tokens=MAX_TOKENS)
    done = complete(cuts, policy, verifier, settings, RUN_SEED)
    return merge([*map(with_counts, own, done.counts), *done.traces])


def true_first_error(trace: Trace) -> int | None:
    truth = families.check(trace.question, trace.text)
    return truth.first_error if truth and len(truth.clean) == len(trace.steps) else None


def by_labels(trace: Trace) -> int | None:
    return first_error(hard(trace))


def by_judge(trace: Trace) -> int | None:
    return first_error(opinion(trace))


def by_both(trace: Trace) -> int | None:
    return by_judge(trace) if agreed(hard(trace), opinion(trace)) else None


def both_said(labelled: Trace, judged: Trace) -> Trace:
    """The labels of one and the opinions of the other; both are the same trace."""
    steps = zip(labelled.steps, judged.steps, strict=True)
    joined = tuple(mine.model_copy(update={"judge": other.judge}) for mine, other in steps)
    return labelled.model_copy(update={"steps": joined})


def line(method: str, budget: str, suspects: Iterable[Trace], named: Name, tokens: float) -> Line:
    pairs = [(named(t), true_first_error(t)) for t in suspects]
    return Line(
        method,
        budget,
        len(pairs),
        sum(said is not None for said, _ in pairs),
        sum(said == true for said, true in pairs),
        sum(said is not None and true is not None and abs(said - true) <= 1 for said, true in pairs),
        tokens,
    )


class Bench:
    """The traces, the wrong ones that are labelled, and how each method labels them."""

    def __init__(self) -> None:
        self.policy = LocalPolicy.load(str(files("cotmill.models") / "embedded"), device="cpu")
        self.verifier = MathVerifier()
        self.seeds = [families.seed_at(RUN_SEED, i, levels=(1, 2), heldout=True) for i in range(SEEDS)]
        self.traces = generated(self.seeds, self.policy, self.verifier)
        self.ids: set[str] = set()

    def label(self, **settings: object) -> tuple[list[Trace], int, int]:
        """All traces as the method leaves them, and the tokens and rollouts that it took."""
        given = {"temperature": TEMPERATURE, "max_tokens": MAX_TOKENS, "right_per_seed": 0} | settings
        chosen = LabelSettings.model_validate(given)
        done = label_shard(self.seeds, self.traces, self.policy, self.verifier, chosen, RUN_SEED)
        return done.traces, done.tokens, done.rollouts

    def suspects(self, traces: Iterable[Trace]) -> list[Trace]:
        """The wrong solutions with a first error; brute force decides which the policy can judge."""
        traces = list(traces)
        if not self.ids:
            self.ids = {
                t.trace_id
                for t in traces
                if t.outcome is Outcome.WRONG
                and t.trace_id != t.seed_id
                and t.measured
                and not any(s.reason for s in t.steps)
                and true_first_error(t) is not None
            }
        return [t for t in traces if t.trace_id in self.ids]

    def right(self) -> list[Trace]:
        """One right solution of each question, as a run chooses them to be judged too."""
        settings = LabelSettings(wrong_per_seed=0)
        of_seed: dict[str, list[Trace]] = {s.seed_id: [] for s in self.seeds}
        for trace in self.traces:
            if trace.generator is Generator.COMPLETION:
                of_seed[trace.seed_id].append(trace)
        return [t for key, some in of_seed.items() for t in choose(key, some, settings, RUN_SEED)]

    def judged(self, traces: Sequence[Trace], judge: StepJudge, pool: Sequence[Trace]) -> list[Trace]:
        said = judge.opinions(traces, pool)
        return [with_opinion(t, o, judge.name) for t, o in zip(traces, said, strict=True)]


def tree(bench: Bench) -> tuple[Line, float]:
    """OmegaPRM on every question, and its rollouts per distinct labelled prefix."""
    traces, tokens, rollouts = bench.label(method="omegaprm", rollouts=8, tree={"searches": 4})
    before = {t.trace_id: t for t in bench.traces}
    mine = [t for t in traces if t.steps != getattr(before.get(t.trace_id), "steps", None) and t.measured]
    prefixes = {(t.question, t.text[: s.end]) for t in mine for s in t.steps if s.method is Method.ROLLOUTS}
    wrong = [t for t in mine if t.outcome is Outcome.WRONG and true_first_error(t) is not None]
    return line("OmegaPRM tree", "4 searches, k = 8", wrong, by_labels, tokens), rollouts / len(prefixes)


def by_solve_rate(bench: Bench, scan: Sequence[Trace], halved: Sequence[Trace]) -> None:
    rates = {s.seed_id: solve_rate([t for t in bench.traces if t.seed_id == s.seed_id]) for s in bench.seeds}
    print("\n| solve rate | solutions | scan: exact, rollouts | binary search: exact, rollouts |")
    print("|---|---|---|---|")
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.01)):
        cells = []
        for traces in (scan, halved):
            some = [t for t in traces if low <= (rates[t.seed_id] or 0.0) < high]
            exact = sum(by_labels(t) == true_first_error(t) for t in some) / max(1, len(some))
            early = [s for t in some for s in t.steps if s.method in EARLY_STOPPED]
            cells.append(f"{exact:.2f}, {sum(s.n_rollouts for s in early) / max(1, len(some)):.1f}")
        print(f"| {low:.1f} to {min(high, 1):.1f} | {len(some)} | {cells[0]} | {cells[1]} |")


def main() -> None:
    torch.set_num_threads(1)
    bench = Bench()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {versions}; embedded policy {bench.policy.hash[:12]}"
    )
    lines: list[Line] = []
    truth = Truth()
    for k in sorted(BRUTE, reverse=True):
        traces, tokens, _ = bench.label(method="rollouts", rollouts=k)
        lines.insert(0, line("brute force", f"k = {k}", bench.suspects(traces), by_labels, tokens))
        if k == 8:
            brute = lines[0]
            truth = compare(bench.suspects(traces))
    kept: dict[str, list[Trace]] = {}
    for method in ("scan", "binary_search", "first_error"):
        for k in SEARCHES if method != "first_error" else (4,):
            traces, tokens, _ = bench.label(method=method, rollouts=k)
            found = bench.suspects(traces)
            lines.append(line(method, f"k = {k}", found, by_labels, tokens))
            if k == 4:
                kept[method] = found
    plain = bench.suspects(bench.traces)
    prm = RewardModel.load(str(files("cotmill.models") / "embedded_prm"), "cpu")
    read = sum(len(e.ids) for e in prm.encode([RewardJudge(prm, "prm").row(t) for t in plain]))
    lines.append(line("shipped PRM", "", bench.judged(plain, RewardJudge(prm, "prm"), ()), by_judge, read))
    judge = Counted(bench.policy)
    right = bench.right()
    for budget, read_too, pool in (
        ("surprise alone", (), ()),
        ("surprise alone, fitted", right, ()),
        ("fitted", right, bench.traces),
        ("", (), bench.traces),
    ):
        judge.read = 0
        opinions = bench.judged([*plain, *read_too], ContrastJudge(judge), pool)[: len(plain)]
        lines.append(line("contrast judge", budget, opinions, by_judge, judge.read))
    best = lines[-1]
    both = [both_said(t, o) for t, o in zip(kept["scan"], opinions, strict=True)]
    scan = next(x for x in lines if (x.method, x.budget) == ("scan", "k = 4"))
    lines.append(line("consensus", "contrast judge and scan, k = 4", both, by_both, judge.read + scan.tokens))
    grown, per_prefix = tree(bench)
    lines.append(grown)
    print(f"{best.n} wrong solutions of {SEEDS} questions (the tree has its own: {grown.n})\n")
    print(HEAD, "|---" * HEAD.count(" | ") + "|---|", *lines, sep="\n")
    by_solve_rate(bench, kept["scan"], kept["binary_search"])
    result = {
        "first_errors_per_mtok_ratio": round(best.per_mtok / brute.per_mtok, 2),
        "exact_share": round(best.share, 4),
        "brute_exact_share": round(brute.share, 4),
        "rollouts_per_prefix": round(per_prefix, 2),
        "q_calibration_error": round(truth.calibration_error or 0.0, 4),
    }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
