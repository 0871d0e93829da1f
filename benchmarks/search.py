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
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch
from cotmill.generators.families import seed_at
from cotmill.generators.search import SearchSettings, search_shard
from cotmill.models.local import LocalPolicy
from cotmill.models.work import Work
from cotmill.schemas import Seed
from cotmill.verifiers.math import MathVerifier

TREES, ALONE, MOVES, ROUNDS = 64, 4, 2, 3
ONE = SearchSettings(simulations=16, max_moves=MOVES, splices=0, max_tokens=200)
MANY = ONE.model_copy(update={"parallel": 4})


class Timed:
    """Something that keeps the time spent in its methods, and in what they return."""

    def __init__(self, inner: Any, clock: list[float]) -> None:
        self.inner, self.clock = inner, clock

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not callable(value) or name == "prompt":
            return value

        def timed(*args: object) -> Any:
            start = time.perf_counter()
            try:
                result = value(*args)
            finally:
                self.clock[0] += time.perf_counter() - start
            return Timed(result, self.clock) if name == "stream" else result

        return timed


@dataclass
class Run:
    """What one run did, how long it took (seconds), and how much of that outside the policy."""

    simulations: int
    seconds: float
    outside: float
    work: Work

    @property
    def rate(self) -> float:
        return self.simulations / self.seconds


def run(
    policy: LocalPolicy, verifier: MathVerifier, shards: Sequence[Sequence[Seed]], settings: SearchSettings
) -> Run:
    """Search one shard after another."""
    clock = [0.0]
    simulations, before = 0, policy.work + Work()
    start = time.perf_counter()
    for seeds in shards:
        stats = search_shard(seeds, Timed(policy, clock), verifier, settings, run_seed=1).stats
        if stats.failed:
            sys.exit(f"a game failed: {stats.failed[0][1]}")
        simulations += stats.simulations
    seconds = time.perf_counter() - start
    return Run(simulations, seconds, seconds - clock[0], policy.work - before)


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
    print(f"{'':>10} {'simulations/s':>14} {'rows a step':>12} {'reuse':>7} {'outside the model':>18}")
    for name, best in (("1 tree", single), (f"{TREES} trees", all_trees)):
        share, rows = best.outside / best.seconds, best.work.row_steps / best.work.steps
        print(f"{name:>10} {best.rate:>14.1f} {rows:>12.1f} {best.work.reuse:>7.1%} {share:>18.1%}")
    result = {
        "speedup_64_trees": round(all_trees.rate / single.rate, 2),
        "overhead_share": round(all_trees.outside / all_trees.seconds, 4),
        "overhead_us": round(1e6 * all_trees.outside / all_trees.simulations, 1),
    }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
