import math

import numpy as np
import pytest
from cotmill.training.evaluate_prm import auc, first_below, harmonic_mean, prm_figures
from hypothesis import given
from hypothesis import strategies as st

GRADES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=12)
NAN = float("nan")


def test_auc_by_hand() -> None:
    assert auc([0.9, 0.8], [0.1, 0.2]) == 1.0
    assert auc([0.1], [0.9]) == 0.0
    assert auc([0.3, 0.7], [0.5]) == 0.5
    assert auc([0.5, 0.9], [0.5, 0.1]) == pytest.approx((0.5 + 1 + 1 + 1) / 4)


def test_equal_scores_are_chance() -> None:
    assert auc([0.5] * 7, [0.5] * 3) == 0.5


@given(GRADES, GRADES)
def test_auc_is_the_share_of_won_pairs(above: list[float], below: list[float]) -> None:
    won = sum((a > b) + 0.5 * (a == b) for a in above for b in below)
    assert auc(above, below) == pytest.approx(won / (len(above) * len(below)))


@given(GRADES, GRADES)
def test_auc_turns_over(above: list[float], below: list[float]) -> None:
    assert auc(above, below) + auc(below, above) == pytest.approx(1)


def test_auc_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        auc([], [0.1])


def test_first_step_below_the_threshold() -> None:
    assert first_below([0.9, 0.4, 0.1], 0.5) == 1
    assert first_below([0.5, 0.5], 0.5) == -1
    assert first_below([NAN, 0.2], 0.5) == 1
    assert first_below([], 0.5) == -1


def test_harmonic_mean() -> None:
    assert harmonic_mean(0.5, 1.0) == pytest.approx(2 / 3)
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert harmonic_mean(None, 0.5) is None


def test_figures_by_hand() -> None:
    scores = [
        [0.9, 0.2, 0.1],  # wrong from 1 on: named
        [0.9, 0.8, 0.3],  # wrong from 1 on: named too late
        [0.9, 0.7],  # right: passed
        [0.9, 0.4],  # right: flagged
        [0.6],  # right: passed
    ]
    figures = prm_figures(scores, [1, 1, -1, -1, -1], ["p", "p", "p", "q", "q"], resamples=50)
    assert (figures.n, figures.n_wrong, figures.n_right, figures.n_steps) == (5, 2, 3, 11)
    assert figures.wrong_accuracy == 0.5
    assert figures.right_accuracy == pytest.approx(2 / 3)
    assert figures.f1 == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
    good, bad = [0.9, 0.9, 0.9, 0.7, 0.9, 0.4, 0.6], [0.2, 0.1, 0.8, 0.3]
    assert figures.auc == pytest.approx(np.mean([[a > b for b in bad] for a in good]))
    # Only "p" has good and bad steps: 0.9, 0.9, 0.9, 0.7 against 0.2, 0.1, 0.8, 0.3.
    assert figures.n_problems == 1
    assert figures.auc_within_problem == pytest.approx(15 / 16)


def test_within_a_problem_is_not_the_pooled_auc() -> None:
    """Two problems, each ranked perfectly, on scales that overlap the wrong way."""
    figures = prm_figures([[0.9, 0.6], [0.3, 0.1]], [1, 1], ["easy", "hard"], resamples=20)
    assert figures.auc_within_problem == 1.0
    assert figures.auc == pytest.approx(0.75)


def test_figures_that_the_rows_do_not_allow_are_none() -> None:
    figures = prm_figures([[0.9], [0.8]], [-1, -1], ["a", "b"], resamples=20)
    assert figures.right_accuracy == 1.0
    assert figures.wrong_accuracy is figures.f1 is figures.auc is figures.auc_within_problem is None
    assert figures.f1_interval is figures.auc_interval is None


def test_steps_beyond_the_context_are_counted_and_flag_nothing() -> None:
    figures = prm_figures([[0.9, NAN], [0.9, NAN]], [-1, 1], ["a", "a"], resamples=20)
    assert figures.n_unscored == 2
    assert figures.right_accuracy == 1.0
    assert figures.wrong_accuracy == 0.0
    assert figures.auc is None


def test_intervals_hold_the_figure_and_repeat() -> None:
    rng = np.random.default_rng(0)
    labels = [int(label) for label in rng.integers(-1, 3, 60)]
    scores = [
        [float(np.clip(rng.normal(0.7 if label < 0 or i < label else 0.4, 0.2), 0, 1)) for i in range(3)]
        for label in labels
    ]
    problems = [i // 3 for i in range(60)]
    figures = prm_figures(scores, labels, problems, resamples=200)
    for value, interval in (
        (figures.f1, figures.f1_interval),
        (figures.auc, figures.auc_interval),
        (figures.auc_within_problem, figures.auc_within_problem_interval),
    ):
        assert value is not None
        assert interval is not None
        assert interval[0] < value < interval[1]
    assert prm_figures(scores, labels, problems, resamples=200) == figures
    assert not math.isnan(figures.as_json()["auc"])
