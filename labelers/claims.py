"""What a step claims, so that two steps can be seen to say different things of the same."""

import re
from collections.abc import Iterable
from functools import lru_cache

from ..schemas import Outcome, Trace

_LONGEST = 2000
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_EQUATION = re.compile(
    r"((?:(?:\d[\d.,]*+|(?<![a-z])[a-z](?![a-z])|\bmod\b|[-+*/^()×÷·%])\s*+)++)=\s*(-?\d+(?:[.,]\d+)*)",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(r"[^\W_]+(?=\W*$)")

# Something said, and what is said of it.
Claim = tuple[str, str]


@lru_cache(maxsize=1 << 16)
def claim(step: str) -> Claim:
    """A step's last claim: the two sides of its last equation, else its words and their last number or word.

    Only the last 2,000 characters are looked at.
    """
    step = " ".join(step[-_LONGEST:].split())
    equations = claims(step)
    if equations:
        return equations[-1]
    said = list(_NUMBER.finditer(step))[-1:] or list(_LAST_WORD.finditer(step))
    if not said:
        return step, ""
    return f"{step[: said[0].start()]}#{step[said[0].end() :]}", said[0].group()


def claims(text: str) -> list[Claim]:
    """All equations of a text with a number on their right: their two sides."""
    return [(re.sub(r"\s", "", left), right) for left, right in _EQUATION.findall(text)]


class Support:
    """How many right solutions of one question claim what."""

    def __init__(self, solutions: Iterable[Trace]) -> None:
        """Counts the right ones among `solutions`, each as often as it was sampled.

        Of what a solution claims twice, the later counts: the former was mended.
        """
        self._counts: dict[str, dict[str, int]] = {}
        for trace in solutions:
            if trace.outcome is Outcome.CORRECT:
                self._add(trace, trace.count)

    def _add(self, trace: Trace, n: int) -> None:
        for key, value in dict(claim(trace.text[s.start : s.end]) for s in trace.steps).items():
            values = self._counts.setdefault(key, {})
            values[value] = values.get(value, 0) + n

    def of(self, claimed: Claim) -> tuple[int, int]:
        """How many claim the same, and how many something else of the same."""
        values = self._counts.get(claimed[0], {})
        same = values.get(claimed[1], 0)
        return same, sum(values.values()) - same
