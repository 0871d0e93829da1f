"""What a loop came to: its table for people, and accuracy by round as PNG."""

from pathlib import Path
from typing import Any

from .evaluation_plots import styled
from .figures import Section


def section(table: dict[str, Any]) -> Section:
    """Held-out accuracy of every method by round; behind it, paired by problem, how far above the start."""
    rounds = table["rounds"]
    points = list(dict.fromkeys((p["method"], p["n"]) for r in rounds for p in r["evaluation"]["points"]))
    rows = []
    for method, n in points:
        if n == 1 and method not in ("greedy", "pass"):
            continue  # one attempt leaves no choice
        cells = []
        for r in rounds:
            found = [p for p in r["evaluation"]["points"] if (p["method"], p["n"]) == (method, n)]
            cells.append(_cell(found[0]) if found else "")
        rows.append((_NAMES.get((method, n), f"{method}, n = {n}"), *cells))
    for what, shown in (("traces sampled", "sampled"), ("tokens sampled", "tokens")):
        rows.append((what, *(f"{r['run'][shown]:,}" if r["run"] else "" for r in rounds)))
    trained = (sum(t["tokens"] for t in r["trained"].values()) for r in rounds)
    rows.append(("tokens trained on", *(f"{n:,}" if n else "" for n in trained)))
    columns = ("right, %", *(f"round {r['round']}" if r["round"] else "start" for r in rounds))
    n = rounds[-1]["evaluation"]["problems"] if rounds else 0
    remark = "In brackets: points above the start, 95% interval, paired by problem."
    return Section(f"{n:,} held-out problems", columns, tuple(rows), remark)


_NAMES = {("greedy", 1): "greedy", ("pass", 1): "one sample"}


def _cell(point: dict[str, Any]) -> str:
    own = f"{100 * point['accuracy']:.1f}"
    if point["over_start"] is None:
        return own
    mean, low, high = (100 * x for x in point["over_start"])
    return f"{own} ({mean:+.1f} [{low:+.1f}, {high:+.1f}])"


def write_plot(table: dict[str, Any], path: Path) -> None:
    """Accuracy by round, with 95% intervals."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    lines: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for r in table["rounds"]:
        for p in r["evaluation"]["points"]:
            if p["n"] > 1 or p["method"] in ("greedy", "pass"):
                name = _NAMES.get((p["method"], p["n"]), f"{p['method']}, n = {p['n']}")
                lines.setdefault(name, []).append((r["round"], p))
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    ax = figure.subplots()
    for (name, own), style in zip(lines.items(), styled(len(lines)), strict=True):
        at = [number for number, _ in own]
        ax.plot(at, [100 * p["accuracy"] for _, p in own], label=name, linewidth=1.4, markersize=5, **style)
        low, high = ([100 * p["interval"][i] for _, p in own] for i in (0, 1))
        ax.fill_between(at, low, high, color=style["color"], alpha=0.08)
    ax.set_xlabel("round")
    ax.set_ylabel("right, %")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)
