"""The tagger of thinking factors on hand-tagged CoTs, the half kept back, beside readers and bare cues.

    python benchmarks/tagger.py [open]

`open` takes the half that served while the tagger was made. The CoTs are QwQ's (`qwq_gold.jsonl`; their text
is in the shared data), and others that were written for this, by authors who knew nothing of the acts
(`written_gold.jsonl`).
Act accuracy and group macro-F1 are taken on the gold spans; span F1 counts found spans whose ends and act
are all right. Beside the tagger: two readings of the same spans by a language model that knew the acts'
definitions and the conventions alone, and the bare cues, which give each gold span the act with the most
matching cues, else Deduce. The gold of the written CoTs was made of their two readings and an adjudication,
which flatters those. Words per second: whole CoTs of QwQ on one core, from text to spans, the best of three.
"""

import json
import os
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from cotmill.labelers.tagger import Tagger
from cotmill.labelers.tagger_features import plain
from cotmill.schemas import Factor, Inventory, markup

SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "longcot_qwq_dev_50.jsonl"
ROUNDS = 3
Span = tuple[int, int, str]
Label = Callable[[str, Sequence[tuple[int, int]]], list[str]]


@dataclass(frozen=True)
class Gold:
    """A CoT with its gold spans, and the acts that each reading gave them."""

    text: str
    spans: Sequence[Span]
    readings: Sequence[Sequence[str]]


def texts() -> dict[str, str]:
    if not SHARED.exists():
        print(f"needs the shared data beside the project: {SHARED.name}", file=sys.stderr)
        raise SystemExit(2)
    rows = (json.loads(line) for line in SHARED.read_text("utf-8").split("\n") if line)
    return {row["id"]: "\n\n".join(row["steps"]) for row in rows}


def rows(name: str, half: str) -> list[dict[str, Any]]:
    lines = (files("cotmill.data") / "tagger" / name).read_text("utf-8").split("\n")
    return [row for line in lines if line and (row := json.loads(line)).get("half", half) == half]


def gold(half: str) -> dict[str, list[Gold]]:
    """By kind: QwQ's CoTs, and those that were written for this."""
    text, read = texts(), {row["id"]: row["acts"] for row in rows("qwq_readers.jsonl", half)}
    kinds = {
        "QwQ": [
            Gold(text[row["id"]], [(s["start"], s["end"], s["act"]) for s in row["spans"]], read[row["id"]])
            for row in rows("qwq_gold.jsonl", half)
        ]
    }
    for row in rows("written_gold.jsonl", half):
        cot, acts = markup.trim(*markup.parse(row["cot"]))
        marked = Gold(cot, [(a.start, a.end, a.act) for a in acts], row["readings"])
        kinds.setdefault(row["kind"], []).append(marked)
    return kinds


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
    kinds, inventory, tagger = gold(half), Inventory.load(), Tagger.load()
    cues, group = by_cues(inventory), inventory.group_of

    def tagged(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
        return [s.act for s in tagger.label(text, spans)]

    def given(marked: Sequence[Gold]) -> dict[str, list[str]]:
        out: dict[str, list[str]] = {name: [] for name in ("cotmill", "bare cues", "reading 1", "reading 2")}
        for g in marked:
            ends = [(a, b) for a, b, _ in g.spans]
            for name, acts in zip(out, (tagged(g.text, ends), cues(g.text, ends), *g.readings), strict=True):
                out[name] += acts
        return out

    def figures(wanted: Sequence[str], acts: Sequence[str]) -> tuple[float, float, dict[str, float]]:
        accuracy = sum(a == b for a, b in zip(wanted, acts, strict=True)) / len(wanted)
        return accuracy, *macro_f1([group(a) for a in wanted], [group(a) for a in acts])

    def span_f1(marked: Sequence[Gold]) -> float:
        found = [{(s.start, s.end, s.act) for s in tagger.tag(g.text)} for g in marked]
        hits = sum(len(f & set(g.spans)) for f, g in zip(found, marked, strict=True))
        return 2 * hits / (sum(len(g.spans) for g in marked) + sum(map(len, found)))

    def agreement(marked: Sequence[Gold]) -> float:
        pairs = [pair for g in marked for pair in zip(*g.readings, strict=True)]
        return sum(a == b for a, b in pairs) / len(pairs)

    whole = texts().values()
    words, best = sum(len(t.split()) for t in whole), float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        tagger.tag_many(whole)
        best = min(best, time.process_time() - start)

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"the {half} half; act accuracy and group macro-F1 on given spans\n")
    kinds["all written"] = [g for kind, marked in kinds.items() if kind != "QwQ" for g in marked]
    wanted = {kind: [act for g in marked for *_, act in g.spans] for kind, marked in kinds.items()}
    acts = {kind: given(marked) for kind, marked in kinds.items()}
    shown = {k: {name: figures(wanted[k], found) for name, found in acts[k].items()} for k in kinds}
    f1 = {kind: span_f1(marked) for kind, marked in kinds.items()}
    names = "".join(f"{name:<16}" for name in shown["QwQ"])
    print(f"{'':<14}{'CoTs':>6}{'spans':>7}  {names}span F1  readings agree")
    for kind, marked in kinds.items():
        cells = "".join(f"{accuracy:.3f} {macro:.3f}     " for accuracy, macro, _ in shown[kind].values())
        cells += f"{f1[kind]:.3f}    {agreement(marked):.3f}"
        print(f"{kind:<14}{len(marked):>6}{len(wanted[kind]):>7}  {cells}")
    print(f"\n{'group':<12}{'QwQ: spans':>12}{'F1':>8}{'written: spans':>18}{'F1':>8}")
    groups = {kind: Counter(map(group, wanted[kind])) for kind in ("QwQ", "all written")}
    for name in inventory.groups:
        columns = [f"{n[name]:>12}{shown[k]['cotmill'][2].get(name, 0.0):>8.3f}" for k, n in groups.items()]
        print(f"{name:<12}{'      '.join(columns)}")
    for kind in groups:
        print(f"\n{kind}: confusions (gold, given, count)")
        pairs = zip(wanted[kind], acts[kind]["cotmill"], strict=True)
        for (a, b), n in Counter(pair for pair in pairs if pair[0] != pair[1]).most_common(15):
            print(f"{a:<16}{b:<16}{n:>4}")
    print(f"\n{words / best:,.0f} words per second")
    accuracy, macro, _ = shown["QwQ"]["cotmill"]
    on_written, macro_on_written, _ = shown["all written"]["cotmill"]
    result = {
        "group_macro_f1": round(macro, 4),
        "act_accuracy": round(accuracy, 4),
        "span_f1": round(f1["QwQ"], 4),
        "written_group_macro_f1": round(macro_on_written, 4),
        "written_act_accuracy": round(on_written, 4),
        "words_per_s": round(words / best),
    }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main("open" if sys.argv[1:] == ["open"] else "held")
