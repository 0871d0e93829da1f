"""Writes the families' sample and the held-out problems that ship in `data/`.

`python -m cotmill.generators.families.samples` makes them again, byte for byte.
"""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from ...schemas import markup
from ...schemas.records import Seed
from . import FAMILIES, LEVELS, seed_at

_RUN_SEED = 0
_SAMPLE_PER_KIND = 10
_HELDOUT_PER_LEVEL = 200


def write_samples(folder: Path) -> None:
    """Write `families/sample.jsonl` (with CoTs) and `heldout/problems.jsonl` (without) under `folder`."""
    _write(folder / "families" / "sample.jsonl", _sample())
    _write(folder / "heldout" / "problems.jsonl", _heldout())


def _sample() -> Iterator[dict[str, str]]:
    for family in FAMILIES:
        for level in LEVELS:
            for number, seed in enumerate(_distinct(family, level, _SAMPLE_PER_KIND, heldout=False)):
                row = _row(f"family-{family}-{level}-{number:03}", seed)
                yield row | {"cot": markup.render(seed.text, seed.acts)}


def _heldout() -> Iterator[dict[str, str]]:
    for level in LEVELS:
        for i, family in enumerate(FAMILIES):
            n = (_HELDOUT_PER_LEVEL + len(FAMILIES) - 1 - i) // len(FAMILIES)
            for number, seed in enumerate(_distinct(family, level, n, heldout=True)):
                yield _row(f"heldout-{family}-{level}-{number:03}", seed)


def _distinct(family: str, level: int, n: int, *, heldout: bool) -> Iterator[Seed]:
    """The first `n` seeds of a kind whose questions differ."""
    seen: set[str] = set()
    for index in count():
        if len(seen) == n:
            return
        seed = seed_at(_RUN_SEED, index, families=(family,), levels=(level,), heldout=heldout)
        if seed.question not in seen:
            seen.add(seed.question)
            yield seed


def _row(name: str, seed: Seed) -> dict[str, str]:
    return {
        "id": name,
        "domain": seed.domain,
        "question": seed.question,
        "answer": seed.answer,
        "licence": seed.source.licence,
    }


def _write(path: Path, rows: Iterator[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_samples(Path(__file__).parents[2] / "data")
