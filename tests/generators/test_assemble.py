"""From what somebody wrote to a decided trace: bounds, origins, faults, answers."""

from typing import Any

import pytest
from cotmill.generators.assemble import assemble, claimed_answer, decide, open_prefix, seed_trace
from cotmill.models.policy import Sample
from cotmill.schemas import (
    ActSpan,
    Domain,
    Generator,
    Method,
    Origin,
    Outcome,
    Seed,
    Source,
    Step,
    Trace,
    join_steps,
    markup,
    split_steps,
)
from doubles import Exact
from hypothesis import given
from hypothesis import strategies as st

SOURCE = Source(name="rows.jsonl", row=4, licence="CC0")
TAGGED = (
    "<Think_Start><ACT_NoteGiven_Start>3 boxes of 4.<ACT_NoteGiven_End>\n"
    "<ACT_Calculate_Start>3 * 4 = 12.<ACT_Calculate_End>\n"
    "<ACT_Answer_Start>The answer is 12.<ACT_Answer_End><Think_End>"
)
STEP = st.text("ab .\n", min_size=1).filter(lambda s: bool(s.strip()))


def seed(cot: str | list[str] = "", **given: Any) -> Seed:
    acts: tuple[ActSpan, ...] = ()
    if isinstance(cot, list):
        text, steps = join_steps(cot)
    else:
        text, acts = markup.parse(cot) if markup.looks_like_markup(cot) else (cot, ())
        steps = split_steps(text, acts)
    given = {"question": "How many?", "answer": "12", "source": SOURCE} | given
    return Seed(text=text, acts=acts, steps=steps, **given)


def made(s: Seed, body: str, prefix_steps: int = 0, **given: Any) -> Trace:
    return assemble(
        s,
        body,
        **{
            "generator": Generator.COMPLETION,
            "prefix_steps": prefix_steps,
            "policy": "p",
            "policy_hash": "h",
            "temperature": 0.5,
            "key": "k",
        }
        | given,
    )


def texts(t: Trace) -> list[str]:
    return [t.text[s.start : s.end] for s in t.steps]


def prefix(s: Seed, cut: int) -> str:
    return open_prefix(s.text, s.acts, s.steps, cut)


class TestPrefix:
    def test_a_prefix_holds_so_many_steps_and_what_separates_them_from_the_next(self) -> None:
        s = seed("one\n\ntwo\n\nthree")
        assert [prefix(s, cut) for cut in range(4)] == [
            "",
            "one\n\n",
            "one\n\ntwo\n\n",
            "one\n\ntwo\n\nthree",
        ]

    def test_of_tagged_text_it_is_open_markup(self) -> None:
        s = seed(TAGGED)
        assert prefix(s, 0) == "<Think_Start>"
        assert prefix(s, 2) == TAGGED[: TAGGED.index("<ACT_Answer_Start>")]

    def test_continued_by_the_rest_it_is_the_whole(self) -> None:
        s = seed(TAGGED)
        for cut in range(len(s.steps)):
            rest = TAGGED.removeprefix(prefix(s, cut))
            assert rest != TAGGED or cut == 0
            assert prefix(s, cut) + rest == TAGGED


class TestSteps:
    def test_copied_steps_are_the_seeds_and_written_ones_the_policys(self) -> None:
        s = seed("one\n\ntwo\n\nthree")
        t = made(s, prefix(s, 2) + "so 3\n\nThe answer is 12.", 2)
        assert texts(t) == ["one", "two", "so 3", "The answer is 12."]
        assert [x.origin for x in t.steps] == [Origin.HUMAN] * 2 + [Origin.POLICY] * 2
        assert t.prefix_steps == 2

    @pytest.mark.parametrize("written", ["x", "x\ny", "x\n\ny", "x\n\ny\nz", "```\na\n\nb\n```\n\ny"])
    @pytest.mark.parametrize(
        "cot",
        [
            "a\nb\nc",
            "a\n\nb\n\nc",
            "a\nb\n\nc\nd\n\ne",
            ["a\n\nb", "c\n\nd", "e"],
            "```\na\n\nb\n```\n\nc\n\nd",
        ],
    )
    def test_what_is_written_never_moves_the_bounds_of_copied_steps(
        self, cot: str | list[str], written: str
    ) -> None:
        """Or the counts measured at their ends would belong to other prefixes."""
        s = seed(cot)
        for cut in range(1, len(s.steps)):
            t = made(s, prefix(s, cut) + written, cut)
            assert [(x.start, x.end) for x in t.steps[:cut]] == list(s.steps[:cut])
            assert {x.origin for x in t.steps[cut:]} == {Origin.POLICY}

    @given(st.lists(STEP, min_size=2, max_size=4), st.lists(STEP, min_size=1, max_size=4), st.data())
    def test_steps_are_ordered_disjoint_and_hold_all_that_is_written(
        self, cot: list[str], written: list[str], data: st.DataObject
    ) -> None:
        s = seed(cot)
        cut = data.draw(st.integers(0, len(s.steps) - 1))
        t = made(s, prefix(s, cut) + "".join(written), cut)
        at = 0
        for x in t.steps:
            assert at <= x.start < x.end <= len(t.text)
            assert t.text[at : x.start].strip() == ""
            assert t.text[x.start : x.end].strip() == t.text[x.start : x.end]
            at = x.end
        assert t.text[at:].strip() == ""

    def test_nothing_written_leaves_the_copied_steps_alone(self) -> None:
        s = seed("one\n\ntwo\n\nthree")
        t = made(s, prefix(s, 2), 2)
        assert (t.text, texts(t)) == ("one\n\ntwo", ["one", "two"])

    def test_another_traces_steps_may_be_copied(self) -> None:
        parent = [
            Step(start=0, end=3, origin=Origin.HUMAN, n_rollouts=8, n_correct=4, method=Method.ROLLOUTS),
            Step(start=5, end=8, origin=Origin.POLICY, n_rollouts=8, method=Method.ROLLOUTS),
        ]
        t = made(seed("one\n\ntoo"), "one\n\ntwo\n\nmore", 1, copied=parent, parent_id="x")
        assert [x.origin for x in t.steps] == [Origin.HUMAN, Origin.POLICY, Origin.POLICY]
        assert {(x.n_rollouts, x.method) for x in t.steps} == {(0, None)}
        assert t.provenance.parent_id == "x"

    def test_acts_stay_whole(self) -> None:
        t = made(seed(TAGGED), TAGGED.replace("3 * 4 = 12.", "3 * 4\n\n= 12."), 1)
        assert texts(t) == ["3 boxes of 4.", "3 * 4\n\n= 12.", "The answer is 12."]
        assert all(any(x.start <= a.start and a.end <= x.end for x in t.steps) for a in t.acts)


