"""Labels held against the step checker: counts that a reader can check by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
from cotmill.generators import families
from cotmill.labelers.truth import BINS, Truth, compare
from cotmill.schemas import Domain, Generator, Method, Origin, Outcome, Source, Step, Trace, split_steps
from hypothesis import given
from hypothesis import strategies as st

# The second line is wrong and never mended: clean, not clean, not clean, not clean.
QUESTION = "Evaluate 2*(19+11)+4*3."
WRONG = "19+11=30\n2*30=50\n4*3=12\n50+12=62\nThe answer is 62."
RIGHT = "19+11=30\n2*30=60\n4*3=12\n60+12=72\nThe answer is 72."
MENDED = "19+11=30\n2*30=50\nNo, 2*30=60.\n4*3=12\n60+12=72\nThe answer is 72."

COUNT = st.integers(0, 40)
TRUTHS = st.builds(
    Truth,
    **{name: COUNT for name in Truth.model_fields if name != "bins"},
    bins=st.lists(st.tuples(COUNT, st.floats(0, 40), COUNT), min_size=BINS, max_size=BINS),
)


def trace(text: str, counts: Sequence[tuple[int, int]], question: str = QUESTION, **given: Any) -> Trace:
    """Every step but the last has counts (n_correct, n_rollouts); the last is inferred."""
    spans = split_steps(text)
    assert len(counts) == len(spans) - 1
    steps = [
        Step(start=a, end=b, origin=Origin.POLICY, n_correct=k, n_rollouts=n, method=Method.ROLLOUTS)
        for (a, b), (k, n) in zip(spans, counts, strict=False)
    ]
    a, b = spans[-1]
    steps.append(Step(start=a, end=b, origin=Origin.POLICY, method=Method.INFERRED))
    given = {"outcome": Outcome.CORRECT if text.endswith("72.") else Outcome.WRONG} | given
    return Trace(
        seed_id="s",
        domain=Domain.MATH,
        question=question,
        text=text,
        generator=Generator.COMPLETION,
        steps=tuple(steps),
        source=Source(name="test"),
        **given,
    )


def kinds(t: Truth) -> tuple[int, int, int, int]:
    return t.true_positive, t.false_positive, t.true_negative, t.false_negative


def test_the_checker_knows_these_texts() -> None:
    assert families.check(QUESTION, RIGHT).first_error is None  # type: ignore[union-attr]
    wrong, mended = families.check(QUESTION, WRONG), families.check(QUESTION, MENDED)
    assert wrong is not None
    assert mended is not None
    assert (wrong.clean, wrong.first_error) == ((True, False, False, False, False), 1)
    assert (mended.clean[1], mended.clean[2:], mended.first_error) == (False, (True,) * 4, None)


@pytest.mark.parametrize(
    ("counts", "found", "exact", "near"),
    [
        ([(8, 8), (0, 8), (0, 8), (0, 8)], (1, 0, 3, 0), 1, 1),
        ([(8, 8), (3, 8), (0, 8), (0, 8)], (1, 1, 2, 0), 0, 1),
        ([(8, 8), (3, 8), (3, 8), (0, 8)], (1, 2, 1, 0), 0, 0),
        ([(0, 8), (0, 8), (0, 8), (0, 8)], (0, 0, 3, 1), 0, 1),
        ([(8, 8), (1, 8), (1, 8), (1, 8)], (1, 3, 0, 0), 0, 0),
    ],
)
def test_steps_and_first_errors_are_counted(
    counts: list[tuple[int, int]], found: tuple[int, ...], exact: int, near: int
) -> None:
    t = compare([trace(WRONG, counts)])
    assert kinds(t) == found
    assert (t.wrong_traces, t.first_error_exact, t.first_error_near) == (1, exact, near)


def test_right_and_mended_traces_have_no_first_error_to_name() -> None:
    t = compare([trace(RIGHT, [(8, 8)] * 4), trace(MENDED, [(8, 8), (0, 8), (8, 8), (8, 8), (8, 8)])])
    assert kinds(t) == (8, 0, 1, 0)
    assert t.wrong_traces == 0
    assert (t.exact_share, t.near_share) == (None, None)


def test_a_right_answer_over_an_unmended_error_is_no_wrong_trace() -> None:
    lucky = WRONG.replace("62", "72")
    assert compare([trace(lucky, [(8, 8)] * 4)]).wrong_traces == 0


def test_the_threshold_is_the_labels_own() -> None:
    counts = [(8, 8), (3, 8), (0, 8), (0, 8)]
    assert kinds(compare([trace(WRONG, counts)], 0.5)) == (1, 0, 3, 0)


def test_q_is_counted_in_fifths_with_how_many_are_clean() -> None:
    t = compare([trace(WRONG, [(8, 8), (1, 8), (2, 8), (4, 8)])])
    assert t.bins == [(1, 0.125, 0), (1, 0.25, 0), (1, 0.5, 0), (0, 0.0, 0), (1, 1.0, 1)]
    assert t.calibration_error == pytest.approx((0.125 + 0.25 + 0.5 + 0) / 4)


@pytest.mark.parametrize(
    "t",
    [
        trace(WRONG, [(8, 8)] * 4, question="What is the capital of France?"),
        trace(WRONG, [(8, 8)] * 4).model_copy(update={"steps": ()}),
    ],
    ids=["another question", "no steps"],
)
def test_what_the_checker_does_not_know_is_passed_over(t: Trace) -> None:
    assert compare([t]) == Truth()


def test_steps_without_a_label_are_passed_over() -> None:
    t = trace(WRONG, [(8, 8), (0, 8), (0, 8), (0, 8)])
    silent = t.model_copy(
        update={"steps": tuple(s.model_copy(update={"reason": "too weak"}) for s in t.steps)}
    )
    assert compare([silent]) == Truth()
    one = t.model_copy(update={"steps": (t.steps[0].model_copy(update={"reason": "x"}), *t.steps[1:])})
    assert kinds(compare([one])) == (0, 0, 3, 0)


def test_steps_cut_otherwise_than_the_checker_cuts_are_passed_over() -> None:
    t = trace(WRONG, [(8, 8), (0, 8), (0, 8), (0, 8)])
    joined = (t.steps[0].model_copy(update={"end": t.steps[1].end}), *t.steps[2:])
    assert compare([t.model_copy(update={"steps": joined})]) == Truth()


def test_inferred_steps_are_not_counted_as_measured() -> None:
    """The last step's label is the answer's verdict: it would flatter the figures."""
    assert compare([trace(RIGHT, [(0, 0)] * 4)]).measured == 0


def test_shares_follow_from_the_counts() -> None:
    t = Truth(true_positive=6, false_positive=2, false_negative=4, true_negative=9, wrong_traces=4)
    assert (t.precision, t.recall, t.exact_share, t.measured) == (0.75, 0.6, 0.0, 21)
    nothing = Truth()
    assert (nothing.precision, nothing.recall, nothing.near_share, nothing.calibration_error) == (None,) * 4


@given(TRUTHS, TRUTHS, TRUTHS)
def test_counts_add_up_in_any_order(a: Truth, b: Truth, c: Truth) -> None:
    assert a.add(b).model_dump() == b.add(a).model_dump()
    one, other = a.add(b).add(c), a.add(b.add(c))
    assert one.model_dump(exclude={"bins"}) == other.model_dump(exclude={"bins"})
    assert [x for b in one.bins for x in b] == pytest.approx([x for b in other.bins for x in b])
    assert a.add(Truth()) == a


def test_shards_add_up_to_the_whole() -> None:
    traces = [trace(WRONG, [(8, 8), (0, 8), (3, 8), (0, 8)]), trace(RIGHT, [(8, 8), (8, 8), (2, 8), (8, 8)])]
    assert compare(traces) == compare(traces[:1]).add(compare(traces[1:]))


def test_the_seeds_own_steps_stand_apart() -> None:
    """A planted mistake that the policy mends would count against the labels of its own steps."""
    t = trace(WRONG, [(8, 8), (3, 8), (0, 8), (0, 8)])
    copied = (t.steps[0], t.steps[1].model_copy(update={"origin": Origin.PROGRAM}), *t.steps[2:])
    mixed = t.model_copy(update={"steps": copied})
    own, seeds = compare([mixed]), compare([mixed], seeds=True)
    assert kinds(own) == (1, 0, 2, 0)
    assert kinds(seeds) == (0, 1, 0, 0)
    assert (own.wrong_traces, seeds.wrong_traces) == (1, 0)
