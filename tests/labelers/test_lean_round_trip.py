"""Round trips of Lean proofs: tactics from a CoT's steps, run in Lean, counted to where they first fail."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files

import pytest
from cotmill.generators.lean_reverse import read_lean_row, reverse
from cotmill.labelers.lean_round_trip import NOT_REACHED, label_proof_trips, tactics_of
from cotmill.labelers.round_trip import RoundTripSettings
from cotmill.models.policy import Sample
from cotmill.schemas import Domain, Generator, Method, Origin, Source, Step, Trace, split_steps
from cotmill.schemas.tables import step_rows, table, trace_from_row, trace_row
from cotmill.verifiers.lean import EmbeddedLean, embedded_missing
from doubles import Says, TablePolicy
from scripted_lean import ScriptedLean

TEXT = "Show a.\n\nFirst one.\n\nThen two.\n\nAll closed.\n\nSo: one, two."
LEAN = {("⊢ a", "one"): "⊢ b", ("⊢ b", "two"): "done"}


def proof(text: str = TEXT, *, labelled: bool = True, reference: str | None = "theorem t : a") -> Trace:
    known = {"method": Method.PROOF, "n_rollouts": 1, "n_correct": 1} if labelled else {}
    return Trace(
        seed_id="s",
        domain=Domain.LEAN,
        question="Prove in Lean 4:\n\ntheorem t : a",
        text=text,
        generator=Generator.LEAN_REVERSE,
        steps=tuple(Step(start=a, end=b, origin=Origin.PROOF, **known) for a, b in split_steps(text)),
        answer="theorem t : a := by\n  one\n  two",
        reference=reference,
        source=Source(name="x"),
    )


def step_of(prompt: str) -> str:
    match = re.search(r"The step:\n(.*?)\n\nThe tactics so far", prompt, re.DOTALL)
    return match[1] if match else ""


def formaliser(**tactics: str | Sample) -> Says:
    """Writes the tactics of the steps whose first word is known, else `skip`."""
    return lambda prompt, _: [tactics.get(step_of(prompt).split()[0], "skip")]


def counts(trace: Trace) -> list[tuple[int, int] | None]:
    return [s.round_trip and (s.round_trip.n_correct, s.round_trip.n_rollouts) for s in trace.steps]


BLOCK = "induction n with\n| zero => rfl\n| succ n ih =>\n  omega"
SETTINGS = RoundTripSettings(rollouts=2)


def test_the_share_of_tries_that_close_the_goal_is_stored():
    policy = TablePolicy(formaliser(First="one", Then="two"))
    done = label_proof_trips([proof()], policy, ScriptedLean(LEAN), SETTINGS, 0)
    (trace,) = done.traces
    assert trace.round_trip is not None
    assert (trace.round_trip.n_correct, trace.round_trip.n_rollouts, trace.round_trip.policy) == (
        2,
        2,
        "table",
    )
    assert counts(trace) == [(2, 2)] * 4 + [None]
    assert done.rollouts == 2
    (row,) = table("traces", [trace_row(trace)]).to_pylist()
    assert trace_from_row(row) == trace
    assert [bool(r["round_trip"]) for r in step_rows(trace)] == [True] * 4 + [False]


def test_steps_count_up_to_where_a_try_first_fails():
    policy = TablePolicy(formaliser(First="one", Then="three"))
    (trace,) = label_proof_trips([proof()], policy, ScriptedLean(LEAN), SETTINGS, 0).traces
    assert trace.round_trip is not None
    assert trace.round_trip.n_correct == 0
    assert counts(trace) == [(2, 2), (2, 2), (0, 2), (0, 2), None]


def test_a_goal_left_open_fails_at_the_last_step():
    policy = TablePolicy(formaliser(First="one"))
    (trace,) = label_proof_trips([proof()], policy, ScriptedLean(LEAN), SETTINGS, 0).traces
    assert counts(trace) == [(2, 2), (2, 2), (2, 2), (0, 2), None]


def test_the_policy_sees_the_step_the_thoughts_before_it_and_the_state_but_not_the_answer():
    policy = TablePolicy(formaliser(First="one", Then="two"))
    label_proof_trips([proof()], policy, ScriptedLean(LEAN), RoundTripSettings(rollouts=1), 0)
    prompts = [r.prompt for r in policy.requests]
    assert [step_of(p) for p in prompts] == ["Show a.", "First one.", "Then two."]
    assert "Show a.\n\nFirst one.\n\nThe step:" in prompts[2]
    assert "The tactics so far:\none\n\nThe state now:\n⊢ b" in prompts[2]
    assert not any("So: one, two." in p for p in prompts)
    assert len({r.key for r in policy.requests}) == 3


def test_labels_of_the_recorded_proof_stay():
    policy = TablePolicy(formaliser(First="wrong"))
    (trace,) = label_proof_trips([proof()], policy, ScriptedLean(LEAN), SETTINGS, 0).traces
    assert [(s.method, s.n_correct) for s in trace.steps] == [(Method.PROOF, 1)] * 5


def test_steps_without_a_label_are_verified_up_to_where_the_furthest_try_fails():
    policy = TablePolicy(formaliser(First="one", Then="three"))
    (trace,) = label_proof_trips([proof(labelled=False)], policy, ScriptedLean(LEAN), SETTINGS, 0).traces
    assert [(s.method, s.n_rollouts, s.n_correct, s.reason) for s in trace.steps] == [
        (Method.PROOF, 1, 1, None),
        (Method.PROOF, 1, 1, None),
        (Method.PROOF, 1, 0, None),
        (None, 0, 0, NOT_REACHED),
        (None, 0, 0, None),
    ]
    policy = TablePolicy(formaliser(First="one", Then="two"))
    (trace,) = label_proof_trips([proof(labelled=False)], policy, ScriptedLean(LEAN), SETTINGS, 0).traces
    assert [s.n_correct for s in trace.steps] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("said", ["slow", Sample("", 0, "error", error="server gone")])
def test_limits_and_faults_decide_nothing(said):
    policy = TablePolicy(formaliser(First="one", Then=said))
    (trace,) = label_proof_trips([proof(labelled=False)], policy, ScriptedLean(LEAN), SETTINGS, 0).traces
    assert counts(trace) == [(2, 2), (2, 2), (0, 0), (0, 0), None]
    assert [s.reason for s in trace.steps] == [None, None, NOT_REACHED, NOT_REACHED, None]


def test_a_step_that_tells_a_refused_attempt_is_not_asked_about():
    steps = list(proof().steps)
    steps[0] = steps[0].model_copy(update={"n_correct": 0})
    trace = proof().model_copy(update={"steps": tuple(steps)})
    policy = TablePolicy(formaliser(First="one", Then="two"))
    (done,) = label_proof_trips([trace], policy, ScriptedLean(LEAN), SETTINGS, 0).traces
    assert "Show a." not in map(step_of, (r.prompt for r in policy.requests))
    assert done.round_trip is not None
    assert done.round_trip.n_correct == 2


@pytest.mark.parametrize(
    ("trace", "settings"),
    [
        (proof(), RoundTripSettings()),
        (proof(reference=None), SETTINGS),
        (proof(reference="theorem t : nonsense"), SETTINGS),
        (proof(reference="no theorem"), SETTINGS),
        (proof("One step."), SETTINGS),
        (proof().model_copy(update={"domain": Domain.CODE}), SETTINGS),
    ],
)
def test_nothing_is_asked_where_nothing_can_be_run(trace, settings):
    policy = TablePolicy(formaliser())
    assert label_proof_trips([trace], policy, ScriptedLean(LEAN), settings, 0).traces == [trace]
    assert policy.requests == []


@pytest.mark.parametrize(
    ("text", "tactics"),
    [
        ("omega\n", ["omega"]),
        ("skip", []),
        ("", []),
        ("```lean\nintro h\nexact h\n```", ["intro h", "exact h"]),
        ("  intro h\n  exact h", ["intro h", "exact h"]),
        (
            "induction n with\n| zero => rfl\n| succ n ih =>\n  omega",
            ["induction n with\n| zero => rfl\n| succ n ih =>\n  omega"],
        ),
        ("-- nothing\n`simp`", ["simp"]),
        ("constructor\n· exact h\n· omega", ["constructor", "· exact h", "· omega"]),
        ("<ACT_Deduce_Start>exact h<ACT_Deduce_End>", ["exact h"]),
    ],
)
def test_tactics_are_read_from_what_a_policy_writes(text, tactics):
    assert tactics_of(text) == tactics


_missing = embedded_missing()


@pytest.fixture(scope="module")
def lean() -> Iterator[EmbeddedLean]:
    backend = EmbeddedLean()
    yield backend
    backend.close()


@pytest.mark.skipif(_missing is not None, reason=str(_missing))
def test_a_shipped_proof_is_rebuilt_from_its_thoughts_on_the_embedded_lean(lean):
    rows = json.loads((files("cotmill.data") / "lean" / "traces.json").read_text(encoding="utf-8"))
    row = next(r for r in rows if r["full_name"] == "contrapose")
    trace = reverse(read_lean_row(row, Source(name="rows", row=1)), run_seed=0)
    assert isinstance(trace, Trace)

    tactics = {
        trace.text[s.start : s.end]: (s.evidence or "").partition(">>> ")[2] or "skip" for s in trace.steps
    }
    says: Says = lambda prompt, _: [tactics[step_of(prompt)]]  # noqa: E731
    (done,) = label_proof_trips([trace], TablePolicy(says), lean, SETTINGS, 0).traces
    assert done.round_trip is not None
    assert (done.round_trip.n_correct, done.round_trip.n_rollouts) == (2, 2)
    assert all(s.method is Method.PROOF for s in done.steps)
    cheat = TablePolicy(lambda prompt, _: ["sorry"])
    (refused,) = label_proof_trips([trace], cheat, lean, SETTINGS, 0).traces
    assert refused.round_trip is not None
    assert refused.round_trip.n_correct == 0
