"""Programs reversed per second, how varied and how faithful their CoTs are, and how flat the memory stays.

The rows are the shared MBPP programs. `programs_per_s` counts two processes, drafts and checker included, the
best of three rounds; the peer judges a program and its drafts each in a sandbox of its own, without tracing
anything. Diversity is that of 1,000 CoTs' prose (code left out), beside the same stories worded by one fixed
template for each thing said. 500 falsehoods are planted into CoTs that hold: numbers, variables, branches.

`--memory N` reverses N programs in one process and prints its resident memory on the way, and nothing else.
"""

import argparse
import json
import math
import os
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from cotmill.generators.code_reverse import (
    CodeSeed,
    Facts,
    Unusable,
    observe,
    read_code_row,
    reverse,
    unfaithful,
    write,
)
from cotmill.generators.code_reverse.mutate import mutants
from cotmill.generators.code_reverse.story import choose, tell
from cotmill.generators.phrasing import PhraseBook
from cotmill.generators.wording import word
from cotmill.schemas import Outcome, Source, Trace
from cotmill.verifiers.code import CodeVerifier
from cotmill.verifiers.process import Limits
from cotmill.verifiers.sandbox import sandbox_available

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
ROUNDS, PROCESSES, TRACES, PLANTED, MEMORY = 3, 2, 1000, 500, 400
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_WORD = re.compile(r"\w+|[^\w\s]")
_OPPOSITE = {
    "holds": "never holds", "is true": "is false", "is false": "is true", "is taken": "is skipped",
    "is skipped": "is taken", "True": "False", "False": "True", "<=": ">", ">=": "<", "==": "!=", "<": ">=",
}  # fmt: skip


def seeds() -> list[CodeSeed]:
    path = SHARED / "mbpp_dev_170_original.jsonl"
    if not path.exists():
        print("needs the shared data beside the project: mbpp_dev_170_original.jsonl", file=sys.stderr)
        raise SystemExit(2)
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    return [read_code_row(row, Source(name="mbpp", row=n)) for n, row in enumerate(rows, 1)]


def reversed_one(job: tuple[CodeSeed, int]) -> bool:
    return isinstance(reverse(job[0], run_seed=job[1]), Trace)


def judged_apart(seed: CodeSeed) -> None:
    """The peer: a sandbox for the program and one for each draft."""
    with CodeVerifier(Limits(cpu_s=2, wall_s=10.0), jobs=1) as verifier:
        verifier.verify_many([(code, seed.reference) for code in programs(seed)])


def programs(seed: CodeSeed) -> list[str]:
    return [seed.code, *(m.source for m in mutants(seed.code))]


def rates(rows: Sequence[CodeSeed]) -> tuple[float, float, float]:
    """Programs per second here and at the peer, and the share of programs that gave a trace."""
    few = rows[::12]
    best, peer, emitted = 0.0, 0.0, 0.0
    with ProcessPoolExecutor(PROCESSES) as pool:
        list(pool.map(reversed_one, [(rows[0], 0)] * PROCESSES))
        for number in range(ROUNDS):
            start = time.perf_counter()
            made = list(pool.map(reversed_one, [(seed, number) for seed in rows]))
            best = max(best, len(rows) / (time.perf_counter() - start))
            emitted = sum(made) / len(rows)
            start = time.perf_counter()
            list(pool.map(judged_apart, few))
            peer = max(peer, len(few) / (time.perf_counter() - start))
    return best, peer, emitted


def observed(rows: Sequence[CodeSeed]) -> list[tuple[CodeSeed, Facts]]:
    out = []
    for seed in rows:
        try:
            out.append((seed, observe(seed)))
        except Unusable:
            continue
    return out


class First:
    """Draws the first of everything: one fixed template for each thing that is said."""

    def integers(self, n: int) -> int:
        return 0

    def random(self) -> float:
        return 0.0


def naive(seed: CodeSeed, facts: Facts, trace: Trace) -> str:
    """The same story in one fixed wording."""
    story = tell(seed, facts, choose(seed, facts, trace.provenance.rng_key))
    first: Any = First()
    return word(story, PhraseBook.load("phrases_code.yaml"), first, 1.0)[0]


