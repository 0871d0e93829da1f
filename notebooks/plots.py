"""Plots of a run's statistics as inline SVG. Colours stay apart in print and for colour-blind readers."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..pipelines.colours import OTHER, fill_of, fills, group_of
from ..pipelines.statistics import Q_BINS, Statistics
from ..schemas import Outcome
from .html import esc, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OUTCOMES = {
    Outcome.CORRECT: ("#0072B2", ""),
    Outcome.WRONG: ("#D55E00", "////"),
    Outcome.UNDECIDED: ("#ffffff", ""),
}
_EDGE, _INK, _PALE = "#444444", "#1a1a1a", "#777777"
_FEW = 5


def values(found: Statistics) -> str:
    """Histogram of q, and the steps by hard label and by method."""
    if not found.hard:
        return tag("p", "No step is labelled.", class_="note")
    figure, axes = _figure(10, 2.9, 3, widths=(5, 2.4, 2.6))
    axes[0].bar(
        np.arange(Q_BINS) / Q_BINS,
        found.q,
        width=0.9 / Q_BINS,
        align="edge",
        color="#9cc3de",
        edgecolor=_EDGE,
    )
    _titled(axes[0], "Success ratio q of steps with a fixed number of rollouts", "q", "steps")
    axes[0].set_xlim(0, 1)
    axes[0].set_ylim(0, max(1, *found.q) * 1.05)
    if not any(found.q):
        axes[0].text(0.5, 0.5, "there are none in this run", ha="center", fontsize=9, color=_PALE)
    _counts(axes[1], "Hard label", {k: found.hard[k] for k in ("right", "wrong", "none")})
    _counts(axes[2], "Method", dict(found.methods.most_common()))
    return _svg(figure, "q, labels and methods of the steps")


def outcomes(found: Statistics) -> str:
    """Stacked bars of outcomes by generator and by domain."""
    tables = {"By generator": found.outcomes, "By domain": found.domains}
    if not found.outcomes:
        return tag("p", "The run holds no trace.", class_="note")
    longest = max(len(t) for t in tables.values())
    figure, axes = _figure(10, 1.3 + 0.34 * longest, 2)
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        names = sorted(table, reverse=True)
        left = np.zeros(len(names))
        for outcome, (colour, hatch) in _OUTCOMES.items():
            width = np.array([table[n][outcome] for n in names])
            ax.barh(
                names,
                width,
                left=left,
                color=colour,
                edgecolor=_EDGE,
                hatch=hatch,
                label=str(outcome),
                height=0.7,
            )
            left += width
        _titled(ax, title, "traces")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return _svg(figure, "outcomes by generator and domain")


def acts(found: Statistics) -> str:
    """Bars of the acts' frequencies, grouped and coloured as in the texts."""
    names = _by_group(found.acts)
    if not names:
        return tag("p", "No act is tagged.", class_="note")
    figure, (ax,) = _figure(8, 0.8 + 0.24 * len(names))
    total = found.acts.total()
    order = names[::-1]
    ax.barh(
        order,
        [found.acts[n] for n in order],
        color=[fill_of(n) for n in order],
        edgecolor=_EDGE,
        linewidth=0.6,
    )
    for i, name in enumerate(order):
        ax.text(
            found.acts[name],
            i,
            f"  {found.acts[name]:,} ({100 * found.acts[name] / total:.1f}%)",
            va="center",
            fontsize=8,
        )
    ax.margins(x=0.16, y=0.01)
    _titled(ax, "How often each act occurs, by group", "spans")
    return _svg(figure, "frequencies of acts")


def transitions(found: Statistics) -> str:
    """A matrix of P(next act | act)."""
    names = _by_group(found.acts)
    if not found.transitions:
        return tag("p", "No act follows another.", class_="note")
    at = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    for (a, b), n in found.transitions.items():
        counts[at[a], at[b]] = n
    leaving = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, leaving, out=np.zeros_like(counts), where=leaving > 0)
    side = 1.8 + 0.29 * len(names)
    figure, (ax,) = _figure(side + 0.6, side)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in zip(*np.nonzero(shares >= 0.005), strict=True):
        ink = "white" if shares[i, j] > 0.55 else _INK
        ax.text(j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=7, color=ink)
    ax.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set_yticks(
        range(len(names)),
        [f"{n} ({int(k):,})" for n, k in zip(names, leaving[:, 0], strict=True)],
        fontsize=8,
    )
    for edge, ticks in (("x", ax.get_xticklabels()), ("y", ax.get_yticklabels())):
        for name, tick in zip(names, ticks, strict=True):
            tick.set_bbox({"facecolor": fill_of(name), "edgecolor": "none", "pad": 1.2})
            tick.set_in_layout(edge in "xy")
    ax.set_xticks(np.arange(len(names)) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(names)) - 0.5, minor=True)
    ax.grid(which="minor", color="#e6e6e6", linewidth=0.6)
    ax.tick_params(which="both", length=0)
    _titled(
        ax, "Which act (column) follows which (row)", "in percent of what follows the row's act", grid=False
    )
    return _svg(figure, "transitions between acts")


