"""Which traces an SFT takes: by step labels, so many of a question, so often a source."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cotmill.schemas import BadInput, Generator, Judge, Outcome, Trace
from cotmill.training.select import some_of_each, weighted
from cotmill.training.sft import SFTSettings, passing

Make = Callable[[int], Trace]
Run = Callable[[Path, list[Trace]], Path]


def taken(run: Path, **settings: Any) -> tuple[list[dict[str, Any]], Counter[str]]:
    left_out: Counter[str] = Counter()
    rows = list(passing(run, SFTSettings(outcomes=(Outcome.CORRECT,), **settings), left_out))
    return rows, left_out


def sampled(make_trace: Make, i: int, counts: tuple[int, int], judged: tuple[int, int] | None) -> Trace:
    """The i-th right trace, written by the policy, of its two steps so many of 8 rollouts right."""
    trace = make_trace(3 * i)
    steps = tuple(
        step.model_copy(
            update={
                "n_correct": n,
                "judge": None if judged is None else Judge(label=judged[j], score=0.5, by="someone"),
            }
        )
        for j, (step, n) in enumerate(zip(trace.steps, counts, strict=True))
    )
    return trace.model_copy(update={"generator": Generator.COMPLETION, "steps": steps})


@pytest.fixture
def labelled(make_trace: Make, make_run: Run, tmp_path: Path) -> tuple[Path, list[str]]:
    """Good by both; a step wrong by rollouts; one wrong by the judge; unjudged; half of it fails; a seed."""
    traces = [
        sampled(make_trace, 0, (8, 8), (1, 1)),
        sampled(make_trace, 1, (0, 8), (1, 1)),
        sampled(make_trace, 2, (8, 8), (1, -1)),
        sampled(make_trace, 3, (8, 8), None),
        sampled(make_trace, 4, (4, 8), (1, 1)),
        make_trace(15).model_copy(update={"generator": Generator.FAMILY, "steps": ()}),
    ]
    return make_run(tmp_path / "run", traces), [t.trace_id for t in traces]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, (0, 1, 2, 3, 4, 5)),
        ({"steps": "rollouts"}, (0, 2, 3, 4, 5)),
        ({"steps": "rollouts", "step_share": 0.5}, (0, 2, 3, 5)),
        ({"steps": "judge"}, (0, 1, 4, 5)),
        ({"steps": "both"}, (0, 4, 5)),
    ],
)
def test_only_traces_whose_every_step_is_good(
    labelled: tuple[Path, list[str]], settings: dict[str, Any], wanted: tuple[int, ...]
) -> None:
    run, ids = labelled
    rows, left_out = taken(run, **settings)
    assert {r["trace_id"] for r in rows} == {ids[i] for i in wanted}
    assert left_out.total() == len(ids) - len(wanted)


def row(i: int, question: int, generator: Generator, source: str = "fresh") -> dict[str, Any]:
    return {
        "trace_id": f"t{i}",
        "question": f"q{question}",
        "generator": str(generator),
        "source": {"name": source},
    }


def test_so_many_of_a_question_and_every_seed() -> None:
    rows = [row(i, i % 3, Generator.COMPLETION) for i in range(12)]
    rows += [row(100 + i, 0, Generator.FAMILY) for i in range(5)]
    left_out: Counter[str] = Counter()
    kept = list(some_of_each(rows, 2, 0, left_out))
    assert Counter(r["question"] for r in kept if r["generator"] == "completion") == dict.fromkeys(
        ("q0", "q1", "q2"), 2
    )
    assert sum(r["generator"] == "family" for r in kept) == 5
    assert left_out.total() == 6
    again = list(some_of_each(reversed(rows), 2, 0, Counter()))
    assert {r["trace_id"] for r in again} == {r["trace_id"] for r in kept}


def test_weights_repeat_thin_out_and_remove() -> None:
    rows = [row(i, i, Generator.COMPLETION) for i in range(400)]
    rows += [row(1000 + i, i, Generator.FAMILY, "seeds") for i in range(10)]
    rows += [row(2000 + i, i, Generator.FAMILY, "old") for i in range(10)]
    left_out: Counter[str] = Counter()
    names = Counter(
        (r["source"]["name"], r["generator"])
        for r in weighted(rows, {"completion": 1.5, "seeds": 3, "old": 0}, 0, left_out)
    )
    assert names["seeds", "family"] == 30
    assert 540 < names["fresh", "completion"] < 660
    assert ("old", "family") not in names
    assert left_out == {"of little weight": 10}


def test_a_weight_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="no trace that passes the filters is of 'completoin'"):
        list(weighted([row(0, 0, Generator.COMPLETION)], {"completoin": 2}, 0, Counter()))
