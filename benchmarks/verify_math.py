"""The verifier of mathematics beside math-verify: what both say of the shared pairs, and how fast.

    python benchmarks/verify_math.py

Accuracy is over the uncontested shared pairs. Speed is over pairs like those of GSM8K and MATH: each gold
answer against a chain of thought that ends in it, respelled, and against one that ends in another row's
answer; both read the same texts, interleaved, the best of three of each. Starting the processes is left out.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from cotmill.schemas import Outcome
from cotmill.verifiers.math import MathVerifier

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
ROUNDS = 3
Pair = tuple[str, str]


def rows(name: str) -> list[dict[str, Any]]:
    path = SHARED / name
    if not path.exists():
        print(f"needs the shared data beside the project: {name}", file=sys.stderr)
        raise SystemExit(2)
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def peer(prediction: str, reference: str) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(reference), parse(prediction)))


def boxed(row: dict[str, Any], field: str) -> str:
    """Bare answers in a box, which suits math-verify best."""
    text = str(row[field])
    return f"\\boxed{{{text}}}" if row["kind"] == "bare" else text


def speed_pairs() -> list[Pair]:
    golds = [row["answer"].rsplit("####", 1)[1].strip() for row in rows("gsm8k_train_600.jsonl")[:300]]
    golds += [row["answer"] for row in rows("math_train_600.jsonl")[:300]]
    respelled = [gold.replace("\\frac", "\\dfrac").replace(",", ", ") for gold in golds]
    cot = "We work it out step by step, and so the result follows. The answer is $\\boxed{%s}$."
    same = [(cot % other, f"\\boxed{{{gold}}}") for gold, other in zip(golds, respelled, strict=True)]
    return same + [(cot % other, f"\\boxed{{{gold}}}") for gold, other in pairwise(golds)]


def timed(judge: Callable[[str, str], object], pairs: list[Pair]) -> list[float]:
    out = []
    for prediction, reference in pairs:
        start = time.perf_counter()
        judge(prediction, reference)
        out.append(time.perf_counter() - start)
    return out


def figures(accepted: list[bool], expected: list[bool]) -> dict[str, float]:
    pairs = list(zip(accepted, expected, strict=True))
    return {
        "accuracy": sum(a == e for a, e in pairs) / len(pairs),
        "false_accepts": sum(a and not e for a, e in pairs),
        "false_refusals": sum(e and not a for a, e in pairs),
    }


def main() -> None:
    shared = [row for row in rows("math_equivalence_dev.jsonl") if not row["contested"]]
    expected = [bool(row["expected"]) for row in shared]
    pairs = speed_pairs()
    own_times: list[list[float]] = []
    peer_times: list[list[float]] = []
    with MathVerifier() as verifier:
        verdicts = [verifier.verify(str(row["pred"]), str(row["gold"])) for row in shared]
        ours = figures([v.outcome is Outcome.CORRECT for v in verdicts], expected)
        theirs = figures([peer(boxed(row, "pred"), boxed(row, "gold")) for row in shared], expected)
        for _ in range(ROUNDS):
            own_times.append(timed(verifier.verify, pairs))
            peer_times.append(timed(peer, pairs))
    own, other = min(own_times, key=sum), min(peer_times, key=sum)
    result = {
        **ours,
        "pairs_per_s_ratio": sum(other) / sum(own),
        "median_us": sorted(own)[len(own) // 2] * 1e6,
        "p99_ms": sorted(own)[len(own) * 99 // 100] * 1e3,
    }
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{len(shared)} uncontested shared pairs, {len(pairs)} pairs for speed\n")
    print(f"{'':<28}{'cotmill':>12}{'math-verify ' + version('math-verify'):>22}")
    for key in ours:
        print(f"{key:<28}{ours[key]:>12.4g}{theirs[key]:>22.4g}")
    for name, q in (("median, µs", 0.5), ("99th percentile, µs", 0.99)):
        print(f"{name:<28}{sorted(own)[int(len(own) * q)] * 1e6:>12.0f}", end="")
        print(f"{sorted(other)[int(len(other) * q)] * 1e6:>22.0f}")
    print(f"{'pairs/s':<28}{len(own) / sum(own):>12.0f}{len(other) / sum(other):>22.0f}")
    print("RESULT " + json.dumps({key: round(value, 4) for key, value in result.items()}))


if __name__ == "__main__":
    main()
