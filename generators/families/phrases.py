"""The sentences of the families' CoTs: one table from which they are written and by which they are read."""

import re
from dataclasses import dataclass
from enum import StrEnum

from .draws import Draw


class Mood(StrEnum):
    """What a line does with its claim."""

    ASSERT = "assert"
    PLAN = "plan"
    PART = "part"
    SUM_UP = "sum_up"
    CHECK = "check"
    DOUBT = "doubt"
    DETECT = "detect"
    CLASH = "clash"
    SUSPECT = "suspect"
    MEND = "mend"
    BACK = "back"
    RESTART = "restart"
    ANSWER = "answer"


# In reading, the first that fits a line counts. `{claim}` is anything, `{value}` a number.
FORMS: tuple[tuple[Mood, str, str], ...] = (
    (Mood.ANSWER, "Answer", "The answer is {claim}"),
    (Mood.ANSWER, "Answer", "So the answer is {claim}"),
    (Mood.ANSWER, "Answer", "Answer: {claim}"),
    (Mood.CLASH, "DetectError", "Hmm, {claim}, not {value}"),
    (Mood.CLASH, "DetectError", "Wait, {claim}, not {value}"),
    (Mood.DOUBT, "Uncertain", "Hmm, is {claim}?"),
    (Mood.DOUBT, "Uncertain", "Is {claim} right?"),
    (Mood.DOUBT, "Uncertain", "Not sure about {claim}"),
    (Mood.DETECT, "DetectError", "Wait, {claim} is wrong"),
    (Mood.DETECT, "DetectError", "Hmm, {claim} is not right"),
    (Mood.DETECT, "DetectError", "No, {claim} is off"),
    (Mood.SUSPECT, "DetectError", "Wait, I misread that"),
    (Mood.SUSPECT, "DetectError", "Wait, something is off"),
    (Mood.RESTART, "Backtrack", "Start again"),
    (Mood.RESTART, "Backtrack", "Back to the start"),
    (Mood.BACK, "Backtrack", "Back to {claim}"),
    (Mood.BACK, "Backtrack", "Go back to {claim}"),
    (Mood.SUM_UP, "Summarize", "So far {claim}"),
    (Mood.SUM_UP, "Summarize", "We have {claim} now"),
    (Mood.PART, "Decompose", "First {claim}, then the rest"),
    (Mood.PART, "Decompose", "Start with {claim}, then go on"),
    (Mood.PLAN, "Plan", "Plan: {claim}"),
    (Mood.PLAN, "Plan", "We need {claim}"),
    (Mood.PLAN, "Plan", "That is {claim}"),
    (Mood.CHECK, "Check", "Check: {claim}, ok"),
    (Mood.CHECK, "Check", "{claim}, good"),
    (Mood.CHECK, "Check", "Yes, {claim}"),
    (Mood.MEND, "Correct", "No, {claim}"),
    (Mood.MEND, "Correct", "It should be {claim}"),
    (Mood.MEND, "Correct", "Redo: {claim}"),
    (Mood.ASSERT, "", "So {claim}"),
    (Mood.ASSERT, "", "Then {claim}"),
    (Mood.ASSERT, "", "Now {claim}"),
    (Mood.ASSERT, "", "{claim}"),
)
_PLAIN = FORMS[-1][2]
_MAX_LINE = 200
_LEAD = 0.15


def _pattern(template: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{claim\}|\{value\})", template)
    fields = {"{claim}": "(?P<claim>.+)", "{value}": "(?P<value>-?[0-9]+)"}
    return re.compile("".join(fields.get(p) or re.escape(p) for p in pieces))


_READERS = tuple((mood, _pattern(template)) for mood, _, template in FORMS)


@dataclass(frozen=True, slots=True)
class Line:
    """A line read: its mood, its claim (empty for moods without one), and the second number of a CLASH."""

    mood: Mood
    claim: str
    value: int | None = None


def read(text: str) -> Line | None:
    """A line of any text; None where no form fits. A full stop at its end is left out."""
    text = text.strip().removesuffix(".")
    if not text or len(text) > _MAX_LINE or "\n" in text:
        return None
    for mood, pattern in _READERS:
        if match := pattern.fullmatch(text):
            groups = match.groupdict()
            value = groups.get("value")
            return Line(mood, groups.get("claim", "").strip(), None if value is None else int(value[:9]))
    return None


def write(draw: Draw, mood: Mood, claim: str = "", value: int | None = None) -> tuple[str, str]:
    """An act and a line in the given mood."""
    act, template = draw.pick([(act, t) for m, act, t in FORMS if m is mood])
    return act, _stop(template.format(claim=claim, value=value))


def state(draw: Draw, act: str, claim: str) -> tuple[str, str]:
    """An act and a line that asserts the claim, with a lead word now and then."""
    leads = [t for m, _, t in FORMS if m is Mood.ASSERT and t != _PLAIN]
    lead = ":" not in claim and draw.chance(_LEAD)
    return act, _stop(draw.pick(leads).format(claim=claim)) if lead else claim


def _stop(text: str) -> str:
    return text if text.endswith("?") else text + "."
