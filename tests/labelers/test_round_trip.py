"""Round trips: programs rebuilt from a CoT's words, counted beside the labels of its own run."""

import pytest
from cotmill.labelers.round_trip import RoundTripSettings, label_round_trips
from cotmill.schemas import (
    Domain,
    Generator,
    Method,
    Origin,
    Outcome,
    Source,
    Step,
    Trace,
    split_steps,
)
from cotmill.schemas.tables import step_rows, table, trace_from_row, trace_row
from cotmill.verifiers.code import CodeVerifier
from cotmill.verifiers.sandbox import sandbox_available
from doubles import Exact, Says, TablePolicy

RIGHT, WRONG = "def double(n):\n    return 2 * n", "def double(n):\n    return n"
TEXT = f"I need double.\n\nMultiply by two.\n\nSo:\n```python\n{RIGHT}\n```"


def reversal(reference: str | None = "assert double(2) == 4\nassert double(0) == 0") -> Trace:
    return Trace(
        seed_id="s",
        domain=Domain.CODE,
        question="Double a number, secretly.",
        text=TEXT,
        generator=Generator.CODE_REVERSE,
        steps=tuple(
            Step(start=a, end=b, origin=Origin.PROGRAM, method=Method.EXECUTION, n_rollouts=1, n_correct=1)
            for a, b in split_steps(TEXT)
        ),
        answer=RIGHT,
        reference=reference,
        outcome=Outcome.CORRECT,
        source=Source(name="x"),
    )


def understands(*words: str) -> Says:
    """Rebuilds the program where its prompt holds all of these words."""
    return lambda question, _: [RIGHT if all(w in question for w in words) else WRONG]


def test_the_policy_sees_the_thoughts_alone():
    policy = TablePolicy(understands())
    label_round_trips([reversal()], policy, Exact(), RoundTripSettings(rollouts=2), 0)
    assert len(policy.requests) == 2
    for request in policy.requests:
        assert "secretly" not in request.prompt
        assert RIGHT not in request.prompt
        assert "I need double." in request.prompt
    assert ["Multiply by two." in r.prompt for r in policy.requests] == [False, True]


@pytest.mark.skipif(sandbox_available() is not None, reason=f"no sandbox: {sandbox_available()}")
def test_shares_are_stored_beside_what_execution_says():
    policy = TablePolicy(understands("Multiply"))
    with CodeVerifier(jobs=1) as verifier:
        done = label_round_trips([reversal()], policy, verifier, RoundTripSettings(rollouts=2), 0)
    (trace,) = done.traces
    assert trace.round_trip is not None
    assert (trace.round_trip.n_correct, trace.round_trip.n_rollouts) == (2, 2)
    assert trace.round_trip.policy == "table"
    trips = [s.round_trip and s.round_trip.n_correct for s in trace.steps]
    assert trips == [0, 2, None]
    assert all(s.method is Method.EXECUTION and s.n_correct == 1 for s in trace.steps)
    assert done.rollouts == 4
    (row,) = table("traces", [trace_row(trace)]).to_pylist()
    assert trace_from_row(row) == trace
    rows = table("steps", step_rows(trace)).to_pylist()
    assert [r["round_trip"] and r["round_trip"]["n_correct"] for r in rows] == [0, 2, None]


def test_whole_cots_alone_where_prefixes_are_not_asked_for():
    policy = TablePolicy(understands())
    settings = RoundTripSettings(rollouts=3, prefixes=False)
    (trace,) = label_round_trips([reversal()], policy, Exact(), settings, 0).traces
    assert len(policy.requests) == 1
    assert [s.round_trip is None for s in trace.steps] == [True, False, True]


def test_undecided_programs_are_not_counted():
    policy = TablePolicy(understands("Multiply"))
    verifier = Exact(undecided=[WRONG])
    (trace,) = label_round_trips([reversal()], policy, verifier, RoundTripSettings(rollouts=2), 0).traces
    assert trace.steps[0].round_trip is not None
    assert trace.steps[0].round_trip.n_rollouts == 0


@pytest.mark.parametrize("settings", [RoundTripSettings(), RoundTripSettings(rollouts=2)])
def test_nothing_is_asked_where_nothing_can_be_tested(settings):
    policy = TablePolicy(understands())
    without = reversal(None if settings.rollouts else "assert double(2) == 4")
    assert label_round_trips([without], policy, Exact(), settings, 0).traces == [without]
    assert policy.requests == []
