"""The curves of a PPO run, as PNG: reward, KL to the reference, and how the policy and V fare."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..training.ppo_metrics import Metrics, read_metrics

CURVES = "curves.png"
_PANELS = (
    ("per rollout", ("reward", "outcome", "process")),
    ("share of rollouts", ("right", "cut_off")),
    ("nats per token", ("kl", "entropy")),
    ("V and the clip", ("explained_variance", "clipped")),
)
_LABELS = {
    "kl": "KL to the reference",
    "cut_off": "cut off",
    "explained_variance": "explained variance of V",
    "clipped": "share clipped",
}
_COLOURS = ("#0072B2", "#D55E00", "#009E73")  # apart for colour-blind readers (Okabe and Ito)


def write_curves(folder: Path) -> Path | None:
    """Draw the folder's metrics into `curves.png`; None where matplotlib or metrics are missing."""
    metrics = read_metrics(folder)
    if not metrics or find_spec("matplotlib") is None:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained")
    for ax, (title, names) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        _draw(ax, title, names, metrics)
    figure.savefig(folder / CURVES, dpi=150)
    return folder / CURVES


def _draw(ax: Any, title: str, names: Sequence[str], metrics: Sequence[Metrics]) -> None:
    iterations = [m["iteration"] for m in metrics]
    for name, colour in zip(names, _COLOURS, strict=False):
        heights = [m[name] for m in metrics]
        ax.plot(iterations, heights, label=_LABELS.get(name, name), color=colour, linewidth=1.4)
    ax.set_ylabel(title)
    ax.set_xlabel("iteration")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, frameon=False)
