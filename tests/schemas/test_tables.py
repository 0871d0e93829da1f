"""Records to rows to Arrow to Parquet and back: nothing is lost, and only labelled steps become rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cotmill.schemas import (
    SCHEMA_VERSION,
    ActSpan,
    Candidate,
    Domain,
    Generator,
    Judge,
    Method,
    Origin,
    Outcome,
    Provenance,
    SearchState,
    Source,
    Step,
    Trace,
    markup,
)
from cotmill.schemas.labels import wilson
from cotmill.schemas.tables import TABLES, search_row, step_rows, table, trace_from_row, trace_row
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

TEXT = "We have 12 boxes. 🤔\n\n12 * 30 = 360.\n\nThe answer is <Think_End> 360."
EDGES = (0, 19, 21, 35, 37, len(TEXT))
STEPS = (
    Step(start=0, end=19, origin=Origin.HUMAN, n_rollouts=8, n_correct=6, method=Method.ROLLOUTS),
    Step(
        start=21,
        end=35,
        origin=Origin.POLICY,
        n_rollouts=1,
        n_correct=1,
        method=Method.EXECUTION,
        judge=Judge(label=-1, score=0.25, by="judge"),
    ),
    Step(start=37, end=len(TEXT), origin=Origin.POLICY, method=Method.INFERRED),
)
ACTS = (
    ActSpan(start=0, end=19, act="NoteGiven"),
    ActSpan(start=21, end=35, act="Calculate", score=0.5),
    ActSpan(start=37, end=len(TEXT), act="Answer"),
)
NAME = st.text(max_size=12)


def trace(**given: Any) -> Trace:
    return Trace(
        **{
            "seed_id": "s",
            "domain": Domain.MATH,
            "question": "How many eggs?",
            "text": TEXT,
            "generator": Generator.COMPLETION,
            "steps": STEPS,
            "acts": ACTS,
            "answer": "360",
            "reference": "360",
            "outcome": Outcome.CORRECT,
            "evidence": "same",
            "prefix_steps": 1,
            "summary": "12 * 30 = 360.",
            "tokens": 40,
            "count": 2,
            "source": Source(name="eggs.jsonl", row=7, licence="CC0"),
            "provenance": Provenance(policy="p", temperature=0.7, parent_id="x", code_version="1"),
        }
        | given
    )


def state(**given: Any) -> SearchState:
    return SearchState(
        **{
            "trace_id": "t",
            "seed_id": "s",
            "question": "q",
            "prefix": markup.THINK_START,
            "action_kind": "act",
            "actions": ("Check", "Plan"),
            "prior": (0.25, 0.75),
            "visits": (3, 9),
            "pi": (0.25, 0.75),
            "q": (-0.5, 1.0),
            "chosen": "Plan",
            "candidates": (
                Candidate(action="Plan", text="First"),
                Candidate(action="Plan", text="x", score=0.5),
            ),
            "value": None,
            "depth": 2,
        }
        | given
    )


def through_parquet(name: str, rows: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    pq.write_table(table(name, rows), folder / "rows.parquet")
    read = pq.read_table(folder / "rows.parquet")
    assert read.schema.equals(TABLES[name])
    return read.to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "t",
    [
        trace(),
        trace(steps=(), acts=(), text="", answer=None, outcome=Outcome.UNDECIDED),
        trace(error="cut off: max_tokens reached", summary=None, reference=None, provenance=Provenance()),
        trace(steps=(STEPS[0].model_copy(update={"reason": "policy too weak to judge"}),)),
    ],
    ids=["full", "bare question", "faulty", "unjudged"],
)
def test_a_trace_comes_back_from_parquet_as_it_was(t: Trace, tmp_path: Path) -> None:
    [row] = through_parquet("traces", [trace_row(t)], tmp_path)
    assert trace_from_row(row) == t
    assert row["trace_id"] == t.trace_id
    assert row["reward"] == t.reward
    assert row["schema_version"] == SCHEMA_VERSION


@given(
    t=st.builds(
        trace,
        question=NAME,
        text=NAME,
        acts=st.just(()),
        steps=st.just(()),
        answer=NAME | st.none(),
        evidence=NAME,
        tokens=st.integers(0, 2**40),
        outcome=st.sampled_from(Outcome),
        domain=st.sampled_from(Domain),
    )
)
@settings(max_examples=60)
def test_any_trace_comes_back_from_arrow_as_it_was(t: Trace) -> None:
    [row] = table("traces", [trace_row(t)]).to_pylist()
    assert trace_from_row(row) == t


def test_rows_hold_exactly_the_columns_of_their_table() -> None:
    assert set(trace_row(trace())) == set(TABLES["traces"].names)
    assert set(step_rows(trace())[0]) == set(TABLES["steps"].names)
    assert set(search_row(state())) == set(TABLES["search"].names)


def test_markup_of_a_row_holds_its_text_and_acts_even_where_the_text_holds_tags() -> None:
    text, acts = markup.parse(trace_row(trace())["markup"])
    assert text == TEXT
    assert [(a.start, a.end, a.act) for a in acts] == [(a.start, a.end, a.act) for a in ACTS]
    assert trace_row(trace(acts=()))["markup"] is None


@pytest.mark.parametrize("missing", ["text", "steps", "source"])
def test_a_row_that_is_no_trace_is_refused(missing: str) -> None:
    with pytest.raises(ValidationError):
        trace_from_row(trace_row(trace()) | {missing: None})


def test_only_steps_with_a_method_or_a_reason_become_rows() -> None:
    bare = Step(start=0, end=19, origin=Origin.HUMAN)
    unjudged = STEPS[1].model_copy(
        update={"method": None, "n_rollouts": 0, "n_correct": 0, "reason": "why not"}
    )
    rows = step_rows(trace(steps=(bare, unjudged, STEPS[2])))
    assert [(r["index"], r["method"], r["reason"]) for r in rows] == [
        (1, None, "why not"),
        (2, "inferred", None),
    ]
    assert step_rows(trace(steps=(bare,))) == []
    assert step_rows(trace(steps=())) == []


def test_a_step_row_says_what_its_evidence_allows(tmp_path: Path) -> None:
    first, second, last = through_parquet("steps", step_rows(trace()), tmp_path)
    assert (first["q"], first["q_low"], first["q_high"]) == (0.75, *wilson(6, 8))
    assert (second["q"], second["q_low"], second["q_high"]) == (None, None, None)
    assert [r["hard"] for r in (first, second, last)] == [True, True, True]
    assert [r["consensus"] for r in (first, second, last)] == [None, False, None]
    assert second["judge"] == {"label": -1, "score": 0.25, "by": "judge"}
    assert [r["method"] for r in (first, second, last)] == ["rollouts", "execution", "inferred"]


def test_the_threshold_reaches_the_rows() -> None:
    assert step_rows(trace(), threshold=0.8)[0]["hard"] is False


def test_prefixes_run_up_to_the_end_of_their_step_and_their_markup_stays_open() -> None:
    for row, step in zip(step_rows(trace()), STEPS, strict=True):
        assert row["prefix"] == TEXT[: step.end]
        assert row["step"] == TEXT[step.start : step.end]
        assert row["prefix"].endswith(row["step"])
        text, acts = markup.parse(row["markup"], closed=False)
        assert text == row["prefix"]
        assert len(acts) == row["index"] + 1
        assert not row["markup"].endswith(markup.THINK_END)
    assert step_rows(trace(acts=()))[0]["markup"] is None


def test_step_ids_differ_within_and_between_traces() -> None:
    rows = step_rows(trace()) + step_rows(trace(text=TEXT + "0"))
    assert len({r["step_id"] for r in rows}) == 6


def test_a_searched_state_comes_back_from_parquet_as_it_was(tmp_path: Path) -> None:
    rows = [search_row(state()), search_row(state(value=-1, candidates=(), prefix="p"))]
    back = through_parquet("search", rows, tmp_path)
    fields = SearchState.model_fields
    assert SearchState.model_validate({k: back[0][k] for k in fields}) == state()
    assert [r["state_id"] for r in back] == [r["state_id"] for r in rows]
    assert [r["value"] for r in back] == [None, -1]


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_keeps_its_columns(name: str, tmp_path: Path) -> None:
    assert through_parquet(name, [], tmp_path) == []


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        table("traces", [trace_row(trace()) | {"tokens": "many"}])
