"""Where priors and values come from: heads, tags, opening words, scorers; and pools of several models."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from cotmill.generators.search import SearchSettings, search_shard
from cotmill.models.policy import Opinion
from cotmill.models.pool import PolicyPool
from cotmill.schemas import BadInput, Inventory, Seed, markup
from doubles import Exact

Sums = Callable[..., Seed]
WRONG = ("1+2=4", "3+3=7", "4+3=7", "4+3=8")


def settings(**given: Any) -> SearchSettings:
    return SearchSettings(**({"simulations": 12, "candidates": 4, "max_tokens": 60, "splices": 0} | given))


def with_heads(policy: Any, opinion: Callable[[str], Opinion]) -> Any:
    """The policy with a network that says `opinion(prefix)`; `policy.seen` is what it was asked."""
    policy.seen = []

    def opinions(states: Sequence[tuple[str, str]]) -> list[Opinion]:
        policy.seen += states
        return [opinion(prefix) for _, prefix in states]

    policy.opinions = opinions
    return policy


def knowing(prefix: str) -> Opinion:
    """Calculate or Answer, half and half with the end; lost where a sum is wrong."""
    priors = {"Calculate": 0.25, "Answer": 0.25, "Think_End": 0.5}
    return Opinion(priors, -0.8 if any(w in prefix for w in WRONG) else 0.8)


def test_priors_come_from_the_policys_head(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    policy = with_heads(tagged_adder, knowing)
    found = search_shard([sums("1+2")], policy, exact(), settings(top_k=3), run_seed=1)
    first, later = found.states[0], next(s for s in found.states if s.depth)
    acts = {a: p for a, p in zip(first.actions, first.prior, strict=True) if p}
    assert acts == pytest.approx({"Calculate": 0.5, "Answer": 0.5})  # nothing to end yet
    assert dict(zip(later.actions, later.prior, strict=True))["Think_End"] == pytest.approx(0.5)


def test_values_come_from_the_policys_head(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    """Without any rollout, the head that knows the sum finds it."""
    policy = with_heads(tagged_adder, knowing)
    only = settings(rollouts=0, tau=0, candidates=12, simulations=40)
    found = search_shard([sums("1+2+3")], policy, exact(), only, run_seed=1)
    assert found.states[-1].value == 1
    assert all(r.max_tokens == only.segment_tokens for r in policy.requests)


def test_a_state_is_asked_about_once(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    policy = with_heads(tagged_adder, knowing)
    search_shard([sums("1+2")], policy, exact(), settings(), run_seed=1)
    assert policy.seen
    assert len(policy.seen) == len(set(policy.seen))
    assert all(prefix.startswith(markup.THINK_START) for _, prefix in policy.seen)


def test_rollouts_and_head_are_mixed_by_weight(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    def q(weight: float) -> float:
        policy = with_heads(tagged_adder, lambda _: Opinion({"Calculate": 1.0}, 0.6))
        mixed = settings(simulations=1, rollouts=20, rollout_weight=weight, max_moves=1)
        found = search_shard([sums("1+2")], policy, exact(), mixed, 1)
        return max(found.states[0].q, key=abs)

    assert q(0.0) == pytest.approx(0.6)
    assert q(0.25) == pytest.approx(0.75 * 0.6 + 0.25 * q(1.0))


def test_heads_are_left_alone_where_the_settings_say_so(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    policy = with_heads(tagged_adder, knowing)
    own = settings(priors="tags", values="none", max_moves=1, simulations=4)
    found = search_shard([sums("1+2")], policy, exact(), own, run_seed=1)
    assert policy.seen == []
    assert dict(zip(found.states[0].actions, found.states[0].prior, strict=True))[
        "Calculate"
    ] == pytest.approx(0.8)
    even = settings(priors="uniform", values="head", max_moves=1)
    found = search_shard([sums("1+2")], policy, exact(), even, run_seed=1)
    assert set(found.states[0].prior) == {1 / len(Inventory.load().names)}
    assert policy.seen


def test_steps_without_acts_take_values_from_the_head(untagged_adder: Any, exact: Any, sums: Sums) -> None:
    policy = with_heads(untagged_adder, knowing)
    steps = settings(acts="none", candidates=8, rollouts=0, tau=0)
    found = search_shard([sums("1+2+3")], policy, exact(), steps, run_seed=1)
    assert found.states[-1].value == 1
    assert all("<" not in prefix for _, prefix in policy.seen)


def test_the_scorer_may_value_leaves_beside_a_head(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    policy = with_heads(tagged_adder, lambda _: Opinion({"Calculate": 1.0}, 0.6))
    for source, value in (("scorer", 0.0), ("auto", 0.6)):
        given = settings(simulations=1, rollouts=0, values=source, max_moves=1)
        found = search_shard([sums("1+2")], policy, exact(), given, 1, scorer=lambda _, p: [0.5] * len(p))
        assert max(found.states[0].q, key=abs) == pytest.approx(value)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"priors": "head"}, "no policy head"),
        ({"values": "head"}, "no value head"),
        ({"values": "scorer"}, "no scorer"),
        ({"priors": "tags"}, "writes no tags"),
    ],
)
def test_what_the_policy_cannot_give_is_refused(
    untagged_adder: Any, exact: Any, sums: Sums, given: dict[str, Any], what: str
) -> None:
    with pytest.raises(BadInput, match=what):
        search_shard([sums("1+2")], untagged_adder, exact(), settings(**given), run_seed=1)


def test_opening_words_give_priors_where_tags_are_unknown(scripted: Any, exact: Any, sums: Sums) -> None:
    """What is likely anywhere gains nothing: only how much likelier an opening is here."""

    def script(prompt: str) -> Mapping[str, float]:
        question, _, text = prompt.partition("|")
        if text.endswith("is"):
            return {" 3": 1.0}
        if text.endswith(" 3"):
            return {"<eos>": 1.0}
        if question:
            return {"Maybe": 0.5, "Therefore": 0.3, "The answer is": 0.2}
        return {"Maybe": 0.9, "Therefore": 0.05, "The answer is": 0.05}

    policy = scripted(script, writes_tags=False)
    given = settings(priors="openings", top_k=3, max_moves=1, simulations=2, rollouts=0)
    inventory = Inventory(
        factors=tuple(
            f for f in Inventory.load().factors if f.name in ("Propose", "Deduce", "Answer", "Plan")
        )
    )
    found = search_shard([sums("1+2")], policy, exact(), given, run_seed=1, inventory=inventory)
    gained = {"Deduce": 0.3 / 0.05, "Answer": 0.2 / 0.05, "Plan": 1.0, "Propose": 0.5 / 0.9}
    total = sum(sorted(gained.values())[1:])
    priors = dict(zip(found.states[0].actions, found.states[0].prior, strict=True))
    assert priors == pytest.approx({a: g / total for a, g in gained.items() if a != "Propose"})


def pooled(*members: Any) -> PolicyPool:
    for i, member in enumerate(members):
        member.name, member.hash = f"m{i}", str(i)
    return PolicyPool(members)


def test_every_member_of_a_pool_writes_and_is_named(
    tagged_adder: Any, scripted: Any, exact: Any, sums: Sums
) -> None:
    """One nearly always errs, the other never: the tree takes what the second wrote."""
    adder = tagged_adder.script

    def errs(right: bool) -> Callable[[str], Mapping[str, float]]:
        def script(prompt: str) -> Mapping[str, float]:
            pieces = adder(prompt)
            if len(pieces) == 2 and all("=" in p for p in pieces):
                return dict(zip(pieces, (1.0 - 1e-9, 1e-9) if right else (0.05, 0.95), strict=True))
            return pieces

        return script

    pool = pooled(scripted(errs(False)), scripted(errs(True)))
    given = settings(candidates=4, simulations=40, tau=0, rollout_weight=1.0)
    found = search_shard([sums("1+2")], pool, exact(), given, run_seed=1)
    first = found.states[0]
    wrote = {c.text: c.policy for c in first.candidates if c.action == "Calculate"}
    assert wrote == {"1+2=4": "m0", "1+2=3": "m1"}
    assert [c.text for c in first.candidates if c.chosen and c.action == "Calculate"] == ["1+2=3"]
    [played] = [t for t in found.traces if t.trace_id == first.trace_id]
    assert played.provenance.policy == "m0+m1"
    assert found.stats.tokens > sum(s.tokens for k, s in found.stats.occupancy.items() if k == "sample")


def test_a_pool_is_policies_times_temperatures(
    tagged_adder: Any, scripted: Any, exact: Any, sums: Sums
) -> None:
    adder = tagged_adder.script

    pool = pooled(scripted(adder), scripted(adder))
    given = settings(temperatures=(0.3, 0.9), candidates=5, rollouts=0)
    search_shard([sums("1+2")], pool, exact(), given, run_seed=1)
    asked: list[dict[str, list[tuple[float, int]]]] = [{}, {}]
    for own, member in zip(asked, pool.members, strict=True):
        for r in member.requests:  # type: ignore[attr-defined]
            own.setdefault(r.prompt, []).append((r.temperature, r.n))
    assert all(sorted(v) == [(0.3, 2), (0.9, 1)] for v in asked[0].values())
    assert all(sorted(v) == [(0.3, 1), (0.9, 1)] for v in asked[1].values())
    assert asked[0].keys() == asked[1].keys()


def test_a_policy_without_tags_writes_beside_one_with_them(
    tagged_adder: Any, untagged_adder: Any, exact: Any, sums: Sums
) -> None:
    pool = pooled(tagged_adder, untagged_adder)
    given = settings(candidates=8, rollouts=0, simulations=30)
    found = search_shard([sums("1+2+3")], pool, exact(), given, run_seed=1)
    assert all("<" not in r.prompt for r in untagged_adder.requests)
    by = {c.policy for s in found.states for c in s.candidates if c.score is not None}
    assert by == {"m0", "m1"}
    for state in found.states:
        markup.parse(state.prefix, closed=False)


def test_a_pool_without_a_scorer_is_judged_by_its_leader(
    tagged_adder: Any, scripted: Any, exact: Any, sums: Sums
) -> None:
    """The second member is sure of itself; what counts is what the first thinks of it."""
    adder = tagged_adder.script

    def sure(prompt: str) -> Mapping[str, float]:
        pieces = adder(prompt)
        return {list(pieces)[-1]: 1.0}

    pool = pooled(scripted(adder), scripted(sure))
    given = settings(candidates=8, rollouts=0, max_moves=1)
    found = search_shard([sums("1+2")], pool, exact(), given, run_seed=1)
    scores = {c.text: c.score for c in found.states[0].candidates if c.action == "Calculate"}
    assert scores["1+2=3"] > scores["1+2=4"]  # 0.6 against 0.4 for the leader


def test_steps_of_a_mixed_pool_are_refused(tagged_adder: Any, untagged_adder: Any, sums: Sums) -> None:
    with pytest.raises(BadInput, match="all write tags"):
        search_shard(
            [sums("1+2")], pooled(tagged_adder, untagged_adder), Exact(), settings(acts="none"), run_seed=1
        )


def test_copies_with_other_temperatures_are_a_pool_of_one(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    """A pool of one is that policy: the same rows."""
    given = settings(max_moves=2)
    alone = search_shard([sums("1+2")], tagged_adder, exact(), given, run_seed=1)
    pool = search_shard([sums("1+2")], PolicyPool([tagged_adder]), exact(), given, run_seed=1)
    assert [(s.prefix, s.pi, s.candidates) for s in alone.states] == [
        (s.prefix, s.pi, s.candidates) for s in pool.states
    ]


def test_a_process_reward_model_scores_a_body_as_its_last_step() -> None:
    """What the search hands over, markup or text, is read as the PRM was trained to read it."""
    from importlib.resources import files

    import torch
    from cotmill.generators.search.judges import prm_scorer
    from cotmill.models.headed import StepsRow
    from cotmill.models.network import RewardModel

    torch.set_num_threads(1)
    prm = RewardModel.load(str(files("cotmill.models") / "embedded_prm"), device="cpu")
    score = prm_scorer(prm)
    one = "<Think_Start><ACT_Calculate_Start>12 + 34 = 46.<ACT_Calculate_End>"
    two = one + "\n<ACT_Answer_Start>The answer is 46.<ACT_Answer_End>"
    row = StepsRow("Compute 12 + 34.", two, (len(one), len(two)))
    found = score("Compute 12 + 34.", [one, two, two + "<Think_End>", "<Think_Start>", "12 + 34 = 46."])
    assert found[:2] == pytest.approx(prm.score_steps([row])[0], abs=1e-5)
    assert found[2] == pytest.approx(found[1], abs=1e-5)
    assert found[3] == 0.5
    assert all(0 <= s <= 1 for s in found)
