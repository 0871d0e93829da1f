"""How the tagger of thinking factors grows with the text it learns from, on the open half of the gold spans.

    python benchmarks/tagger_curve.py

Trains on a share of all the project's own text. Measured on the open half of the hand-tagged CoTs of QwQ,
which served while the tagger was made, and on the project's own CoTs, each half by a tagger that learned from
the other half: in the manner of models, and people's. Intervals: 95% by bootstrap over the CoTs.
"""

import json
import platform
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import tagger as gold
from cotmill.labelers.tagger import Tagger
from cotmill.labelers.tagger_features import Cues
from cotmill.labelers.tagger_training import Cot, family_cots, fit, sentences, tagged_cots
from cotmill.schemas import Inventory, generator, rng_key
from cotmill.schemas.ids import unit_interval

SHARES = (0.25, 0.5, 1.0)
DRAWS = 1000
Hits = list[tuple[int, int]]


def hits(tagger: Tagger, cots: Sequence[tuple[str, Sequence[gold.Span]]]) -> Hits:
    """Right acts and spans of each CoT."""
    out = []
    for text, spans in cots:
        given = tagger.label(text, [(a, b) for a, b, _ in spans])
        out.append((sum(g.act == act for g, (*_, act) in zip(given, spans, strict=True)), len(spans)))
    return out


def shown(found: Hits) -> str:
    draw = generator(rng_key(0, "tagger curve", "bootstrap"))
    rates = []
    for _ in range(DRAWS):
        picked = [found[i] for i in draw.integers(len(found), size=len(found))]
        rates.append(sum(h for h, _ in picked) / sum(n for _, n in picked))
    rates.sort()
    low, high = rates[DRAWS // 40], rates[-DRAWS // 40]
    return f"{sum(h for h, _ in found) / sum(n for _, n in found):.3f} [{low:.3f}, {high:.3f}]"


def spans_of(cots: Sequence[Cot]) -> list[tuple[str, list[gold.Span]]]:
    return [(text, [(s.start, s.end, s.act) for s in acts]) for text, acts in cots]


def main() -> None:
    data, inventory = Path(str(files("cotmill.data"))), Inventory.load()
    cues = Cues(inventory)
    models = list(tagged_cots(data / "tagger", "cots*.jsonl"))
    human, families = list(tagged_cots(data / "handwritten")), family_cots()
    singles = sentences(data, inventory, cues)
    text, marked = gold.texts(), gold.gold("open")
    opened = [(text[key], spans) for key, spans in marked.items()]

    def learned(share: float, models: Sequence[Cot], human: Sequence[Cot]) -> Tagger:
        def some(items: Sequence[Any]) -> list[Any]:
            return [x for i, x in enumerate(items) if unit_interval("share", i) < share]

        weights = fit(some(singles), some(models), some(human), some(families), inventory, cues)
        return Tagger(weights, inventory)

    print(f"{platform.machine()}, Python {platform.python_version()}; act accuracy on given spans\n")
    print(f"{'share':<8}{'open half':<24}{'manner of models':<24}{'people':<24}")
    last = {}
    for share in SHARES:
        on_open = hits(learned(share, models, human), opened)
        on_models: Hits = []
        on_human: Hits = []
        for half in (0, 1):
            tagger = learned(share, models[1 - half :: 2], human[1 - half :: 2])
            on_models += hits(tagger, spans_of(models[half::2]))
            on_human += hits(tagger, spans_of(human[half::2]))
        parts = {"open": on_open, "models": on_models, "human": on_human}
        print(f"{share:<8}" + "".join(f"{shown(found):<24}" for found in parts.values()), flush=True)
        last = {k: round(sum(h for h, _ in f) / sum(n for _, n in f), 4) for k, f in parts.items()}
    print("RESULT", json.dumps(last))


if __name__ == "__main__":
    main()
