"""Labels against values known from elsewhere, and against the laws that they must obey."""

from collections.abc import Sequence
from math import sqrt

import pytest
from cotmill.schemas import Domain, Generator, Judge, Method, Origin, Outcome, Source, Step, Trace
from cotmill.schemas.labels import (
    agreed,
    consensus,
    first_error,
    hard,
    interval,
    opinion,
    soft,
    three_valued,
    wilson,
)
from hypothesis import given
from hypothesis import strategies as st

R, INFERRED = Method.ROLLOUTS, Method.INFERRED
COUNTS = st.integers(0, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
LABELS = st.lists(st.sampled_from([True, False, None]), max_size=8)


def step(
    n_correct: int = 0,
    n: int = 0,
    method: Method | None = R,
    reason: str | None = None,
    judge: int | None = None,
) -> Step:
    opinion = None if judge is None else Judge(label=judge, score=0.9, by="judge")
    return Step(
        start=0,
        end=1,
        origin=Origin.POLICY,
        n_rollouts=n,
        n_correct=n_correct,
        method=method,
        reason=reason,
        judge=opinion,
    )


def trace(*steps: Step, outcome: Outcome = Outcome.UNDECIDED) -> Trace:
    return Trace(
        seed_id="s",
        domain=Domain.MATH,
        question="q",
        text="x" * 9,
        generator=Generator.COMPLETION,
        steps=steps,
        outcome=outcome,
        source=Source(name="test"),
    )


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_published_intervals(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_knows_nothing_without_rollouts() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(COUNTS)
def test_wilson_holds_the_share_and_stays_in_the_unit_interval(count: tuple[int, int]) -> None:
    k, n = count
    low, high = wilson(k, n)
    assert 0 <= low <= high <= 1
    if n:
        assert low <= k / n <= high


@given(COUNTS)
def test_wilson_solves_its_defining_equation(count: tuple[int, int]) -> None:
    """Each end p is where |share - p| = z sqrt(p (1 - p) / n) (Wilson 1927)."""
    k, n = count
    if n:
        for p in wilson(k, n):
            assert abs(k / n - p) == pytest.approx(1.959964 * sqrt(p * (1 - p) / n), abs=1e-9)


@given(COUNTS)
def test_wilson_mirrors_failures_into_successes(count: tuple[int, int]) -> None:
    k, n = count
    low, high = wilson(k, n)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))


