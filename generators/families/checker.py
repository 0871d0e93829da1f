"""The exact step checker: follows a text line by line and knows which steps are wrong, and which mended."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ...schemas.steps import split_steps
from . import phrases
from .judge import Judged, clashes, judge, part
from .phrases import Mood
from .problem import Problem


@dataclass(frozen=True, slots=True)
class StepTruth:
    """What is true of a text's steps (those of `schemas.split_steps`).

    `right[i]`: what step i says holds, given the problem. `clean[i]`: after step i no unmended error is
    pending. `first_error`: the first wrong step that is never mended. `answer_right`: the last answer
    given is the problem's.
    """

    right: tuple[bool, ...]
    clean: tuple[bool, ...]
    first_error: int | None
    answer_right: bool


@dataclass(slots=True)
class _Error:
    """A wrong step: `spoilt` is what must yet be stated rightly to mend it, if one can tell (`known`).

    Where that is `guessed`, only a correction mends it, or a statement after it was noticed.
    """

    step: int
    claim: str
    judged: Judged
    alarm: bool
    spoilt: frozenset[str]
    noticed: bool = False

    @property
    def known(self) -> bool:
        return bool(self.judged.topics)


@dataclass(slots=True)
class _Reading:
    """What a text has stated so far, and the errors that it has not mended."""

    problem: Problem
    at: int = -1
    held: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    asserted: set[str] = field(default_factory=set)
    latest: frozenset[str] = frozenset()
    errors: list[_Error] = field(default_factory=list)
    answered: bool = False

    def step(self, text: str) -> bool:
        """Read the next step; whether it is right."""
        self.at += 1
        right = [self._line(line) for line in text.splitlines() if line.strip()]
        return all(right)

    def _line(self, text: str) -> bool:
        line = phrases.read(text)
        if line is None:
            return self._fail(text)
        match line.mood:
            case Mood.ANSWER:
                self.answered = line.claim == self.problem.answer
                return self._count(line.claim, Judged(self.answered, frozenset({"answer"})), line.mood)
            case Mood.PART:
                return self._count(line.claim, part(self.problem, line.claim), line.mood)
            case Mood.SUM_UP if _number(line.claim) is not None:
                return self._sum_up(line.claim)
            case Mood.DOUBT:
                known = self._numbers() if _number(line.claim) is not None else self.asserted
                return _plain(line.claim) in known or self._fail(line.claim)
            case Mood.DETECT:
                return self._detect(line.claim)
            case Mood.CLASH:
                exposed = clashes(self.problem, line.claim, line.value or 0, self.held)
                return self._notice(lambda error: bool(error.spoilt & exposed)) or self._alarm(line.claim)
            case Mood.SUSPECT:
                return self._notice(lambda error: not error.alarm) or self._alarm()
            case Mood.RESTART:
                return self._return_to(-1, frozenset())
            case Mood.BACK:
                return self._back(line.claim)
        testing = line.mood is Mood.CHECK
        return self._count(line.claim, judge(self.problem, line.claim, self.held, testing=testing), line.mood)

    def _count(self, claim: str, judged: Judged | None, mood: Mood) -> bool:
        """Take a claim in: note its value, and mend or open errors."""
        self.asserted.add(_plain(claim))
        if judged is None:
            return self._fail(claim)
        if judged.value is not None:
            stated = judged.topics - self.settled.keys() if judged.guessed else judged.topics
            self.held.update(dict.fromkeys(stated, judged.value))
            self.latest = judged.topics
        if not judged.true:
            return self._fail(claim, judged)
        if not self._settle(judged.topics, mending=mood is Mood.MEND) and mood in (Mood.MEND, Mood.CHECK):
            self._mend_unknown(alarms_only=mood is Mood.CHECK)
        return True

    def _sum_up(self, claim: str) -> bool:
        values = {self.problem.chart.values[key] for key in self.latest}
        judged = Judged(_number(claim) in values, self.latest, _number(claim))
        return self._count(claim, judged, Mood.SUM_UP)

    def _detect(self, claim: str) -> bool:
        """Something said before is called wrong: by its number, in its own words, or in others."""
        number = _number(claim)
        if number is not None:
            return self._notice(lambda error: error.judged.value == number) or self._alarm(claim)
        if self._notice(lambda error: _plain(error.claim) == _plain(claim)):
            return True
        judged = judge(self.problem, claim, self.held) or Judged(False)
        if judged.true:
            return self._alarm(claim, judged)
        return self._notice(lambda error: bool(error.spoilt & judged.topics)) or self._alarm(claim)

    def _notice(self, meant: Callable[[_Error], bool]) -> bool:
        """Note the pending errors that are meant as noticed; false if there are none."""
        found = [error for error in self.errors if meant(error)]
        for error in found:
            error.noticed = True
        return bool(found)

    def _back(self, claim: str) -> bool:
        """Return to where a number or a statement was established: the errors made after it are abandoned.

        A given number leads back to before the last error that used it.
        """
        number, chart = _number(claim), self.problem.chart
        if number is not None:
            topics = frozenset(key for key in self.settled if chart.values.get(key) == number)
            given = str(number) in chart.values
        else:
            judged = judge(self.problem, claim, self.held)
            topics = judged.topics if judged and judged.true else frozenset()
            topics = topics if topics <= self.settled.keys() else frozenset()
            given = claim in self.problem.question
        if topics:
            return self._return_to(max(self.settled[topic] for topic in topics), topics)
        if not given:
            return self._fail(claim)
        used = [error.step for error in self.errors if re.search(rf"\b{re.escape(claim)}\b", error.claim)]
        return self._return_to(max(used, default=self.at) - 1, frozenset({claim}))

    def _return_to(self, step: int, topics: frozenset[str]) -> bool:
        gone = {topic for error in self.errors if error.step > step for topic in error.spoilt}
        self.held = {key: value for key, value in self.held.items() if key not in gone}
        self.errors = [error for error in self.errors if error.step <= step]
        self.latest = topics & self.problem.chart.values.keys()
        return True

    def _numbers(self) -> set[str]:
        return {str(n) for n in (*self.held.values(), *self.problem.chart.values.values())}

    def _fail(self, claim: str = "", judged: Judged | None = None) -> bool:
        judged = judged or Judged(False)
        self.errors.append(_Error(self.at, claim, judged, alarm=False, spoilt=judged.topics))
        if not judged.guessed:
            self.settled = {topic: at for topic, at in self.settled.items() if topic not in judged.topics}
        return False

    def _alarm(self, claim: str = "", impugned: Judged | None = None) -> bool:
        """An error is claimed where there is none; a restatement of what it impugns mends that."""
        judged = Judged(False, impugned.topics) if impugned else Judged(False)
        self.errors.append(_Error(self.at, claim, judged, alarm=True, spoilt=judged.topics))
        return False

    def _settle(self, topics: frozenset[str], *, mending: bool) -> bool:
        """Note what has been stated rightly; true if that mended an error."""
        self.settled.update(dict.fromkeys(topics, self.at))
        before = len(self.errors)
        for error in self.errors:
            if mending or error.noticed or not error.judged.guessed:
                error.spoilt -= topics
        self.errors = [error for error in self.errors if error.spoilt or not error.known]
        return len(self.errors) < before

    def _mend_unknown(self, *, alarms_only: bool) -> None:
        """A correction that mends nothing by its topic mends the last error that nobody can place."""
        for i in reversed(range(len(self.errors))):
            error = self.errors[i]
            if not error.known and (error.alarm or not alarms_only):
                del self.errors[i]
                return


def check_steps(problem: Problem, text: str) -> StepTruth:
    """The truth about every step of a text on this problem."""
    reading = _Reading(problem)
    right, clean = [], []
    for start, end in split_steps(text):
        right.append(reading.step(text[start:end]))
        clean.append(not reading.errors)
    first = min((error.step for error in reading.errors), default=None)
    return StepTruth(tuple(right), tuple(clean), first, reading.answered)


def _plain(claim: str) -> str:
    return claim.replace(" ", "")


def _number(claim: str) -> int | None:
    digits = claim.removeprefix("-")
    return int(claim) if digits.isascii() and digits.isdigit() and len(digits) < 7 else None
