"""Summaries: short, in the trace's own words, and never without the answer."""

from cotmill.labelers.summary import SHARE, summarise
from cotmill.labelers.tagger_segments import units
from cotmill.schemas import (
    ActSpan,
    Domain,
    Generator,
    Method,
    Origin,
    Outcome,
    Source,
    Step,
    Trace,
)
from hypothesis import given, settings
from hypothesis import strategies as st

Piece = tuple[str, str]

STORY: list[list[Piece]] = [
    [("RephraseTarget", "I need to find how many eggs are left at the end of the week.")],
    [("NoteGiven", "There are 12 boxes with 10 eggs each, and 7 eggs are broken on the way to the shop.")],
    [("Plan", "First the total, then I take the broken ones away.")],
    [("Calculate", "12 * 10 = 110 eggs.")],
    [("Uncertain", "Hmm, does that look like a sensible number of eggs for a shop of this size?")],
    [("DetectError", "Wait, 12 times 10 isn't 110, I must have slipped while multiplying.")],
    [("Correct", "It is 120, not 110.")],
    [("Check", "Ten dozens are 120 as well, so I trust this number more than the one before.")],
    [("Calculate", "120 - 7 = 113.")],
    [("Uncertain", "I wonder whether anybody would count the cracked ones as eggs, but let that be.")],
    [("Estimate", "It should be a little less than 120, and it is, so nothing seems to be wrong here.")],
    [("Answer", "So 113 eggs are left.")],
]


def _trace(steps: list[list[Piece]], tagged: bool = True, **fields: object) -> Trace:
    text, spans, acts = "", [], []
    for step in steps:
        start = len(text) + (2 if text else 0)
        for act, piece in step:
            text += ("" if not text else "\n\n" if len(text) < start else " ") + piece
            acts.append(ActSpan(start=len(text) - len(piece), end=len(text), act=act))
        spans.append(Step(start=start, end=len(text), origin=Origin.POLICY))
    given = {
        "seed_id": "s",
        "domain": Domain.MATH,
        "question": "q",
        "text": text,
        "generator": Generator.IMPORTED,
        "steps": tuple(spans),
        "acts": tuple(acts) if tagged else (),
        "source": Source(name="test"),
    }
    return Trace.model_validate(given | fields)


def test_it_holds_the_plan_the_correction_and_the_answer() -> None:
    filler = [[("Uncertain", "I wonder about something that doesn't matter at all for the eggs here.")]] * 8
    summary = summarise(_trace(STORY[:5] + filler + STORY[5:]))
    assert summary.startswith("First the total")
    assert "It is 120, not 110." in summary
    assert summary.endswith("So 113 eggs are left.")


def test_what_was_taken_back_stays_out() -> None:
    summary = summarise(_trace(STORY * 3))
    assert "12 * 10 = 110" not in summary
    assert "Wait" not in summary


def test_a_step_labelled_wrong_stays_out() -> None:
    trace = _trace([[("Plan", "I add 3 and 4.")], [("Deduce", "So it is 8 in all.")], *STORY])
    steps = list(trace.steps)
    steps[1] = steps[1].model_copy(update={"n_rollouts": 4, "n_correct": 0, "method": Method.ROLLOUTS})
    trace = trace.model_copy(update={"steps": tuple(steps), "outcome": Outcome.CORRECT})
    assert "So it is 8" not in summarise(trace)


def test_the_step_after_which_rollouts_succeed_is_preferred() -> None:
    pieces = [[("Deduce", f"So the {n} row is full.")] for n in ("first", "second", "third", "fourth")]
    filler = [[("Uncertain", "I wonder about something that doesn't matter at all for these rows here.")]] * 3
    trace = _trace([*pieces, *filler, [("Answer", "The answer is 4.")]])
    for decisive, word in enumerate(("first", "second", "third", "fourth")):
        steps = tuple(
            s.model_copy(
                update={"method": Method.ROLLOUTS, "n_rollouts": 8, "n_correct": 8 if i >= decisive else 1}
            )
            for i, s in enumerate(trace.steps)
        )
        summary = summarise(trace.model_copy(update={"steps": steps}))
        if decisive:
            assert f"So the {word} row is full." in summary


def test_the_sentence_that_names_the_answer_is_preferred_to_a_bare_box() -> None:
    trace = _trace(
        [*STORY, [("Answer", "# Answer")], [("Answer", "\\boxed{113}")]],
        answer="113",
    )
    assert summarise(trace).endswith("So 113 eggs are left.")


def test_a_short_trace_is_summed_up_by_its_answer_alone() -> None:
    assert summarise(_trace([[("Calculate", "3 + 4 = 7.")], [("Answer", "It is 7.")]])) == "It is 7."


def test_where_the_answers_sentence_is_too_long_the_answer_stands_bare() -> None:
    short = _trace([[("Calculate", "3 + 4 = 7.")], [("Answer", "It is 7.")]], answer="7")
    assert summarise(short) == "7"
    assert len(summarise(_trace(STORY, answer="113"))) <= SHARE * len(_trace(STORY).text)


def test_a_trace_that_gives_no_answer_ends_with_its_last_sentence() -> None:
    assert summarise(_trace([[("Plan", "I add."), ("Calculate", "3 + 4 = 7.")]])) == "3 + 4 = 7."


def test_an_empty_trace_has_an_empty_summary() -> None:
    assert summarise(_trace([])) == ""


def test_a_trace_without_acts_is_tagged_first() -> None:
    summary = summarise(_trace(STORY, tagged=False))
    assert summary.endswith("113 eggs are left.")


ACTS = ("Plan", "Calculate", "Deduce", "Correct", "DetectError", "Uncertain", "Check", "Answer", "Recall")
WORDS = st.lists(st.sampled_from(["so", "the sum of", "12", "is", "x =", "3", "not", "odd"]), min_size=2)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.tuples(st.sampled_from(ACTS), WORDS), min_size=1, max_size=3), max_size=14))
def test_it_is_short_and_says_nothing_that_the_trace_does_not(
    steps: list[list[tuple[str, list[str]]]],
) -> None:
    trace = _trace([[(act, "I say " + " ".join(words) + ".") for act, words in step] for step in steps])
    summary = summarise(trace)
    assert summarise(trace) == summary
    sentences = [trace.text[u.start : u.end] for u in units(trace.text)]
    longest = max(map(len, sentences), default=0)
    assert len(summary) <= max(SHARE * len(trace.text), longest)
    rest = summary
    for sentence in sentences:
        rest = rest.removeprefix(sentence).lstrip() if rest.startswith(sentence) else rest
    assert rest == ""
