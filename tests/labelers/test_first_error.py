"""Searches for the first error: what they find, what they ask, what they write down."""

import math
from collections import Counter
from typing import Any

import pytest
from cotmill.generators.assemble import decide, seed_trace
from cotmill.generators.completion import CompletionSettings, complete, cuts_of, merge, with_counts
from cotmill.labelers.rollouts import Labelled, LabelSettings, label_shard, solve_rate
from cotmill.schemas import Generator, Method, Seed, Source, Trace, labels, split_steps
from cotmill.schemas.labels import first_error, hard, soft, three_valued
from cotmill.schemas.tables import step_rows
from doubles import Exact, Says, TablePolicy
from hypothesis import given
from hypothesis import strategies as st

RIGHT, WRONG = "The answer is 12.", "The answer is 13."
BARE = Seed(question="How many?", answer="12", source=Source(name="rows"))


def words(n: int, error: int) -> str:
    """A wrong solution of n steps whose first error stands at `error`."""
    return "\n\n".join([f"{'bad' if i == error else 'step'} {i}" for i in range(n - 1)] + [WRONG])


def sound(prefix: str) -> bool:
    return "bad" not in prefix


def says_for(n: int, error: int, right: int = 0) -> Says:
    """From the question the wrong solution, or right ones (of ten); success from sound prefixes only."""

    def says(question: str, prefix: str) -> list[str]:
        if not prefix:
            return [words(n, error)] * (10 - right) + [RIGHT] * right
        return [RIGHT] if sound(prefix) else [WRONG]

    return says


def labelled(
    seed: Seed, says: Says, *, fresh: int = 10, policy: TablePolicy | None = None, **settings: Any
) -> tuple[Labelled, TablePolicy]:
    own = decide([seed_trace(seed)], Exact())
    cuts = [cuts_of(seed, own[0], from_question=True)]
    done = complete(cuts, TablePolicy(says), Exact(), CompletionSettings(rollouts=fresh), 0)
    traces = merge([with_counts(own[0], done.counts[0]), *done.traces])
    policy = policy or TablePolicy(says)
    chosen = LabelSettings(**({"method": "scan", "rollouts": 8, "wrong_per_seed": 1} | settings))
    return label_shard([seed], traces, policy, Exact(), chosen, 0), policy


def suspect(done: Labelled) -> Trace:
    [found] = [t for t in done.traces if any(s.method in labels.EARLY_STOPPED for s in t.steps)]
    return found


@pytest.mark.parametrize("method", ["scan", "binary_search"])
@given(n=st.integers(2, 12), data=st.data())
def test_a_policy_that_never_recovers_shows_the_first_error_exactly(
    method: str, n: int, data: st.DataObject
) -> None:
    error = data.draw(st.integers(0, n - 2))
    done, _ = labelled(BARE, says_for(n, error, right=1), method=method, right_per_seed=0)
    found = suspect(done)
    assert first_error(hard(found)) == error
    assert None not in hard(found)


@given(n=st.integers(3, 40), data=st.data())
def test_binary_search_asks_of_few_prefixes(n: int, data: st.DataObject) -> None:
    error = data.draw(st.integers(0, n - 2))
    _, policy = labelled(BARE, says_for(n, error, right=1), method="binary_search", right_per_seed=0)
    assert len(set(policy.prefixes)) <= math.ceil(math.log2(n))


def test_a_scan_stops_at_the_first_prefix_without_success() -> None:
    _, policy = labelled(BARE, says_for(9, 2, right=1), rollouts=4, right_per_seed=0)
    assert Counter(p.split("\n\n")[-2] for p in policy.prefixes) == {"step 0": 1, "step 1": 1, "bad 2": 4}


@pytest.mark.parametrize("method", ["scan", "binary_search"])
def test_counts_that_stop_early_give_hard_labels_and_no_success_ratio(method: str) -> None:
    done, _ = labelled(BARE, says_for(6, 3, right=1), method=method, right_per_seed=0)
    found = suspect(done)
    for row, step in zip(step_rows(found), found.steps, strict=True):
        assert (row["q"], row["q_low"], soft(step), three_valued(step)) == (None,) * 4
        assert row["method"] in (method, "inferred")
        assert row["hard"] is not None