def acts_by_outcome(found: Statistics) -> str:
    """Share of right traces with each act, its 95% interval, and without it."""
    shares = [s for s in found.act_shares() if s.n >= _FEW and s.share is not None]
    decided = found.decided.total()
    if not shares:
        return tag("p", f"No act stands in {_FEW} sampled and decided traces.", class_="note")
    shares.sort(key=lambda s: s.share or 0.0)
    figure, (ax,) = _figure(8, 1.0 + 0.27 * len(shares))
    base = found.decided[Outcome.CORRECT] / decided
    ax.axvline(base, color=_PALE, linestyle="--", linewidth=1)
    ax.text(base, len(shares) - 0.35, f" all: {100 * base:.0f}%", fontsize=8, color=_PALE)
    for i, s in enumerate(shares):
        low, high = s.interval
        ax.plot([low, high], [i, i], color=_EDGE, linewidth=1.2, zorder=2)
        ax.plot(
            [s.share or 0.0], [i], "o", color=fill_of(s.act), markeredgecolor=_INK, markersize=7, zorder=3
        )
        if s.share_without is not None:
            ax.plot([s.share_without], [i], "x", color=_PALE, markersize=6, zorder=2)
    ax.set_yticks(range(len(shares)), [f"{s.act} (n={s.n:,})" for s in shares], fontsize=8)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.7, len(shares) + 0.2)
    _titled(
        ax,
        "Right answers among sampled traces with the act (dot, 95% interval) and without it (x)",
        "share right",
    )
    note = (
        "Counted in the part that the policy wrote itself, behind a copied prefix. An association, no cause: "
        "an act may be what hard questions call for, and what errors bring about."
    )
    return _svg(figure, "right answers with and without each act") + tag("p", note, class_="note")


def _by_group(counts: Mapping[str, int]) -> list[str]:
    order = {group: i for i, group in enumerate((*fills(),))}
    return sorted(counts, key=lambda a: (order.get(group_of(a), order[OTHER]), -counts[a], a))


def _figure(
    width: float, height: float, n: int = 1, widths: Sequence[float] | None = None
) -> tuple[Any, Sequence["Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, n, squeeze=False, width_ratios=widths)[0]
    return figure, list(axes)


def _titled(ax: "Axes", title: str, x: str = "", y: str = "", *, grid: bool = True) -> None:
    ax.set_title(title, loc="left", fontsize=9.5, fontweight="bold", color=_INK)
    ax.set_xlabel(x, fontsize=8.5)
    ax.set_ylabel(y, fontsize=8.5)
    ax.tick_params(labelsize=8)
    for side in ("top", "right"):
        ax.spines[side].set_visible(not grid)
    ax.set_axisbelow(True)


def _counts(ax: "Axes", title: str, counts: Mapping[str, int]) -> None:
    names = list(counts)[::-1]
    ax.barh(names, [counts[n] for n in names], color="#d8d8d8", edgecolor=_EDGE, linewidth=0.6)
    for i, name in enumerate(names):
        ax.text(counts[name], i, f" {counts[name]:,}", va="center", fontsize=8)
    ax.margins(x=0.3)
    _titled(ax, title, "steps")


def _svg(figure: Any, what: str) -> str:
    import matplotlib

    data = io.StringIO()
    with matplotlib.rc_context(
        {"svg.hashsalt": what, "font.size": 9, "axes.edgecolor": _PALE, "hatch.linewidth": 0.5}
    ):
        figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    svg = data.getvalue()
    return tag("div", svg[svg.index("<svg") :], class_="plot", role="img", aria_label=esc(what))
