"""How often a policy is right on held-out problems: alone, by vote, reranked by reward models, by search.

Accuracy stands beside the tokens that it cost, and pass@n beside both: what a perfect judge would reach. No
method sees a reference answer: the search is blind, and what it brought forth is verified afterwards.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..generators.assemble import assemble, decide
from ..generators.search import SearchSettings, search_shard
from ..generators.search.judges import prm_scorer
from ..models.network import OutcomeModel, RewardModel
from ..models.policy import Policy, PolicyValue, Sample, SampleRequest
from ..models.pool import members_of
from ..schemas import BadInput, Generator, Outcome, Seed, Trace, markup, rng_key
from ..verifiers.base import Verifier
from .choosing import (
    BASELINES,
    BY_ORM,
    BY_PRM,
    Attempt,
    Choice,
    Interval,
    chosen_right,
    interval,
    pass_at,
)

Method = Literal["greedy", "majority", "logprob", "orm", "prm", "search"]
Report = Callable[[str, int, int], None]
LEVELS = ("easy", "middling", "hard")
_AT_ONCE = 64


class EvaluateSettings(BaseModel):
    """Methods and what they may spend. In `search`, n is the number of simulations per move."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: tuple[Method, ...] = ("greedy", "majority", "logprob")
    n: tuple[Annotated[int, Field(ge=1)], ...] = Field((1, 4, 16), min_length=1)
    temperature: float = Field(0.8, gt=0)
    max_tokens: int = Field(256, ge=1)
    seed: int = Field(0, ge=0)
    resamples: int = Field(2000, ge=1)
    level_samples: int = Field(8, ge=0, description="of their own, that say how hard a problem is")
    search: SearchSettings = SearchSettings(tau=0, rollouts=0, splices=0, parallel=4)


