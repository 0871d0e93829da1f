"""Mathematical answers: extraction, a fast path for plain numbers, algebra in a killable process."""

from collections.abc import Iterable
from typing import Self

from ..schemas import Verdict
from .algebra import Algebra
from .answers import extract_answer
from .base import Closing, Pair, correct, undecided, wrong
from .numbers import same_number, same_word

_SHOWN = 160


class MathVerifier(Closing):
    """Compares the final answers of two texts (CoTs or bare answers). Symmetric where both have one.

    Picklable; one algebra process per instance, started at the first answer that needs it. `cpu_s` bounds
    each comparison; what exceeds it is undecided.
    """

    def __init__(self, cpu_s: float = 2.0) -> None:
        self._algebra = Algebra(cpu_s)

    @property
    def name(self) -> str:
        return "math"

    @property
    def restarts(self) -> int:
        """How often the algebra's process was lost (limit, crash) and started again."""
        return max(0, self._algebra.restarts)

    def verify(self, prediction: str, reference: str) -> Verdict:
        """Undecided where the reference has no answer, or an answer is unreadable or beyond the limits."""
        gold = extract_answer(reference)
        if gold is None:
            return undecided("no answer in the reference")
        found = extract_answer(prediction)
        if found is None:
            return wrong("no final answer", f"reference: {_shown(gold)}")
        evidence = f"answer: {_shown(found)}; reference: {_shown(gold)}"
        if found == gold:
            return correct("the same text", evidence)
        same = same_number(found, gold)
        if same is None:
            same = same_word(found, gold)
        if same is not None:
            return correct("the same value", evidence) if same else wrong("another value", evidence)
        finding, reason = self._algebra.ask(*sorted((found, gold)))
        decide = {"same": correct, "different": wrong}.get(finding, undecided)
        return decide(reason, evidence)

    def verify_many(self, pairs: Iterable[Pair]) -> list[Verdict]:
        return [self.verify(prediction, reference) for prediction, reference in pairs]

    def close(self) -> None:
        self._algebra.close()

    def __reduce__(self) -> tuple[type[Self], tuple[float]]:
        return type(self), (self._algebra.cpu_s,)


def _shown(answer: str) -> str:
    return answer if len(answer) <= _SHOWN else answer[: _SHOWN - 1] + "…"