@pytest.mark.parametrize(("right", "method"), [(1, Method.SCAN), (4, Method.BINARY_SEARCH)])
def test_the_measured_solve_rate_chooses_the_search(right: int, method: Method) -> None:
    done, _ = labelled(BARE, says_for(6, 3, right), method="first_error", right_per_seed=0)
    assert {s.method for s in suspect(done).steps} == {method, Method.INFERRED}


def test_the_solve_rate_is_that_of_the_bare_question() -> None:
    done, _ = labelled(BARE, says_for(6, 3, 4), right_per_seed=0, wrong_per_seed=0)
    assert solve_rate(done.traces) == 0.4
    assert solve_rate([]) is None


def test_a_right_solution_is_right_throughout_for_no_rollout_at_all() -> None:
    def says(question: str, prefix: str) -> list[str]:
        return ["one\n\ntwo\n\n" + RIGHT]

    done, policy = labelled(BARE, says, wrong_per_seed=0, right_per_seed=1)
    assert policy.requests == []
    [right] = [t for t in done.traces if t.steps]
    assert hard(right) == [True, True, True]
    assert [(r["method"], r["hard"], r["q"]) for r in step_rows(right)] == [("inferred", True, None)] * 3


def test_rollouts_made_for_a_label_are_stored_once_with_their_count() -> None:
    done, policy = labelled(BARE, says_for(6, 3, right=1), rollouts=4, right_per_seed=0)
    found = suspect(done)
    children = [t for t in done.traces if t.provenance.parent_id == found.trace_id]
    assert sum(t.count for t in children) == done.rollouts == len(policy.requests)
    assert {t.outcome.value for t in children} == {"correct", "wrong"}
    assert len({t.trace_id for t in done.traces}) == len(done.traces)


def test_every_rollout_has_a_draw_of_its_own() -> None:
    _, policy = labelled(BARE, says_for(6, 0, right=1), right_per_seed=0)
    assert len({r.key for r in policy.requests}) == len(policy.requests) == 8


def test_a_policy_too_weak_for_the_question_is_asked_nothing() -> None:
    done, policy = labelled(BARE, says_for(6, 3, right=0))
    assert policy.requests == []
    assert all(label is None for t in done.traces for label in hard(t)[:-1])
    assert {s.reason is not None for t in done.traces for s in t.steps[:-1]} == {True}


def test_where_no_rollout_is_decided_there_is_no_label() -> None:
    def says(question: str, prefix: str) -> list[str]:
        return says_for(4, 1, right=1)(question, prefix) if not prefix else ["The answer is perhaps."]

    done = label_shard(
        [BARE],
        labelled(BARE, says, wrong_per_seed=0, right_per_seed=0)[0].traces,
        TablePolicy(says),
        Exact(undecided=["perhaps", "perhaps."]),
        LabelSettings(method="scan", rollouts=2, right_per_seed=0, wrong_per_seed=1),
        0,
    )
    [step] = [s for t in done.traces for s in t.steps if s.method is Method.SCAN]
    assert (step.n_rollouts, step.reason) == (0, "no rollout from here was decided")


def test_an_imported_wrong_solution_is_searched_itself() -> None:
    text = words(6, 2)
    seed = Seed(
        question="How many?",
        answer="12",
        text=text,
        steps=split_steps(text),
        generator=Generator.IMPORTED,
        source=Source(name="rows"),
    )
    own = decide([seed_trace(seed)], Exact())
    policy = TablePolicy(says_for(6, 2))
    settings = LabelSettings(method="scan", wrong_per_seed=0, right_per_seed=0)
    done = label_shard([seed], own, policy, Exact(), settings, 0)
    assert first_error(hard(suspect(done))) == 2