@dataclass(frozen=True, slots=True)
class Point:
    """One method at one n: accuracy and tokens per problem, and how far it is above two baselines.

    `over_greedy` and `over_majority` (at the same n) are paired differences: (mean, low, high), 95%.
    """

    method: str
    n: int
    accuracy: float
    interval: Interval
    tokens: float
    by_level: dict[str, float]
    over_greedy: tuple[float, float, float] | None = None
    over_majority: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All points, how many problems of each level there are, and what could not be searched.

    `right`: of every point ("method@n") how often it was right on each problem, in their order.
    """

    problems: int
    levels: dict[str, int]
    points: tuple[Point, ...]
    failed: dict[str, int] = field(default_factory=dict)
    right: dict[str, tuple[float, ...]] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, Any]:
        """All but what each problem came to."""
        whole = asdict(self)
        del whole["right"]
        return whole


def evaluate(
    problems: Sequence[Seed],
    policy: Policy,
    verifier: Verifier,
    settings: EvaluateSettings,
    *,
    orm: OutcomeModel | None = None,
    prm: RewardModel | None = None,
    levels: Sequence[str] | None = None,
    report: Report = lambda what, done, of: None,
) -> Evaluation:
    """Evaluate a policy on problems, of which only question and answer are read.

    `levels` names each problem's difficulty; by default it is the share of right ones among `level_samples`
    further samples, which no method chooses from: above two thirds easy, below one third hard. `report` hears
    (what, done, of). Raises BadInput where a method lacks its model.
    """
    _check(problems, policy, settings, orm, prm)
    seeds = [s.model_copy(update={"text": "", "acts": (), "steps": ()}) for s in problems]
    most = max(settings.n)
    chosen = _choices(settings)
    attempts = _attempts(seeds, policy, verifier, settings, most, orm, prm, report) if chosen else None
    values: dict[tuple[str, int], NDArray[np.float64]] = {}
    tokens: dict[tuple[str, int], float] = {}
    if attempts is not None:
        mean = float(np.mean([a.tokens for row in attempts for a in row]))
        for n in settings.n:
            values["pass", n] = np.array([pass_at(row, n) for row in attempts])
            tokens["pass", n] = n * mean
            for method, choice in chosen.items():
                values[method, n] = np.array([chosen_right(row, n, choice) for row in attempts])
                tokens[method, n] = n * mean
    if "greedy" in settings.methods:
        greedy = _sampled(seeds, policy, verifier, settings, 1, 0.0, report, "greedy")
        values["greedy", 1] = np.array([float(t.outcome is Outcome.CORRECT) for [(t, _)] in greedy])
        tokens["greedy", 1] = float(np.mean([t.tokens for [(t, _)] in greedy]))
    failed: dict[str, int] = {}
    if "search" in settings.methods:
        for name, given in _searches(policy, settings, prm):
            for n in settings.n:
                run = given.model_copy(update={"simulations": n})
                found = _searched(seeds, policy, verifier, run, settings.seed, prm, report, f"{name}@{n}")
                values[name, n], tokens[name, n] = found.right, found.tokens
                if found.failed:
                    failed[f"{name}@{n}"] = found.failed
    named = levels if levels is not None else _levels(seeds, policy, verifier, settings, report)
    return Evaluation(
        problems=len(seeds),
        levels={level: named.count(level) for level in dict.fromkeys(_ordered(named))},
        points=tuple(_points(values, tokens, list(named), settings.resamples)),
        failed=failed,
        right={f"{method}@{n}": tuple(own.tolist()) for (method, n), own in values.items()},
    )


def _check(
    problems: Sequence[Seed],
    policy: Policy,
    settings: EvaluateSettings,
    orm: OutcomeModel | None,
    prm: RewardModel | None,
) -> None:
    if not problems:
        raise BadInput("no problems to evaluate on")
    if "orm" in settings.methods and orm is None:
        raise BadInput("method orm needs an outcome reward model: give --orm", field="methods")
    if "prm" in settings.methods and prm is None:
        raise BadInput("method prm needs a process reward model: give --prm", field="methods")
    if "search" in settings.methods and prm is None and not isinstance(members_of(policy)[0], PolicyValue):
        raise BadInput("method search needs --prm, or a policy with heads", field="methods")


def _choices(settings: EvaluateSettings) -> dict[str, Choice]:
    chosen: dict[str, Choice] = {n: c for n, c in BASELINES.items() if n in settings.methods}
    chosen |= BY_ORM if "orm" in settings.methods else {}
    return chosen | (BY_PRM if "prm" in settings.methods else {})


def _attempts(
    seeds: Sequence[Seed],
    policy: Policy,
    verifier: Verifier,
    settings: EvaluateSettings,
    n: int,
    orm: OutcomeModel | None,
    prm: RewardModel | None,
    report: Report,
) -> list[list[Attempt]]:
    sampled = _sampled(seeds, policy, verifier, settings, n, settings.temperature, report, "sampling")
    traces = [trace for row in sampled for trace, _ in row]
    by_orm = iter(_by_orm(orm, traces) if orm is not None and "orm" in settings.methods else ())
    by_prm = iter(_by_prm(prm, traces) if prm is not None and "prm" in settings.methods else ())
    return [
        [
            Attempt(
                answer,
                trace.outcome is Outcome.CORRECT,
                trace.tokens,
                sample.logprob,
                next(by_orm, float("nan")),
                next(by_prm, ()),
            )
            for (trace, sample), answer in zip(row, _classes([t for t, _ in row], verifier), strict=True)
        ]
        for row in sampled
    ]


def _sampled(
    seeds: Sequence[Seed],
    policy: Policy,
    verifier: Verifier,
    settings: EvaluateSettings,
    n: int,
    temperature: float,
    report: Report,
    what: str,
) -> list[list[tuple[Trace, Sample]]]:
    """`n` verified traces per problem, with the samples that they are; `what` names the draw."""
    out: list[list[tuple[Trace, Sample]]] = []
    for start in range(0, len(seeds), _AT_ONCE):
        part = seeds[start : start + _AT_ONCE]
        requests = [
            SampleRequest(
                policy.prompt(seed.question),
                rng_key(settings.seed, seed.seed_id, f"evaluate {what}"),
                n=n,
                max_tokens=settings.max_tokens,
                temperature=temperature,
            )
            for seed in part
        ]
        head = markup.THINK_START if policy.writes_tags else ""
        for seed, request, samples in zip(part, requests, policy.sample(requests), strict=True):
            traces = [_trace(seed, head + s.text, policy, temperature, request.key, s) for s in samples]
            out.append(list(zip(decide(traces, verifier), samples, strict=True)))
        report(what, len(out), len(seeds))
    return out


def _trace(seed: Seed, body: str, policy: Policy, temperature: float, key: str, sample: Sample) -> Trace:
    return assemble(
        seed,
        body,
        generator=Generator.COMPLETION,
        prefix_steps=0,
        policy=policy.name,
        policy_hash=policy.hash,
        temperature=temperature,
        key=key,
        sample=sample,
    )


def _classes(traces: Sequence[Trace], verifier: Verifier) -> list[int | None]:
    """Which answers are the same, as the verifier sees it: each joins the first that it equals."""
    known: dict[str, int] = {}
    firsts: list[str] = []
    out: list[int | None] = []
    for trace in traces:
        answer = trace.answer
        if answer is None:
            out.append(None)
            continue
        if answer not in known:
            verdicts = verifier.verify_many([(answer, first) for first in firsts])
            same = (i for i, v in enumerate(verdicts) if v.outcome is Outcome.CORRECT)
            known[answer] = next(same, len(firsts))
            if known[answer] == len(firsts):
                firsts.append(answer)
        out.append(known[answer])
    return out


def _by_orm(orm: OutcomeModel, traces: Iterable[Trace]) -> list[float]:
    marked = orm.input == "markup"
    return orm.score_traces(
        [(t.question, markup.render(t.text, t.acts) if marked and t.acts else t.text) for t in traces]
    )


def _by_prm(prm: RewardModel, traces: Iterable[Trace]) -> list[tuple[float, ...]]:
    rows = [prm.row(t.question, t.text, t.acts, [s.end for s in t.steps]) for t in traces]
    return [tuple(s for s in scores if s == s) for scores in prm.score_steps(rows)]


@dataclass(frozen=True, slots=True)
class _Found:
    right: NDArray[np.float64]
    tokens: float
    failed: int


def _searches(
    policy: Policy, settings: EvaluateSettings, prm: RewardModel | None
) -> list[tuple[str, SearchSettings]]:
    """The searches that the models allow: by the PRM, and by the policy's own P and V."""
    given = settings.search.model_copy(update={"max_tokens": settings.max_tokens})
    found = []
    if prm is not None:
        found.append(("search_prm", given.model_copy(update={"values": "scorer"})))
    if isinstance(members_of(policy)[0], PolicyValue):
        found.append(("search_pv", given.model_copy(update={"values": "head", "priors": "head"})))
    return found


