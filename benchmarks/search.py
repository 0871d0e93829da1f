"""Tree search with the embedded policy: 64 trees through one batcher, beside one tree without virtual visits.

    python benchmarks/search.py

The single tree is the mean of every sixteenth of the 64 games, each searched alone and one simulation at a
time; the 64 run together, four simulations of each at a time. Interleaved, the best of three of each counts.
The overhead is what a search takes outside the policy's own calls: tree, traces, verification.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch
from cotmill.generators.families import seed_at
from cotmill.generators.search import SearchSettings, search_shard
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import Policy, Sample, SampleRequest
from cotmill.schemas import Seed
from cotmill.verifiers.math import MathVerifier

TREES, ALONE, MOVES, ROUNDS = 64, 4, 2, 3
ONE = SearchSettings(simulations=16, max_moves=MOVES, splices=0, max_tokens=200)
MANY = ONE.model_copy(update={"parallel": 4})


class Timed:
    """A policy that keeps the time spent in it."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.seconds = policy, 0.0
        self.name, self.hash, self.writes_tags = policy.name, policy.hash, policy.writes_tags
        self.prompt = policy.prompt

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        return self._timed(self.policy.sample, requests)

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return self._timed(self.policy.logprobs, prompts, continuations)

    def _timed(self, call: Callable[..., Any], *args: object) -> Any:
        start = time.perf_counter()
        try:
            return call(*args)
        finally:
            self.seconds += time.perf_counter() - start


@dataclass
class Run:
    """What one run did, how long it took (seconds), and how much of that outside the policy."""

    simulations: int
    seconds: float
    outside: float
    rows_per_call: float

    @property
    def rate(self) -> float:
        return self.simulations / self.seconds


def run(
    policy: LocalPolicy, verifier: MathVerifier, shards: Sequence[Sequence[Seed]], settings: SearchSettings
) -> Run:
    """Search one shard after another."""
    timed = Timed(policy)
    simulations = rows = calls = 0
    start = time.perf_counter()
    for seeds in shards:
        stats = search_shard(seeds, timed, verifier, settings, run_seed=1).stats
        if stats.failed:
            sys.exit(f"a game failed: {stats.failed[0][1]}")
        simulations += stats.simulations
        rows, calls = rows + stats.occupancy["sample"].rows, calls + stats.occupancy["sample"].calls
    seconds = time.perf_counter() - start
    return Run(simulations, seconds, seconds - timed.seconds, rows / calls)


def main() -> None:
    torch.set_num_threads(1)
    policy = LocalPolicy.load(str(files("cotmill.models") / "embedded"), device="cpu")
    seeds = [seed_at(11, i, levels=(2, 3), heldout=True) for i in range(TREES)]
    one: list[Run] = []
    many: list[Run] = []
    with MathVerifier() as verifier:
        run(policy, verifier, [seeds[:1]], ONE)
        for _ in range(ROUNDS):
            one.append(run(policy, verifier, [[seed] for seed in seeds[:: TREES // ALONE]], ONE))
            many.append(run(policy, verifier, [seeds], MANY))
    single, all_trees = max(one, key=lambda r: r.rate), max(many, key=lambda r: r.rate)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}")
    print(f"{ONE.simulations} simulations a move, {MOVES} moves, one thread; best of {ROUNDS}")
    print(f"{'':>10} {'simulations/s':>14} {'rows per call':>14} {'outside the model':>18}")
    for name, best in (("1 tree", single), (f"{TREES} trees", all_trees)):
        share = best.outside / best.seconds
        print(f"{name:>10} {best.rate:>14.1f} {best.rows_per_call:>14.1f} {share:>18.1%}")
    result = {
        "speedup_64_trees": round(all_trees.rate / single.rate, 2),
        "overhead_share": round(all_trees.outside / all_trees.seconds, 4),
        "overhead_us": round(1e6 * all_trees.outside / all_trees.simulations, 1),
    }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
