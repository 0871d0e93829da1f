"""The embedded Lean: audited proofs per second, tactic steps per second, and how soon it is ready.

    python benchmarks/verify_lean.py

A check is a whole audit of one of the project's own theorems: elaboration and export in one process, the
kernel in another, both at work at the same time. `checks_per_s` is the rate of that pair divided by two, that
is per process, though the second waits for the first much of the time; `checks_per_cpu_s` is the rate per
second of processor time, that is of a process that never waits. What a check costs is what its proof
costs, so the first level's short proofs stand beside all. Beside these the rate at which one process checks
whole files (elaboration and its own kernel, no audit). The rates are the best of four rounds, start-up apart.
The first round is printed too: each statement is new then, while a run checks many proofs of one statement.
`cotmill lean setup` compiled what these theorems use, so the proofs of `lean_core_valid.jsonl`, which it
did not see, stand apart where that file is there: remainders by `omega`, all harder than most here.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

from cotmill.schemas import Outcome, Verdict
from cotmill.verifiers.lean import EmbeddedLean, LeanVerifier, Theorem, embedded_missing

THEOREMS = Path(__file__).parents[1] / "data" / "lean" / "theorems.jsonl"
UNSEEN = Path(__file__).parents[2] / "shared" / "data" / "lean_core_valid.jsonl"
ROUNDS = 4
PROCESSES = 2
STEPS = ("omega", "simp", "rfl", "constructor", "intro x")


def rate(count: int, work: Callable[[], object]) -> float:
    """How many per second, of `count` in one round of work."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return count / best


def file_checks(lean: EmbeddedLean, rows: list[dict[str, Any]]) -> float:
    """Whole files per second in one process."""
    files = [f"{row['statement']} := by\n{indent(row['proof'], '  ')}\n" for row in rows]
    return rate(len(files), lambda: [lean.check(file) for file in files])


def audit(verifier: LeanVerifier, rows: list[dict[str, Any]]) -> list[Verdict]:
    """Every proof audited, by the two processes."""
    return verifier.verify_many((row["proof"], row["statement"]) for row in rows)


def steps(lean: EmbeddedLean, rows: list[dict[str, Any]]) -> None:
    """Every tactic tried on every theorem."""
    for row in rows:
        state = lean.start(Theorem.read(row["statement"]))
        for tactic in STEPS:
            lean.run_tac(state, tactic)


def unseen_rows() -> list[dict[str, Any]]:
    """Theorems with their proofs, where the shared data lies beside the project."""
    if not UNSEEN.exists():
        return []
    rows = map(json.loads, UNSEEN.read_text("utf-8").splitlines())
    return [
        {"statement": Theorem.read(row["statement"]).statement, "proof": row["core_proof"]}
        for row in rows
        if row["core_proof"]
    ]


def main() -> None:
    if missing := embedded_missing():
        print(missing, file=sys.stderr)
        raise SystemExit(2)
    rows: list[dict[str, Any]] = [json.loads(line) for line in THEOREMS.read_text("utf-8").splitlines()]
    lean = EmbeddedLean()
    begin = time.perf_counter()
    lean.warm()
    ready = time.perf_counter() - begin
    rates: list[float] = []
    cpu_ms: list[tuple[float, float]] = []
    with LeanVerifier(lean) as verifier:
        for _ in range(ROUNDS):
            begin, used = time.perf_counter(), lean.cpu_seconds()
            verdicts = audit(verifier, rows)
            rates.append(len(rows) / (time.perf_counter() - begin))
            elaborating, judging = (
                1000 * (now - then) / len(rows) for now, then in zip(lean.cpu_seconds(), used, strict=True)
            )
            cpu_ms.append((elaborating, judging))
        alone: list[float] = []
        for row in rows:
            begin = time.perf_counter()
            verifier.verify(row["proof"], row["statement"])
            alone.append(1000 * (time.perf_counter() - begin))
        short = [row for row in rows if row["level"] == 1]
        short_audits = rate(len(short), lambda: audit(verifier, short))
        whole, whole_short = file_checks(lean, rows), file_checks(lean, short)
        unseen = unseen_rows()
        unseen_audits = rate(len(unseen), lambda: audit(verifier, unseen)) if unseen else None
        unseen_files = file_checks(lean, unseen) if unseen else None
        tactics = rate(10 * len(STEPS), lambda: steps(lean, rows[:10]))
    proved = sum(v.outcome is Outcome.CORRECT for v in verdicts)
    elaborating, judging = min(cpu_ms, key=sum)
    result = {
        "checks_per_s": max(rates) / PROCESSES,
        "pair_checks_per_s": max(rates),
        "short_checks_per_s": short_audits / PROCESSES,
        "checks_per_cpu_s": 1000 / (elaborating + judging),
        "file_checks_per_s": whole,
        "short_file_checks_per_s": whole_short,
        "elaborate_cpu_ms": elaborating,
        "judge_cpu_ms": judging,
        "audit_ms_median": statistics.median(alone),
        "audit_ms_p90": statistics.quantiles(alone, n=10)[-1],
        "audit_ms_max": max(alone),
        "unseen_checks_per_s": None if unseen_audits is None else unseen_audits / PROCESSES,
        "unseen_file_checks_per_s": unseen_files,
        "run_tac_per_s": tactics,
        "ready_s": ready,
    }
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}\n"
    )
    print(f"{'proofs verified':<44}{proved:>8}  of {len(rows)}")
    print(f"{'checks per second and process':<44}{result['checks_per_s']:>8.1f}")
    print(f"{'  of the first level':<44}{result['short_checks_per_s']:>8.1f}")
    print(f"{'checks per second of the two processes':<44}{result['pair_checks_per_s']:>8.1f}")
    print(f"{'  in the first round':<44}{rates[0]:>8.1f}")
    print(f"{'checks per second of CPU time':<44}{result['checks_per_cpu_s']:>8.1f}")
    print(f"{'whole files per second, one process':<44}{whole:>8.1f}")
    print(f"{'  of the first level':<44}{whole_short:>8.1f}")
    if unseen_audits and unseen_files:
        print(f"{'checks per second and process, unseen proofs':<44}{unseen_audits / PROCESSES:>8.1f}")
        print(f"{'  whole files, one process':<44}{unseen_files:>8.1f}")
    print(f"{'CPU ms per check, elaborating':<44}{elaborating:>8.1f}")
    print(f"{'CPU ms per check, judging':<44}{judging:>8.1f}")
    print(f"{'  both, in the first round':<44}{sum(cpu_ms[0]):>8.1f}")
    for name, key in (
        ("median", "audit_ms_median"),
        ("of ten the slowest", "audit_ms_p90"),
        ("slowest", "audit_ms_max"),
    ):
        print(f"{'ms of an audit alone, ' + name:<44}{result[key]:>8.1f}")
    print(f"{'tactic steps per second':<44}{result['run_tac_per_s']:>8.1f}")
    print(f"{'both processes ready after, s':<44}{ready:>8.1f}")
    print("RESULT " + json.dumps({key: value and round(value, 4) for key, value in result.items()}))


if __name__ == "__main__":
    main()