@given(st.integers(1, 50), st.integers(2, 10))
def test_wilson_narrows_with_more_rollouts(n: int, times: int) -> None:
    few, many = wilson(n // 2, n), wilson(n // 2 * times, n * times)
    assert many[1] - many[0] < few[1] - few[0]


def test_soft_is_the_success_ratio_of_rollouts() -> None:
    assert soft(step(3, 8)) == 0.375
    assert interval(step(3, 8)) == wilson(3, 8)


@pytest.mark.parametrize("method", [m for m in Method if m is not R] + [None])
def test_soft_is_null_unless_the_number_of_rollouts_was_fixed(method: Method | None) -> None:
    assert soft(step(3, 8, method)) is None
    assert interval(step(3, 8, method)) is None


@pytest.mark.parametrize("bare", [step(0, 0), step(3, 8, reason="policy too weak to judge")])
def test_soft_is_null_without_rollouts_or_with_a_reason(bare: Step) -> None:
    assert soft(bare) is None
    assert interval(bare) is None
    assert three_valued(bare) is None
    assert hard(trace(bare)) == [None]


@pytest.mark.parametrize(
    ("threshold", "labels"),
    [
        (0.0, [False, True, True, True]),
        (0.25, [False, False, True, True]),
        (0.9, [False, False, False, True]),
    ],
)
def test_hard_asks_for_more_than_the_threshold(threshold: float, labels: list[bool]) -> None:
    steps = [step(0, 8), step(2, 8), step(4, 8), step(8, 8)]
    assert hard(trace(*steps), threshold) == labels


@pytest.mark.parametrize(
    ("outcome", "last"), [(Outcome.CORRECT, True), (Outcome.WRONG, False), (Outcome.UNDECIDED, None)]
)
def test_an_inferred_last_step_is_as_right_as_the_answer(outcome: Outcome, last: bool | None) -> None:
    assert hard(trace(step(0, 0, INFERRED), outcome=outcome)) == [last]


def test_the_answer_outweighs_what_the_steps_before_it_imply() -> None:
    mended = trace(step(0, 8), step(0, 0, INFERRED), outcome=Outcome.CORRECT)
    assert hard(mended) == [False, True]
    assert first_error(hard(mended)) is None


def test_inferred_steps_take_what_their_neighbours_imply() -> None:
    gap = step(0, 0, INFERRED)
    assert hard(trace(gap, step(2, 8), gap, step(0, 8), gap)) == [True, True, None, False, False]


def test_a_step_without_any_method_stays_without_a_label() -> None:
    unlabelled = step(0, 0, None)
    assert hard(trace(unlabelled, step(1, 8), unlabelled, outcome=Outcome.CORRECT)) == [None, True, None]


def test_nothing_is_inferred_from_a_step_that_the_policy_could_not_judge() -> None:
    weak = step(4, 8, reason="policy too weak to judge")
    assert hard(trace(step(0, 0, INFERRED), weak)) == [None, None]


def test_a_reason_silences_an_inferred_last_step() -> None:
    last = step(0, 0, INFERRED, reason="policy too weak to judge")
    assert hard(trace(last, outcome=Outcome.CORRECT)) == [None]


@given(st.lists(COUNTS, min_size=1, max_size=6), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_higher_threshold_never_makes_a_step_right(
    counts: Sequence[tuple[int, int]], a: float, b: float
) -> None:
    t = trace(*(step(k, n) for k, n in counts))
    for lax, strict in zip(hard(t, min(a, b)), hard(t, max(a, b)), strict=True):
        assert not (strict and not lax)


@pytest.mark.parametrize(
    ("count", "label"), [((0, 8), -1), ((1, 8), 0), ((3, 8), 0), ((4, 8), 1), ((8, 8), 1), ((1, 1), 1)]
)
def test_three_values(count: tuple[int, int], label: int) -> None:
    assert three_valued(step(*count)) == label


@given(COUNTS)
def test_three_values_and_hard_agree_where_they_must(count: tuple[int, int]) -> None:
    s = step(*count)
    value, [good] = three_valued(s), hard(trace(s))
    assert (value is None) == (good is None)
    if value is not None:
        assert good == (value > -1)


@pytest.mark.parametrize(
    ("labels", "first"),
    [
        ([], None),
        ([True, True], None),
        ([True, False, False], 1),
        ([False], 0),
        ([False, True, True], None),
        ([True, False, True, False, False], 3),
        ([False, True, False, True], None),
        ([None, False, None, False], 1),
        ([False, None, True], None),
        ([None, None], None),
    ],
)
def test_the_first_error_is_the_first_wrong_step_never_mended(
    labels: list[bool | None], first: int | None
) -> None:
    assert first_error(labels) == first


@given(LABELS)
def test_nothing_right_follows_a_first_error_and_something_wrong_stands_there(
    labels: list[bool | None],
) -> None:
    first = first_error(labels)
    if first is None:
        judged = [x for x in labels if x is not None]
        assert not judged or judged[-1]
    else:
        assert labels[first] is False
        assert True not in labels[first:]
        before = [x for x in labels[:first] if x is not None]
        assert not before or before[-1]


@pytest.mark.parametrize(
    ("good", "judge", "agree"),
    [
        (True, 1, True),
        (False, -1, True),
        (True, -1, False),
        (False, 1, False),
        (True, 0, None),
        (None, 1, None),
        (True, None, None),
    ],
)
def test_consensus_needs_two_opinions(good: bool | None, judge: int | None, agree: bool | None) -> None:
    assert consensus(good, step(1, 2, judge=judge)) is agree


@pytest.mark.parametrize("method", [Method.SCAN, Method.BINARY_SEARCH])
def test_counts_that_stopped_early_serve_hard_labels_at_any_alone(method: Method) -> None:
    found, missed = step(1, 3, method), step(0, 8, method)
    assert (soft(found), interval(found), three_valued(found), three_valued(missed)) == (None,) * 4
    assert hard(trace(found, missed)) == [True, False]
    assert hard(trace(found, missed), threshold=0.25) == [None, False]


def test_every_step_of_a_right_answer_is_right_by_inference() -> None:
    """The trace itself is a success from each of its prefixes."""
    gap = step(0, 0, INFERRED)
    assert hard(trace(gap, gap, gap, outcome=Outcome.CORRECT)) == [True, True, True]
    assert hard(trace(gap, gap, gap, outcome=Outcome.WRONG)) == [None, None, False]


def test_a_judges_opinion_is_read_step_by_step() -> None:
    steps = [step(judge=1), step(judge=0), step(judge=-1), step()]
    assert opinion(trace(*steps)) == [True, None, False, None]


@pytest.mark.parametrize(
    ("rollouts", "judge", "agree"),
    [
        ([True, False, False], [True, False, False], True),
        ([False, True, False], [True, True, False], True),
        ([True, True, False], [True, False, False], False),
        ([True, True], [True, True], True),
        ([True, True], [True, False], False),
        ([None, None], [True, False], None),
        ([True, False], [None, None], None),
    ],
)
def test_they_agree_who_name_the_same_first_error(
    rollouts: list[bool | None], judge: list[bool | None], agree: bool | None
) -> None:
    assert agreed(rollouts, judge) is agree
