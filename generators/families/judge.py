"""What a claim is worth, given the problem: whether it holds, and what it settles."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .expressions import canonical, equation, evaluate, parse
from .problem import Problem

_PLAN = frozenset({"plan"})
_COMPARED = re.compile(r"(-?[0-9]{1,6})([<>])(-?[0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Judged:
    """`true`: the claim holds and the problem calls for it. `topics`: what it settles or, if false, spoils.

    `value` is the number that an equation states.
    """

    true: bool
    topics: frozenset[str] = frozenset()
    value: int | None = None


def judge(problem: Problem, claim: str, held: Mapping[str, int], *, testing: bool = False) -> Judged | None:
    """Judge a claim; None where it is in no notation of the problem. `testing` admits inverse operations.

    `held` has the values stated so far; it only helps to tell which quantity a wrong claim was meant for.
    """
    remarked = [said for remark in problem.remarks() if (said := remark.read(claim))]
    if remarked:
        said = max(remarked, key=lambda said: said.true)
        return Judged(said.true, said.topics)
    if said := problem.said(claim):
        return Judged(said.true, said.topics)
    if (sides := equation(claim)) is not None:
        return _equation(problem, *sides, held, testing)
    if compared := _COMPARED.fullmatch(claim):
        return _comparison(problem, int(compared[1]), compared[2], int(compared[3]))
    expr = parse(claim)
    if expr is None or isinstance(evaluate(expr), type(None)) or claim.lstrip("-").isdigit():
        return None
    return Judged(problem.chart.root in problem.chart.denotes(expr), _PLAN)


def part(problem: Problem, claim: str) -> Judged | None:
    """Judge an expression that is to be one part of the way to the answer."""
    expr = parse(claim)
    if expr is None or claim.lstrip("-").isdigit():
        return None
    return Judged(bool(problem.chart.denotes(expr)), frozenset({"part"}))


def clashes(problem: Problem, claim: str, value: int, held: Mapping[str, int]) -> frozenset[str]:
    """The wrongly held quantities that `claim, not value` exposes by an inverse operation."""
    sides = equation(claim)
    if sides is None or evaluate(sides[0]) != sides[1] or sides[1] == value:
        return frozenset()
    shape = canonical(sides[0])
    return frozenset(
        key
        for key, stated in held.items()
        if stated != problem.chart.values[key]
        for test, expected in problem.chart.inverses(key, stated)
        if expected == value and canonical(test) == shape
    )


def _equation(problem: Problem, expr, stated: int, held: Mapping[str, int], testing: bool) -> Judged:
    chart = problem.chart
    keys = chart.denotes(expr)
    if keys and evaluate(expr) == stated:
        return Judged(True, keys, stated)
    if testing and evaluate(expr) == stated and (tested := _tested(problem, expr, stated)):
        return Judged(True, tested)
    if keys:
        return Judged(False, keys, stated)
    near = chart.nearest(expr, held)
    return Judged(False, frozenset({near} if near else ()), stated)


def _tested(problem: Problem, expr, stated: int) -> frozenset[str]:
    chart, shape = problem.chart, canonical(expr)
    return frozenset(
        way.key
        for way in chart.ways
        for test, expected in chart.inverses(way.key, chart.values[way.key])
        if expected == stated and canonical(test) == shape
    )


def _comparison(problem: Problem, left: int, sign: str, right: int) -> Judged:
    known = set(problem.chart.values.values())
    true = (left > right) == (sign == ">") and left != right and {left, right} <= known
    return Judged(true, frozenset({"comparison"}))
