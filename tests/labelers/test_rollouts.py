"""Step labels by rollouts: which traces are chosen, whose counts a step takes, when there is no label."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from cotmill.generators.assemble import decide, seed_trace
from cotmill.generators.completion import CompletionSettings, complete, cuts_of, merge, with_counts
from cotmill.labelers.opinion import Opinion
from cotmill.labelers.rollouts import TOO_WEAK, UNSOLVED, Labelled, LabelSettings, choose, label_shard
from cotmill.schemas import Generator, Method, Outcome, Seed, Source, Step, Trace, split_steps
from cotmill.schemas.labels import hard, soft
from cotmill.schemas.tables import step_rows
from doubles import Exact, Says, TablePolicy

RIGHT, WRONG = "The answer is 12.", "The answer is 13."
SEED_COT = "one\n\ntwo\n\n" + RIGHT


def seed(question: str = "How many?", cot: str = SEED_COT, **given: Any) -> Seed:
    given = {"answer": "12", "source": Source(name="rows")} | given
    return Seed(question=question, text=cot, steps=split_steps(cot), **given)


def generated(seeds: list[Seed], says: Says, rollouts: int = 4) -> list[Trace]:
    """What the `generate` stage hands over: the seeds' own traces with counts, and their completions."""
    own = decide(map(seed_trace, seeds), Exact())
    cuts = [cuts_of(s, t, from_question=True) for s, t in zip(seeds, own, strict=True)]
    done = complete(cuts, TablePolicy(says), Exact(), CompletionSettings(rollouts=rollouts), 0)
    return merge([*map(with_counts, own, done.counts), *done.traces])


def labelled(
    seeds: list[Seed], traces: list[Trace], says: Says, **settings: Any
) -> tuple[Labelled, TablePolicy]:
    policy = TablePolicy(says)
    whole = LabelSettings(**({"rollouts": 8} | settings))
    return label_shard(seeds, traces, policy, Exact(), whole, 0), policy


def half(question: str, prefix: str) -> list[str]:
    """One in two goes wrong behind "bad"; else all goes well. From the question it takes two steps."""
    if not prefix:
        return ["good\n\nfine\n\n" + RIGHT, "good\n\nbad\n\n" + WRONG]
    return [RIGHT, WRONG] if prefix.endswith("bad\n\n") else [RIGHT]


def by_text(done: Labelled, text: str, generator: Generator = Generator.COMPLETION) -> Trace:
    """The seed's own trace of that text, or its completion, not a completion of another completion."""
    [found] = [
        t
        for t in done.traces
        if t.text == text and t.generator is generator and t.provenance.parent_id in ("", t.seed_id)
    ]
    return found


def counts(t: Trace) -> list[tuple[int, int, Method | None]]:
    return [(s.n_correct, s.n_rollouts, s.method) for s in t.steps]


class TestChoose:
    def pool(self, n: int = 12) -> list[Trace]:
        endings = [f"way {i}\n\n{RIGHT if i % 2 else WRONG}" for i in range(n)]
        return [t for t in generated([seed()], lambda q, p: endings, n) if t.prefix_steps == 0][1:]

    def test_so_many_wrong_and_right_ones(self) -> None:
        chosen = choose("s", self.pool(), LabelSettings(wrong_per_seed=3, right_per_seed=1), 0)
        assert [t.outcome for t in chosen] == [Outcome.WRONG] * 3 + [Outcome.CORRECT]

    def test_whatever_order_they_come_in(self) -> None:
        pool = self.pool()
        chosen = choose("s", pool, LabelSettings(), 0)
        for i in range(5):
            random.Random(i).shuffle(pool)
            assert choose("s", pool, LabelSettings(), 0) == chosen

    def test_the_run_and_the_seed_decide_which(self) -> None:
        pool, settings = self.pool(), LabelSettings(wrong_per_seed=2, right_per_seed=2)
        drawn = {tuple(t.text for t in choose(s, pool, settings, r)) for s in ("s", "z") for r in range(3)}
        assert len(drawn) > 1

    def test_another_trace_in_the_pool_never_trades_two_chosen_ones(self) -> None:
        pool = self.pool()
        few = {t.text for t in choose("s", pool[:-2], LabelSettings(wrong_per_seed=3), 0)}
        more = {t.text for t in choose("s", pool, LabelSettings(wrong_per_seed=3), 0)}
        assert len(more - few) <= 2

    def test_malformed_ones_and_ones_without_an_answer_are_never_chosen(self) -> None:
        [t] = self.pool(3)[:1]
        unfit = [
            t.model_copy(update={"error": "cut off: max_tokens reached"}),
            t.model_copy(update={"answer": None}),
            t.model_copy(update={"outcome": Outcome.UNDECIDED}),
        ]
        assert choose("s", unfit, LabelSettings(wrong_per_seed=9, right_per_seed=9), 0) == []


