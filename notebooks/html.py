"""Pieces of HTML for the reviewers' notebook: acts in colour, step values, tables.

Everything that comes from data is escaped here, and nowhere else is HTML put together from data.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path

from ..pipelines.colours import OTHER, fill_of, fills, group_of
from ..pipelines.inspect import printable
from ..schemas import ActSpan, Inventory, Outcome, Step
from ..schemas.labels import interval, soft

_UNSURE = 0.5
_LINES = re.compile(r"\s*\n\s*")
_MARKS = {Outcome.CORRECT: "✓", Outcome.WRONG: "✗", Outcome.UNDECIDED: "?"}
_LABELS = {True: ("right", "✓ right"), False: ("wrong", "✗ wrong"), None: ("none", "no label")}


class Html(str):
    """Escaped, finished HTML; a notebook shows it as such. Joining and formatting give plain text again."""

    def _repr_html_(self) -> str:
        return f'<style>{_style()}</style><div class="cotmill tex2jax_ignore mathjax_ignore">{self}</div>'


def esc(text: object) -> str:
    """Text as HTML: no character of it can end an element or an attribute."""
    return escape(printable(str(text), longest=None), quote=True)


def tag(name: str, content: str, **attributes: str) -> str:
    """An element around content that is HTML already; attribute values are escaped (`class_` is `class`)."""
    given = "".join(f' {k.rstrip("_")}="{esc(v)}"' for k, v in attributes.items() if v)
    return f"<{name}{given}>{content}</{name}>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "", note: str = "") -> str:
    """A table of cells that are HTML already."""
    head = tag("tr", "".join(tag("th", esc(c)) for c in columns)) if any(columns) else ""
    body = "".join(tag("tr", "".join(tag("td", cell) for cell in row)) for row in rows)
    caption = tag("caption", esc(title)) if title else ""
    below = tag("p", esc(note), class_="note") if note else ""
    return tag("div", tag("table", caption + head + body, class_="figures") + below, class_="block")


def picture(file: Path) -> str:
    """A PNG within the page, at no more than the page's width; its file's name is its caption."""
    data = b64encode(file.read_bytes()).decode()
    shown = (
        f'<img src="data:image/png;base64,{data}" alt="{esc(file.stem)}" style="max-width:44em;width:100%"/>'
    )
    return tag("div", shown + tag("p", esc(f"{file.parent.name}/{file.name}"), class_="note"), class_="block")


def badge(text: str, kind: str = "") -> str:
    return tag("span", esc(text), class_=f"badge {kind}".strip())


def outcome(value: Outcome, word: str = "") -> str:
    """An outcome by word, sign and colour."""
    return badge(f"{_MARKS[value]} {word or value}", value)


def chip(act: str) -> str:
    """An act's name on its group's colour."""
    return tag("span", esc(act), class_="chip", style=f"background:{fill_of(act)}", title=_tooltip(act))


def legend() -> str:
    """The groups' colours with the acts in each."""
    inventory = Inventory.load()
    cells = []
    for group in inventory.groups:
        acts = "".join(chip(f.name) for f in inventory.factors if f.group == group)
        cells.append(tag("div", tag("b", esc(group)) + acts, class_="legend"))
    other = tag("span", "an act of one's own inventory", class_="chip", style=f"background:{fills()[OTHER]}")
    cells.append(tag("div", tag("b", OTHER) + other, class_="legend"))
    return tag("div", "".join(cells), class_="legends")


def tagged(text: str, acts: Sequence[ActSpan], start: int = 0, end: int | None = None) -> str:
    """`text[start:end]` with its acts in colour, each with its name; no act may cross the ends."""
    end = len(text) if end is None else end
    parts, at = [], start
    for act in acts:
        if act.start < start or act.end > end:
            continue
        parts.append(_LINES.sub("\n", esc(text[at : act.start])))
        unsure = "?" if act.score < _UNSURE else ""
        name = tag("span", esc(act.act + unsure), class_="name")
        parts.append(
            tag(
                "span",
                name + esc(text[act.start : act.end]),
                class_="act lines" if "\n" in text[act.start : act.end].strip() else "act",
                style=f"background:{fill_of(act.act)}",
                title=_tooltip(act.act, act.score),
            )
        )
        at = act.end
    return tag("div", "".join(parts) + esc(text[at:end]), class_="text")


def label(hard: bool | None) -> str:
    """A hard label by word, sign and colour."""
    kind, words = _LABELS[hard]
    return tag("span", words, class_=f"label {kind}")


def value(step: Step) -> str:
    """What is known of a step: q with its 95% interval as a bar, the counts, the method, a judge."""
    parts = []
    if (q := soft(step)) is not None:
        low, high = interval(step) or (q, q)
        parts.append(q_bar(q, low, high))
    if step.n_rollouts:
        parts.append(f"{step.n_correct}/{step.n_rollouts}")
    if step.method and q is None:
        parts.append(esc(step.method).replace("_", " "))
    if step.reason:
        parts.append(tag("span", esc(step.reason), class_="note"))
    if step.judge:
        said = f"{step.judge.by}: {step.judge.label:+d} ({step.judge.score:.2f})"
        parts.append(tag("span", esc(said), class_="note", title="the judge's opinion"))
    return tag("span", " ".join(parts), class_="value")


def q_bar(q: float, low: float, high: float) -> str:
    """A success ratio on the scale from 0 to 1: a dot in its 95% interval."""
    x = [4 + 72 * v for v in (low, q, high)]
    return (
        '<svg class="q" width="80" height="14" role="img">'
        f"<title>q {q:.2f}, 95% {low:.2f} to {high:.2f}</title>"
        '<line x1="4" x2="76" y1="7" y2="7" class="axis"/>'
        '<line x1="4" x2="4" y1="4" y2="10" class="axis"/><line x1="76" x2="76" y1="4" y2="10" class="axis"/>'
        f'<rect x="{x[0]:.1f}" y="4.5" width="{max(x[2] - x[0], 1):.1f}" height="5" rx="2" class="interval"/>'
        f'<circle cx="{x[1]:.1f}" cy="7" r="3.5" class="dot"/></svg>'
    )


def bar(share: float, text: str) -> str:
    """A share of 0 to 1 as a bar, its figure beside it."""
    return _bar(0.0, 60 * min(max(share, 0.0), 1.0), "full", text)


def signed_bar(share: float, text: str) -> str:
    """A number of -1 to 1 as a bar from the middle."""
    width = 30 * min(abs(share), 1.0)
    return _bar(30 - width, width, "lost", text) if share < 0 else _bar(30, width, "full", text)


def _bar(start: float, width: float, kind: str, text: str) -> str:
    return (
        '<svg class="q" width="62" height="12"><rect y="1" width="61" height="10" class="frame"/>'
        f'<rect x="{start:.1f}" y="1" width="{width:.1f}" height="10" class="{kind}"/></svg> {esc(text)}'
    )


def _tooltip(act: str, score: float | None = None) -> str:
    definition = {f.name: f.definition for f in Inventory.load().factors}.get(act, "")
    sure = "" if score is None or score == 1 else f" Tagger's score {score:.2f}."
    return f"{act} ({group_of(act)}). {definition}{sure}"


@cache
def _style() -> str:
    return (files("cotmill.notebooks") / "review.css").read_text(encoding="utf-8")
