"""Seed families: problems of several kinds and levels, their CoTs in tagged acts, and who checks them."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from types import ModuleType

from ...schemas.ids import rng_key, unit_interval
from ...schemas.records import ActSpan, Domain, Generator, Origin, Seed, Source
from ...schemas.steps import split_steps
from . import linear, logic, modular, sums, units, word
from .checker import StepTruth, check_steps
from .draws import Draw
from .problem import Problem
from .writer import write

__all__ = ["FAMILIES", "HELDOUT_SHARE", "LEVELS", "StepTruth", "answer_of", "check", "seed_at"]

_MODULES: dict[str, ModuleType] = {m.NAME: m for m in (word, linear, modular, sums, units, logic)}
FAMILIES: tuple[str, ...] = tuple(_MODULES)
LEVELS = (1, 2, 3)
HELDOUT_SHARE = 0.1


def seed_at(
    run_seed: int,
    index: int,
    *,
    families: Sequence[str] = FAMILIES,
    levels: Sequence[int] = LEVELS,
    mistake_rate: float = 0.12,
    heldout: bool = False,
) -> Seed:
    """The `index`-th seed of a run, independent of every other.

    A question is held out or not by its own hash, so that the two sides never share one. `mistake_rate`
    is the share of solution steps that go wrong and are mended.
    """
    record = f"families {index}"
    first = Draw(rng_key(run_seed, record, "kind"))
    family, level = first.pick(families), first.pick(levels)
    for attempt in count():
        draw = Draw(rng_key(run_seed, record, "question", attempt))
        question = _MODULES[family].draw(draw, level)
        if (unit_interval("heldout", question) < HELDOUT_SHARE) != heldout:
            continue
        problem = problem_of(question)
        assert problem is not None, question
        lines = write(problem, draw, mistake_rate)
        text = "\n".join(line.text for line in lines)
        # A coincidence of numbers can make a planted mistake true, or its mending unclear: draw again.
        truth = check_steps(problem, text)
        if truth.clean[-1] and truth.right == tuple(line.right for line in lines):
            break
    acts, at = [], 0
    for line in lines:
        acts.append(ActSpan(start=at, end=at + len(line.text), act=line.act))
        at += len(line.text) + 1
    return Seed(
        question=question,
        answer=problem.answer,
        text=text,
        acts=tuple(acts),
        steps=split_steps(text, acts),
        domain=Domain.MATH,
        generator=Generator.FAMILY,
        origin=Origin.PROGRAM,
        source=Source(name=f"cotmill families/{family}/{level}", row=index, licence="Apache-2.0"),
    )


@lru_cache(maxsize=4096)
def problem_of(question: str) -> Problem | None:
    """The problem that a question states, whichever family it is of; None if of none."""
    for module in _MODULES.values():
        problem: Problem | None = module.read(question)
        if problem is not None:
            return problem
    return None


def check(question: str, text: str) -> StepTruth | None:
    """The truth about every step of any text on a family's question; None for other questions."""
    problem = problem_of(question)
    return None if problem is None else check_steps(problem, text)


def answer_of(question: str) -> str | None:
    """The answer to a family's question; None for other questions."""
    problem = problem_of(question)
    return None if problem is None else problem.answer
