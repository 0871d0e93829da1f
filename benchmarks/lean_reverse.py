"""Lean proofs reversed: statements that the search closes, traces per second, faithfulness, falsehoods.

    python benchmarks/lean_reverse.py [--no-search]

MCTS on the 43 core-Lean statements of `../shared/data/lean_core_valid.jsonl` within 60 tactics each, and
best-first within 40 on those that it closed. What is found, and the project's own theorems, are reversed;
`traces_per_s` counts whole reversals with their faithfulness check, on recorded states. Three hundred
falsehoods are planted: a number changed, a relation or connective swapped, one goal or hypothesis put for
another.
"""

import json
import os
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cotmill.generators.lean_reverse import LeanSeed, read_lean_row, reverse, unfaithful
from cotmill.generators.lean_reverse.english import is_fact, names_of, say, say_target
from cotmill.generators.lean_reverse.states import parse_state
from cotmill.generators.lean_search import TacticSearch, prove, recorded
from cotmill.schemas import Source, Trace, generator, rng_key
from cotmill.verifiers.lean import EmbeddedLean, LeanLimits, Theorem, embedded_missing

ROOT = Path(__file__).parents[1]
OWN = ROOT / "data" / "lean" / "traces.json"
SHARED = ROOT.parent / "shared" / "data" / "lean_core_valid.jsonl"
BUDGET, SHORT_BUDGET, PLANTED = 60, 40, 300
_SWAPS = {"=": "≠", "≤": "<", "<": "≤", "and": "or", "or": "and", "mod": "+", "true": "false", "+": "-"}


def main() -> None:
    search = "--no-search" not in sys.argv
    if search and (missing := embedded_missing() or (None if SHARED.exists() else f"needs {SHARED.name}")):
        print(missing, file=sys.stderr)
        raise SystemExit(2)
    rows: list[dict[str, Any]] = json.loads(OWN.read_text("utf-8"))
    seeds = [read_lean_row(row, Source(name=OWN.name, row=i)) for i, row in enumerate(rows, 1)]
    load = os.getloadavg()[0]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}"
    print(f"{machine}, Python {platform.python_version()}\n")
    result: dict[str, float] = {}
    found = closed(result) if search else []
    begin = time.perf_counter()
    made = [reverse(seed, run_seed=draw) for draw in range(3) for seed in seeds]
    result["traces_per_s"] = len(made) / (time.perf_counter() - begin)
    every = [(seed, reverse(seed, run_seed=0)) for seed in (*seeds, *found)]
    faithful = [(seed, t) for seed, t in every if isinstance(t, Trace) and not unfaithful(t, seed)]
    for seed, t in every:
        if not isinstance(t, Trace):
            print(f"  {seed.full_name}: {t.reason}")
    result["faithful_share"] = len(faithful) / len(every)
    result["planted_caught"] = planted(faithful)
    print(f"{'traces per second':<44}{result['traces_per_s']:>8.1f}")
    print(f"{'theorems with a faithful trace':<44}{len(faithful):>8}  of {len(every)}")
    print(f"{'planted falsehoods caught':<44}{result['planted_caught']:>8.1%}  of {PLANTED}")
    print("RESULT " + json.dumps({k: round(v, 4) for k, v in result.items()}))


def closed(result: dict[str, float]) -> list[LeanSeed]:
    """Search every statement by MCTS; those closed also by best-first."""
    lean = EmbeddedLean(LeanLimits(cpu_s=20))
    lean.warm()
    rows = [json.loads(line) for line in SHARED.read_text("utf-8").splitlines()]
    seeds, runs, refused, again = [], [], 0, 0
    begin = time.perf_counter()
    for i, row in enumerate(rows, 1):
        theorem = Theorem.read(row["statement"])
        found = prove(theorem, lean, TacticSearch("mcts", BUDGET))
        runs.append(found.run)
        refused += len(found.attempts)
        if found.tactics is None:
            print(f"  {theorem.full_name}: {found.reason}")
            continue
        seed = recorded(read_lean_row(row, Source(name=SHARED.name, row=i)), found, lean)
        if not isinstance(seed, LeanSeed):
            print(f"  {theorem.full_name}: {seed.reason}")
            continue
        seeds.append(seed)
    rate = sum(runs) / (time.perf_counter() - begin)
    for seed in seeds:
        best_first = TacticSearch("best_first", SHORT_BUDGET)
        again += prove(Theorem.read(seed.statement), lean, best_first).tactics is not None
    lean.close()
    result["theorems_closed"] = len(seeds)
    result["closed_by_best_first"] = again
    print(f"\n{f'closed by MCTS in {BUDGET} tactics each':<44}{len(seeds):>8}  of {len(rows)}")
    print(f"{f'of these by best-first in {SHORT_BUDGET} tactics':<44}{again:>8}")
    print(f"{'tactics run (checks), refused among them':<44}{sum(runs):>8}  {refused}")
    print(f"{'tactics run per second':<44}{rate:>8.1f}")
    return seeds


def planted(pairs: list[tuple[LeanSeed, Trace]]) -> float:
    """The share of planted falsehoods that the checker complains about."""
    rng = generator(rng_key(0, "planted", "benchmark"))
    pool = [(seed, trace, *change) for seed, trace in pairs for change in changes(seed, trace)]
    kinds = sorted({kind for *_, kind in pool})
    total, caught = Counter[str](), Counter[str]()
    for at in range(PLANTED):
        kind = kinds[at % len(kinds)]
        those = [p for p in pool if p[-1] == kind]
        seed, trace, start, end, new, _ = those[int(rng.integers(len(those)))]
        total[kind] += 1
        if unfaithful(changed(trace, start, end, new), seed):
            caught[kind] += 1
        else:
            print(f"  missed ({kind}) in {seed.full_name}: {trace.text[start:end]!r} -> {new!r}")
    for kind in kinds:
        print(f"{f'  planted: {kind}':<44}{caught[kind]:>8}  of {total[kind]}")
    return caught.total() / total.total()


def changes(seed: LeanSeed, trace: Trace) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, what stands there instead, kind) before the answer."""
    prose = trace.text[: trace.acts[-1].start]
    for match in re.finditer(r"\d+", prose):
        yield match.start(), match.end(), str(int(match[0]) + 1), "wrong constant"
    for match in re.finditer(r"[=≤<+]|\b(?:and|or|mod|true)\b", prose):
        yield match.start(), match.end(), _SWAPS[match[0]], "relation or connective"
    goals = [g for t in seed.traced for g in parse_state(t.state_before)]
    targets = sorted({say_target(g) for g in goals})
    facts = sorted({say(h.type, names_of(g)) for g in goals for h in g.hypotheses if is_fact(h, g)})
    for kind, phrases in (("swapped goal", targets), ("changed hypothesis", facts)):
        for one in phrases:
            other = next((p for p in phrases if p != one), None)
            if other and (found := re.search(rf"(?<!\w){re.escape(one)}(?!\w)", prose)):
                yield found.start(), found.end(), other, kind


def changed(trace: Trace, start: int, end: int, new: str) -> Trace:
    """The trace with other words, its acts and steps around them."""
    moved = len(new) - (end - start)

    def shifted(span: Any) -> Any:
        first, last = (at + (moved if at >= end else 0) for at in (span.start, span.end))
        return span.model_copy(update={"start": first, "end": last})

    update = {
        "text": trace.text[:start] + new + trace.text[end:],
        "acts": tuple(map(shifted, trace.acts)),
        "steps": tuple(map(shifted, trace.steps)),
    }
    return trace.model_copy(update=update)


if __name__ == "__main__":
    main()
