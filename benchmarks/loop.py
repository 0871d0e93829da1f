"""Does the loop make the policy better, and by what? On the embedded task, from one configuration.

    python benchmarks/loop.py                 # all of it; --part a,b,c,d for some
    python benchmarks/loop.py --out DIR       # goes on from what an earlier call left there

a  three rounds against the start, and against a control trained on as many tokens of replayed seeds
b  traces whose every step is good against as many tokens of traces with a right answer
c  choosing among samples by a process reward model: against greedy, majority and log-probability, with the
   policy itself as the trunk and with a stronger one, each beside the trunk's plain log-probability
d  the loop with act tags and without

All on the loop's 4,000 held-out problems; differences are paired by problem, with 95% bootstrap intervals. It
fails (exit status 1) where an interval that should be above zero is not.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cotmill.generators import families
from cotmill.models.local import LocalPolicy
from cotmill.models.network import RewardModel
from cotmill.models.policy import Sample, SampleRequest
from cotmill.pipelines.config import shipped_config
from cotmill.pipelines.evaluation_commands import RESULT, measure, read_problems
from cotmill.pipelines.files import write_json
from cotmill.pipelines.heldout import rows as first_error_rows
from cotmill.pipelines.loop import right, run_loop
from cotmill.pipelines.loop_config import Loop, load_loop
from cotmill.pipelines.policies import EMBEDDED, model_path
from cotmill.pipelines.progress import Progress
from cotmill.schemas.markup import THINK_START
from cotmill.training.choosing import interval
from cotmill.training.evaluate import EvaluateSettings, evaluate
from cotmill.training.evaluate_prm import evaluate_prm
from cotmill.training.prm import PRMSettings, train_prm
from cotmill.training.progress import Progress as TrainingProgress
from cotmill.training.sft import SFTSettings, passing, train_sft
from cotmill.verifiers.math import MathVerifier

ROUNDS, SAMPLES = 3, 8
REWARDED = "prm_min"
"""The reward-guided method that counts, chosen on problems of another draw; the others stand beside it."""
AUC_PROBLEMS = 400
HEAD = {
    "freeze_trunk": True,
    "weighs_tokens": True,
    "ranking": "problem",
    "epochs": 1.0,
    "tokens_per_batch": 2048,
    "head_lr": 0.02,
}
"""What each token's log-probability under the frozen trunk tells, soon found."""
ON_SEEDS: dict[str, Any] = {"steps": "any", "weights": {}}
Vector = np.ndarray[Any, np.dtype[np.float64]]


def over(own: Vector, other: Vector) -> tuple[float, float, float]:
    """The mean difference in points and its 95% interval, paired by problem."""
    low, high = interval(own - other, 2000)
    return 100 * float((own - other).mean()), 100 * low, 100 * high


def shown(difference: tuple[float, float, float]) -> str:
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*difference)


def vector(folder: Path, point: str = "greedy@1") -> Vector:
    found = right(folder, point)
    assert found is not None, f"{folder} has no {point}"
    return found


def percent(values: Vector) -> str:
    return f"{100 * values.mean():.1f}"


def table(head: Sequence[str], *rows: Sequence[str]) -> None:
    print()
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(row) + " |")


class Bench:
    """The folder of the work, and what several parts rest on."""

    def __init__(self, out: Path) -> None:
        self.out, self.acts, self.none = out, out / "acts", out / "none"
        self.loop = load_loop(shipped_config("loop.yaml"))
        without = ("start.acts=none", "train.0.settings.acts=none")
        self.without_acts = load_loop(shipped_config("loop.yaml"), without)
        self.sft = next(s for name, s in self.loop.train if name == "sft")

    def rounds(self, loop: Loop, out: Path) -> dict[str, Any]:
        return run_loop(loop, out, ROUNDS, progress=Progress())

    def start(self) -> Path:
        return self.acts / "round-0" / "sft"

    def trained(self, data: Path, folder: Path, init: Path, changes: dict[str, Any]) -> int:
        """Train as a round does, but for `changes`; evaluate as a round is. Returns the tokens trained on."""
        given = self.sft.model_dump() | {"init": str(init), "device": "cpu"} | changes
        done = train_sft(data, folder / "sft", SFTSettings.model_validate(given), progress=TrainingProgress())
        if not (folder / "evaluation" / RESULT).exists():
            measure(
                str(folder / "sft"),
                self.acts / "heldout.jsonl",
                self.loop.evaluate,
                orm=None,
                prm=None,
                device="cpu",
                out=folder / "evaluation",
            )
        return done.tokens


