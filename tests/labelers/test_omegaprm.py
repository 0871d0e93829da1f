"""OmegaPRM's tree: nothing is labelled twice, nothing selected twice, and the paper's weights."""

from collections import Counter

import numpy as np
import pytest
from cotmill.generators.assemble import decide, seed_trace
from cotmill.generators.completion import CompletionSettings, complete, cuts_of, merge, with_counts
from cotmill.labelers.omegaprm import Candidate, Node, Tree, TreeSettings, grow_trees
from cotmill.labelers.rollouts import LabelSettings, label_shard
from cotmill.schemas import Outcome, Seed, Source, Trace, split_steps
from cotmill.schemas.tables import step_rows
from doubles import Exact, Says, TablePolicy
from hypothesis import given, settings
from hypothesis import strategies as st

K = 8
RIGHT, WRONG = "The answer is 12.", "The answer is 13."
COT = "one\n\ntwo\n\nthree\n\n" + RIGHT


def seed(question: str = "How many?", cot: str = COT) -> Seed:
    return Seed(question=question, answer="12", text=cot, steps=split_steps(cot), source=Source(name="rows"))


def wandering(salt: int) -> Says:
    """From any prefix eight endings of up to five steps, some right, drawn by the prefix; few words."""

    def says(question: str, prefix: str) -> list[str]:
        draw = np.random.default_rng([salt, len(prefix), sum(map(ord, question + prefix))])
        return [
            "\n\n".join([*draw.choice(["a", "b"], draw.integers(0, 5)), draw.choice([RIGHT, WRONG])])
            for _ in range(K)
        ]

    return says


def generated(seeds: list[Seed], says: Says) -> list[Trace]:
    own = decide(map(seed_trace, seeds), Exact())
    cuts = [cuts_of(s, t, from_question=True) for s, t in zip(seeds, own, strict=True)]
    done = complete(cuts, TablePolicy(says), Exact(), CompletionSettings(rollouts=K), 0)
    return merge([*map(with_counts, own, done.counts), *done.traces])


@settings(deadline=None)
@given(salt=st.integers(0, 10_000), searches=st.integers(1, 30), has_cot=st.booleans())
def test_no_prefix_is_labelled_or_rolled_out_twice(salt: int, searches: int, has_cot: bool) -> None:
    seeds = [seed(cot=COT if has_cot else ""), seed("And how many now?")]
    traces, policy = generated(seeds, wandering(salt)), TablePolicy(wandering(salt))
    chosen = LabelSettings(method="omegaprm", rollouts=K, tree=TreeSettings(searches=searches))
    done = label_shard(seeds, traces, policy, Exact(), chosen, 0)

    asked = Counter(r.prompt for r in policy.requests)
    assert all(n == 1 for n in asked.values())
    assert all(r.n == K for r in policy.requests)

    rows = [row for t in done.traces for row in step_rows(t)]
    labelled = Counter((r["question"], r["prefix"]) for r in rows if r["method"] == "rollouts")
    assert all(n == 1 for n in labelled.values())
    assert all(r["n_rollouts"] <= K for r in rows)
    assert all(r["q"] is not None for r in rows if r["method"] == "rollouts" and not r["reason"])
    assert done.rollouts <= K * len(labelled)


@settings(deadline=None)
@given(salt=st.integers(0, 10_000))
def test_no_rollout_is_selected_twice(salt: int) -> None:
    trace_seed = seed()
    own, *sampled = generated([trace_seed], wandering(salt))
    tree = Tree(trace_seed, TreeSettings())
    tree.plant(own, sampled)
    selected = []
    while (candidate := tree.select()) is not None:
        selected.append(candidate.rollout.text)
    assert len(selected) == len(set(selected))
    assert all(c.outcome is Outcome.WRONG for c in sampled if c.text in selected)


def test_the_search_halves_a_wrong_rollout_until_its_first_error_is_found() -> None:
    wrong = "s0\n\ns1\n\ns2\n\nbad\n\ns4\n\ns5\n\n" + WRONG

    def says(question: str, prefix: str) -> list[str]:
        if not prefix:
            return [wrong, RIGHT]
        return [WRONG] if "bad" in prefix else [RIGHT, WRONG]

    bare = seed(cot="")
    traces, policy = generated([bare], says), TablePolicy(says)
    chosen = LabelSettings(method="omegaprm", rollouts=K, tree=TreeSettings(searches=1))
    done = label_shard([bare], traces, policy, Exact(), chosen, 0)
    assert [len(p.split("\n\n")) - 1 for p in policy.prefixes] == [3, 5, 4]
    [found] = [t for t in done.traces if t.text == wrong]
    rows = step_rows(found)
    assert [r["method"] for r in rows] == [
        "inferred",
        "inferred",
        "rollouts",
        "rollouts",
        "rollouts",
        "inferred",
        "inferred",
    ]
    assert [r["hard"] for r in rows] == [True, True, True, False, False, False, False]
    assert [r["q"] for r in rows] == [None, None, 0.5, 0.0, 0.0, None, None]


def test_a_question_that_is_always_or_never_solved_grows_no_tree() -> None:
    for ending in (RIGHT, WRONG):
        policy = TablePolicy(lambda q, p, e=ending: [f"step\n\nstep\n\n{e}"])  # type: ignore[misc]
        bare = seed(cot="")
        traces = generated([bare], policy.says)
        done = label_shard([bare], traces, policy, Exact(), LabelSettings(method="omegaprm"), 0)
        assert (policy.requests, done.rollouts) == ([], 0)


def test_rollouts_of_the_tree_are_stored_once() -> None:
    seeds = [seed()]
    traces, policy = generated(seeds, wandering(5)), TablePolicy(wandering(5))
    done = label_shard(seeds, traces, policy, Exact(), LabelSettings(method="omegaprm"), 0)
    assert done.rollouts == sum(r.n for r in policy.requests) > 0
    assert sum(t.count for t in done.traces) == sum(t.count for t in traces) + done.rollouts
    assert len({t.trace_id for t in done.traces}) == len(done.traces)


def candidate(tokens: int, right: int, visits: int = 0) -> Candidate:
    rollout = decide([seed_trace(seed(cot="x\n\n" + WRONG))], Exact())[0]
    return Candidate(Node(right, K, visits), rollout.model_copy(update={"tokens": tokens}), 0)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (candidate(100, 7), candidate(100, 1)),
        (candidate(10, 4), candidate(900, 4)),
        (candidate(100, 4, visits=0), candidate(100, 4, visits=3)),
    ],
    ids=["a wrong rollout of a good prefix", "a short rollout", "a node seldom visited"],
)
def test_selection_prefers(better: Candidate, worse: Candidate) -> None:
    tree = Tree(seed(), TreeSettings())
    tree.nodes = {"a": better.node, "b": worse.node}
    tree.candidates = [worse, better]
    assert tree.select() is better
    assert tree.candidates == [worse]


def test_the_papers_weights_of_a_candidate() -> None:
    """Q = 0.5^(1 - MC) 0.9^(len / 500), U = 0.125 sqrt(sum N) / (1 + N) (arXiv 2406.06592, 3.3)."""
    tree, one = Tree(seed(), TreeSettings()), candidate(250, 2, visits=3)
    expected = 0.5**0.75 * 0.9**0.5 + 0.125 * 16**0.5 / 4
    assert tree._worth(one, 16) == pytest.approx(expected)


def test_without_trees_nothing_is_asked() -> None:
    policy = TablePolicy(lambda q, p: [RIGHT])
    assert grow_trees([], policy, Exact(), CompletionSettings(), 0) == []
