"""The three tables as Arrow schemas, and records as their rows."""

from typing import Any

import pyarrow as pa

from . import labels, markup
from .ids import content_hash
from .records import SCHEMA_VERSION, SearchState, Trace

Row = dict[str, Any]

_JUDGE = pa.struct([("label", pa.int8()), ("score", pa.float64()), ("by", pa.string())])
_ROUND_TRIP = pa.struct([("n_rollouts", pa.int32()), ("n_correct", pa.int32()), ("policy", pa.string())])
_STEP = pa.struct(
    [
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("origin", pa.string()),
        ("n_rollouts", pa.int32()),
        ("n_correct", pa.int32()),
        ("method", pa.string()),
        ("judge", _JUDGE),
        ("reason", pa.string()),
        ("round_trip", _ROUND_TRIP),
        ("evidence", pa.string()),
    ]
)
_ACT = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("act", pa.string()), ("score", pa.float64())])
_SOURCE = pa.struct([("name", pa.string()), ("row", pa.int64()), ("licence", pa.string())])
_PROVENANCE = pa.struct(
    [
        ("policy", pa.string()),
        ("policy_hash", pa.string()),
        ("temperature", pa.float64()),
        ("rng_key", pa.string()),
        ("parent_id", pa.string()),
        ("verifier", pa.string()),
        ("config_hash", pa.string()),
        ("code_version", pa.string()),
    ]
)
_CANDIDATE = pa.struct(
    [
        ("action", pa.string()),
        ("text", pa.string()),
        ("score", pa.float64()),
        ("chosen", pa.bool_()),
        ("policy", pa.string()),
    ]
)

TRACES = pa.schema(
    [
        ("trace_id", pa.string()),
        ("count", pa.int64()),
        ("seed_id", pa.string()),
        ("domain", pa.string()),
        ("question", pa.string()),
        ("text", pa.string()),
        ("steps", pa.list_(_STEP)),
        ("acts", pa.list_(_ACT)),
        ("answer", pa.string()),
        ("reference", pa.string()),
        ("outcome", pa.string()),
        ("reward", pa.int8()),
        ("evidence", pa.string()),
        ("generator", pa.string()),
        ("prefix_steps", pa.int32()),
        ("markup", pa.string()),
        ("summary", pa.string()),
        ("tokens", pa.int64()),
        ("error", pa.string()),
        ("round_trip", _ROUND_TRIP),
        ("source", _SOURCE),
        ("provenance", _PROVENANCE),
        ("schema_version", pa.int32()),
    ]
)
STEPS = pa.schema(
    [
        ("step_id", pa.string()),
        ("trace_id", pa.string()),
        ("seed_id", pa.string()),
        ("index", pa.int32()),
        ("question", pa.string()),
        ("prefix", pa.string()),
        ("step", pa.string()),
        ("n_rollouts", pa.int32()),
        ("n_correct", pa.int32()),
        ("q", pa.float64()),
        ("q_low", pa.float64()),
        ("q_high", pa.float64()),
        ("hard", pa.bool_()),
        ("method", pa.string()),
        ("judge", _JUDGE),
        ("consensus", pa.bool_()),
        ("reason", pa.string()),
        ("round_trip", _ROUND_TRIP),
        ("evidence", pa.string()),
        ("markup", pa.string()),
        ("schema_version", pa.int32()),
    ]
)
SEARCH = pa.schema(
    [
        ("state_id", pa.string()),
        ("trace_id", pa.string()),
        ("seed_id", pa.string()),
        ("question", pa.string()),
        ("prefix", pa.string()),
        ("action_kind", pa.string()),
        ("actions", pa.list_(pa.string())),
        ("prior", pa.list_(pa.float64())),
        ("visits", pa.list_(pa.int32())),
        ("pi", pa.list_(pa.float64())),
        ("q", pa.list_(pa.float64())),
        ("chosen", pa.string()),
        ("candidates", pa.list_(_CANDIDATE)),
        ("value", pa.int8()),
        ("depth", pa.int32()),
        ("schema_version", pa.int32()),
    ]
)
TABLES: dict[str, pa.Schema] = {"traces": TRACES, "steps": STEPS, "search": SEARCH}


def trace_row(trace: Trace) -> Row:
    """A trace as a row of `traces`."""
    row = trace.model_dump(mode="json")
    return row | {
        "trace_id": trace.trace_id,
        "reward": trace.reward,
        "markup": markup.render(trace.text, trace.acts) if trace.acts else None,
        "schema_version": SCHEMA_VERSION,
    }


def trace_from_row(row: Row) -> Trace:
    """The trace behind a row of `traces`; raises pydantic's ValidationError for a row that is none."""
    return Trace.model_validate({k: row[k] for k in Trace.model_fields if k in row})


def step_rows(trace: Trace, threshold: float = 0.0) -> list[Row]:
    """The labelled steps of a trace as rows of `steps`: those with a method, or with a reason for none.

    None for a trace that was never measured: all it could say is its last step, which its reward says.

    `markup` is the prefix with its acts tagged, open at its end; null where the trace has no acts.
    """
    rows: list[Row] = []
    if not trace.measured:
        return rows
    hard = labels.hard(trace, threshold)
    for index, (step, good) in enumerate(zip(trace.steps, hard, strict=True)):
        if step.method is None and step.reason is None:
            continue
        low, high = labels.interval(step) or (None, None)
        prefix = trace.text[: step.end]
        acts = [a for a in trace.acts if a.end <= step.end]
        rows.append(
            {
                "step_id": content_hash("step", trace.trace_id, index),
                "trace_id": trace.trace_id,
                "seed_id": trace.seed_id,
                "index": index,
                "question": trace.question,
                "prefix": prefix,
                "step": trace.text[step.start : step.end],
                "n_rollouts": step.n_rollouts,
                "n_correct": step.n_correct,
                "q": labels.soft(step),
                "q_low": low,
                "q_high": high,
                "hard": good,
                "method": step.method,
                "judge": step.judge.model_dump() if step.judge else None,
                "consensus": labels.consensus(good, step),
                "reason": step.reason,
                "round_trip": step.round_trip.model_dump() if step.round_trip else None,
                "evidence": step.evidence,
                "markup": markup.render(prefix, acts, closed=False) if acts else None,
                "schema_version": SCHEMA_VERSION,
            }
        )
    return rows


def search_row(state: SearchState) -> Row:
    """A searched state as a row of `search`."""
    return state.model_dump(mode="json") | {
        "state_id": state.state_id,
        "schema_version": SCHEMA_VERSION,
    }


def table(name: str, rows: list[Row]) -> pa.Table:
    """Rows as the named table ("traces", "steps", "search")."""
    return pa.Table.from_pylist(rows, schema=TABLES[name])