def rounds_against_control(bench: Bench) -> dict[str, float]:
    """Part a."""
    began = time.monotonic()
    record = bench.rounds(bench.loop, bench.acts)["rounds"]
    minutes = (time.monotonic() - began) / 60
    policy, tokens = bench.start(), [0]
    for k in range(1, ROUNDS + 1):
        folder = bench.out / "control" / f"round-{k}"
        changes = ON_SEEDS | {"seed": k}
        tokens.append(bench.trained(bench.acts / "round-0" / "run", folder, policy, changes))
        policy = folder / "sft"
    loop = [bench.acts / f"round-{k}" for k in range(ROUNDS + 1)]
    control = [loop[0], *(bench.out / "control" / f"round-{k}" for k in range(1, ROUNDS + 1))]
    own = [sum(t["tokens"] for t in r["trained"].values()) for r in record]
    print(f"\n{len(vector(loop[0])):,} held-out problems; the loop took {minutes:.1f} minutes in this call")
    table(
        ("", "start", *(f"round {k}" for k in range(1, ROUNDS + 1))),
        ("loop, greedy", *(percent(vector(f)) for f in loop)),
        ("control, greedy", *(percent(vector(f)) for f in control)),
        ("loop, one sample", *(percent(vector(f, "pass@1")) for f in loop)),
        ("control, one sample", *(percent(vector(f, "pass@1")) for f in control)),
        ("loop, tokens trained on", *(f"{n:,}" for n in own)),
        ("control, tokens trained on", "", *(f"{n:,}" for n in tokens[1:])),
    )
    gain = over(vector(loop[-1]), vector(loop[0]))
    ahead = over(vector(loop[-1]), vector(control[-1]))
    print(f"\ngreedy over the start {shown(gain)}, over the control {shown(ahead)}")
    sampled = over(vector(loop[-1], "pass@1"), vector(control[-1], "pass@1"))
    print(f"one sample over the control {shown(sampled)}")
    return {"gain_points": gain[0], "over_control_low": ahead[1]}


def steps_against_outcomes(bench: Bench) -> dict[str, float]:
    """Part b: the first round's traces alone, without seeds; the same number of steps of optimisation."""
    data, alone = bench.acts / "round-1" / "run", {"weights": {"seeds.jsonl": 0.0}}
    arms = {"every step good": "judge", "right answer": "any"}
    folders = {arm: bench.out / "filter" / steps for arm, steps in arms.items()}
    tokens = {
        arm: bench.trained(data, folders[arm], bench.start(), alone | {"steps": steps})
        for arm, steps in arms.items()
    }
    rows = []
    for arm, folder in folders.items():
        n, true = learnt_from(data, bench.sft.model_copy(update=alone | {"steps": arms[arm]}))
        shares = percent(vector(folder)), percent(vector(folder, "pass@1"))
        rows.append((arm, f"{n:,}", f"{true:.1%}", *shares, f"{tokens[arm]:,}"))
    head = (
        "learnt from",
        "traces",
        "truly without a wrong step",
        "greedy",
        "one sample",
        "tokens trained on",
    )
    table(head, *rows)
    good, plain = folders.values()
    ahead = over(vector(good), vector(plain))
    print(f"\ngreedy, every step good over right answer {shown(ahead)}")
    print(f"one sample {shown(over(vector(good, 'pass@1'), vector(plain, 'pass@1')))}")
    return {"over_outcome_filter_low": ahead[1]}


def learnt_from(data: Path, settings: SFTSettings) -> tuple[int, float]:
    """How many traces the settings choose, and of how many the families' checker calls every step right."""
    truths = [families.check(row["question"], row["text"]) for row in passing(data, settings, Counter())]
    return len(truths), sum(t is not None and all(t.right) for t in truths) / len(truths)


class Remembered(LocalPolicy):
    """A policy that gives its samples again where it is asked the same again."""

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        memory: dict[SampleRequest, list[Sample]] = self.__dict__.setdefault("memory", {})
        fresh = [r for r in requests if r not in memory]
        memory.update(zip(fresh, super().sample(fresh) if fresh else [], strict=True))
        return [memory[r] for r in requests]


class TrunkProbability:
    """Scores whole traces by their probability under a policy: what its trunk knows without a reward head."""

    input = "markup"

    def __init__(self, trunk: Path) -> None:
        self.policy = LocalPolicy.load(str(trunk), "cpu")

    def score_traces(self, traces: Sequence[tuple[str, str]]) -> list[float]:
        prompts = [self.policy.prompt(question, THINK_START) for question, _ in traces]
        texts = [[text.removeprefix(THINK_START)] for _, text in traces]
        out: list[float] = []
        for at in range(0, len(traces), 256):
            part = slice(at, at + 256)
            out += [exp(min(0.0, p)) for [p] in self.policy.logprobs(prompts[part], texts[part])]
        return out


