"""What the search asks of a policy: acts with and without tags, whole steps, scorers, bad segments."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from cotmill.generators.search import SearchSettings, search_shard
from cotmill.schemas import Inventory, Outcome, Seed, markup

Sums = Callable[..., Seed]


def settings(**given: Any) -> SearchSettings:
    return SearchSettings(**({"simulations": 12, "candidates": 4, "max_tokens": 60, "splices": 0} | given))


def test_segments_come_from_the_whole_pool(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    pool = settings(temperatures=(0.3, 0.9, 1.2), candidates=5, rollouts=0)
    search_shard([sums("1+2")], tagged_adder, exact(), pool, run_seed=1)
    asked: dict[str, list[tuple[float, int]]] = {}
    for request in tagged_adder.requests:
        asked.setdefault(request.prompt, []).append((request.temperature, request.n))
    assert all(sorted(pool) == [(0.3, 2), (0.9, 2), (1.2, 1)] for pool in asked.values())


def test_a_segment_is_asked_for_inside_its_act(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    search_shard([sums("1+2")], tagged_adder, exact(), settings(rollouts=0), run_seed=1)
    for request in tagged_adder.requests:
        [stop] = request.stop
        assert request.prompt.endswith(stop.replace("_End>", "_Start>"))


def test_no_draw_shares_a_key_with_another(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    text, acts = markup.parse(
        "<Think_Start><ACT_Calculate_Start>1+2=3<ACT_Calculate_End>\n<ACT_Answer_Start>3<ACT_Answer_End><Think_End>"
    )
    seed = sums("1+2+3", text=text, acts=acts, steps=((0, 5), (6, 7)))
    search_shard([seed, sums("1+2")], tagged_adder, exact(), settings(cuts=(0, 0.5)), run_seed=1)
    keys = [r.key for r in tagged_adder.requests]
    assert len(keys) == len(set(keys))


def test_a_scorer_chooses_among_candidates_and_values_leaves(
    tagged_adder: Any, exact: Any, sums: Sums
) -> None:
    """One that knows the sum finds it without any rollout."""

    def knows(question: str, prefixes: Sequence[str]) -> list[float]:
        wrong = ("1+2=4", "3+3=7", "4+3=7", "4+3=8")
        return [0.1 if any(w in p for w in wrong) else 0.9 for p in prefixes]

    only = settings(rollouts=0, tau=0, candidates=12, branches=1)
    found = search_shard([sums("1+2+3")], tagged_adder, exact(), only, run_seed=1, scorer=knows)
    assert {s.value for s in found.states} == {1}
    scores = {(c.text, c.score) for s in found.states for c in s.candidates if c.action == "Calculate"}
    assert scores == {("1+2=3", 0.9), ("1+2=4", 0.1), ("3+3=6", 0.9), ("3+3=7", 0.1)}
    assert found.states[0].q[found.states[0].actions.index("Calculate")] > 0.7


def test_a_segment_that_disappoints_gives_way_to_the_next_best(
    tagged_adder: Any, exact: Any, sums: Sums
) -> None:
    """The scorer prefers the wrong sum; rollouts know better, and with two branches the tree finds out."""

    def misled(question: str, prefixes: Sequence[str]) -> list[float]:
        return [0.6 if "1+2=4" in p else 0.4 for p in prefixes]

    both = settings(rollouts=4, rollout_weight=1.0, candidates=12, simulations=40, tau=0)
    one = both.model_copy(update={"branches": 1})
    values, firsts = [], []
    for given in (both, one):
        found = search_shard([sums("1+2")], tagged_adder, exact(), given, 1, scorer=misled)
        first = found.states[0]
        values.append(first.q[first.actions.index("Calculate")])
        firsts.append([c.text for c in first.candidates if c.chosen and c.action == "Calculate"])
    assert firsts == [["1+2=3"], ["1+2=4"]]
    assert values[0] > 0 > values[1]


def test_rollouts_and_scorer_are_mixed_by_weight(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    def q(weight: float) -> float:
        mixed = settings(simulations=1, rollouts=20, rollout_weight=weight, max_moves=1)
        found = search_shard(
            [sums("1+2")], tagged_adder, exact(), mixed, 1, scorer=lambda _, p: [0.75] * len(p)
        )
        return max(found.states[0].q, key=abs)

    assert q(0.0) == pytest.approx(0.5)
    assert q(0.25) == pytest.approx(0.75 * 0.5 + 0.25 * q(1.0))
    assert q(1.0) != pytest.approx(0.5)


@pytest.mark.parametrize("scores", [lambda p: [2.0] * len(p), lambda p: []])
def test_a_scorer_that_gives_no_probabilities_is_named(
    tagged_adder: Any, exact: Any, sums: Sums, scores: Callable[[Sequence[str]], list[float]]
) -> None:
    found = search_shard(
        [sums("1+2")], tagged_adder, exact(), settings(), 1, scorer=lambda _, prefixes: scores(prefixes)
    )
    [(_, reason)] = found.stats.failed
    assert "one probability in [0, 1] per prefix" in reason


@pytest.mark.parametrize(
    "bad",
    [
        "no end in sight ",
        "<ACT_Check_Start>inner<ACT_Check_End><ACT_Plan_End>",
        "stray<Think_End><ACT_Plan_End>",
        " <ACT_Plan_End>",
        "<eos>",
    ],
    ids=["never ends", "nested act", "ends inside", "empty", "ends without its tag"],
)
def test_a_malformed_segment_is_kept_and_never_chosen(
    scripted: Any, exact: Any, sums: Sums, bad: str
) -> None:
    def script(prompt: str) -> Mapping[str, float]:
        if prompt.endswith("<ACT_Plan_Start>"):
            return {bad: 0.9, "Fine.<ACT_Plan_End>": 0.1}
        if prompt.endswith("<ACT_Answer_Start>"):
            return {"3<ACT_Answer_End>": 1.0}
        if prompt.endswith("<ACT_Answer_End>"):
            return {"<Think_End>": 1.0}
        if "<ACT_Plan_Start>" in prompt and not prompt.endswith("<ACT_Plan_End>"):
            return {bad: 1.0}
        if "<ACT_Plan_Start>" in prompt:
            return {"\n<ACT_Answer_Start>": 1.0}
        return {"<ACT_Plan_Start>": 1.0}

    found = search_shard([sums("1+2")], scripted(script), exact(), settings(candidates=16), run_seed=1)
    first = found.states[0]
    assert [c.text for c in first.candidates if c.chosen and c.action == "Plan"] == ["Fine."]
    assert any(c.score is None and c.action == "Plan" for c in first.candidates)
    for state in found.states:
        markup.parse(state.prefix, closed=False)
    assert found.states[-1].value == 1


def test_without_any_sound_segment_the_line_is_lost(scripted: Any, exact: Any, sums: Sums) -> None:
    def script(prompt: str) -> Mapping[str, float]:
        if prompt.endswith("|<Think_Start>"):
            return {"<ACT_Plan_Start>": 0.5, "<ACT_Answer_Start>": 0.5}
        if prompt.endswith("<ACT_Answer_Start>"):
            return {"3<ACT_Answer_End>": 1.0}
        return {"<Think_End>" if prompt.endswith("<ACT_Answer_End>") else "and on ": 1.0}

    found = search_shard([sums("1+2")], scripted(script), exact(), settings(tau=0, top_k=2), run_seed=1)
    q = dict(zip(found.states[0].actions, found.states[0].q, strict=True))
    assert found.states[0].chosen == "Answer"
    assert q["Answer"] > 0.9
    assert found.states[-1].value == 1


def test_a_policy_without_tags_is_led_into_each_act_by_opening_words(
    untagged_adder: Any, exact: Any, sums: Sums
) -> None:
    found = search_shard(
        [sums("1+2+3")], untagged_adder, exact(), settings(simulations=60, c_puct=9), run_seed=1
    )
    acts = Inventory.load().names
    first = found.states[0]
    assert first.actions == acts
    assert first.prior == pytest.approx([1 / len(acts)] * len(acts))
    said = {c.action: c.text for c in first.candidates if c.chosen}
    assert said["Calculate"].startswith("Calculating, 1+2=")
    assert said["DetectError"].startswith("Wait, that is wrong: 1+2=")
    for request in untagged_adder.requests:
        assert "<" not in request.prompt
    [played] = [t for t in found.traces if t.trace_id == first.trace_id]
    assert [a.act for a in played.acts] == [s.chosen for s in found.states if s.chosen != "Think_End"]


def test_opening_words_are_shipped_for_every_act(untagged_adder: Any, exact: Any, sums: Sums) -> None:
    search_shard([sums("1+2+3")], untagged_adder, exact(), settings(simulations=27, rollouts=0), run_seed=1)
    prompts = {r.prompt.partition("|")[2] for r in untagged_adder.requests if r.prompt.count("\n") == 0}
    assert len(prompts) == len(Inventory.load().names)
    assert "" not in prompts


def test_whole_steps_are_searched_without_acts(untagged_adder: Any, exact: Any, sums: Sums) -> None:
    steps = settings(acts="none", candidates=8, tau=0)
    found = search_shard([sums("1+2+3")], untagged_adder, exact(), steps, run_seed=1)
    first = found.states[0]
    assert first.action_kind == "step"
    assert set(first.actions) == {"1+2=3", "1+2=4"}
    assert sum(first.prior) == pytest.approx(1)
    assert {8 * p for p in first.prior} <= set(range(9))
    [played] = [t for t in found.traces if t.trace_id == first.trace_id]
    assert played.acts == ()
    assert played.text == "\n".join(s.chosen for s in found.states)
    assert all(played.text.startswith(s.prefix) for s in found.states)
    assert played.outcome is Outcome.CORRECT


def test_whole_steps_of_a_policy_that_writes_tags(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    steps = settings(acts="none", candidates=8)
    found = search_shard([sums("1+2+3")], tagged_adder, exact(), steps, run_seed=1)
    [played] = [t for t in found.traces if t.trace_id == found.states[0].trace_id]
    pieces = [s.chosen for s in found.states]
    assert pieces[-1] == "Think_End"
    assert markup.render(played.text, played.acts) == (
        "<Think_Start>" + "\n".join(pieces[:-1]) + "<Think_End>"
    )
    assert all(len(s.candidates) == len(s.actions) for s in found.states)


def test_steps_are_parted_as_the_seed_parts_them(untagged_adder: Any, exact: Any, sums: Sums) -> None:
    text = "1+2=3\n\n3+3=6\n\nThe answer is 6"
    seed = sums("1+2+3", text=text, steps=((0, 5), (7, 12), (14, 29)))
    found = search_shard([seed], untagged_adder, exact(), settings(acts="none", cuts=(0.4,)), run_seed=1)
    assert found.states[0].prefix == "1+2=3"
    shown = [r.prompt.partition("|")[2] for r in untagged_adder.requests]
    assert shown[0] == "1+2=3\n\n"


def test_an_inventory_of_ones_own_decides_the_actions(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    own = Inventory(factors=tuple(f for f in Inventory.load().factors if f.name in ("Calculate", "Answer")))
    found = search_shard([sums("1+2")], tagged_adder, exact(), settings(), run_seed=1, inventory=own)
    assert {a for s in found.states for a in s.actions} <= {"Calculate", "Answer", "Think_End"}