class TestFaults:
    def test_malformed_markup_is_kept_as_text_with_its_fault(self) -> None:
        t = made(seed(), TAGGED.removesuffix("<ACT_Answer_End><Think_End>"))
        assert t.error is not None
        assert t.error.startswith("malformed markup: missing <ACT_Answer_End>")
        assert t.acts == ()
        assert t.text == "3 boxes of 4.\n3 * 4 = 12.\nThe answer is 12."
        assert texts(t) == t.text.split("\n")

    def test_cut_off_says_so_though_its_markup_is_malformed_too(self) -> None:
        t = made(seed(), TAGGED[:60], sample=Sample(TAGGED[:60], 9, "length"))
        assert t.error == "cut off: max_tokens reached"
        assert t.tokens == 9

    def test_a_failed_policy_is_a_trace_with_its_fault(self) -> None:
        t = made(seed(), "", sample=Sample("", 0, "error", error="server is down"))
        assert (t.error, t.text, t.steps) == ("policy failed: server is down", "", ())

    def test_a_clean_end_is_no_fault(self) -> None:
        t = made(seed(), TAGGED, sample=Sample(TAGGED, 9, "stop"))
        assert t.error is None
        assert [a.act for a in t.acts] == ["NoteGiven", "Calculate", "Answer"]


def test_white_space_at_the_ends_is_no_part_of_a_trace() -> None:
    t = made(seed(), "<Think_Start>\n <ACT_Answer_Start>12<ACT_Answer_End>\n<Think_End>")
    assert (t.text, [(a.start, a.end) for a in t.acts]) == ("12", [(0, 2)])


def test_a_trace_says_how_it_was_made() -> None:
    t = made(seed("one"), "12")
    p = t.provenance
    assert (p.policy, p.policy_hash, p.temperature, p.rng_key, p.parent_id) == (
        "p",
        "h",
        0.5,
        "k",
        seed("one").seed_id,
    )
    assert (t.seed_id, t.source, t.reference, t.generator) == (
        seed("one").seed_id,
        SOURCE,
        "12",
        Generator.COMPLETION,
    )


def test_a_seeds_own_trace_is_the_seed_undecided() -> None:
    s = seed(TAGGED)
    t = seed_trace(s)
    assert t.trace_id == s.seed_id
    assert (t.text, t.acts, t.outcome) == (s.text, s.acts, Outcome.UNDECIDED)
    assert [(x.start, x.end) for x in t.steps] == list(s.steps)


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "answer"),
        [
            (TAGGED, "12"),
            (TAGGED.replace("The answer is 12.", "twelve"), "twelve"),
            (TAGGED.replace("Answer", "Check"), None),
            ("3 * 4 = 12\n\nThe answer is 12.", "12"),
            (TAGGED.removesuffix("<Think_End>"), None),
            ("<Think_Start><Think_End>", None),
        ],
    )
    def test_a_policys_answer_stands_in_its_answer_act_or_at_the_end(
        self, body: str, answer: str | None
    ) -> None:
        assert claimed_answer(made(seed(), body)) == answer

    def test_the_last_answer_counts(self) -> None:
        twice = TAGGED.replace("3 * 4 = 12.", "The answer is 7.").replace("Calculate", "Answer")
        assert claimed_answer(made(seed(), twice)) == "12"

    def test_a_persons_answer_counts_though_a_tagger_saw_none(self) -> None:
        assert claimed_answer(seed_trace(seed(TAGGED.replace("Answer", "Calculate")))) == "12"


