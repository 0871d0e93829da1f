"""The tagger of thinking factors on hand-tagged CoTs of QwQ, the half that was kept back, beside bare cues.

    python benchmarks/tagger.py [open]

`open` takes the half that served while the tagger was made.
Act accuracy and group macro-F1 are taken on the gold spans; span F1 counts found spans whose ends and act
are all right. Beside the tagger: two readings of the same spans by a language model that knew the acts'
definitions and the conventions alone (`qwq_readers.jsonl`), and the bare cues, which give each gold span the
act with the most matching cues, else Deduce. Words per second: whole CoTs on one core, from text to spans,
the best of three.
"""

import json
import os
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from cotmill.labelers.tagger import Tagger
from cotmill.labelers.tagger_features import plain
from cotmill.schemas import Factor, Inventory

SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "longcot_qwq_dev_50.jsonl"
ROUNDS = 3
Span = tuple[int, int, str]
Label = Callable[[str, Sequence[tuple[int, int]]], list[str]]


def texts() -> dict[str, str]:
    if not SHARED.exists():
        print(f"needs the shared data beside the project: {SHARED.name}", file=sys.stderr)
        raise SystemExit(2)
    rows = (json.loads(line) for line in SHARED.read_text("utf-8").split("\n") if line)
    return {row["id"]: "\n\n".join(row["steps"]) for row in rows}


def rows(name: str) -> list[dict[str, Any]]:
    lines = (files("cotmill.data") / "tagger" / name).read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def gold(half: str) -> dict[str, list[Span]]:
    return {
        row["id"]: [(s["start"], s["end"], s["act"]) for s in row["spans"]]
        for row in rows("qwq_gold.jsonl")
        if row["half"] == half
    }


def readers(keys: Sequence[str]) -> list[list[str]]:
    """The acts of each reading, over these CoTs' gold spans."""
    acts = {row["id"]: row["acts"] for row in rows("qwq_readers.jsonl")}
    return [[act for key in keys for act in acts[key][i]] for i in (0, 1)]


def by_cues(inventory: Inventory) -> Label:
    def hits(text: str, factor: Factor) -> int:
        return sum(bool(re.search(cue, text)) for cue in factor.cues)

    def label(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
        acts = []
        for start, end in spans:
            best = max(inventory.factors, key=lambda f: hits(plain(text[start:end]), f))
            acts.append(best.name if hits(plain(text[start:end]), best) else "Deduce")
        return acts

    return label


def macro_f1(wanted: Sequence[str], given: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Over the groups that occur in either."""
    scores = {}
    for group in dict.fromkeys([*wanted, *given]):
        hits = sum(a == b == group for a, b in zip(wanted, given, strict=True))
        scores[group] = 2 * hits / (wanted.count(group) + given.count(group))
    return sum(scores.values()) / len(scores), scores


def main(half: str) -> None:
    text, marked, inventory, tagger = texts(), gold(half), Inventory.load(), Tagger.load()
    labels: dict[str, Label] = {
        "cotmill": lambda t, spans: [s.act for s in tagger.label(t, spans)],
        "bare cues": by_cues(inventory),
    }
    wanted = [act for spans in marked.values() for *_, act in spans]
    given = {
        name: [
            act for key, spans in marked.items() for act in label(text[key], [(a, b) for a, b, _ in spans])
        ]
        for name, label in labels.items()
    }
    for i, acts in enumerate(readers(list(marked)), 1):
        given[f"reading {i}"] = acts
    found = {key: {(s.start, s.end, s.act) for s in tagger.tag(text[key])} for key in marked}
    hits = sum(len(found[key] & set(spans)) for key, spans in marked.items())
    span_f1 = 2 * hits / (len(wanted) + sum(map(len, found.values())))

    words, best = sum(len(t.split()) for t in text.values()), float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        tagger.tag_many(text.values())
        best = min(best, time.process_time() - start)

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"the {half} half: {len(marked)} CoTs, {len(wanted)} gold spans\n")
    group = inventory.group_of
    wanted_groups = [group(a) for a in wanted]
    print(f"{'':<12}{'act accuracy':>14}{'group macro-F1':>16}")
    figures = {}
    for name, acts in given.items():
        accuracy = sum(a == b for a, b in zip(wanted, acts, strict=True)) / len(wanted)
        macro, scores = macro_f1(wanted_groups, [group(a) for a in acts])
        figures[name] = (accuracy, macro, scores)
        print(f"{name:<12}{accuracy:>14.3f}{macro:>16.3f}")
    accuracy, macro, scores = figures["cotmill"]
    print(f"\n{'group':<12}{'spans':>8}{'F1':>8}")
    for name in inventory.groups:
        if name in scores:
            print(f"{name:<12}{wanted_groups.count(name):>8}{scores[name]:>8.3f}")
    print("\nconfusions (gold, given, count)")
    pairs = Counter((a, b) for a, b in zip(wanted, given["cotmill"], strict=True) if a != b)
    for (a, b), n in pairs.most_common(15):
        print(f"{a:<16}{b:<16}{n:>4}")
    print(f"\nspan F1 {span_f1:.3f}, {words / best:,.0f} words per second")
    result = {
        "group_macro_f1": round(macro, 4),
        "act_accuracy": round(accuracy, 4),
        "span_f1": round(span_f1, 4),
        "words_per_s": round(words / best),
    }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main("open" if sys.argv[1:] == ["open"] else "held")
