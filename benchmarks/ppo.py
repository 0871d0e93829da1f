"""PPO from the embedded policy: reward and KL as it learns, and held-out accuracy before and after.

    python benchmarks/ppo.py [key=value …]   (settings of `cotmill train ppo`)

It learns from problems of levels 1 and 2 by their answers and the embedded PRM's scores; held-out ones share
no question with them. Accuracy is exact, by the families' checker. Differences are paired: the same problems
before and after, 95% bootstrap intervals over problems.
"""

import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cotmill.generators import families
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import SampleRequest
from cotmill.pipelines.config import load
from cotmill.pipelines.policies import EMBEDDED, model_path
from cotmill.pipelines.progress import Progress
from cotmill.pipelines.run import run
from cotmill.pipelines.training_commands import train
from cotmill.schemas import Seed, markup
from cotmill.training.choosing import interval
from cotmill.training.ppo_metrics import read_metrics
from numpy.typing import NDArray

PROBLEMS = """
seed: 77
policy: {model: none}
sources:
  - {kind: families, count: 4000, levels: [1, 2], mistake_rate: 0.0, roll_out: false}
shards: {seeds_per_shard: 2000, validation_share: 0.02}
"""
SETTINGS = {
    "prm": "embedded",
    "iterations": "24",
    "samples": "8",
    "max_tokens": "200",
    "epochs": "1",
    "lr": "0.0004",
    "head_lr": "0.003",
    "lam": "0.97",
    "process_weight": "1.0",
    "temperature": "1.0",
}
HELDOUT, SAMPLES, RESAMPLES = 400, 4, 2000
SHOWN = ("reward", "right", "process", "kl", "clipped", "explained_variance", "entropy", "length")


def accuracy(
    model: str, problems: list[Seed], temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each problem's share of right answers among samples at a temperature, and whether greedy is right."""
    policy = LocalPolicy.load(model, "cpu")
    found = []
    for t, n in ((temperature, SAMPLES), (0.0, 1)):
        requests = [
            SampleRequest(policy.prompt(p.question), f"heldout {i}", n, 200, t)
            for i, p in enumerate(problems)
        ]
        found.append(
            np.array(
                [
                    np.mean([_right(problem, sample.text) for sample in samples])
                    for problem, samples in zip(problems, policy.sample(requests), strict=True)
                ]
            )
        )
    return found[0], found[1]


def _right(problem: Seed, text: str) -> bool:
    truth = families.check(problem.question, markup.strip_tags(text))
    return truth is not None and truth.answer_right


def main() -> None:
    torch.set_num_threads(2)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, CPU, 2 threads\n")
    problems = [families.seed_at(5, i, levels=(1, 2), heldout=True) for i in range(HELDOUT)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "problems.yaml").write_text(PROBLEMS, encoding="utf-8")
        settings, base = load(place / "problems.yaml")
        run(settings, base, place / "data", workers=1, progress=Progress(quiet=True))
        start = time.monotonic()
        given = SETTINGS | dict(argument.split("=", 1) for argument in sys.argv[1:])
        overrides = [f"{name}={value}" for name, value in given.items()]
        train("ppo", place / "data", place / "ppo", init=EMBEDDED, device="cpu", overrides=overrides)
        minutes = (time.monotonic() - start) / 60
        metrics: list[dict[str, Any]] = read_metrics(place / "ppo")
        models, temperature = (model_path(EMBEDDED, Path()), str(place / "ppo")), float(given["temperature"])
        before, after = (accuracy(model, problems, temperature) for model in models)
    print("iteration " + "".join(f"{name:>{max(9, len(name) + 2)}}" for name in SHOWN))
    for m in metrics:
        print(f"{m['iteration']:9} " + "".join(f"{m[n]:>{max(9, len(n) + 2)}.3f}" for n in SHOWN))
    print(f"\n{len(metrics)} iterations, {sum(m['tokens'] for m in metrics):,} tokens, {minutes:.1f} min\n")
    figures: dict[str, float] = {}
    for name, a, b in zip(("sampled", "greedy"), before, after, strict=True):
        low, high = interval(b - a, RESAMPLES)
        gain = float((b - a).mean())
        print(
            f"held out, {name:8} {a.mean():.1%} -> {b.mean():.1%}   "
            f"{100 * gain:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
        )
        figures |= {f"{name}_before": float(a.mean()), f"{name}_after": float(b.mean())}
        figures |= {f"{name}_gain": gain, f"{name}_gain_low": low}
    few = max(1, len(metrics) // 6)
    first, last = (float(np.mean([m["reward"] for m in part])) for part in (metrics[:few], metrics[-few:]))
    figures["reward_gain"] = last - first
    figures["kl"] = metrics[-1]["kl"]
    print("RESULT", json.dumps({k: round(v, 4) for k, v in figures.items()}))


if __name__ == "__main__":
    main()
