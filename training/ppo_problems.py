"""The problems that rollouts begin at, and which of them an iteration takes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..models.headed import StepsRow
from ..models.policy_value import PolicyValueModel
from ..schemas import BadInput, Domain, content_hash, generator, rng_key, unit_interval
from ..schemas.markup import THINK_START, strip_tags
from .ppo_settings import PPOSettings
from .reader import ShardReader
from .rollouts import Start, start_body


@dataclass(slots=True)
class Problem:
    """A question, its answer (empty where nobody knows), and chains of thought that a search has opened."""

    question: str
    reference: str
    states: list[str] = field(default_factory=list)


class Problems:
    """Problems in keyed order, all of them once before any comes again."""

    def __init__(self, problems: Sequence[Problem], settings: PPOSettings, empty: str) -> None:
        self.problems, self.settings, self.empty = problems, settings, empty
        self._epoch, self._order = -1, list[int]()

    def starts(self, iteration: int, rank: int = 0, world: int = 1) -> list[Start]:
        """Where the rollouts of an iteration begin: a rank's share, `samples` of each problem together."""
        settings = self.settings
        first = iteration * settings.problems
        out = []
        for place in range(first + rank, first + settings.problems, world):
            problem = self._at(place)
            for k in range(settings.samples):
                key = rng_key(settings.seed, content_hash(problem.question), f"ppo {place}", k)
                out.append(Start(problem.question, problem.reference, self._body(problem, key), key))
        return out

    def _at(self, place: int) -> Problem:
        epoch, i = divmod(place, len(self.problems))
        if epoch != self._epoch:
            draw = generator(rng_key(self.settings.seed, "ppo", "problems", epoch))
            self._epoch, self._order = epoch, draw.permutation(len(self.problems)).tolist()
        return self.problems[self._order[i]]

    def _body(self, problem: Problem, key: str) -> str:
        if not problem.states or unit_interval(key, "searched") >= self.settings.from_search:
            return self.empty
        return problem.states[int(unit_interval(key, "state") * len(problem.states))]


def read_problems(
    data: Path, network: PolicyValueModel, settings: PPOSettings, left_out: Counter[str]
) -> list[Problem]:
    """The distinct questions of a run's traces, with the states that its search opened if these are wanted.

    Without an outcome model only questions of mathematics with a reference answer can be rewarded. What can't
    be used is counted in `left_out`. Raises BadInput where nothing is left.
    """
    found: dict[str, Problem] = {}
    refused: dict[str, str] = {}
    for row in ShardReader(data, "traces", ["question", "reference", "domain"]).rows():
        question, reference = row["question"], row["reference"] or ""
        if settings.orm is None and row["domain"] != Domain.MATH:
            refused[question] = "of another domain"
        elif settings.orm is None and not reference:
            refused[question] = "without an answer"
        else:
            found.setdefault(question, Problem(question, reference if row["domain"] == Domain.MATH else ""))
    left_out.update(why for question, why in refused.items() if question not in found)
    if settings.from_search > 0:
        for row in ShardReader(data, "search", ["question", "prefix"]).rows():
            if row["question"] in found and (state := _state(row["prefix"], network, settings)):
                found[row["question"]].states.append(state)
    fits = _fitting(network, [(p.question, start_body(network)) for p in found.values()])
    kept = [p for p, fit in zip(found.values(), fits, strict=True) if fit]
    left_out["beyond the context"] += len(found) - len(kept)
    for problem in kept:
        states = _fitting(network, [(problem.question, s) for s in problem.states])
        problem.states = [s for s, fit in zip(problem.states, states, strict=True) if fit]
    left_out += Counter()  # drops counts of zero
    if not kept:
        raise BadInput(f"holds no problem that can be used (left out: {dict(left_out)})", file=data)
    if settings.from_search > 0 and not any(p.states for p in kept):
        raise BadInput("no searched state that can be used", file=data, field="from_search")
    return kept


def _fitting(network: PolicyValueModel, states: Sequence[tuple[str, str]]) -> list[bool]:
    """Which states leave room in the context for something to be written."""
    encoded = network.encode([StepsRow(q, body, (len(body),)) for q, body in states])
    return [len(e.ids) < network.context for e in encoded]


def _state(prefix: str, network: PolicyValueModel, settings: PPOSettings) -> str | None:
    """A searched prefix as the policy goes on from it; None for one that holds nothing that it can read."""
    if network.input == "markup":
        return prefix if prefix.startswith(THINK_START) and prefix != THINK_START else None
    text = strip_tags(prefix).strip()
    return text + settings.separator if text else None
