"""The contrast judge: what a step claims, who supports it, and what outcomes alone teach."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from cotmill.labelers.claims import Support, claim
from cotmill.labelers.contrast import PRIOR, ContrastJudge, first_error_posterior, fit, surprises
from cotmill.labelers.opinion import with_opinion
from cotmill.schemas import ActSpan, Domain, Generator, Origin, Outcome, Source, Step, Trace, split_steps
from cotmill.schemas.labels import opinion
from doubles import TablePolicy
from hypothesis import given
from hypothesis import strategies as st


class Reader(TablePolicy):
    """Finds every character as likely as the next, but for marked ones, which surprise it."""

    def __init__(self, mark: str = "!", *, writes_tags: bool = False) -> None:
        super().__init__(lambda q, p: [""], writes_tags=writes_tags)
        self.mark = mark
        self.read: list[tuple[str, list[str]]] = []

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        self.read += zip(prompts, map(list, continuations), strict=True)
        return [[-0.1 * len(c) - 20.0 * c.count(self.mark) for c in cs] for cs in continuations]


def trace(text: str, outcome: Outcome, *, question: str = "How many?", acts: bool = False) -> Trace:
    spans = split_steps(text)
    return Trace(
        seed_id="s",
        domain=Domain.MATH,
        question=question,
        text=text,
        generator=Generator.COMPLETION,
        steps=tuple(Step(start=a, end=b, origin=Origin.POLICY) for a, b in spans),
        acts=tuple(ActSpan(start=a, end=b, act="Calculate") for a, b in spans) if acts else (),
        outcome=outcome,
        source=Source(name="test"),
    )


GOOD = trace("2+3=5\n5*4=20\nThe answer is 20.", Outcome.CORRECT)
BAD = trace("2+3=5\n5*4=24\nThe answer is 24.", Outcome.WRONG)


@pytest.mark.parametrize(
    ("step", "claimed"),
    [
        ("2+3=5", ("2+3", "5")),
        ("So 2 + 3 = 5 apples.", ("2+3", "5")),
        ("Then 28 mod 9=1.", ("28mod9", "1")),
        ("First 2+3=5, then 5*4=20.", ("5*4", "20")),
        ("A: true", ("A: #", "true")),
        ("The answer is 20.", ("The answer is #.", "20")),
        ("6x = 1,200", ("6x", "1,200")),
        ("...", ("...", "")),
        ("", ("", "")),
    ],
)
def test_what_a_step_claims(step: str, claimed: tuple[str, str]) -> None:
    assert claim(step) == claimed


@given(st.text())
def test_any_text_claims_something_in_good_time(text: str) -> None:
    key, value = claim(text)
    assert isinstance(key, str)
    assert value in text


def test_a_long_row_of_numbers_and_signs_is_no_trap() -> None:
    claim("1+" * 100_000)
    claim("(" * 100_000 + "=")


def test_support_counts_right_solutions_only_as_often_as_they_were_sampled() -> None:
    often = GOOD.model_copy(update={"count": 3})
    support = Support([often, BAD, BAD])
    assert support.of(("5*4", "20")) == (3, 0)
    assert support.of(("5*4", "24")) == (0, 3)
    assert support.of(("7*7", "49")) == (0, 0)


def test_of_what_a_solution_mends_only_the_mended_claim_counts() -> None:
    mended = trace("5*4=24\nNo, 5*4=20.\nThe answer is 20.", Outcome.CORRECT)
    assert Support([mended]).of(("5*4", "24")) == (0, 1)


@pytest.mark.parametrize("acts", [False, True])
def test_surprise_is_read_off_step_by_step(acts: bool) -> None:
    t = trace("2+3=5\n5*4=24!\nThe answer is 24.", Outcome.WRONG, acts=acts)
    reader = Reader(writes_tags=acts)
    [found] = surprises([t], reader)
    assert found.shape == (3,)
    assert int(found.argmax()) == 1
    [(_, continuations)] = reader.read
    assert all(b.startswith(a) for a, b in pairwise(continuations))


def test_a_policy_that_cannot_score_is_not_surprised() -> None:
    """A server without log-probabilities of given text calls all continuations equally likely."""

    class Uniform(Reader):
        def logprobs(
            self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]
        ) -> list[list[float]]:
            return [[-np.log(len(cs))] * len(cs) for cs in continuations]

    assert [list(s) for s in surprises([BAD, GOOD], Uniform())] == [[0, 0, 0]] * 2


def test_a_surprising_step_is_named() -> None:
    t = trace("2+3=5\n5*4=24!\n24-1=23\nThe answer is 23.", Outcome.WRONG)
    [said] = ContrastJudge(Reader()).opinions([t], [])
    assert said is not None
    assert said.first_error == 1


def test_a_step_that_right_solutions_contradict_is_named() -> None:
    pool = [GOOD.model_copy(update={"count": 5}), BAD]
    [said] = ContrastJudge(Reader()).opinions([BAD], pool)
    assert said is not None
    assert said.first_error == 1


def test_solutions_of_other_questions_say_nothing() -> None:
    other = trace(GOOD.text, Outcome.CORRECT, question="Another?").model_copy(update={"count": 50})
    judge = ContrastJudge(Reader())
    assert judge.opinions([BAD], [other]) == judge.opinions([BAD], [])


def test_a_right_solution_with_a_contradicted_step_is_not_trusted() -> None:
    lucky = trace("2+3=5\n5*4=24!\nThe answer is 20.", Outcome.CORRECT)
    wrong = trace("2+3=5\n5*4=24!\nThe answer is 24.", Outcome.WRONG)
    pool = [GOOD.model_copy(update={"count": 30}), lucky, wrong]
    said = ContrastJudge(Reader()).opinions([lucky, *[GOOD] * 8, *[wrong] * 8], pool)
    assert [o.first_error for o in said[:2] if o] == [1, None]


def test_undecided_solutions_get_no_opinion() -> None:
    t = BAD.model_copy(update={"outcome": Outcome.UNDECIDED})
    assert ContrastJudge(Reader()).opinions([t], [GOOD]) == [None]


def test_an_opinion_is_written_on_every_step() -> None:
    judge = ContrastJudge(Reader())
    [said] = judge.opinions([BAD], [GOOD.model_copy(update={"count": 5})])
    judged = with_opinion(BAD, said, judge.name)
    assert opinion(judged) == [True, False, False]
    scores = [s.judge.score for s in judged.steps if s.judge]
    assert scores == sorted(scores, reverse=True)
    assert {s.judge.by for s in judged.steps if s.judge} == {"contrast"}
    assert with_opinion(BAD, None, "x") == BAD


@given(st.lists(st.floats(1e-9, 1 - 1e-9), min_size=1, max_size=40))
def test_the_posterior_is_a_distribution_over_steps(hazard: list[float]) -> None:
    p = first_error_posterior(np.array(hazard))
    assert p.sum() == pytest.approx(1)
    assert (p >= 0).all()


def test_outcomes_alone_teach_which_feature_marks_an_error() -> None:
    """Solutions drawn from the model itself, with other weights than the prior: the fit finds their signs."""
    draw = np.random.default_rng(0)
    truth = np.array([-2.5, 0.0, 3.0, 0.0])
    features, wrong = [], []
    for _ in range(600):
        x = np.column_stack(
            [np.ones(6), draw.random(6), draw.choice([-1.0, 1.0], 6, p=[0.9, 0.1]), np.zeros(6)]
        )
        features.append(x)
        wrong.append(bool((draw.random(6) < 1 / (1 + np.exp(-x @ truth))).any()))
    w = fit(features, wrong)
    assert abs(w[1]) < 0.7
    assert w[2] == pytest.approx(3.0, abs=0.8)


@pytest.mark.parametrize("wrong", [[], [True, True], [False]])
def test_without_solutions_of_both_kinds_the_prior_stands(wrong: list[bool]) -> None:
    assert tuple(fit([np.ones((3, len(PRIOR)))] * len(wrong), wrong)) == PRIOR
