"""The verifier of programs: canonical solutions, mutants that their tests catch, verifications per second.

    python benchmarks/verify_code.py

Each verification is a fresh sandbox in which the tests run twice; the rate is the best of three over the
canonical solutions. A mutant counts as wrong where its tests' plain run failed; the hanging ones are apart.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from cotmill.schemas import Outcome
from cotmill.verifiers.code import CodeVerifier
from cotmill.verifiers.sandbox import sandbox_available

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
ROUNDS = 3


def rows(name: str) -> list[dict[str, Any]]:
    path = SHARED / name
    if not path.exists():
        print(f"needs the shared data beside the project: {name}", file=sys.stderr)
        raise SystemExit(2)
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def main() -> None:
    if missing := sandbox_available():
        print(missing, file=sys.stderr)
        raise SystemExit(2)
    canonical, mutants = rows("mbpp_dev_170.jsonl"), rows("code_mutants_dev_269.jsonl")
    failing = [row for row in mutants if row["observed"] != "timeout"]
    hanging = [row for row in mutants if row["observed"] == "timeout"]
    best = float("inf")
    with CodeVerifier() as verifier:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            passed = verifier.verify_many((row["solution"], row["tests"]) for row in canonical)
            best = min(best, time.perf_counter() - start)
        failed = verifier.verify_many((row["code"], row["tests"]) for row in failing)
        hung = verifier.verify_many((row["code"], row["tests"]) for row in hanging)
    result = {
        "verifications_per_s": len(canonical) / best,
        "canonical_correct": sum(v.outcome is Outcome.CORRECT for v in passed) / len(passed),
        "mutants_wrong": sum(v.outcome is Outcome.WRONG for v in failed) / len(failed),
    }
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, bubblewrap\n")
    print(f"{'canonical solutions correct':<34}{result['canonical_correct']:>8.3f}  of {len(passed)}")
    print(f"{'mutants wrong':<34}{result['mutants_wrong']:>8.3f}  of {len(failed)}")
    undecided = sum(v.outcome is Outcome.UNDECIDED for v in hung)
    print(f"{'hanging mutants undecided':<34}{undecided:>8}  of {len(hung)}")
    print(f"{'verifications per second':<34}{result['verifications_per_s']:>8.1f}")
    print("RESULT " + json.dumps({key: round(value, 4) for key, value in result.items()}))


if __name__ == "__main__":
    main()