def rewards(bench: Bench) -> dict[str, float]:
    """Part c: the start's samples, judged with itself as the trunk, and with the policy that ships.

    The shipped one was trained on twenty times the seeds: what a stronger trunk brings.
    """
    seeds, levels = read_problems(bench.acts / "heldout.jsonl")
    policy = Remembered.load(str(bench.start()), "cpu")
    problems = [{"id": str(i), "question": s.question, "answer": s.answer} for i, s in enumerate(seeds)]
    labelled = first_error_rows(problems[:AUC_PROBLEMS], policy)
    settings = EvaluateSettings(
        methods=("greedy", "majority", "logprob", "orm", "prm"),
        n=(SAMPLES,),
        max_tokens=bench.loop.evaluate.max_tokens,
        seed=1,
    )
    figures: dict[str, float] = {}
    for name, trunk in (("itself", bench.start()), ("shipped", Path(model_path(EMBEDDED, Path())))):
        folder = bench.out / "rewards" / name
        given = PRMSettings.model_validate(HEAD | {"init": str(trunk), "device": "cpu"})
        train_prm(bench.acts / "round-1" / "run", folder, given, progress=TrainingProgress())
        prm = RewardModel.load(folder, "cpu")
        with MathVerifier() as verifier, Progress().counting() as report:
            found = evaluate(
                seeds,
                policy,
                verifier,
                settings,
                orm=TrunkProbability(trunk),  # type: ignore[arg-type]
                prm=prm,
                levels=levels,
                report=report,
            )
        write_json(folder / RESULT, found.as_json())
        values = {p.split("@")[0]: np.array(v) for p, v in found.right.items()}
        values["trunk_logprob"], values["trunk_vote"] = values.pop("orm"), values.pop("orm_vote")
        baselines = ("greedy", "majority", "logprob")
        best = max(baselines, key=lambda m: float(values[m].mean()))
        control = max(("trunk_logprob", "trunk_vote"), key=lambda m: float(values[m].mean()))
        print(f"\ntrunk: {name}; {SAMPLES} samples of the start for each of {len(seeds):,} problems")
        table(
            ("chosen by", "right, %", f"over {best}", "over trunk_logprob", "over trunk_vote"),
            *(
                (m, percent(v), *(shown(over(v, values[b])) for b in (best, "trunk_logprob", "trunk_vote")))
                for m, v in values.items()
            ),
        )
        judged = evaluate_prm(prm, labelled)
        auc = judged.auc_within_problem or 0.0
        print(f"\nAUC over steps {judged.auc or 0:.3f}, within a problem {auc:.3f}; F1 {judged.f1 or 0:.3f}")
        figures = {
            "reward_over_best_baseline_low": over(values[REWARDED], values[best])[1],
            "reward_over_trunk_logprob_low": over(values[REWARDED], values[control])[1],
            "auc_within_problem": auc,
        }
    return figures


def with_and_without_acts(bench: Bench) -> dict[str, float]:
    """Part d."""
    records = [bench.rounds(bench.loop, bench.acts), bench.rounds(bench.without_acts, bench.none)]
    rows = []
    for name, folder, record in zip(("acts", "none"), (bench.acts, bench.none), records, strict=True):
        folders = [folder / f"round-{k}" for k in range(ROUNDS + 1)]
        tokens = [sum(t["tokens"] for t in r["trained"].values()) for r in record["rounds"]]
        rows += [
            (f"{name}, greedy", *(percent(vector(f)) for f in folders)),
            (f"{name}, one sample", *(percent(vector(f, "pass@1")) for f in folders)),
            (f"{name}, tokens trained on", *(f"{n:,}" for n in tokens)),
        ]
    table(("", "start", *(f"round {k}" for k in range(1, ROUNDS + 1))), *rows)
    for k in (0, ROUNDS):
        ahead = over(vector(bench.acts / f"round-{k}"), vector(bench.none / f"round-{k}"))
        print(f"\ngreedy with acts over without, {f'round {k}' if k else 'start'}: {shown(ahead)}")
    return {}


PARTS = {"a": rounds_against_control, "b": steps_against_outcomes, "c": rewards, "d": with_and_without_acts}
WANTED = {
    "gain_points": (10.0, "three rounds gain at least 10 points"),
    "over_control_low": (0.0, "the loop is above its control"),
    "over_outcome_filter_low": (0.0, "every step good beats right answers"),
    "reward_over_best_baseline_low": (0.0, "a reward-guided method beats every baseline"),
    "reward_over_trunk_logprob_low": (0.0, "and its trunk's own log-probability"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--part", default="a,b,c,d", help="some of a,b,c,d")
    parser.add_argument("--out", type=Path, default=Path("out/benchmark-loop"))
    given = parser.parse_args()
    bench = Bench(given.out)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}")
    figures: dict[str, float] = {}
    for part in given.part.split(","):
        print(f"\n## {part}")
        bench.rounds(bench.loop, bench.acts)
        figures |= PARTS[part](bench)
    failed = [
        what
        for key, (least, what) in WANTED.items()
        if key in figures and (figures[key] < least or (least == 0 and figures[key] <= 0))
    ]
    print()
    for what in failed:
        print(f"DOES NOT HOLD: {what}")
    print("RESULT", json.dumps({k: round(v, 3) for k, v in figures.items()}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
