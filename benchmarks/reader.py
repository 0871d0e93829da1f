"""Reading shards for training, beside how fast the embedded policy's trainer eats them.

    python benchmarks/reader.py

A run of family seeds is written first. The reader streams its `traces` in shuffled row groups as rows
(question and markup), then also tokenises them as the trainer wants them; the peer is `datasets`, streaming
the same columns of the same files. The trainer is SFT of the embedded policy; both of its runs differ in
steps alone, so that set-up cancels out. One thread, interleaved, the best of three.
"""

import json
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import torch
from cotmill.models.folder import load_tokenizer
from cotmill.pipelines.config import Config
from cotmill.pipelines.policies import EMBEDDED, model_path
from cotmill.pipelines.run import run
from cotmill.training.progress import Progress
from cotmill.training.reader import ShardReader
from cotmill.training.sft import Example, SFTSettings, encode, train_sft

SEEDS, STEPS, ROUNDS = 3000, 12, 3
COLUMNS = ["question", "markup"]


def shards(folder: Path) -> Path:
    """A run's folder that holds the seeds' own traces."""
    given: dict[str, Any] = {
        "seed": 1,
        "policy": {"model": "none"},
        "sources": [{"kind": "families", "count": SEEDS, "roll_out": False}],
        "shards": {"seeds_per_shard": 750, "validation_share": 0.0},
    }
    run(Config.model_validate(given), Path(), folder)
    return folder


def read(folder: Path) -> Iterator[dict[str, Any]]:
    return ShardReader(folder, "traces", COLUMNS, shuffle_key="benchmark").rows()


def examples(folder: Path) -> Iterator[Example]:
    tokenizer = load_tokenizer(Path(model_path(EMBEDDED, Path())))
    yield from encode(read(folder), tokenizer, 1024, Counter())


def peer(folder: Path) -> int:
    files = sorted(map(str, (folder / "traces").glob("train-*.parquet")))
    stream = datasets.load_dataset(
        "parquet", data_files=files, split="train", streaming=True, columns=COLUMNS
    )
    return sum(1 for _ in stream)


def train(folder: Path, out: Path) -> float:
    """Tokens per second of the trainer itself."""
    seconds, tokens = [], []
    for steps in (STEPS, 2 * STEPS):
        settings = SFTSettings(
            init=model_path(EMBEDDED, Path()),
            device="cpu",
            max_steps=steps,
            tokens_per_batch=2600,
            warmup_steps=0,
            checkpoint_every=10_000,
        )
        start = time.perf_counter()
        done = train_sft(folder, out / str(steps), settings, progress=Progress(quiet=True), fresh=True)
        seconds.append(time.perf_counter() - start)
        tokens.append(done.tokens)
    return (tokens[1] - tokens[0]) / (seconds[1] - seconds[0])


def per_second(work: Callable[[Path], int], folder: Path) -> float:
    start = time.perf_counter()
    return work(folder) / (time.perf_counter() - start)


def main() -> None:
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    best: dict[str, float] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = shards(Path(scratch) / "run")
        lengths = [len(e.ids) for e in examples(folder)]
        for i in range(ROUNDS):
            rates = {
                "read": per_second(lambda f: sum(1 for _ in read(f)), folder),
                "fed": per_second(lambda f: sum(1 for _ in examples(f)), folder),
                "datasets": per_second(peer, folder),
                "trainer": train(folder, Path(scratch) / f"train-{i}") * len(lengths) / sum(lengths),
            }
            best = {name: max(rate, best.get(name, 0.0)) for name, rate in rates.items()}
    versions = (
        f"Python {platform.python_version()}, torch {torch.__version__}, datasets {datasets.__version__}"
    )
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}; {SEEDS:,} rows, one thread")
    for name, what in (
        ("read", "read as rows"),
        ("fed", "read and tokenised"),
        ("datasets", "datasets, streaming, as rows"),
        ("trainer", "eaten by the trainer"),
    ):
        print(f"{what:<30} {best[name]:>10,.0f} rows/s {best[name] / best['trainer']:>8.1f}x")
    result = {
        "reader_over_trainer": round(best["fed"] / best["trainer"], 1),
        "rows_per_s": round(best["read"]),
    }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
