"""What proposals are made of: a goal's parts, and the terms in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..lean_reverse.english import is_fact, names_of
from ..lean_reverse.states import Goal, Hypothesis
from ..lean_reverse.terms import (
    Apply,
    Binder,
    Field,
    Infix,
    ListOf,
    Name,
    Prefix,
    Term,
    Unreadable,
    parse_term,
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A tactic and how promising it looks; weights are positive and need not sum to anything."""

    tactic: str
    weight: float


def read(text: str) -> Term | None:
    """The term, or None where its notation is not known."""
    try:
        return parse_term(text)
    except Unreadable:
        return None


def fresh(goal: Goal, base: str) -> str:
    """`base`, or `base` with the first number that makes it new in the goal."""
    names = names_of(goal)
    return next(n for n in (base, *(f"{base}{i}" for i in range(1, len(names) + 2))) if n not in names)


def facts_of(goal: Goal) -> list[Hypothesis]:
    """The hypotheses that say something and can be named."""
    return [h for h in goal.hypotheses if is_fact(h, goal) and "✝" not in h.name]


def objects_of(goal: Goal) -> list[Hypothesis]:
    """The variables that can be named."""
    return [h for h in goal.hypotheses if not is_fact(h, goal) and "✝" not in h.name]


def inside(term: Term) -> Iterator[Term]:
    """The term and all terms in it."""
    yield term
    parts: tuple[Term, ...] = ()
    match term:
        case Infix(_, left, right):
            parts = (left, right)
        case Prefix(_, operand):
            parts = (operand,)
        case Apply(function, arguments):
            parts = (function, *arguments)
        case Field(subject, _):
            parts = (subject,)
        case Binder(_, _, _, body):
            parts = (body,)
        case ListOf(items):
            parts = items
    for part in parts:
        yield from inside(part)


def literal(term: Term) -> int | None:
    """The number that the term is, if it is one."""
    return int(term.text) if isinstance(term, Name) and term.text.isdigit() else None


def any_of(cases: Sequence[str]) -> str:
    """Lean's disjunction."""
    return " ∨ ".join(cases)