class TestLabels:
    def test_every_step_that_the_policy_wrote_is_rolled_out_from(self) -> None:
        traces = generated([seed()], half)
        done, policy = labelled([seed()], traces, half, wrong_per_seed=1, right_per_seed=0)
        wrong = by_text(done, "good\n\nbad\n\n" + WRONG)
        assert counts(wrong) == [
            (8, 8, Method.ROLLOUTS),
            (4, 8, Method.ROLLOUTS),
            (0, 0, Method.INFERRED),
        ]
        assert policy.prefixes == ["good\n\n", "good\n\nbad\n\n"]
        assert done.rollouts == 16

    def test_the_last_step_is_as_right_as_the_answer(self) -> None:
        done, _ = labelled([seed()], generated([seed()], half), half)
        for t in done.traces:
            if t.steps and t.outcome is not Outcome.UNDECIDED:
                assert hard(t)[-1] == (t.outcome is Outcome.CORRECT)

    def test_steps_copied_from_the_seed_take_the_seeds_counts(self) -> None:
        def says(question: str, prefix: str) -> list[str]:
            table = {"": [RIGHT], "one\n\n": [RIGHT, "so\n\nhm\n\n" + WRONG, WRONG, RIGHT]}
            return table.get(prefix, [RIGHT])

        traces = generated([seed()], says)
        done, policy = labelled([seed()], traces, says, wrong_per_seed=2, right_per_seed=0)
        own = by_text(done, SEED_COT, Generator.HUMAN)
        assert counts(own) == [(2, 4, Method.ROLLOUTS), (4, 4, Method.ROLLOUTS), (0, 0, Method.INFERRED)]
        t = by_text(done, "one\n\nso\n\nhm\n\n" + WRONG)
        assert counts(t) == [
            (2, 4, Method.ROLLOUTS),
            (8, 8, Method.ROLLOUTS),
            (8, 8, Method.ROLLOUTS),
            (0, 0, Method.INFERRED),
        ]
        assert "one\n\n" not in policy.prefixes

    def test_traces_that_were_not_chosen_stay_as_they_are(self) -> None:
        traces = generated([seed()], half)
        done, policy = labelled([seed()], traces, half, wrong_per_seed=0, right_per_seed=0)
        assert done.traces == traces
        assert (policy.prefixes, done.rollouts) == ([], 0)

    def test_rollouts_are_traces_too_and_are_kept(self) -> None:
        traces = generated([seed()], half)
        done, _ = labelled([seed()], traces, half, wrong_per_seed=1, right_per_seed=0)
        wrong = by_text(done, "good\n\nbad\n\n" + WRONG)
        children = [t for t in done.traces if t.provenance.parent_id == wrong.trace_id]
        assert {(t.text, t.count, t.outcome) for t in children} == {
            ("good\n\n" + RIGHT, 8, Outcome.CORRECT),
            ("good\n\nbad\n\n" + RIGHT, 4, Outcome.CORRECT),
            ("good\n\nbad\n\n" + WRONG, 4, Outcome.WRONG),
        }
        assert sum(t.count for t in children) == done.rollouts
        assert len({t.trace_id for t in done.traces}) == len(done.traces)

    def test_labels_do_not_depend_on_what_else_stands_in_the_shard(self) -> None:
        a, b = seed("a?"), seed("b?")
        alone, _ = labelled([a], generated([a], half), half)
        together, _ = labelled([b, a], generated([b, a], half), half)
        mine = {t.trace_id: t for t in together.traces if t.seed_id == a.seed_id}
        assert mine == {t.trace_id: t for t in alone.traces}

    def test_stop_strings_reach_the_label_rollouts(self) -> None:
        policy = TablePolicy(half)
        traces = generated([seed()], half)
        label_shard([seed()], traces, policy, Exact(), LabelSettings(), 0, stop=("Question:",))
        assert policy.requests
        assert {r.stop for r in policy.requests} == {("Question:",)}

    def test_q_and_hard_reach_the_table(self) -> None:
        done, _ = labelled([seed()], generated([seed()], half), half, wrong_per_seed=1)
        rows = step_rows(by_text(done, "good\n\nbad\n\n" + WRONG))
        assert [(r["q"], r["hard"], r["method"]) for r in rows] == [
            (1.0, True, "rollouts"),
            (0.5, True, "rollouts"),
            (None, False, "inferred"),
        ]


