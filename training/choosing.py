"""Choosing one of several attempts at a problem: vote, rerank, or both; and how sure the figures are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import comb, isnan, prod

import numpy as np
from numpy.typing import NDArray

from ..schemas import generator, rng_key

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sampled trace: its answer's class among the problem's attempts (None: no answer), and its scores.

    Attempts of one class give the same answer. `logprob` is that of the whole text, `orm` the trace's score
    and `prm` its steps'; a score of an unscored one is NaN, and `prm` empty.
    """

    answer: int | None
    right: bool
    tokens: int = 0
    logprob: float = 0.0
    orm: float = float("nan")
    prm: tuple[float, ...] = field(default=())


Choice = Callable[[Sequence[Attempt]], bool]
"""Whether the answer chosen among the attempts is right."""


def best_by(score: Callable[[Attempt], float]) -> Choice:
    """The best scored attempt among those with an answer; the first of equals."""

    def choose(attempts: Sequence[Attempt]) -> bool:
        answered = [a for a in attempts if a.answer is not None]
        return max(answered, key=lambda a: _known(score(a))).right if answered else False

    return choose


def vote_by(weight: Callable[[Attempt], float]) -> Choice:
    """The answer with the largest sum of weights; of equals the one given first."""

    def choose(attempts: Sequence[Attempt]) -> bool:
        weights: dict[int, float] = {}
        for a in attempts:
            if a.answer is not None:
                own = weight(a)
                weights[a.answer] = weights.get(a.answer, 0.0) + (0.0 if isnan(own) else own)
        if not weights:
            return False
        chosen = max(weights, key=weights.__getitem__)
        return next(a.right for a in attempts if a.answer == chosen)

    return choose


def last(a: Attempt) -> float:
    return a.prm[-1] if a.prm else float("nan")


def least(a: Attempt) -> float:
    return min(a.prm) if a.prm else float("nan")


def product(a: Attempt) -> float:
    return prod(a.prm) if a.prm else float("nan")


BASELINES: dict[str, Choice] = {
    "majority": vote_by(lambda _: 1.0),
    "logprob": best_by(lambda a: a.logprob),
}
BY_ORM: dict[str, Choice] = {"orm": best_by(lambda a: a.orm), "orm_vote": vote_by(lambda a: a.orm)}
BY_PRM: dict[str, Choice] = {
    "prm_last": best_by(last),
    "prm_min": best_by(least),
    "prm_product": best_by(product),
    "prm_vote": vote_by(least),
}


CHOICES = BASELINES | BY_ORM | BY_PRM


def chosen_right(attempts: Sequence[Attempt], n: int, choice: Choice) -> float:
    """How often `n` attempts lead to a right answer: the mean over the groups of n that there are."""
    groups = [attempts[i : i + n] for i in range(0, len(attempts) - n + 1, n)]
    return sum(choice(group) for group in groups) / len(groups)


def pass_at(attempts: Sequence[Attempt], n: int) -> float:
    """The unbiased estimate of the chance that one of `n` attempts is right (Chen et al., 2107.03374)."""
    total, right = len(attempts), sum(a.right for a in attempts)
    return 1.0 - comb(total - right, n) / comb(total, n)


def interval(values: NDArray[np.float64], resamples: int) -> Interval:
    """The 95% bootstrap interval of a mean over problems; all figures share their resamples."""
    n = len(values)
    draw = generator(rng_key(0, "evaluate", "bootstrap"))
    means = [float(values[draw.integers(0, n, n)].mean()) for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _known(score: float) -> float:
    return -float("inf") if isnan(score) else score
