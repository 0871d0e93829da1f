"""Votes, reranking and pass@n on attempts whose answers and scores are given."""

from itertools import combinations
from math import nan

import numpy as np
import pytest
from cotmill.training.choosing import (
    BASELINES,
    BY_ORM,
    BY_PRM,
    Attempt,
    chosen_right,
    interval,
    pass_at,
)
from hypothesis import given
from hypothesis import strategies as st


def attempt(answer: int | None, **given: object) -> Attempt:
    return Attempt(answer, answer == 0, **given)  # type: ignore[arg-type]


def test_the_majority_wins_and_ties_go_to_the_first() -> None:
    vote = BASELINES["majority"]
    assert vote([attempt(1), attempt(0), attempt(0)])
    assert not vote([attempt(1), attempt(0), attempt(1), attempt(None)])
    assert not vote([attempt(1), attempt(0)])
    assert vote([attempt(0), attempt(1)])
    assert vote([attempt(None), attempt(None), attempt(0)])
    assert not vote([attempt(None)])


def test_the_best_scored_answer_is_taken_and_an_unscored_one_last() -> None:
    choose = BY_ORM["orm"]
    assert choose([attempt(1, orm=0.2), attempt(0, orm=0.7)])
    assert choose([attempt(None, orm=0.9), attempt(0, orm=0.1)])
    assert choose([attempt(1, orm=nan), attempt(0, orm=0.0)])
    assert not choose([attempt(1, orm=nan), attempt(0, orm=nan)])
    assert BASELINES["logprob"]([attempt(1, logprob=-9.0), attempt(0, logprob=-2.0)])


def test_steps_are_gathered_as_the_method_says() -> None:
    """Last: 0.9 beats 0.8; minimum: 0.5 beats 0.1; product: 0.4 beats 0.09."""
    dip, even = attempt(0, prm=(0.1, 0.9)), attempt(1, prm=(0.5, 0.8))
    assert BY_PRM["prm_last"]([even, dip])
    assert not BY_PRM["prm_min"]([dip, even])
    assert not BY_PRM["prm_product"]([dip, even])
    assert BY_PRM["prm_last"]([attempt(1), dip])  # unscored


def test_a_weighted_vote_adds_up_what_answers_weigh() -> None:
    votes = [attempt(1, prm=(0.8,)), attempt(0, prm=(0.5,)), attempt(0, prm=(0.4,))]
    assert BY_PRM["prm_vote"](votes)
    assert not BY_PRM["prm_vote"](votes[:2])
    assert BY_ORM["orm_vote"]([attempt(1, orm=nan), attempt(0, orm=0.1)])


def test_fewer_attempts_are_the_mean_over_their_groups() -> None:
    row = [attempt(0), attempt(1), attempt(1), attempt(0), attempt(0)]
    assert chosen_right(row, 1, BASELINES["majority"]) == pytest.approx(3 / 5)
    assert chosen_right(row, 2, BASELINES["majority"]) == pytest.approx(1 / 2)
    assert chosen_right(row, 5, BASELINES["majority"]) == 1


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 7))
def test_pass_at_n_is_the_mean_over_all_subsets(right: list[bool], n: int) -> None:
    n = min(n, len(right))
    subsets = [any(subset) for subset in combinations(right, n)]
    attempts = [attempt(0 if r else 1) for r in right]
    assert pass_at(attempts, n) == pytest.approx(sum(subsets) / len(subsets))


@given(st.lists(st.sampled_from([0, 0, 1, 2, None]), min_size=1, max_size=8))
def test_no_choice_beats_pass_at_n(answers: list[int | None]) -> None:
    row = [attempt(a, logprob=-float(i), orm=0.5, prm=(0.5,)) for i, a in enumerate(answers)]
    for choice in (BASELINES | BY_ORM | BY_PRM).values():
        assert choice(row) <= pass_at(row, len(row))


def test_intervals_hold_the_mean_and_shrink() -> None:
    few, many = np.array([0.0, 1.0] * 10), np.array([0.0, 1.0] * 1000)
    (a, b), (c, d) = interval(few, 500), interval(many, 500)
    assert a < 0.5 < b
    assert c < 0.5 < d
    assert d - c < b - a
    assert interval(np.ones(5), 100) == (1, 1)
