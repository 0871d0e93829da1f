"""What a claim is worth, given the problem: whether it holds, and what it settles."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .expressions import Op, canonical, equation, evaluate, parse
from .problem import Problem

_COMPARED = re.compile(r"([0-9]{1,6})([<>])([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Judged:
    """`true`: the claim holds and the problem calls for it. `topics`: what it settles or, if false, spoils.

    `value` is the number that it gives to those topics, where it is an equation. `guessed`: a false claim
    that may have been meant for something else than its topics.
    """

    true: bool
    topics: frozenset[str] = frozenset()
    value: int | None = None
    guessed: bool = False


def judge(problem: Problem, claim: str, held: Mapping[str, int], *, testing: bool = False) -> Judged | None:
    """Judge a claim; None where it is in no notation of the problem. `testing` admits inverse operations.

    `held` has the values stated so far; it only helps to tell which quantity a wrong claim was meant for.
    """
    remarked = [said for remark in problem.remarks() if (said := remark.read(claim))]
    if remarked:
        said = max(remarked, key=lambda said: said.true)
        return Judged(said.true, said.topics)
    if own := problem.said(claim):
        return Judged(own.true, own.topics)
    if (sides := equation(claim)) is not None:
        return _equation(problem, *sides, held, testing)
    if compared := _COMPARED.fullmatch(claim):
        return _comparison(problem, int(compared[1]), compared[2], int(compared[3]))
    expr = parse(claim)
    if not isinstance(expr, Op):
        return None
    return Judged(problem.chart.root in problem.chart.denotes(expr), frozenset({"plan"}))


def part(problem: Problem, claim: str) -> Judged | None:
    """Judge an expression that is to be one part of the way to the answer."""
    expr = parse(claim)
    return Judged(bool(problem.chart.denotes(expr)), frozenset({"part"})) if isinstance(expr, Op) else None


def clashes(problem: Problem, claim: str, due: int, held: Mapping[str, int]) -> frozenset[str]:
    """The wrongly held quantities that `claim, not due` exposes by an inverse operation."""
    sides = equation(claim)
    if sides is None or evaluate(sides[0]) != sides[1] or sides[1] == due:
        return frozenset()
    return frozenset(
        key
        for key, stated in held.items()
        if stated != problem.chart.values[key] and _tests(problem, key, stated, sides[0], due)
    )


def _equation(problem: Problem, expr: Op, stated: int, held: Mapping[str, int], testing: bool) -> Judged:
    chart = problem.chart
    keys, holds = chart.denotes(expr), evaluate(expr) == stated
    if keys and holds:
        return Judged(True, keys, stated)
    if keys:
        plain = chart.denotes(expr, chart.givens | held.keys())
        return Judged(False, plain or keys, stated, guessed=not plain)
    if testing:
        tested = (key for key, value in chart.values.items() if _tests(problem, key, value, expr, stated))
        topics = frozenset(tested) if holds else frozenset[str]()
        return Judged(bool(topics), topics)
    near = chart.nearest(expr, held)
    return Judged(False, frozenset({near[0]}), stated, guessed=not near[1]) if near else Judged(False)


def _tests(problem: Problem, key: str, value: int, expr: Op, due: int) -> bool:
    """Whether `expr = due` is a test of `value` for a quantity."""
    shape = canonical(expr)
    return any(
        due == needed and canonical(test) == shape for test, needed in problem.chart.inverses(key, value)
    )


def _comparison(problem: Problem, left: int, sign: str, right: int) -> Judged:
    """Two known numbers compared; it settles how these two compare, and nothing else."""
    if not {left, right} <= set(problem.chart.values.values()):
        return Judged(False)
    low, high = sorted((left, right))
    return Judged(left > right if sign == ">" else left < right, frozenset({f"{low} or {high}"}))