class TestDecide:
    def one(self, t: Trace, verifier: Exact | None = None) -> Trace:
        [done] = decide([t], verifier or Exact())
        return done

    @pytest.mark.parametrize(("said", "outcome"), [("12", Outcome.CORRECT), ("13", Outcome.WRONG)])
    def test_the_verifier_decides_and_the_last_step_follows(self, said: str, outcome: Outcome) -> None:
        t = self.one(made(seed(), f"3 * 4\n\nThe answer is {said}."))
        assert (t.answer, t.outcome) == (said, outcome)
        assert [s.method for s in t.steps] == [None, Method.INFERRED]
        assert t.provenance.verifier == "exact"
        assert t.evidence

    def test_a_verifier_that_cannot_tell_leaves_it_undecided(self) -> None:
        t = self.one(made(seed(), "The answer is 12."), Exact(undecided=["12"]))
        assert (t.outcome, t.answer, t.evidence) == (Outcome.UNDECIDED, "12", "timeout")
        assert [s.method for s in t.steps] == [None]

    @pytest.mark.parametrize(
        "t",
        [
            made(seed(), TAGGED.replace("Answer", "Check")),
            made(seed(), TAGGED.removesuffix("<Think_End>")),
            made(seed(), "3 * 4 is", sample=Sample("3 * 4 is", 4, "length")),
        ],
        ids=["none", "malformed", "cut off"],
    )
    def test_a_rollout_without_a_final_answer_is_wrong_unasked(self, t: Trace) -> None:
        verifier = Exact()
        done = self.one(t, verifier)
        assert (done.outcome, done.answer) == (Outcome.WRONG, None)
        assert "no final answer" in done.evidence
        assert verifier.asked == []

    @pytest.mark.parametrize("generator", [Generator.HUMAN, Generator.IMPORTED])
    def test_a_cot_from_elsewhere_whose_answer_cannot_be_read_is_not_called_wrong(
        self, generator: Generator
    ) -> None:
        s = seed("It is day.\n\nThe sun shines, so it is.", answer="yes", generator=generator)
        done = self.one(seed_trace(s))
        assert (done.outcome, done.answer) == (Outcome.UNDECIDED, None)
        assert [x.method for x in done.steps] == [None, None]

    def test_outside_mathematics_prose_without_a_plain_answer_is_undecided(self) -> None:
        s = seed(answer="yes", domain=Domain.OPEN)
        said = "It is day.\n\nThe sun shines, so it is."
        assert self.one(made(s, said)).outcome is Outcome.UNDECIDED
        assert self.one(made(s, said, sample=Sample(said, 9, "length"))).outcome is Outcome.WRONG

    @pytest.mark.parametrize(
        "t",
        [
            made(seed(), "", sample=Sample("", 0, "error", error="down")),
            made(seed(), "The answer is 12.", sample=Sample("…", 5, "error", error="down")),
            made(seed(answer=""), "The answer is 12."),
            seed_trace(seed()),
        ],
        ids=["failed", "failed late", "no reference", "bare question"],
    )
    def test_what_cannot_be_judged_stays_as_it_is(self, t: Trace) -> None:
        verifier = Exact()
        assert self.one(t, verifier).outcome is Outcome.UNDECIDED
        assert verifier.asked == []

    def test_answers_that_differ_as_text_decide_nothing_outside_mathematics(self) -> None:
        s = seed("The answer is: by train, at noon.", domain=Domain.OPEN, answer="the noon train")
        assert self.one(seed_trace(s)).outcome is Outcome.UNDECIDED
        same = seed("The answer is 12.", domain=Domain.OPEN)
        assert self.one(seed_trace(same)).outcome is Outcome.CORRECT

    def test_a_person_may_wrap_the_answer_in_a_phrase_and_a_policy_may_not(self) -> None:
        body = TAGGED.replace("The answer is 12.", "It is Monday then, so: Monday it is.")
        own = self.one(seed_trace(seed(body, answer="Monday")))
        assert (own.outcome, own.answer) == (Outcome.CORRECT, "Monday")
        assert self.one(made(seed(answer="Monday"), body)).outcome is Outcome.WRONG
        other = self.one(seed_trace(seed(body, answer="Mon")))
        assert other.outcome is not Outcome.CORRECT

    def test_many_are_asked_at_once_and_keep_their_order(self) -> None:
        said = ["12", "13", "12"]
        traces = [made(seed(), f"The answer is {x}.") for x in said]
        verifier = Exact()
        done = decide(iter(traces), verifier)
        assert [t.answer for t in done] == said
        assert [t.text for t in done] == [t.text for t in traces]
        assert verifier.asked == [(x, "12") for x in said]
