"""How the tagger of thinking factors grows with the text it learns from, on the open half of the gold spans.

    python benchmarks/tagger_curve.py

Trains on a share of all the project's own text. Measured on the open half of the hand-tagged CoTs, which
served while the tagger was made: QwQ's, and those that were written for the gold. Intervals: 95% by bootstrap
over the CoTs.
"""

import json
import platform
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import tagger as bench
from cotmill.labelers.tagger import Tagger
from cotmill.labelers.tagger_features import Cues
from cotmill.labelers.tagger_training import family_cots, fit, sentences, tagged_cots
from cotmill.schemas import Inventory, generator, rng_key
from cotmill.schemas.ids import unit_interval

SHARES = (0.25, 0.5, 1.0)
DRAWS = 1000
Hits = list[tuple[int, int]]


def hits(tagger: Tagger, marked: Sequence[bench.Gold]) -> Hits:
    """Right acts and spans of each CoT."""
    out = []
    for g in marked:
        given = tagger.label(g.text, [(a, b) for a, b, _ in g.spans])
        right = sum(s.act == act for s, (*_, act) in zip(given, g.spans, strict=True))
        out.append((right, len(g.spans)))
    return out


def shown(found: Hits) -> str:
    draw = generator(rng_key(0, "tagger curve", "bootstrap"))
    rates = []
    for _ in range(DRAWS):
        picked = [found[i] for i in draw.integers(len(found), size=len(found))]
        rates.append(sum(h for h, _ in picked) / sum(n for _, n in picked))
    rates.sort()
    low, high = rates[DRAWS // 40], rates[-DRAWS // 40]
    return f"{share_of(found):.3f} [{low:.3f}, {high:.3f}]"


def share_of(found: Hits) -> float:
    return sum(h for h, _ in found) / sum(n for _, n in found)


def main() -> None:
    data, inventory = Path(str(files("cotmill.data"))), Inventory.load()
    cues = Cues(inventory)
    written = list(tagged_cots(data / "tagger", "cots*.jsonl"))
    human, families = list(tagged_cots(data / "handwritten")), family_cots()
    singles = sentences(data, inventory, cues)
    kinds = bench.gold("open")

    def learned(share: float) -> Tagger:
        def some(items: Sequence[Any]) -> list[Any]:
            return [x for i, x in enumerate(items) if unit_interval("share", i) < share]

        weights = fit(some(singles), some(written), some(human), some(families), inventory, cues)
        return Tagger(weights, inventory)

    print(f"{platform.machine()}, Python {platform.python_version()}; act accuracy on given spans\n")
    print(f"{'share':<8}{''.join(f'{kind:<24}' for kind in kinds)}")
    last = {}
    for share in SHARES:
        tagger = learned(share)
        found = {kind: hits(tagger, marked) for kind, marked in kinds.items()}
        print(f"{share:<8.0%}{''.join(f'{shown(f):<24}' for f in found.values())}", flush=True)
        last = {kind: round(share_of(f), 4) for kind, f in found.items()}
    print("RESULT", json.dumps(last))


if __name__ == "__main__":
    main()
