"""Which traces a policy learns from: by their steps' labels, so many of a question, so often a source."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ..schemas import BadInput, Generator, unit_interval
from .reader import ShardReader

Row = dict[str, Any]
StepLabels = Literal["any", "rollouts", "judge", "both"]
SAMPLED = frozenset({Generator.COMPLETION, Generator.SEARCH})
"""Generators whose traces the policy wrote; what others wrote passes filters on step labels."""


def good_traces(data: Path, by: StepLabels, share: float = 0.0) -> set[str]:
    """The ids of a run's traces with every step good, by rollouts, by the judge, or by both.

    By rollouts a step is good where its hard label says so and, where its success ratio is known, that is
    above `share`; by the judge where its label is 1. A trace with a step that lacks the label is none.
    """
    good: set[str] = set()
    bad: set[str] = set()
    for row in ShardReader(data, "steps", ["trace_id", "hard", "q", "judge"]).rows():
        by_rollouts = row["hard"] is True and (row["q"] is None or row["q"] > share)
        by_judge = row["judge"] is not None and row["judge"]["label"] > 0
        passes = {"rollouts": by_rollouts, "judge": by_judge, "both": by_rollouts and by_judge}[by]
        (good if passes else bad).add(row["trace_id"])
    return good - bad


def some_of_each(rows: Iterable[Row], n: int, seed: int, left_out: Counter[str]) -> Iterator[Row]:
    """At most `n` sampled traces of each question, drawn by key; others all pass. Order is kept."""
    rows = list(rows)
    sampled: dict[str, list[str]] = {}
    for row in rows:
        if row["generator"] in SAMPLED:
            sampled.setdefault(row["question"], []).append(row["trace_id"])
    kept = {
        key
        for keys in sampled.values()
        for key in sorted(keys, key=lambda key: unit_interval(seed, key, "some of each"))[:n]
    }
    for row in rows:
        if row["generator"] not in SAMPLED or row["trace_id"] in kept:
            yield row
        else:
            left_out["beyond so many of a question"] += 1


def weighted(
    rows: Iterable[Row], weights: Mapping[str, float], seed: int, left_out: Counter[str]
) -> Iterator[Row]:
    """Each row as often as the weight of its source's name says, else that of its generator, else once.

    Of a weight's fraction a share of the rows is drawn by key: 1.5 reads every second row twice. Raises
    BadInput for a weight that no row has.
    """
    met = set[str]()
    for row in rows:
        name = next((x for x in (row["source"]["name"], row["generator"]) if x in weights), None)
        met.add(name or "")
        weight = 1.0 if name is None else weights[name]
        times = int(weight) + (unit_interval(seed, row["trace_id"], "weight") < weight % 1)
        if not times:
            left_out["of little weight"] += 1
        for _ in range(times):
            yield row
    if unmet := sorted(weights.keys() - met):
        raise BadInput(f"no trace that passes the filters is of '{unmet[0]}'", field="weights")
