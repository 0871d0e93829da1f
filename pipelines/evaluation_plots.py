"""Accuracy against compute, as PNG: over all problems, and by level of difficulty."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..training.evaluate import Evaluation, Point

_BOUND = "pass"
# Apart for colour-blind readers (Okabe and Ito), and by marker in print.
_STYLES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#000000")
_MARKERS = "osv^DPXd"


def write_plots(found: "Evaluation", folder: Path) -> list[Path]:
    """`accuracy.png`, and `levels.png` where there are several levels."""
    from matplotlib.figure import Figure

    styles = _styled(found)
    whole = Figure(figsize=(7, 4.6), layout="constrained")
    _draw(whole.subplots(), found, styles, None)
    whole.legend(loc="outside right upper", fontsize=8, frameon=False)
    files = [folder / "accuracy.png"]
    whole.savefig(files[0], dpi=150)
    if len(found.levels) > 1:
        parts = Figure(figsize=(3.4 * len(found.levels) + 1.6, 3.8), layout="constrained")
        axes = parts.subplots(1, len(found.levels), sharey=True)
        for ax, level in zip(axes, found.levels, strict=True):
            _draw(ax, found, styles, level)
        handles, labels = axes[0].get_legend_handles_labels()
        parts.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
        files.append(folder / "levels.png")
        parts.savefig(files[1], dpi=150)
    return files


def styled(n: int) -> list[dict[str, Any]]:
    """So many styles of lines, told apart by colour and by marker."""
    return [{"color": _STYLES[i % len(_STYLES)], "marker": _MARKERS[i % len(_MARKERS)]} for i in range(n)]


def _styled(found: "Evaluation") -> dict[str, dict[str, Any]]:
    methods = [m for m in dict.fromkeys(p.method for p in found.points) if m != _BOUND]
    styles = dict(zip(methods, styled(len(methods)), strict=True))
    return styles | {_BOUND: {"color": "#777777", "linestyle": ":", "marker": "."}}


def _draw(ax: Any, found: "Evaluation", styles: dict[str, dict[str, Any]], level: str | None) -> None:
    from matplotlib.ticker import StrMethodFormatter

    for method in dict.fromkeys(p.method for p in found.points):
        own: Sequence[Point] = [p for p in found.points if p.method == method]
        heights = [100 * (p.accuracy if level is None else p.by_level[level]) for p in own]
        label = "pass@n (bound)" if method == _BOUND else method
        ax.plot([p.tokens for p in own], heights, label=label, linewidth=1.4, markersize=5, **styles[method])
        if level is None and method != _BOUND:
            low, high = ([100 * p.interval[i] for p in own] for i in (0, 1))
            ax.fill_between([p.tokens for p in own], low, high, color=styles[method]["color"], alpha=0.08)
    title = f"{found.problems:,} problems" if level is None else f"{level}: {found.levels[level]:,} problems"
    ax.set_title(title, fontsize=10)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.set_xlabel("tokens written per problem")
    if level is None or ax.get_subplotspec().is_first_col():
        ax.set_ylabel("right, %")
    ax.grid(alpha=0.3)
