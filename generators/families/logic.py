"""Small logic: ordering puzzles and truth counting."""

from . import counting, ordering
from .draws import Draw
from .problem import Problem

NAME = "logic"


def draw(d: Draw, level: int) -> str:
    """A question of the given level."""
    return ordering.draw_question(d, level) if d.chance(0.5) else counting.draw_question(d, level)


def read(question: str) -> Problem | None:
    """The problem that a question is, or None."""
    return ordering.read(question) or counting.read(question)
