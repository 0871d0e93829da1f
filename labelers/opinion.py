"""What a judge of steps says, and how it is written down."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..schemas import Judge, Trace


@dataclass(frozen=True, slots=True)
class Opinion:
    """On one solution: the index of its first wrong step (None: no step is wrong).

    `scores[i]` in [0, 1]: how likely the solution is still right after step i.
    """

    first_error: int | None
    scores: tuple[float, ...]


class StepJudge(Protocol):
    """Names the first wrong step of solutions."""

    @property
    def name(self) -> str:
        """Who judges, as it stands in `judge.by`."""

    def opinions(self, traces: Sequence[Trace], pool: Sequence[Trace]) -> list[Opinion | None]:
        """One opinion for each trace, None where there is none. `pool`: all solutions of their questions."""


def with_opinion(trace: Trace, opinion: Opinion | None, by: str) -> Trace:
    """The trace with an opinion on each step: right (1) before the first wrong one, wrong (-1) from it on."""
    if opinion is None:
        return trace
    bad = len(trace.steps) if opinion.first_error is None else opinion.first_error
    steps = (
        step.model_copy(update={"judge": Judge(label=1 if i < bad else -1, score=round(score, 4), by=by)})
        for i, (step, score) in enumerate(zip(trace.steps, opinion.scores, strict=True))
    )
    return trace.model_copy(update={"steps": tuple(steps)})
