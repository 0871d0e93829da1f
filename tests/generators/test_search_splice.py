"""Self-correction spliced from the tree."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from cotmill.generators.families import StepTruth
from cotmill.generators.search import SearchSettings, SearchYield, search_shard
from cotmill.schemas import Generator, Inventory, Outcome, Seed, Trace

Sums = Callable[..., Seed]
SETTINGS = SearchSettings(simulations=40, candidates=2, max_tokens=60, rollouts=4, tau=0, splices=2)
NOTICING = ("DetectError", "Backtrack")


def spliced(found: SearchYield, without: SearchYield) -> list[Trace]:
    """What is there only because splices were asked for."""
    known = {t.trace_id for t in without.traces}
    return [t for t in found.traces if t.trace_id not in known]


@pytest.fixture
def both(tagged_adder: Any, exact: Any, sums: Sums) -> list[SearchYield]:
    seeds = [sums(q) for q in ("1+2+3", "2+5", "4+5+6+7", "8+1+4")]
    off = SETTINGS.model_copy(update={"splices": 0})
    return [search_shard(seeds, tagged_adder, exact(), s, run_seed=2) for s in (SETTINGS, off)]


def test_there_are_some_and_they_are_counted(both: list[SearchYield]) -> None:
    made = spliced(*both)
    assert made
    assert both[0].stats.splices == len(made)
    assert both[1].stats.splices == 0


def test_each_ends_right_by_the_verifiers_word(both: list[SearchYield]) -> None:
    for trace in spliced(*both):
        assert trace.outcome is Outcome.CORRECT
        assert trace.error is None
        assert trace.answer is not None
        assert trace.generator is Generator.SEARCH
        assert trace.provenance.parent_id == trace.seed_id


def test_each_is_a_wrong_branch_then_the_noticing_then_a_right_trace(both: list[SearchYield]) -> None:
    for trace in spliced(*both):
        said = [trace.text[a.start : a.end] for a in trace.acts]
        noticed = [i for i, a in enumerate(trace.acts) if a.act in NOTICING]
        rights = [
            [t.text[a.start : a.end] for a in t.acts]
            for t in both[1].traces
            if t.outcome is Outcome.CORRECT and t.seed_id == trace.seed_id
        ]
        ats = [at for at in noticed for fork in range(at) if [*said[:fork], *said[at + 1 :]] in rights]
        assert ats, trace.text
        assert not any(right[: ats[-1]] == said[: ats[-1]] for right in rights)


def test_the_search_table_is_the_same_with_and_without(both: list[SearchYield]) -> None:
    assert both[0].states == both[1].states


def test_no_splice_without_a_right_end(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    seed = sums("1+2+3").model_copy(update={"answer": "99"})
    assert search_shard([seed], tagged_adder, exact(), SETTINGS, run_seed=2).stats.splices == 0


def test_no_splice_without_an_act_that_notices(tagged_adder: Any, exact: Any, sums: Sums) -> None:
    own = Inventory(factors=tuple(f for f in Inventory.load().factors if f.name not in NOTICING))
    found = search_shard([sums("1+2+3")], tagged_adder, exact(), SETTINGS, run_seed=2, inventory=own)
    assert found.stats.splices == 0


@pytest.mark.parametrize("mended", [True, False])
def test_a_step_checker_has_the_last_word_where_it_knows_the_question(
    mended: bool, tagged_adder: Any, exact: Any, sums: Sums, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at the sums; a splice must hold a wrong one, notice that very one, and leave none unmended."""

    def look(question: str, text: str) -> StepTruth:
        right, wrong = [], None
        for line in text.splitlines():
            if found := re.fullmatch(r"(\d+)\+(\d+)=(\d+)", line):
                a, b, c = map(int, found.groups())
                wrong = None if a + b == c else c
                right.append(a + b == c)
            else:
                right.append("Wait" not in line or line == f"Wait, {wrong} is wrong")
        return StepTruth(tuple(right), (mended,) * len(right), None, True)

    monkeypatch.setattr("cotmill.generators.search.splice.check", look)
    few = SETTINGS.model_copy(update={"simulations": 10, "rollouts": 1})
    seeds = [sums(q) for q in ("1+2+3", "2+5", "4+5+6+7", "8+1+4")]
    found = search_shard(seeds, tagged_adder, exact(), few, run_seed=2)
    off = search_shard(seeds, tagged_adder, exact(), few.model_copy(update={"splices": 0}), run_seed=2)
    made = spliced(found, off)
    assert bool(made) == mended
    for trace in made:
        noticed = re.search(r"=(\d+)\nWait, (\d+) is wrong\n", trace.text)
        assert noticed
        assert noticed[1] == noticed[2]


def test_without_tags_the_noticing_is_opened_by_words(untagged_adder: Any, exact: Any, sums: Sums) -> None:
    plain = SETTINGS.model_copy(update={"acts": "none"})
    found = search_shard([sums("4+5+6+7")], untagged_adder, exact(), plain, run_seed=2)
    assert found.stats.splices > 0
    own = [t for t in found.traces if "Wait, that is wrong:" in t.text]
    assert own
    assert all(t.outcome is Outcome.CORRECT and t.acts == () for t in own)