def grams(text: str, n: int) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(_FENCE.sub(" ", text))
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams (Li et al., arXiv 1510.03055)."""
    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        counts.update(grams(text, n))
    return len(counts) / counts.total()


def self_bleu(texts: Sequence[str], order: int = 4) -> float:
    """The mean BLEU of each text with all others as its references (Zhu et al., arXiv 1802.01886)."""
    logs = np.zeros(len(texts))
    for n in range(1, order + 1):
        own = [grams(text, n) for text in texts]
        top: dict[tuple[str, ...], list[int]] = {}
        for counts in own:
            for gram, count in counts.items():
                best = top.setdefault(gram, [0, 0])
                best[:] = sorted([*best, count])[1:]
        for i, counts in enumerate(own):
            clipped = 0
            for gram, count in counts.items():
                second, first = top[gram]
                clipped += min(count, second if count == first else first)
            logs[i] += math.log(max(clipped, 1e-9) / max(counts.total(), 1)) / order
    return float(np.exp(logs).mean())


def planted(trace: Trace, rng: np.random.Generator) -> Iterator[tuple[str, Trace]]:
    """One falsehood of each sort that the CoT has room for."""
    variables = sorted(set(re.findall(r"\b([a-z_]\w*) = ", trace.text)))
    sorts = {
        "number": [(m, str(int(m.group()) + 1)) for m in re.finditer(r"\b\d+\b", trace.text)],
        "variable": [
            (m, next(v for v in variables if v != m.group(1)) + m.group()[len(m.group(1)) :])
            for m in re.finditer(r"\b([a-z_]\w*) = ", trace.text)
            if len(variables) > 1
        ],
        "branch": [
            (m, _OPPOSITE[m.group()])
            for m in re.finditer("|".join(rf"(?<!\w){re.escape(k)}(?!\w|=)" for k in _OPPOSITE), trace.text)
        ],
    }
    for sort, places in sorts.items():
        if places:
            match, new = places[int(rng.integers(len(places)))]
            yield sort, replaced(trace, match.start(), match.end(), new)


def replaced(trace: Trace, start: int, end: int, new: str) -> Trace:
    moved = len(new) - (end - start)

    def shift(span: Any) -> Any:
        first = span.start + (moved if span.start >= end else 0)
        last = span.end + (moved if span.end >= end else 0)
        return span.model_copy(update={"start": first, "end": last})

    spans = {"acts": tuple(map(shift, trace.acts)), "steps": tuple(map(shift, trace.steps))}
    return trace.model_copy(update={"text": trace.text[:start] + new + trace.text[end:], **spans})


def by_a_policy(trace: Trace) -> Trace:
    """The same text as if a policy had worded it, so that it is read by its claims."""
    provenance = trace.provenance.model_copy(update={"policy": "anybody"})
    return trace.model_copy(update={"provenance": provenance})


def resident() -> float:
    """Resident memory of this process, MiB."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def memory(rows: Sequence[CodeSeed], count: int) -> float:
    """MiB that the process grew by over the last nine tenths of `count` programs."""
    at_tenth = 0.0
    step = max(count // 20, 1)
    with ThreadPoolExecutor(PROCESSES) as pool:
        for begin in range(0, count, step):
            jobs = [(rows[i % len(rows)], i // len(rows)) for i in range(begin, min(begin + step, count))]
            made = sum(pool.map(reversed_one, jobs))
            done = begin + len(jobs)
            if at_tenth == 0.0 and done >= count / 10:
                at_tenth = resident()
            print(
                f"{done:>7} programs, {made} of the last {len(jobs)} reversed, {resident():.1f} MiB",
                flush=True,
            )
    return resident() - at_tenth


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", type=int, metavar="N")
    asked = parser.parse_args()
    if missing := sandbox_available():
        print(missing, file=sys.stderr)
        raise SystemExit(2)
    rows = seeds()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, bubblewrap\n")
    if asked.memory:
        grown = memory(rows, asked.memory)
        print("RESULT " + json.dumps({"memory_growth_mib": round(grown, 2), "programs": asked.memory}))
        return
    per_s, peer_per_s, emitted = rates(rows)
    ground = observed(rows)
    traces: list[tuple[CodeSeed, Facts, Trace]] = []
    tried = 0
    for number in range(-(-TRACES // len(ground))):
        for seed, facts in ground:
            made = write(seed, facts, run_seed=number)
            tried += 1
            if isinstance(made, Trace):
                traces.append((seed, facts, made))
    traces = traces[:TRACES]
    texts = [trace.text for _, _, trace in traces]
    plain = [naive(*one) for one in traces]
    faithful = sum(not unfaithful(by_a_policy(t), s, f) for s, f, t in traces[::5]) / len(traces[::5])
    caught, caught_any, sorts = Counter[str](), Counter[str](), Counter[str]()
    rng = np.random.default_rng(0)
    for seed, facts, trace in [traces[i] for i in rng.permutation(len(traces))]:
        for sort, false in planted(trace, rng):
            if sorts.total() < PLANTED:
                sorts[sort] += 1
                caught[sort] += bool(unfaithful(false, seed, facts))
                caught_any[sort] += bool(unfaithful(by_a_policy(false), seed, facts))
    turns = sum(any(not s.n_correct for s in t.steps) for _, _, t in traces) / len(traces)
    several = sum(sum(a.act == "Correct" for a in t.acts) > 1 for _, _, t in traces) / len(traces)
    print("memory:")
    grown = memory(rows, MEMORY)
    result = {
        "programs_per_s": per_s,
        "programs_per_s_ratio": per_s / peer_per_s,
        "emitted_share": emitted,
        "faithful_share": faithful,
        "planted_caught": caught.total() / sorts.total(),
        "planted_caught_by_claims": caught_any.total() / sorts.total(),
        "distinct_4": distinct(texts, 4),
        "distinct_4_naive": distinct(plain, 4),
        "self_bleu": self_bleu(texts),
        "self_bleu_naive": self_bleu(plain),
        "different_texts": len(set(texts)) / len(texts),
        "wrong_turns": turns,
        "several_wrong_turns": several,
        "acts": len({a.act for _, _, t in traces for a in t.acts}),
        "memory_growth_mib": grown,
    }
    print(f"\nplanted: {dict(sorts)}, caught {dict(caught)}, by claims alone {dict(caught_any)}")
    print(
        f"{tried} CoTs written, all {sum(t.outcome is Outcome.CORRECT for _, _, t in traces)} kept verified"
    )
    for key, value in result.items():
        print(f"{key:<28}{value:>10.3f}")
    print("RESULT " + json.dumps({key: round(value, 4) for key, value in result.items()}))


if __name__ == "__main__":
    main()
