"""The embedded Lean: audited proofs per second, tactic steps per second, and how soon it is ready.

    python benchmarks/verify_lean.py

A check is a whole audit (elaboration, export, the kernel of another process) of one of the project's own
theorems, by a backend's pair of processes, which work at the same time; start-up is apart. The rates are the
best of four. The first round, in which each statement is new, is printed beside it: a run checks many proofs
of one statement. CPU time is printed beside the wall time, which alone counts the machine's other work.
"""

import json
import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

from cotmill.schemas import Outcome
from cotmill.verifiers.lean import EmbeddedLean, LeanVerifier, Theorem, embedded_missing

THEOREMS = Path(__file__).parents[1] / "data" / "lean" / "theorems.jsonl"
ROUNDS = 4
STEPS = ("omega", "simp", "rfl", "constructor", "intro x")


def main() -> None:
    if missing := embedded_missing():
        print(missing, file=sys.stderr)
        raise SystemExit(2)
    rows: list[dict[str, Any]] = [json.loads(line) for line in THEOREMS.read_text("utf-8").splitlines()]
    lean = EmbeddedLean()
    begin = time.perf_counter()
    lean.warm()
    ready = time.perf_counter() - begin
    checks: list[float] = []
    steps_best = float("inf")
    with LeanVerifier(lean) as verifier:
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            verdicts = verifier.verify_many((row["proof"], row["statement"]) for row in rows)
            checks.append(len(rows) / (time.perf_counter() - begin))
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            for row in rows[:10]:
                state = lean.start(Theorem.read(row["statement"]))
                for tactic in STEPS:
                    lean.run_tac(state, tactic)
            steps_best = min(steps_best, time.perf_counter() - begin)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    proved = sum(v.outcome is Outcome.CORRECT for v in verdicts)
    result = {
        "checks_per_s": max(checks),
        "run_tac_per_s": 10 * len(STEPS) / steps_best,
        "ready_s": ready,
    }
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}\n"
    )
    print(f"{'proofs verified':<34}{proved:>8}  of {len(rows)}")
    print(f"{'checks per second':<34}{result['checks_per_s']:>8.1f}")
    print(f"{'  in the first round':<34}{checks[0]:>8.1f}")
    print(f"{'tactic steps per second':<34}{result['run_tac_per_s']:>8.1f}")
    print(f"{'both processes ready after, s':<34}{ready:>8.1f}")
    print(f"{'CPU seconds of Lean in all':<34}{used.ru_utime + used.ru_stime:>8.1f}")
    print("RESULT " + json.dumps({key: round(value, 4) for key, value in result.items()}))


if __name__ == "__main__":
    main()