def _searched(
    seeds: Sequence[Seed],
    policy: Policy,
    verifier: Verifier,
    settings: SearchSettings,
    run_seed: int,
    prm: RewardModel | None,
    report: Report,
    what: str,
) -> _Found:
    """One blind game per problem; a game that failed counts as wrong."""
    scorer = prm_scorer(prm) if prm is not None and settings.values == "scorer" else None
    right: list[float] = []
    tokens = failed = 0
    for start in range(0, len(seeds), _AT_ONCE):
        part = seeds[start : start + _AT_ONCE]
        done = search_shard(part, policy, verifier, settings, run_seed, scorer=scorer, blind=True)
        tokens += done.stats.tokens
        failed += len(part) - len(done.played)
        for seed in part:
            trace = done.played.get(seed.seed_id)
            verdict = [] if trace is None else decide([trace], verifier)
            right.append(float(any(t.outcome is Outcome.CORRECT for t in verdict)))
        report(what, len(right), len(seeds))
    return _Found(np.array(right), tokens / len(seeds), failed)


def _levels(
    seeds: Sequence[Seed], policy: Policy, verifier: Verifier, settings: EvaluateSettings, report: Report
) -> list[str]:
    n = settings.level_samples
    if not n:
        return ["all"] * len(seeds)
    sampled = _sampled(seeds, policy, verifier, settings, n, settings.temperature, report, "levels")
    shares = [sum(t.outcome is Outcome.CORRECT for t, _ in row) / n for row in sampled]
    return [LEVELS[0] if s > 2 / 3 else LEVELS[2] if s < 1 / 3 else LEVELS[1] for s in shares]


def _ordered(named: Sequence[str]) -> list[str]:
    return sorted(set(named), key=lambda level: (LEVELS.index(level) if level in LEVELS else -1, level))


def _points(
    values: dict[tuple[str, int], NDArray[np.float64]],
    tokens: dict[tuple[str, int], float],
    levels: list[str],
    resamples: int,
) -> Iterable[Point]:
    at = {level: np.array([x == level for x in levels]) for level in _ordered(levels)}

    def over(own: NDArray[np.float64], base: NDArray[np.float64] | None) -> tuple[float, float, float] | None:
        if base is None or base is own:
            return None
        return float((own - base).mean()), *interval(own - base, resamples)

    for (method, n), own in values.items():
        yield Point(
            method=method,
            n=n,
            accuracy=float(own.mean()),
            interval=interval(own, resamples),
            tokens=tokens[method, n],
            by_level={level: float(own[mask].mean()) for level, mask in at.items()},
            over_greedy=over(own, values.get(("greedy", 1))),
            over_majority=over(own, values.get(("majority", n))),
        )
