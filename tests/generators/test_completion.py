"""Prefix completion: what is asked, what is counted, what is kept."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from cotmill.generators.assemble import decide, seed_trace
from cotmill.generators.completion import (
    Completions,
    CompletionSettings,
    Cut,
    complete,
    cuts_of,
    merge,
    with_counts,
)
from cotmill.models.policy import Sample
from cotmill.schemas import Generator, Method, Origin, Outcome, Seed, Source, Trace, markup, split_steps
from cotmill.schemas.markup import THINK_START
from doubles import Exact, Says, TablePolicy
from pydantic import ValidationError

RIGHT, WRONG = "The answer is 12.", "The answer is 13."
TAGGED = (
    "<Think_Start><ACT_NoteGiven_Start>3 boxes.<ACT_NoteGiven_End>\n"
    "<ACT_Calculate_Start>3 * 4 = 12.<ACT_Calculate_End>\n"
    "<ACT_Answer_Start>The answer is 12.<ACT_Answer_End><Think_End>"
)


def seed(cot: str = "one\n\ntwo\n\nThe answer is 12.", **given: Any) -> Seed:
    text, acts = markup.parse(cot) if markup.looks_like_markup(cot) else (cot, ())
    given = {"question": "How many?", "answer": "12", "source": Source(name="rows")} | given
    return Seed(text=text, acts=acts, steps=split_steps(text, acts), **given)


def own(s: Seed) -> Trace:
    return decide([seed_trace(s)], Exact())[0]


def done(
    says: Says | Sequence[str | Sample] = (RIGHT,),
    *seeds: Seed,
    from_question: bool = True,
    tags: bool = False,
    verifier: Exact | None = None,
    **settings: Any,
) -> tuple[Completions, TablePolicy]:
    policy = TablePolicy(says if callable(says) else lambda q, p: says, writes_tags=tags)
    cuts = [cuts_of(s, own(s), from_question=from_question) for s in seeds or (seed(),)]
    whole = CompletionSettings(**({"rollouts": 4} | settings))
    return complete(cuts, policy, verifier or Exact(), whole, 7), policy


class TestCuts:
    @pytest.mark.parametrize(
        ("cot", "from_question", "after"),
        [
            ("a\n\nb\n\nc", True, [0, 1, 2]),
            ("a\n\nb\n\nc", False, [1, 2]),
            ("a", True, [0]),
            ("a", False, []),
            ("", True, [0]),
            ("", False, [0]),
        ],
    )
    def test_every_boundary_that_leaves_something_to_complete(
        self, cot: str, from_question: bool, after: list[int]
    ) -> None:
        s = seed(cot)
        assert list(cuts_of(s, own(s), from_question=from_question).after) == after

    def test_each_prefix_is_asked_for_once_with_all_its_rollouts(self) -> None:
        _, policy = done(temperature=0.3, max_tokens=9, stop=("END",))
        assert policy.prefixes == ["", "one\n\n", "one\n\ntwo\n\n"]
        assert {(r.n, r.temperature, r.max_tokens, r.stop) for r in policy.requests} == {
            (4, 0.3, 9, ("END",))
        }
        assert len({r.key for r in policy.requests}) == 3

    def test_a_policy_that_writes_tags_is_given_open_markup(self) -> None:
        s = seed(TAGGED)
        _, policy = done(lambda q, p: [TAGGED.removeprefix(p)], s, tags=True)
        assert policy.prefixes[0] == THINK_START
        assert all(TAGGED.startswith(p) for p in policy.prefixes)
        _, plain = done((RIGHT,), s, tags=False)
        assert all("<" not in p for p in plain.prefixes)


class TestCounts:
    SAYS: Says = staticmethod(lambda q, p: {"": [WRONG], "one\n\n": [RIGHT, WRONG]}.get(p, [RIGHT]))

    def test_right_ends_are_counted_per_cut(self) -> None:
        result, _ = done(self.SAYS)
        assert result.counts == [{0: (0, 4), 1: (2, 4), 2: (4, 4)}]
        assert result.rollouts == 12

    def test_a_steps_counts_are_those_from_its_end(self) -> None:
        result, _ = done(self.SAYS)
        t = with_counts(own(seed()), result.counts[0])
        assert [(s.n_correct, s.n_rollouts, s.method) for s in t.steps] == [
            (2, 4, Method.ROLLOUTS),
            (4, 4, Method.ROLLOUTS),
            (0, 0, Method.INFERRED),
        ]

    def test_each_cot_has_counts_of_its_own(self) -> None:
        result, _ = done(lambda q, p: [RIGHT if q == "right" else WRONG], seed(question="right"), seed())
        assert [c[1] for c in result.counts] == [(4, 4), (0, 4)]

    def test_what_nobody_could_decide_is_kept_and_not_counted(self) -> None:
        says = [RIGHT, WRONG, "The answer is 99.", Sample("", 0, "error", error="down")]
        result, _ = done(says, verifier=Exact(undecided=["99"]), from_question=False)
        assert result.counts == [{1: (1, 2), 2: (1, 2)}]
        assert Counter(t.outcome for t in result.traces) == {
            Outcome.CORRECT: 2,
            Outcome.WRONG: 2,
            Outcome.UNDECIDED: 4,
        }
        assert {t.error for t in result.traces} == {None, "policy failed: down"}

    def test_where_nothing_was_decided_a_step_stays_without_a_label(self) -> None:
        result, _ = done([Sample("", 0, "error", error="down")])
        t = with_counts(own(seed()), result.counts[0])
        assert [(s.n_rollouts, s.method) for s in t.steps] == [(0, None), (0, None), (0, Method.INFERRED)]

    def test_a_rollout_that_is_cut_off_is_a_failure(self) -> None:
        result, _ = done([RIGHT, Sample("and so on", 9, "length")], from_question=False)
        assert result.counts[0][1] == (2, 4)

    def test_no_rollouts_ask_nobody(self) -> None:
        result, policy = done(rollouts=0)
        assert (policy.requests, result.traces, result.rollouts) == ([], [], 0)
        assert result.counts == [{0: (0, 0), 1: (0, 0), 2: (0, 0)}]
        t = with_counts(own(seed()), result.counts[0])
        assert t == own(seed())

    def test_no_cut_is_no_work(self) -> None:
        result = complete([], TablePolicy(lambda q, p: [RIGHT]), Exact(), CompletionSettings(), 0)
        assert (result.traces, result.counts, result.rollouts, result.tokens) == ([], [], 0, 0)


class TestTraces:
    def test_each_says_which_steps_it_copied(self) -> None:
        result, _ = done([RIGHT])
        by_prefix = {t.prefix_steps: t for t in result.traces}
        assert by_prefix.keys() == {0, 1, 2}
        for n, t in by_prefix.items():
            assert [s.origin for s in t.steps] == [Origin.HUMAN] * n + [Origin.POLICY]
            assert t.text == "\n\n".join([*["one", "two"][:n], RIGHT])
            assert t.generator is Generator.COMPLETION
            assert t.provenance.parent_id == t.seed_id == seed().seed_id

    def test_equal_texts_become_one_with_their_count(self) -> None:
        result, _ = done([RIGHT, RIGHT, WRONG, RIGHT], from_question=False)
        assert sorted((t.prefix_steps, t.count, t.outcome) for t in result.traces) == [
            (1, 1, "wrong"),
            (1, 3, "correct"),
            (2, 1, "wrong"),
            (2, 3, "correct"),
        ]
        assert sum(t.count for t in result.traces) == result.rollouts == 8

    def test_equal_texts_from_different_cuts_are_one_trace_too(self) -> None:
        whole = {"": "one\n\ntwo\n\n" + RIGHT, "one\n\n": "two\n\n" + RIGHT, "one\n\ntwo\n\n": RIGHT}
        result, _ = done(lambda q, p: [whole[p]], rollouts=2)
        [t] = result.traces
        assert (t.count, t.prefix_steps) == (6, 0)

    def test_equal_texts_of_different_seeds_stay_apart(self) -> None:
        result, _ = done([RIGHT], seed("a\n\nb"), seed("c\n\nd"))
        fresh = [t for t in result.traces if t.prefix_steps == 0]
        assert len({t.text for t in fresh}) == 1
        assert len({t.trace_id for t in fresh}) == 2

    def test_tokens_count_every_sample_drawn(self) -> None:
        result, _ = done([RIGHT], from_question=False)
        assert result.tokens == 8 * len(RIGHT.split())
        assert {t.tokens for t in result.traces} == {len(RIGHT.split())}

    def test_a_sampled_parent_keeps_who_wrote_which_step(self) -> None:
        s = seed()
        [first] = [t for t in done(["so\n\n" + WRONG])[0].traces if t.prefix_steps == 1]
        policy = TablePolicy(lambda q, p: [RIGHT])
        cut = Cut(s, first, [2])
        [t] = complete([cut], policy, Exact(), CompletionSettings(rollouts=2), 0).traces
        assert policy.prefixes == ["one\n\nso\n\n"]
        assert [x.origin for x in t.steps] == [Origin.HUMAN, Origin.POLICY, Origin.POLICY]
        assert (t.prefix_steps, t.count) == (1, 2)
        assert (t.seed_id, t.provenance.parent_id) == (s.seed_id, first.trace_id)


class TestKeys:
    def keys(self, *seeds: Seed, run_seed: int = 7) -> dict[str, str]:
        policy = TablePolicy(lambda q, p: [RIGHT])
        cuts = [cuts_of(s, own(s), from_question=True) for s in seeds]
        complete(cuts, policy, Exact(), CompletionSettings(rollouts=1), run_seed)
        return {r.prompt: r.key for r in policy.requests}

    def test_they_do_not_depend_on_what_else_is_completed(self) -> None:
        a, b = seed(question="a"), seed(question="b")
        together = self.keys(a, b)
        assert together == self.keys(b, a) == self.keys(a) | self.keys(b)
        assert len(set(together.values())) == 6

    def test_they_depend_on_the_run(self) -> None:
        assert not set(self.keys(seed()).values()) & set(self.keys(seed(), run_seed=8).values())


def test_merge_keeps_the_order_of_first_appearance() -> None:
    result, _ = done([WRONG, RIGHT], from_question=False)
    a, b, *_ = result.traces
    assert [t.trace_id for t in merge([b, a, b])] == [b.trace_id, a.trace_id]
    assert merge([b, a, b])[0].count == 2 * b.count


@pytest.mark.parametrize("wrong", [{"rollouts": -1}, {"temperature": -0.1}, {"max_tokens": 0}, {"n": 3}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CompletionSettings(**wrong)
