"""A run in the terminal: its counts and distributions, and a few samples. Readable without colour, too."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ..schemas import ActSpan, MarkupError, Origin, Outcome, Step, Trace, labels, markup
from ..schemas.tables import Row, trace_from_row
from .browse import NAMES, Run
from .colours import fill_of, group_of
from .known import known
from .statistics import Q_BINS, Statistics, gather, spread
from .where import parse_where

_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LONGEST = 800
_TOP_TRANSITIONS = 12
_BAR = 24


def summary(folder: Path, *, table: str = "traces", where: str | None = None, n: int = 3) -> dict[str, Any]:
    """A run's counts and distributions, and under `samples` what `inspect` would show, for machines.

    They hold the table, the filter, how many rows are `passing`, and `n` of these as `rows`. Raises BadInput
    for a folder, table or filter that is none.
    """
    passing = parse_where(where, table)
    run = Run(folder)
    samples = {
        "table": table,
        "where": where,
        "passing": run.count(table, passing),
        "rows": run.draw(table, passing, n=n),
    }
    return gather(run).as_json() | {"samples": samples}


def inspect(
    folder: Path, *, table: str = "traces", where: str | None = None, n: int = 3, console: Console
) -> None:
    """Print a run's figures (of the whole run; left out under `where`) and `n` samples of a table.

    The samples are the same for everybody. Raises BadInput for a folder, table or filter that is none.
    """
    passing = parse_where(where, table)
    run = Run(folder)
    if where is None:
        for part in _figures(run, gather(run)):
            if part is not None:
                console.print(part)
    found, all_rows = run.count(table, passing), run.manifest.rows(table)
    shown = run.draw(table, passing, n=n)
    name = NAMES[table]
    filtered = f"{found:,} of {all_rows:,} {name} pass '{where}'" if where else f"{all_rows:,} {name}"
    console.print(Text(f"{filtered}; {len(shown)} of them:" if shown else filtered, style="bold"))
    render = {"traces": _trace, "steps": _step, "search": _state}[table]
    for row in shown:
        console.print(render(run, row), "")


def printable(text: str, longest: int | None = _LONGEST) -> str:
    """Text that cannot drive a terminal: control and direction characters are written out."""
    if longest is not None and len(text) > longest:
        text = f"{text[:longest]} … and {len(text) - longest:,} characters more"
    return _UNSAFE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def _figures(run: Run, found: Statistics) -> Iterable[RenderableType | None]:
    yield Text(f"{run.title}\n")
    yield _table(
        "Rows",
        ("table", "train", "validation", "all"),
        [
            (name, *(str(splits.get(s, 0)) for s in ("train", "validation")), str(sum(splits.values())))
            for name, splits in found.rows.items()
        ],
    )
    yield _outcomes("Traces by generator", found.outcomes)
    yield _outcomes("Traces by domain", found.domains)
    spreads = {
        "steps per trace": found.steps_per_trace,
        "tokens per sampled trace": found.tokens,
        "moves before a searched state": found.depths,
    }
    columns = ("mean", "min", "q25", "median", "q75", "q95", "max")
    yield _table(
        "Distributions",
        ("", *columns),
        [
            (name, *(f"{s[c]:.1f}" if c == "mean" else f"{s[c]:,.0f}" for c in columns))
            for name, counts in spreads.items()
            if (s := spread(counts))
        ],
    )
    yield _bars("Steps by method", found.methods)
    yield _bars("Steps by hard label", found.hard)
    yield _bars("Steps without a label, by reason", found.unlabelled)
    histogram = {f"{i / Q_BINS:.1f} to {(i + 1) / Q_BINS:.1f}": n for i, n in enumerate(found.q)}
    yield _bars("Steps by q (success ratio)", histogram if any(found.q) else {})
    yield _acts(found)
    leaving = Counter[str]()
    for (act, _), n in found.transitions.items():
        leaving[act] += n
    follows = {f"{a} > {b}": (n, leaving[a]) for (a, b), n in found.transitions.most_common(_TOP_TRANSITIONS)}
    yield _bars(
        "Which act follows which: the most frequent, in percent of all that follow the first",
        {pair: n for pair, (n, _) in follows.items()},
        {pair: whole for pair, (_, whole) in follows.items()},
    )
    yield _table(
        "Which turn leads where: how often sampled traces with it are right",
        ("turn", "traces", "right with"),
        [
            (f"{a} > {b}", f"{counts.total():,}", _percent(counts[Outcome.CORRECT] / counts.total()))
            for (a, b), counts in sorted(
                found.transition_outcomes.items(), key=lambda item: (-item[1].total(), item[0])
            )[:_TOP_TRANSITIONS]
        ],
    )
    yield _bars("Faults kept in traces", found.errors)


def _acts(found: Statistics) -> RenderableType | None:
    shares = {s.act: s for s in found.act_shares()}
    rows: list[tuple[str | Text, ...]] = []
    for act, n in found.acts.most_common():
        with_act, without, interval = "", "", ""
        if share := shares.get(act):
            low, high = share.interval
            with_act, interval = _percent(share.share), f"{100 * low:.0f}-{100 * high:.0f}"
            without = _percent(share.share_without)
        rows.append((_act(act), group_of(act), f"{n:,}", with_act, interval, without))
    columns = ("act", "group", "spans", "right with", "95%", "right without")
    return _table("Acts, and how often sampled traces with and without them are right", columns, rows)


def _outcomes(title: str, found: dict[str, Counter[str]]) -> RenderableType | None:
    rows = []
    for name, counts in sorted(found.items()):
        decided = counts[Outcome.CORRECT] + counts[Outcome.WRONG]
        right = _percent(counts[Outcome.CORRECT] / decided if decided else None)
        rows.append((name, *(f"{counts[o]:,}" for o in Outcome), f"{counts.total():,}", right))
    return _table(title, ("", *Outcome, "all", "right of decided"), rows)


def _trace(run: Run, row: Row) -> RenderableType:
    trace = trace_from_row(row)
    found = known(trace, run.threshold)
    parts: list[RenderableType] = [
        _rule("trace", trace.trace_id, trace.generator, trace.domain, trace.outcome),
        _fields(question=trace.question),
    ]
    for i, step in enumerate(trace.steps):
        remarks = [str(step.origin), "first error" * (i == found.first_error)]
        remarks += [f"truly {'clean' if found.clean[i] else 'in error'}"] if found.clean else []
        acts = Padding(_step_acts(trace, step), (0, 0, 0, 4))
        parts += [_step_head(i, step, found.hard[i], remarks), acts]
    made = trace.provenance
    temperature = "" if made.temperature is None else f", temperature {made.temperature}"
    parts.append(
        _fields(
            answer=trace.answer or "none",
            reference=trace.reference or "none",
            evidence=trace.evidence,
            error=trace.error,
            summary=trace.summary,
            source=_source(row),
            sampled=f"{trace.count} times" if trace.count > 1 else None,
            policy=f"{made.policy} {made.policy_hash[:12]}{temperature}" if made.policy else None,
            parent=f"{made.parent_id[:12]}, steps copied: {trace.prefix_steps}" if made.parent_id else None,
            verifier=made.verifier,
        )
    )
    return Group(*parts)


def _step(run: Run, row: Row) -> RenderableType:
    before = row["prefix"][: len(row["prefix"]) - len(row["step"])].rstrip()
    step = Step(
        start=0,
        end=len(row["step"]),
        origin=Origin.POLICY,
        **{k: row[k] for k in ("n_rollouts", "n_correct", "method", "judge", "reason")},
    )
    return Group(
        _rule("step", row["step_id"], f"number {row['index'] + 1}"),
        _fields(question=row["question"], before=before[-_LONGEST:], step=row["step"]),
        _step_head(row["index"], step, row["hard"], []),
        _fields(trace=row["trace_id"], split=row["split"]),
    )


def _state(run: Run, row: Row) -> RenderableType:
    rows = []
    for i, action in enumerate(row["actions"]):
        chosen = "chosen" if action == row["chosen"] else ""
        figures = (
            f"{row['prior'][i]:.2f}",
            str(row["visits"][i]),
            f"{row['pi'][i]:.2f}",
            f"{row['q'][i]:+.2f}" if row["visits"][i] else "untried",
        )
        rows.append((_act(action), *figures, _bar(row["pi"][i] / 2), chosen))
    value = {1: "won", -1: "lost", None: "undecided"}[row["value"]]
    parts: list[RenderableType | None] = [
        _rule("state", row["state_id"], f"{row['action_kind']} number {row['depth'] + 1}", f"game {value}"),
        _fields(question=row["question"]),
        _prefix(row["prefix"]),
        _table("", (row["action_kind"], "prior", "visits", "pi", "q", "", ""), rows),
    ]
    for c in row["candidates"]:
        score = "" if c["score"] is None else f", score {c['score']:.2f}"
        mark = "chosen" if c["chosen"] else "not chosen"
        parts.append(_labelled([(_act(c["action"]), Text(f"{printable(c['text'])} ({mark}{score})"))]))
    parts.append(_fields(trace=row["trace_id"], split=row["split"]))
    return Group(*(part for part in parts if part is not None))


def _prefix(tagged: str) -> RenderableType:
    """A searched prefix, act by act; as it is where it is no markup."""
    try:
        text, acts = markup.parse(tagged, closed=False)
    except MarkupError:
        text, acts = tagged, ()
    if acts or not text:
        return Padding(_tagged(text, acts), (0, 0, 0, 4))
    return _fields(prefix=text[-_LONGEST:])


def _step_head(index: int, step: Step, hard: bool | None, remarks: Sequence[str]) -> Text:
    unlabelled = "no label" if step.method or step.reason else ""
    said = {True: "right", False: "wrong", None: unlabelled}[hard]
    style = {True: "bold green", False: "bold red", None: "bold"}[hard]
    parts = []
    if (interval := labels.interval(step)) is not None:
        parts.append(f"q {labels.soft(step):.2f} [{interval[0]:.2f}, {interval[1]:.2f}]")
    counts = f"{step.n_correct}/{step.n_rollouts} " if step.n_rollouts else ""
    judge = f"judge {step.judge.by}: {step.judge.label:+d} ({step.judge.score:.2f})" if step.judge else ""
    parts += [f"{counts}{step.method or ''}", step.reason or "", judge, *remarks]
    details = ", ".join(printable(p) for p in parts if p)
    return Text.assemble(f"{index + 1:>3} ", (said, style), f"{'  ' * bool(said)}{details}")


def _step_acts(trace: Trace, step: Step) -> RenderableType:
    acts = [a for a in trace.acts if step.start <= a.start < max(step.end, step.start + 1)]
    return _tagged(trace.text, acts) if acts else Text(printable(trace.text[step.start : step.end]))


def _tagged(text: str, acts: Iterable[ActSpan]) -> Table:
    return _labelled([(_act(a.act), Text(printable(text[a.start : a.end]))) for a in acts])


def _labelled(rows: Iterable[tuple[Text, Text]]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=14, no_wrap=True)
    grid.add_column(overflow="fold", ratio=1)
    for label, text in rows:
        grid.add_row(label, text)
    return grid


def _fields(**values: str | None) -> Table:
    return _labelled((Text(name, style="dim"), Text(printable(v))) for name, v in values.items() if v)


def _rule(kind: str, key: str, *words: str) -> Rule:
    return Rule(Text(printable(" · ".join((f"{kind} {key[:12]}", *words)))), align="left", style="bold")


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> RenderableType | None:
    if not rows:
        return None
    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i and column else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    return table


def _bars(title: str, counts: dict[str, int], of: dict[str, int] | None = None) -> RenderableType | None:
    """Counts as bars; percentages are of all, or of `of` by name."""
    if not counts:
        return None
    most, total = max(counts.values()), sum(counts.values())
    grid = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False)
    for justify in ("left", "right", "right", "left"):
        grid.add_column(justify=justify, overflow="fold")
    for name, n in counts.items():
        share = _percent(n / (of[name] if of else total))
        grid.add_row(Text(printable(name)), f"{n:,}", share, _bar(n / most))
    return Group(grid, "")


def _bar(share: float) -> str:
    return "█" * round(_BAR * share)


def _act(name: str) -> Text:
    return Text(printable(name), style=f"black on {fill_of(name)}")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f}%"


def _source(row: Row) -> str:
    source = row["source"]
    parts = [source["name"], f"row {source['row']}" if source["row"] else "", source["licence"], row["split"]]
    return ", ".join(p for p in parts if p)
