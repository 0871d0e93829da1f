"""What a PPO run reports of each iteration: a line of JSON in its folder, and one on the terminal."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from .progress import Progress

METRICS = "metrics.jsonl"
_PLAIN_EVERY_S = 10.0
Metrics = dict[str, float]


def read_metrics(folder: Path) -> list[Metrics]:
    """The iterations that a run's folder reports, in order."""
    path = folder / METRICS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def write_metrics(folder: Path, metrics: Iterable[Metrics]) -> None:
    """Replace the folder's metrics: what an interrupted run reported beyond its checkpoint is done again."""
    part = folder / f"{METRICS}.part"
    part.write_text("".join(_line(m) for m in metrics), encoding="utf-8")
    part.replace(folder / METRICS)


def append_metrics(folder: Path, metrics: Metrics) -> None:
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(_line(metrics))


def _line(metrics: Metrics) -> str:
    return json.dumps({k: v if isinstance(v, int) else float(f"{v:.6g}") for k, v in metrics.items()}) + "\n"


def summed_up(sums: Mapping[str, float]) -> Metrics:
    """Metrics from sums over all processes.

    `reward`, `outcome`, `process`: means per rollout, KL not counted; `right`, `undecided`, `cut_off`: shares
    of rollouts; `length`: tokens per rollout; `kl` to the reference, `moved` (KL of the old policy to the
    new, its estimate r - 1 - log r), `entropy`: nats per token; `clipped`: share of tokens whose ratio left
    its bounds; `value_loss`; `explained_variance`: of the outcomes by V, over tokens.
    """
    rollouts, actions, played = (max(sums[k], 1.0) for k in ("rollouts", "actions", "played"))
    seen, variance = max(sums["seen"], 1.0), sums["returns_2"] / played - (sums["returns"] / played) ** 2
    error = sums["error_2"] / played - (sums["error"] / played) ** 2
    return {
        "reward": (sums["outcome"] + sums["process"]) / rollouts,
        "outcome": sums["outcome"] / rollouts,
        "process": sums["process"] / rollouts,
        "right": sums["right"] / rollouts,
        "undecided": sums["undecided"] / rollouts,
        "cut_off": sums["cut_off"] / rollouts,
        "length": played / rollouts,
        "kl": sums["kl"] / actions,
        "moved": sums["moved"] / seen,
        "clipped": sums["clipped"] / seen,
        "entropy": sums["entropy"] / seen,
        "policy_loss": sums["policy"] / seen,
        "value_loss": sums["value"] / max(sums["seen_played"], 1.0),
        "prior_loss": sums["prior"] / max(sums["seen_acts"], 1.0),
        "explained_variance": 1 - error / variance if variance > 1e-9 else 0.0,
    }


class Shown:
    """A bar on a terminal, elsewhere a line every ten seconds."""

    def __init__(self, progress: Progress, first: int, iterations: int, speaks: bool) -> None:
        self.progress, self.first, self.iterations, self.speaks = progress, first, iterations, speaks
        self.start = self._last = time.monotonic()
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if self.first and self.speaks:
            self.progress.note(f"going on after iteration {self.first} of {self.iterations}")
        if self.progress.console.is_terminal and self.speaks:
            self._bar = Bar(
                TextColumn("PPO"),
                BarColumn(),
                TextColumn("iteration {task.completed}/{task.total}  {task.fields[facts]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.progress.console,
            )
            self._bar.add_task("PPO", total=self.iterations, completed=self.first, facts="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, metrics: Mapping[str, Any]) -> None:
        facts = "reward {reward:+.2f}  right {right:.0%}  KL {kl:.3f}  {tokens_per_s:,.0f} tokens/s".format(
            **metrics
        )
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, facts=facts)
        elif self.speaks and (now - self._last >= _PLAIN_EVERY_S or done == self.iterations):
            self._last = now
            left = (now - self.start) / (done - self.first) * (self.iterations - done)
            self.progress.note(f"iteration {done}/{self.iterations}  {facts}  {left:.0f} s left")
