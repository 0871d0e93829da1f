"""Search over chains of thought by a scripted thinker: what is yielded, and what it depends on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from cotmill.generators.search import SearchSettings, SearchYield, search_shard
from cotmill.models.policy import Sample, SampleRequest
from cotmill.schemas import Method, Origin, Outcome, Seed, markup
from cotmill.schemas.markup import THINK_START
from cotmill.schemas.steps import split_steps
from cotmill.schemas.tables import search_row, table, trace_row
from pydantic import ValidationError

Sums = Callable[..., Seed]
QUESTIONS = ("1+2+3", "2+2", "4+5+6+7", "9+1+1")


def settings(**given: Any) -> SearchSettings:
    return SearchSettings(**({"simulations": 12, "candidates": 2, "max_tokens": 60} | given))


def with_cot(seed: Seed, body: str) -> Seed:
    text, acts = markup.parse(body) if markup.looks_like_markup(body) else (body, ())
    return seed.model_copy(update={"text": text, "acts": acts, "steps": split_steps(text, acts)})


@pytest.fixture
def found(tagged_adder: Any, exact: Any, sums: Sums) -> SearchYield:
    return search_shard([sums(q) for q in QUESTIONS], tagged_adder, exact(), settings(), run_seed=1)


def test_one_game_per_seed_each_with_its_played_trace(found: SearchYield) -> None:
    assert found.stats.failed == []
    assert found.stats.games == len(QUESTIONS)
    assert len({s.trace_id for s in found.states}) == len(QUESTIONS)
    assert {s.trace_id for s in found.states} <= {t.trace_id for t in found.traces}


def test_searched_states_lie_on_the_played_trace_and_carry_its_result(found: SearchYield) -> None:
    played = {t.trace_id: t for t in found.traces}
    for state in found.states:
        trace = played[state.trace_id]
        assert trace_row(trace)["markup"].startswith(state.prefix)
        markup.parse(state.prefix, closed=False)
        assert state.value == trace.reward
        assert state.question == trace.question
    assert [s.depth for s in found.states if s.seed_id == found.states[0].seed_id][:3] == [0, 1, 2]


def test_lists_are_aligned_and_visits_account_for_every_simulation(found: SearchYield) -> None:
    for state in found.states:
        n = len(state.actions)
        assert n == len(state.prior) == len(state.visits) == len(state.pi) == len(state.q)
        assert sum(state.prior) == pytest.approx(1)
        assert sum(state.pi) == pytest.approx(1)
        assert all(-1 <= q <= 1 for q in state.q)
        assert state.visits[state.actions.index(state.chosen)] > 0
        assert sum(state.visits) == 12 if state.depth == 0 else sum(state.visits) >= 12


def test_each_move_appends_the_chosen_candidate_of_the_chosen_act(found: SearchYield) -> None:
    for before, after in zip(found.states, found.states[1:], strict=False):
        if before.trace_id != after.trace_id:
            continue
        [said] = [c.text for c in before.candidates if c.chosen and c.action == before.chosen]
        written = f"{markup.act_start(before.chosen)}{said}{markup.act_end(before.chosen)}"
        joint = "" if before.prefix == THINK_START else "\n"
        assert after.prefix == before.prefix + joint + written


def test_every_candidate_is_kept_and_the_best_judged_is_chosen(found: SearchYield) -> None:
    several = 0
    for state in found.states:
        for act in {c.action for c in state.candidates}:
            own = [c for c in state.candidates if c.action == act]
            several += len(own) > 1
            assert sum(c.chosen for c in own) == 1
            scores = [c.score for c in own if c.score is not None]
            assert next(c.score for c in own if c.chosen) == max(scores)
    assert several


def test_priors_are_the_policys_own_probabilities_of_the_acts(found: SearchYield) -> None:
    first = found.states[0]
    prior = dict(zip(first.actions, first.prior, strict=True))
    assert prior["Calculate"] == pytest.approx(0.8)
    assert prior["Plan"] == pytest.approx(0.15)
    assert prior["DetectError"] == pytest.approx(0.05)
    assert len(prior) == 8
    assert "Think_End" not in prior


def test_fewer_acts_may_be_kept_their_priors_renormalised(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    found = search_shard([sums("1+2+3")], tagged_adder, exact(), settings(top_k=2), run_seed=1)
    assert found.states[0].actions == ("Calculate", "Plan")
    assert found.states[0].prior == pytest.approx((0.8 / 0.95, 0.15 / 0.95))


def test_the_search_wins_where_the_policy_alone_mostly_loses(
    tagged_adder: Any, exact: Any, sums: Sums
) -> None:
    """Three sums in a row: the policy is right with 0.6^3, about one time in five."""
    seeds = [sums(f"{a}+{b}+3+4") for a in range(1, 4) for b in range(1, 4)]
    found = search_shard(seeds, tagged_adder, exact(), settings(simulations=40, tau=0), run_seed=3)
    right = {s.seed_id for s in found.states if s.value == 1}
    assert len(right) >= 7


def test_right_and_wrong_ends_are_kept_once_each_with_their_counts(found: SearchYield) -> None:
    assert {t.outcome for t in found.traces} == {Outcome.CORRECT, Outcome.WRONG}
    assert len({t.trace_id for t in found.traces}) == len(found.traces)
    assert max(t.count for t in found.traces) > 1
    assert found.stats.ends == sum(t.count for t in found.traces)
    assert all(t.provenance.parent_id == t.seed_id for t in found.traces)


def test_steps_carry_the_rollouts_from_exactly_their_ends(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    found = search_shard([sums("1+2+3")], tagged_adder, exact(), settings(rollouts=5), run_seed=1)
    measured = [(t, s) for t in found.traces for s in t.steps if s.method is Method.ROLLOUTS]
    assert measured
    assert {s.n_rollouts for _, s in measured} == {5}
    for trace, step in measured:
        wrong_sum = "1+2=4" in trace.text[: step.end] or "3+3=7" in trace.text[: step.end]
        assert not (wrong_sum and step.n_correct and "Wait" not in trace.text)
    assert any(s.n_correct for _, s in measured)
    assert all(t.steps[-1].method is Method.INFERRED for t in found.traces if t.outcome != "undecided")


def test_the_order_of_the_seeds_changes_nothing(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    def by_seed(questions: Sequence[str]) -> dict[str, list[Any]]:
        seeds = [sums(q) for q in questions]
        done = search_shard(seeds, tagged_adder, exact(), settings(parallel=3, dirichlet_fraction=0.2), 5)
        rows = [trace_row(t) for t in done.traces] + [search_row(s) for s in done.states]
        return {s.question: [r for r in rows if r["seed_id"] == s.seed_id] for s in seeds}

    assert by_seed(QUESTIONS) == by_seed(QUESTIONS[::-1]) == by_seed(QUESTIONS)
    assert by_seed(QUESTIONS[:1])[QUESTIONS[0]] == by_seed(QUESTIONS)[QUESTIONS[0]]


def test_another_run_seed_searches_otherwise(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    one, two = (search_shard([sums("4+5+6+7")], tagged_adder, exact(), settings(), s) for s in (1, 2))
    assert [s.visits for s in one.states] != [s.visits for s in two.states]


def test_rows_fit_the_tables(found: SearchYield) -> None:
    assert table("search", [search_row(s) for s in found.states]).num_rows == len(found.states)
    assert table("traces", [trace_row(t) for t in found.traces]).num_rows == len(found.traces)


def test_all_games_share_few_calls_and_no_pair_is_verified_twice(
    tagged_adder: Any, exact: Any, sums: Sums
) -> None:
    verifier = exact()
    seeds = [sums(f"{a}+{b}") for a in range(1, 5) for b in range(1, 5)]
    many = search_shard(seeds, tagged_adder, verifier, settings(), run_seed=1)
    one = search_shard(seeds[:1], tagged_adder, exact(), settings(), run_seed=1)
    assert many.stats.occupancy["sample"].calls < 3 * one.stats.occupancy["sample"].calls
    assert many.stats.tokens == many.stats.occupancy["sample"].tokens > 0
    assert len(verifier.asked) == len(set(verifier.asked))


def test_it_starts_from_any_cut_of_a_seeds_chain_of_thought(
    tagged_adder: Any, exact: Any, sums: Sums
) -> None:
    cot = (
        "<Think_Start><ACT_Plan_Start>Add up.<ACT_Plan_End>\n<ACT_Calculate_Start>4+5=9<ACT_Calculate_End>\n"
        "<ACT_Calculate_Start>9+6=15<ACT_Calculate_End>\n<ACT_Answer_Start>15<ACT_Answer_End><Think_End>"
    )
    seed = with_cot(sums("4+5+6"), cot)
    found = search_shard([seed], tagged_adder, exact(), settings(cuts=(0.0, 0.5, 0.75)), run_seed=1)
    assert found.stats.games == 3
    kept = {len(split_steps(*markup.parse(s.prefix, closed=False))) for s in found.states if s.depth == 0}
    assert kept == {0, 2, 3}
    cut = [t for t in found.traces if t.prefix_steps == 2]
    assert cut
    assert all(t.text.startswith("Add up.\n4+5=9\n") for t in cut)
    assert all([s.origin for s in t.steps[:3]] == [Origin.HUMAN] * 2 + [Origin.POLICY] for t in cut)


def test_an_untagged_cut_cannot_be_gone_on_from_as_markup_and_is_named(
    tagged_adder: Any, exact: Any, sums: Sums
) -> None:
    seed = with_cot(sums("1+2"), "1+2=3\nThe answer is 3")
    found = search_shard([seed], tagged_adder, exact(), settings(cuts=(0.0, 0.5)), run_seed=1)
    assert found.stats.games == 1
    [(seed_id, reason)] = found.stats.failed
    assert seed_id == seed.seed_id
    assert "without acts" in reason


def test_a_policy_that_raises_on_one_seed_harms_no_other(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    class Moody(type(tagged_adder)):  # type: ignore[misc]
        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
            if any(r.prompt.startswith("2+2|") for r in requests):
                raise OSError("out of memory")
            return super().sample(requests)  # type: ignore[no-any-return]

    seeds = [sums(q) for q in QUESTIONS]
    found = search_shard(seeds, Moody(tagged_adder.script), exact(), settings(), run_seed=1)
    assert found.stats.failed == [(seeds[1].seed_id, "OSError: out of memory")]
    assert found.stats.games == 3


def test_nobody_wins_what_the_verifier_cannot_decide(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    found = search_shard([sums("1+2+3")], tagged_adder, exact(undecided=["6"]), settings(), run_seed=1)
    assert {s.value for s in found.states} == {None}
    assert {q for s in found.states for q in s.q} == {0.0}
    assert all(step.method is None for t in found.traces for step in t.steps if t.answer)


def test_a_failing_server_is_data(scripted: Any, exact: Any, sums: Sums) -> None:
    class Down(scripted):  # type: ignore[misc]
        def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
            return [[Sample("", 0, "error", error="503")] * r.n for r in requests]

    script: Callable[[str], Mapping[str, float]] = lambda _: {"<ACT_Plan_Start>": 1.0}  # noqa: E731
    found = search_shard([sums("1+2")], Down(script), exact(), settings(), run_seed=1)
    assert found.states == []
    [(_, reason)] = found.stats.failed
    assert "503" in reason


def test_a_thinker_that_never_ends_is_stopped_and_has_lost(scripted: Any, exact: Any, sums: Sums) -> None:
    def brooding(prompt: str) -> Mapping[str, float]:
        if prompt.endswith("_Start>") and not prompt.endswith(THINK_START):
            return {"hm<ACT_Uncertain_End>": 1.0}
        return {"\n<ACT_Uncertain_Start>" if prompt.endswith("End>") else "<ACT_Uncertain_Start>": 1.0}

    found = search_shard([sums("1+2")], scripted(brooding), exact(), settings(max_depth=5), run_seed=1)
    assert [s.value for s in found.states] == [-1] * 5
    [played] = [t for t in found.traces if t.trace_id == found.states[0].trace_id]
    assert played.error == "cut off: max_depth reached"
    assert len(played.acts) == 5


def test_a_game_may_be_searched_for_its_first_moves_only(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    found = search_shard([sums("4+5+6+7")], tagged_adder, exact(), settings(max_moves=2), run_seed=1)
    assert [s.depth for s in found.states] == [0, 1]
    [played] = [t for t in found.traces if t.trace_id == found.states[0].trace_id]
    assert played.answer is not None
    assert found.states[0].value == played.reward


@pytest.mark.parametrize("wrong", [{"simulations": 0}, {"acts": "maybe"}, {"c": 1}, {"temperatures": ()}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SearchSettings(**wrong)
