"""Records: frozen, strict, with ids and rewards that follow from their content, and errors that travel."""

import pickle
from typing import Any

import pytest
from cotmill.schemas import (
    ActSpan,
    BadInput,
    CotmillError,
    Domain,
    Generator,
    Judge,
    MarkupError,
    Origin,
    Outcome,
    Provenance,
    SearchState,
    Seed,
    Source,
    Step,
    Trace,
)
from pydantic import ValidationError

SOURCE = Source(name="test", row=1)


def trace(**given: Any) -> Trace:
    return Trace(
        **{
            "seed_id": "s",
            "domain": Domain.MATH,
            "question": "q",
            "text": "t",
            "generator": Generator.COMPLETION,
            "source": SOURCE,
        }
        | given
    )


def state(**given: Any) -> SearchState:
    return SearchState(
        **{
            "trace_id": "t",
            "seed_id": "s",
            "question": "q",
            "prefix": "p",
            "action_kind": "act",
            "actions": ("Check",),
            "prior": (1.0,),
            "visits": (3,),
            "pi": (1.0,),
            "q": (0.5,),
            "chosen": "Check",
            "value": 1,
            "depth": 0,
        }
        | given
    )


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        trace().text = "other"  # type: ignore[misc]


def test_a_record_refuses_fields_it_does_not_have() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        trace(reward=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step(start=0, end=1, origin=Origin.POLICY, n_rollouts=2, n_correct=3),
        lambda: Step(start=-1, end=1, origin=Origin.POLICY),
        lambda: Step(start=0, end=1, origin="machine"),
        lambda: ActSpan(start=0, end=1, act="Check", score=1.5),
        lambda: Judge(label=2, score=0.5, by="judge"),
        lambda: Seed(question="", answer="1", source=SOURCE),
        lambda: trace(outcome="maybe"),
    ],
)
def test_impossible_values_are_refused(make: Any) -> None:
    with pytest.raises(ValidationError):
        make()


@pytest.mark.parametrize(
    ("outcome", "reward"), [(Outcome.CORRECT, 1), (Outcome.WRONG, -1), (Outcome.UNDECIDED, None)]
)
def test_the_reward_follows_from_the_outcome(outcome: Outcome, reward: int | None) -> None:
    assert trace(outcome=outcome).reward == reward


def test_a_seed_and_its_own_trace_have_one_id() -> None:
    seed = Seed(question="q", answer="1", text="t", source=SOURCE)
    assert seed.seed_id == trace(generator=Generator.HUMAN).trace_id


def test_a_trace_id_does_not_depend_on_what_is_found_out_later() -> None:
    before = trace()
    after = trace(
        outcome=Outcome.WRONG,
        answer="2",
        count=3,
        steps=(Step(start=0, end=1, origin=Origin.POLICY, n_rollouts=8),),
        acts=(ActSpan(start=0, end=1, act="Check"),),
        provenance=Provenance(policy="p", config_hash="c", code_version="9"),
        source=Source(name="elsewhere", row=9),
    )
    assert before.trace_id == after.trace_id


def test_equal_texts_from_different_parents_are_different_traces() -> None:
    assert trace().trace_id != trace(provenance=Provenance(parent_id="p")).trace_id


@pytest.mark.parametrize("change", [{"trace_id": "x"}, {"prefix": "x"}, {"action_kind": "step"}])
def test_a_state_is_known_by_its_trace_prefix_and_kind_of_action(change: dict[str, str]) -> None:
    assert state(**change).state_id != state().state_id
    assert state(visits=(9,), depth=4).state_id == state().state_id


@pytest.mark.parametrize("record", [trace(), state(), Seed(question="q", answer="1", source=SOURCE)])
def test_records_survive_json(record: Trace | SearchState | Seed) -> None:
    assert type(record).model_validate(record.model_dump(mode="json")) == record
    assert type(record).model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            BadInput("is missing", file="a.jsonl", line=3, field="answer"),
            "a.jsonl, line 3, field 'answer': is missing",
        ),
        (BadInput("is missing", field="--out"), "field '--out': is missing"),
        (BadInput("nothing given"), "nothing given"),
        (MarkupError("expected <Think_Start>", 4), "expected <Think_Start> at character 4"),
    ],
)
def test_errors_say_where_and_cross_processes_whole(error: CotmillError, said: str) -> None:
    """A worker's error reaches the main process by pickle."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error) == said
    assert vars(copy) == vars(error)
