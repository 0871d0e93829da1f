"""The search with the policy that ships with cotmill and the real verifier."""

from importlib.resources import files
from typing import Any

import pytest
from cotmill.generators.families import check, seed_at
from cotmill.generators.search import SearchSettings, SearchYield, search_shard
from cotmill.schemas import Seed, markup
from cotmill.schemas.tables import search_row, trace_row

SETTINGS = SearchSettings(simulations=10, candidates=3, max_moves=2, parallel=4, max_tokens=160, splices=2)
SEEDS = [seed_at(5, i, levels=(1, 2), heldout=True) for i in range(6)]


@pytest.fixture(scope="module")
def search() -> Any:
    import torch
    from cotmill.models.local import LocalPolicy
    from cotmill.verifiers.math import MathVerifier

    torch.set_num_threads(1)
    policy = LocalPolicy.load(str(files("cotmill.models") / "embedded"), device="cpu")
    with MathVerifier() as verifier:
        yield lambda seeds: search_shard(seeds, policy, verifier, SETTINGS, run_seed=1)


@pytest.fixture(scope="module")
def found(search: Any) -> SearchYield:
    done: SearchYield = search(SEEDS)
    return done


def test_games_are_played_to_verified_ends(found: SearchYield) -> None:
    assert found.stats.failed == []
    assert found.stats.games == len(SEEDS)
    outcomes = {t.outcome for t in found.traces}
    assert {"correct", "wrong"} <= outcomes
    assert all(s.value in (1, -1) for s in found.states)


def test_its_acts_are_what_the_policy_was_trained_to_write(found: SearchYield) -> None:
    """Nearly all traces parse, and the likeliest act takes a good share of the prior."""
    sound = sum(t.count for t in found.traces if t.error is None)
    assert sound > 0.9 * found.stats.ends
    assert sum(max(s.prior) for s in found.states) / len(found.states) > 0.4
    for state in found.states:
        markup.parse(state.prefix, closed=False)


def test_splices_are_confirmed_by_the_step_checker(found: SearchYield) -> None:
    answered = [t for t in found.traces if t.outcome == "correct" and t.provenance.temperature is None]
    mended = [t for t in answered if (truth := check(t.question, t.text)) and False in truth.right]
    assert found.stats.splices >= 1
    assert len(mended) >= found.stats.splices


def test_a_second_search_writes_the_same_rows(search: Any, found: SearchYield) -> None:
    again: SearchYield = search(list(reversed(SEEDS)))

    def rows(done: SearchYield, seed: Seed) -> list[dict[str, Any]]:
        every = [trace_row(t) for t in done.traces] + [search_row(s) for s in done.states]
        return [r for r in every if r["seed_id"] == seed.seed_id]

    for seed in SEEDS:
        assert rows(again, seed) == rows(found, seed)
