"""Seed families: problems of several kinds and levels, their CoTs in tagged acts, and who checks them."""

from collections.abc import Sequence
from functools import lru_cache

from ...schemas.errors import BadInput, CotmillError
from ...schemas.ids import rng_key, unit_interval
from ...schemas.records import ActSpan, Domain, Generator, Origin, Seed, Source
from ...schemas.steps import split_steps
from . import linear, logic, modular, sums, units, word
from .checker import StepTruth, check_steps
from .draws import Draw
from .problem import Family, Problem
from .writer import Line, write, write_wrong

__all__ = ["FAMILIES", "HELDOUT_SHARE", "LEVELS", "StepTruth", "answer_of", "check", "corrupt", "seed_at"]

_MODULES: dict[str, Family] = {m.NAME: m for m in (word, linear, modular, sums, units, logic)}
FAMILIES: tuple[str, ...] = tuple(_MODULES)
LEVELS = (1, 2, 3)
HELDOUT_SHARE = 0.1
_ATTEMPTS = 1000


def seed_at(
    run_seed: int,
    index: int,
    *,
    families: Sequence[str] = FAMILIES,
    levels: Sequence[int] = LEVELS,
    mistake_rate: float = 0.12,
    heldout: bool = False,
) -> Seed:
    """The `index`-th seed of a run, independent of every other; the right answer, no mistake unmended.

    A question is held out or not by its own hash, so that the two sides never share one. `mistake_rate`
    is the share of solution steps that go wrong. Raises BadInput for an unknown family or level.
    """
    if unknown := [*({*families} - {*FAMILIES}), *({*levels} - {*LEVELS})]:
        raise BadInput(f"no family or level {unknown[0]}")
    record = f"families {index}"
    kind = Draw(rng_key(run_seed, record, "kind"))
    family, level = kind.pick(families), kind.pick(levels)
    for attempt in range(_ATTEMPTS):
        draw = Draw(rng_key(run_seed, record, "question", attempt))
        question = _MODULES[family].draw(draw, level)
        problem = _MODULES[family].read(question)
        if problem is None or (unit_interval("heldout", question) < HELDOUT_SHARE) != heldout:
            continue
        lines = write(problem, draw, mistake_rate)
        text, acts = _joined(lines)
        # A coincidence of numbers can make a planted mistake true, or its mending unclear: draw again.
        truth = check_steps(problem, text)
        if not truth.clean[-1] or truth.right != tuple(line.right for line in lines):
            continue
        return Seed(
            question=question,
            answer=problem.answer,
            text=text,
            acts=acts,
            steps=split_steps(text, acts),
            domain=Domain.MATH,
            generator=Generator.FAMILY,
            origin=Origin.PROGRAM,
            source=Source(name=f"cotmill families/{family}/{level}", row=index, licence="Apache-2.0"),
        )
    raise CotmillError(f"no seed {index} of {family}/{level} in {_ATTEMPTS} draws")


def corrupt(seed: Seed, key: str, *, mistake_rate: float = 0.12) -> tuple[str, tuple[ActSpan, ...], int]:
    """Another CoT on a family seed's question, with one mistake that is never noticed.

    Returns its text, its acts, and the index of its first error; what follows the mistake is taken from
    the wrong value. Other mistakes before it are mended. Raises CotmillError for other questions.
    """
    problem = problem_of(seed.question)
    if problem is None:
        raise CotmillError(f"not a question of a family: {seed.question[:80]}")
    for attempt in range(_ATTEMPTS):
        written = write_wrong(problem, Draw(rng_key(0, key, "corrupt", attempt)), mistake_rate)
        if written is None:
            continue
        text, acts = _joined(written[0])
        truth = check_steps(problem, text)
        if truth.first_error == written[1]:
            return text, acts, written[1]
    raise CotmillError(f"no mistake can be planted in: {seed.question[:80]}")


@lru_cache(maxsize=4096)
def problem_of(question: str) -> Problem | None:
    """The problem that a question states, whichever family it is of; None if of none."""
    for family in _MODULES.values():
        if (problem := family.read(question)) is not None:
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


def _joined(lines: Sequence[Line]) -> tuple[str, tuple[ActSpan, ...]]:
    """Lines as one text and its acts, one act per line."""
    acts, at = [], 0
    for line in lines:
        acts.append(ActSpan(start=at, end=at + len(line.text), act=line.act))
        at += len(line.text) + 1
    return "\n".join(line.text for line in lines), tuple(acts)
