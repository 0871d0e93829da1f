"""A policy's summaries: what the check finds, and what is put in place of one that fails it."""

import pytest
from cotmill.labelers.abstractive import SummarySettings, summarise_with, unsupported
from cotmill.labelers.summary import summarise
from cotmill.models.policy import Sample
from cotmill.schemas import Domain, Generator, Origin, Outcome, Source, Step, Trace, split_steps
from doubles import TablePolicy
from hypothesis import given
from hypothesis import strategies as st

TEXT = (
    "First the eggs of all boxes, then I take the broken ones away.\n\n12 * 10 = 110\n\n"
    "Wait, that is wrong: 12 * 10 = 120.\n\n120 - 7 = 113\n\nSo 113 eggs are left."
)
GOOD = "He multiplies the boxes, 12 * 10 = 120, then takes the broken eggs away: 113 are left."
SETTINGS = SummarySettings(kind="abstractive", candidates=3)


def trace(text: str = TEXT) -> Trace:
    return Trace(
        seed_id="s",
        domain=Domain.MATH,
        question="How many eggs are left of 12 boxes of 10, multiplied, if 7 are broken?",
        text=text,
        generator=Generator.COMPLETION,
        steps=tuple(Step(start=a, end=b, origin=Origin.POLICY) for a, b in split_steps(text)),
        answer="113",
        outcome=Outcome.CORRECT,
        source=Source(name="test"),
    )


def test_a_summary_in_other_words_is_borne_out() -> None:
    assert unsupported(trace(), GOOD) == []


@pytest.mark.parametrize(
    ("summary", "finding"),
    [
        (GOOD.replace("113", "114"), "the number 114"),
        (GOOD.replace("12 * 10 = 120", "12 * 10 = 110"), "12*10 = 110, which was mended"),
        (GOOD.replace("12 * 10 = 120", "120 - 12 = 113"), "120-12 = 113"),
        (GOOD + " Dolphins normally prefer warmer oceans.", "'Dolphins normally prefer warmer oceans.'"),
        ("He multiplies the boxes, 12 * 10 = 120.", "not the answer 113"),
        (GOOD * 5, "more than the trace itself"),
    ],
)
def test_what_the_trace_does_not_hold_is_found(summary: str, finding: str) -> None:
    assert finding in unsupported(trace(), summary)


@given(st.text())
def test_any_text_can_be_checked(text: str) -> None:
    unsupported(trace(), text)


def written(*replies: str | Sample) -> tuple[list[str], int]:
    return summarise_with(TablePolicy(lambda q, p: replies), [trace()], SETTINGS, 0)


def test_the_first_summary_that_holds_is_taken() -> None:
    [chosen], tokens = written(GOOD.replace("113", "114"), GOOD, "So 113.")
    assert chosen == GOOD
    assert tokens > 0


@pytest.mark.parametrize(
    "reply", ["Everything was 42.", "", Sample("", 0, "error", error="down"), Sample(GOOD, 9, "length")]
)
def test_where_none_holds_the_trace_summarises_itself(reply: str | Sample) -> None:
    assert written(reply)[0] == [summarise(trace())]


def test_the_policy_is_shown_the_question_and_the_thoughts() -> None:
    policy = TablePolicy(lambda q, p: [GOOD])
    summarise_with(policy, [trace()], SETTINGS, 0)
    [request] = policy.requests
    assert trace().question in request.prompt
    assert TEXT in request.prompt
    assert request.n == 3
