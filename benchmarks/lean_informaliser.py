"""A policy of the embedded size learns to tell Lean proofs; how many of its own CoTs the checker keeps.

    python benchmarks/lean_informaliser.py [EPOCHS]

Every sixth theorem of `data/lean` is held out. The others, each told in 12 wordings with its single-letter
names exchanged, go through `cotmill run` and `cotmill train sft --set task=reverse` (a decoder of width 128
and 4 layers, from scratch). Then it writes 4 CoTs, at temperature 0.3, for each theorem held out and for as
many of the others; each is kept or refused by the checker of the grammar's own.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from cotmill.generators.code_reverse.asking import PolicyWriting
from cotmill.generators.lean_reverse import LeanSeed, informalise, read_lean_row
from cotmill.models.local import LocalPolicy
from cotmill.schemas import Source, generator, rng_key

OWN = Path(__file__).parents[1] / "data" / "lean" / "traces.json"
EVERY, WORDINGS, CONTEXT = 6, 12, 1024
_AS_IT_IS = ("check", "premises", "source", "licence")
_LETTERS = "bcdefghjklmnopqrstuvwxyz"  # but a and i, which are words too
_NAME = re.compile(rf"(?<![\w.'])[{_LETTERS}](?![\w'])")


def main() -> None:
    epochs = sys.argv[1] if len(sys.argv) > 1 else "1"
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}\n"
    )
    rows: list[dict[str, Any]] = json.loads(OWN.read_text("utf-8"))
    held_out = rows[::EVERY]
    learnt = [row for i, row in enumerate(rows) if i % EVERY]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        policy = trained([renamed(row, n) for row in learnt for n in range(WORDINGS)], folder, epochs)
        result = {
            "kept_held_out": kept("theorems held out", held_out, policy),
            "kept_learnt": kept("theorems learnt from", learnt[:: EVERY - 1], policy),
        }
    print("RESULT " + json.dumps({k: round(v, 4) for k, v in result.items()}))


def trained(rows: list[dict[str, Any]], folder: Path, epochs: str) -> LocalPolicy:
    """By the commands that a user would give."""
    (folder / "rows.json").write_text(json.dumps(rows), "utf-8")
    (folder / "run.yaml").write_text(
        "policy: {model: none}\nsources: [{kind: lean, path: rows.json}]\nreverse: {lean: {backend: none}}\n"
        "shards: {validation_share: 0}\n"
    )
    cotmill("run", folder / "run.yaml", "--out", folder / "run")
    sizes = [f"context={CONTEXT}", "vocabulary=1024", "lr=0.004", "tokens_per_batch=2000", f"epochs={epochs}"]
    settings = [part for setting in ("task=reverse", *sizes) for part in ("--set", setting)]
    cotmill("train", "sft", "--data", folder / "run", "--out", folder / "policy", *settings)
    return LocalPolicy.load(str(folder / "policy"), device="cpu")


def cotmill(*words: object) -> None:
    command = [sys.executable, "-m", "cotmill.pipelines.cli", *map(str, words)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    print("\n".join(done.stderr.strip().split("\n")[-2:]), flush=True)


def renamed(row: dict[str, Any], number: int) -> dict[str, Any]:
    """The theorem under another name, its single letters exchanged for others; number 0 as it is."""
    if not number:
        return row
    drawn = generator(rng_key(number, row["full_name"], "renamed")).permutation(list(_LETTERS))
    others = dict(zip(_LETTERS, map(str, drawn), strict=True))
    name = row["full_name"]

    def exchanged(value: Any) -> Any:
        match value:
            case str():
                return _NAME.sub(lambda m: others[m[0]], value).replace(name, f"{name}_{number}")
            case list():
                return [exchanged(item) for item in value]
            case dict():
                return {key: exchanged(item) for key, item in value.items()}
        return value

    kept = {key: row[key] for key in _AS_IT_IS if key in row}
    return {**exchanged(row), **kept}


def kept(what: str, rows: list[dict[str, Any]], policy: LocalPolicy) -> float:
    """The share of the policy's texts that the checker keeps; prints why the others were refused."""
    seeds: list[LeanSeed] = [read_lean_row(r, Source(name=OWN.name, row=i)) for i, r in enumerate(rows, 1)]
    asked = PolicyWriting(candidates=4, temperature=0.3, max_tokens=900)
    written = informalise(seeds, policy, asked, 0)
    traces, sampled = sum(len(w.traces) for w in written), sum(w.sampled for w in written)
    print(f"{f'{what}: texts that the checker keeps':<60}{traces:>5}  of {sampled}")
    reasons = Counter(why.partition(":")[0] for w in written for why in w.refused)
    for reason, n in reasons.most_common():
        print(f"  {reason:<58}{n:>5}")
    return traces / sampled


if __name__ == "__main__":
    main()