class TestTooWeak:
    def test_a_policy_that_cannot_finish_the_right_cot_gets_no_label(self) -> None:
        """Its failures from other prefixes say nothing about them."""

        def weak(question: str, prefix: str) -> list[str]:
            return ["hm\n\n" + WRONG] if not prefix or prefix == "one\n\n" else [WRONG]

        done, policy = labelled([seed()], generated([seed()], weak), weak, wrong_per_seed=9)
        assert policy.requests == []
        silenced = [(t, i) for t in done.traces for i, s in enumerate(t.steps) if s.reason]
        assert len(silenced) == 2 + 1 + 2 + 2
        for t, i in silenced:
            assert t.steps[i].reason == TOO_WEAK
            assert soft(t.steps[i]) is None
            assert hard(t)[i] is None
        rows = step_rows(by_text(done, SEED_COT, Generator.HUMAN))
        assert [(r["q"], r["hard"], r["reason"]) for r in rows] == [
            (None, None, TOO_WEAK),
            (None, None, TOO_WEAK),
            (None, True, None),
        ]
        assert (rows[0]["n_correct"], rows[0]["n_rollouts"]) == (0, 4)

    def test_one_success_from_the_end_is_enough(self) -> None:
        def says(question: str, prefix: str) -> list[str]:
            return [WRONG, WRONG, WRONG, RIGHT] if prefix == "one\n\ntwo\n\n" else [WRONG]

        done, _ = labelled([seed()], generated([seed()], says), says)
        own = by_text(done, SEED_COT, Generator.HUMAN)
        assert hard(own) == [False, True, True]
        assert {s.reason for t in done.traces for s in t.steps} == {None}

    def test_a_wrong_seed_is_no_measure_of_the_policy(self) -> None:
        def says(question: str, prefix: str) -> list[str]:
            return [WRONG]

        bad = seed(cot="one\n\ntwo\n\n" + WRONG)
        done, _ = labelled([bad], generated([bad], says), says)
        own = by_text(done, bad.text, Generator.HUMAN)
        assert hard(own) == [False, False, False]

    def test_without_a_cot_the_question_itself_is_the_measure(self) -> None:
        bare = seed(cot="")

        def weak(question: str, prefix: str) -> list[str]:
            return [WRONG] if prefix else ["hm\n\n" + WRONG, "so\n\n" + WRONG]

        done, policy = labelled([bare], generated([bare], weak), weak)
        assert policy.requests == []
        assert [[s.reason for s in t.steps] for t in done.traces if t.steps] == [[UNSOLVED, None]] * 2

        def strong(question: str, prefix: str) -> list[str]:
            return [RIGHT] if prefix else ["hm\n\n" + WRONG, "so\n\n" + RIGHT]

        done, _ = labelled([bare], generated([bare], strong), strong)
        assert {s.reason for t in done.traces for s in t.steps} == {None}

    def test_one_weak_seed_silences_no_other(self) -> None:
        def says(question: str, prefix: str) -> list[str]:
            return [WRONG] if question == "hard?" else [RIGHT]

        seeds = [seed("hard?"), seed("easy?")]
        done, _ = labelled(seeds, generated(seeds, says), says)
        own = {t.question: t for t in done.traces if t.generator is Generator.HUMAN}
        assert [s.reason for s in own["hard?"].steps] == [TOO_WEAK, TOO_WEAK, None]
        assert [s.reason for s in own["easy?"].steps] == [None, None, None]


def test_imported_traces_are_labelled_without_choosing_any_completion() -> None:
    imported = seed(generator=Generator.IMPORTED)
    traces = generated([imported], half)
    done, policy = labelled([imported], traces, half, wrong_per_seed=0, right_per_seed=0)
    assert policy.requests == []
    own = by_text(done, SEED_COT, Generator.IMPORTED)
    assert [s.method for s in own.steps] == [Method.ROLLOUTS, Method.ROLLOUTS, Method.INFERRED]


def test_an_imported_trace_with_counts_is_judged_too() -> None:
    class Doubter:
        name = "doubter"

        def opinions(self, traces: Sequence[Trace], pool: Sequence[Trace]) -> list[Opinion | None]:
            return [Opinion(1, (0.9, 0.1, 0.1)) for _ in traces]

    imported = seed(generator=Generator.IMPORTED)
    done = label_shard(
        [imported],
        generated([imported], half),
        TablePolicy(half),
        Exact(),
        LabelSettings(wrong_per_seed=0, right_per_seed=0),
        0,
        judge=Doubter(),
    )
    own = by_text(done, SEED_COT, Generator.IMPORTED)
    assert [s.judge.label for s in own.steps if s.judge] == [1, -1, -1]
    assert [s.method for s in own.steps] == [Method.ROLLOUTS, Method.ROLLOUTS, Method.INFERRED]
    assert {t.trace_id for t in done.traces for s in t.steps if s.judge} == {own.trace_id}


@pytest.mark.parametrize("n", [0, 1])
def test_a_trace_of_so_few_steps_needs_no_rollout(n: int) -> None:
    bare = seed(cot="")

    def says(question: str, prefix: str) -> list[str]:
        return [WRONG, RIGHT] if n else [""]

    done, policy = labelled([bare], generated([bare], says), says)
    assert policy.requests == []
    assert all(isinstance(s, Step) and not s.n_rollouts for t in done.traces for s in t.steps)
