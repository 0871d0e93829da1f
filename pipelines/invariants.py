"""What must hold of every single row, whoever wrote it."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import isclose
from typing import Any

from ..schemas import SCHEMA_VERSION, Domain, Generator, MarkupError, Outcome, content_hash, markup, trace_id
from ..schemas.labels import wilson
from ..schemas.tables import Row

Span = dict[str, Any]
_REWARDS = {Outcome.CORRECT.value: 1, Outcome.WRONG.value: -1, Outcome.UNDECIDED.value: None}
_GENERATORS, _DOMAINS = {str(g) for g in Generator}, {str(d) for d in Domain}
_TOLERANCE = 1e-6


def faults(table: str, row: Row) -> list[str]:
    """Every fault of one row of the named table."""
    found = row["schema_version"]
    version = [] if found == SCHEMA_VERSION else [f"schema_version {found}, expected {SCHEMA_VERSION}"]
    try:
        return [*version, *_FAULTS[table](row)]
    except (TypeError, AttributeError):
        return [*version, "a null where none may stand"]


def _trace_faults(row: Row) -> Iterator[str]:
    text, steps, acts = row["text"], row["steps"], row["acts"]
    if row["trace_id"] != trace_id(row["question"], text, row["generator"], row["provenance"]["parent_id"]):
        yield "trace_id is not the hash of question, text, generator and parent"
    if row["outcome"] not in _REWARDS or row["reward"] != _REWARDS[row["outcome"]]:
        yield "reward disagrees with outcome"
    if row["generator"] not in _GENERATORS or row["domain"] not in _DOMAINS:
        yield "generator or domain is none that is known"
    if row["count"] < 1 or not 0 <= row["prefix_steps"] <= len(steps):
        yield "count or prefix_steps out of range"
    if any(not 0 <= s["n_correct"] <= s["n_rollouts"] for s in steps):
        yield "a step with more right rollouts than rollouts"
    if not _ordered(steps, len(text)) or not _ordered(acts, len(text)):
        yield "offsets leave the text, overlap or are out of order"
    elif _crosses(acts, steps):
        yield "an act crosses a step's end"
    elif not _same_markup(row["markup"], text, acts):
        yield "markup does not parse back to text and acts"


def _step_faults(row: Row) -> Iterator[str]:
    n, right, q = row["n_rollouts"], row["n_correct"], row["q"]
    if row["step_id"] != content_hash("step", row["trace_id"], row["index"]):
        yield "step_id is not the hash of trace_id and index"
    if not row["step"] or not row["prefix"].endswith(row["step"]):
        yield "prefix does not end with step"
    if not 0 <= right <= n:
        yield "a step with more right rollouts than rollouts"
    elif q is None:
        if row["q_low"] is not None or row["q_high"] is not None:
            yield "an interval without q"
    elif not n or not _close((q, row["q_low"], row["q_high"]), (right / n, *wilson(right, n))):
        yield "q and its interval disagree with the rollouts"
    tagged, prefix = row["markup"], row["prefix"]
    # Tags taken off is a fifth of the work, and right but for text that only looks like an escape.
    if tagged is not None and markup.strip_tags(tagged) != prefix and not _same_markup(tagged, prefix):
        yield "markup does not parse back to prefix"


def _search_faults(row: Row) -> Iterator[str]:
    lists = [row[name] for name in ("prior", "visits", "pi", "q")]
    if any(len(values) != len(row["actions"]) for values in lists):
        yield "actions, prior, visits, pi and q are not aligned"
    if row["state_id"] != content_hash("state", row["trace_id"], row["prefix"], row["action_kind"]):
        yield "state_id is not the hash of trace_id, prefix and action_kind"
    if row["chosen"] not in row["actions"]:
        yield "chosen is none of actions"
    if row["value"] not in (1, -1, None):
        yield "value is none of 1, -1, null"
    if (
        any(not 0 <= p <= 1 + _TOLERANCE for p in (*row["prior"], *row["pi"]))
        or min(row["visits"], default=0) < 0
    ):
        yield "prior, pi or visits out of range"
    if row["pi"] and not isclose(sum(row["pi"]), 1, abs_tol=1e-3):
        yield "pi does not sum to 1"


def _ordered(spans: Sequence[Span], length: int) -> bool:
    inside = all(0 <= s["start"] <= s["end"] <= length for s in spans)
    return inside and all(a["end"] <= b["start"] for a, b in pairwise(spans))


def _crosses(acts: Sequence[Span], steps: Sequence[Span]) -> bool:
    return any(a["start"] < s["end"] < a["end"] for a in acts for s in steps)


def _same_markup(tagged: str | None, text: str, acts: Sequence[Span] | None = None) -> bool:
    """Whether markup says what the columns say; without `acts` it is a prefix, and its text is compared."""
    if tagged is None:
        return not acts
    try:
        found, spans = markup.parse(tagged, closed=acts is not None)
    except MarkupError:
        return False
    said = None if acts is None else [(a["start"], a["end"], a["act"]) for a in acts]
    return found == text and said in (None, [(a.start, a.end, a.act) for a in spans])


def _close(found: Sequence[float | None], expected: Sequence[float]) -> bool:
    return all(
        a is not None and isclose(a, b, abs_tol=_TOLERANCE) for a, b in zip(found, expected, strict=True)
    )


_FAULTS: dict[str, Callable[[Row], Iterator[str]]] = {
    "traces": _trace_faults,
    "steps": _step_faults,
    "search": _search_faults,
}
