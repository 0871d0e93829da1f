"""Policies that write or reword CoTs behind programs: what they say must agree with the run."""

import json
from importlib.resources import files

import pytest
from cotmill.generators.code_reverse import (
    PolicyWriting,
    observe,
    read_code_row,
    reverse_all,
    unfaithful,
    write,
)
from cotmill.generators.code_reverse.claims import claim
from cotmill.models.prompts import reverse_question
from cotmill.schemas import Method, Origin, Source, Trace, markup
from cotmill.verifiers.sandbox import sandbox_available
from doubles import TablePolicy

pytestmark = pytest.mark.skipif(
    sandbox_available() is not None, reason=f"programs run only in a sandbox: {sandbox_available()}"
)
LINES = (files("cotmill.data") / "code" / "programs.jsonl").read_text(encoding="utf-8").split("\n")
SEEDS = [read_code_row(json.loads(line), Source(name="p", row=n)) for n, line in enumerate(LINES[:6], 1)]
ASKED = PolicyWriting(candidates=1)


@pytest.fixture(scope="module")
def ground():
    return [(seed, observe(seed)) for seed in SEEDS]


def told(ground, run_seed: int) -> list[Trace]:
    return [write(seed, facts, run_seed=run_seed) for seed, facts in ground]


def by_program(ground, says) -> TablePolicy:
    """Says for each program what `says` makes of the grammar's own trace."""
    table = {
        reverse_question(seed.question, seed.code): says(write(seed, facts, run_seed=4))
        for seed, facts in ground
    }
    return TablePolicy(lambda question, _: [table[question]], writes_tags=True)


def test_a_policy_that_says_what_is_so_is_believed(ground):
    policy = by_program(ground, lambda t: markup.render(t.text, t.acts))
    done = reverse_all(SEEDS, 0, "policy", policy, ASKED)
    assert done.rejected == []
    assert done.sampled == len(SEEDS)
    for trace, own in zip(done.traces, told(ground, 4), strict=True):
        assert trace.text == own.text
        assert trace.provenance.policy == "table"
        assert {s.origin for s in trace.steps} == {Origin.POLICY}
        assert {s.method for s in trace.steps} == {Method.EXECUTION}
        assert [s.n_correct for s in trace.steps] == [s.n_correct for s in own.steps]


@pytest.mark.parametrize(
    ("old", "new"), [("return", "return 1 +"), ("gives", "never gives"), ("tests", "9 tests")]
)
def test_a_policy_that_says_what_is_not_so_is_rejected_with_the_reason(ground, old, new):
    def false(trace: Trace) -> str:
        at = trace.text.rindex(old) if old in trace.text else 0
        end = at + len(old)
        acts = [
            a.model_copy(
                update={
                    "start": a.start + (len(new) - len(old) if a.start >= end else 0),
                    "end": a.end + (len(new) - len(old) if a.end >= end else 0),
                }
            )
            for a in trace.acts
        ]
        return markup.render(trace.text[:at] + new + trace.text[end:], acts)

    done = reverse_all(SEEDS[:2], 0, "policy", by_program(ground[:2], false), ASKED)
    assert done.traces == []
    assert all("the policy says what the run does not" in why for _, why in done.rejected)
    assert [i for i, _ in done.rejected] == [0, 1]


@pytest.mark.parametrize("said", ["nonsense", "<Think_Start><ACT_Plan_Start>open", ""])
def test_what_is_no_story_is_rejected(ground, said):
    policy = TablePolicy(lambda question, prefix: [said], writes_tags=True)
    done = reverse_all(SEEDS[:1], 0, "policy", policy, ASKED)
    assert done.traces == []
    assert len(done.rejected) == 1


def reworder(change) -> TablePolicy:
    """Rewords the thought in its prompt."""

    def says(question: str, _: str) -> list[str]:
        thought = question.split("The thought:\n")[1].split("\n\nIn other words:")[0]
        return [change(thought)]

    return TablePolicy(says)


def test_rewording_keeps_the_claims_and_takes_the_words(ground):
    policy = reworder(lambda thought: f"Well then: {thought}")
    done = reverse_all(SEEDS, 4, "rewrite", policy, ASKED)
    assert done.rejected == []
    for trace, own, (seed, facts) in zip(done.traces, told(ground, 4), ground, strict=True):
        assert trace.text != own.text
        assert trace.text.count("Well then: ") == sum(
            "```" not in own.text[a.start : a.end] for a in own.acts
        )
        assert unfaithful(trace, seed, facts) == []
        assert claim(trace.text) == claim(own.text)
        assert [s.n_correct for s in trace.steps] == [s.n_correct for s in own.steps]


@pytest.mark.parametrize(
    "change",
    [
        lambda thought: thought + " That is 12345.",
        lambda thought: thought.replace("`", ""),
        lambda thought: "It should not be so. " + thought,
        lambda thought: "",
    ],
)
def test_a_rewording_that_states_something_else_is_dropped(ground, change):
    done = reverse_all(SEEDS[:2], 4, "rewrite", reworder(change), ASKED)
    own = told(ground, 4)[:2]
    for trace, before in zip(done.traces, own, strict=True):
        kept = [before.text[a.start : a.end] for a in before.acts]
        assert [claim(trace.text[a.start : a.end]) for a in trace.acts] == [claim(text) for text in kept]


def test_what_is_wanted_and_what_came_are_not_to_be_exchanged():
    assert claim("It should be `3`, but it is `4`.") != claim("It is `3`, but it should be `4`.")
    assert claim("`x < 1` holds") != claim("`x < 1` never holds")
    assert claim("two turns and 5 of them") != claim("two turns and 6 of them")
    assert claim("so its branch is taken") != claim("so its branch is skipped")
    assert claim("it returns True") != claim("it returns False")
    assert claim("it returns 'ab'") != claim("it returns 'ba'")
    assert claim("All three pass") == claim("the 3 pass")
