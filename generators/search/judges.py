"""A process reward model as the judge of a search."""

from collections.abc import Sequence

from ...models.headed import StepsRow
from ...models.network import RewardModel
from ...schemas import MarkupError, markup, split_steps
from .game import Scorer
from .notation import text_of

_NO_OPINION = 0.5


def prm_scorer(prm: RewardModel) -> Scorer:
    """Scores a chain of thought as its last step: the end of the prefix that it is.

    0.5 for one without a step, or that ends beyond the model's context.
    """

    def score(question: str, bodies: Sequence[str]) -> list[float]:
        rows = [_row(prm, question, body) for body in bodies]
        scores = prm.score_steps(rows)
        return [s[-1] if s and s[-1] == s[-1] else _NO_OPINION for s in scores]

    return score


def _row(prm: RewardModel, question: str, body: str) -> StepsRow:
    """A body as the PRM reads it: markup or text, with its steps' ends."""
    if prm.input == "markup" and markup.looks_like_markup(body):
        text, acts = markup.parse(body.removesuffix(markup.THINK_END), closed=False)
        text, acts = markup.trim(text, acts)
    else:
        text, acts = text_of(body), ()
    ends = [end for _, end in split_steps(text, acts)]
    try:
        return prm.row(question, text, acts, ends)
    except MarkupError:
        return prm.row(question, text, acts, ends[-1:])
