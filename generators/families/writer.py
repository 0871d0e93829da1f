"""Writes a problem's CoT in tagged acts, with planted mistakes that are noticed and mended."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import phrases
from .draws import Draw, slipped
from .expressions import evaluate, show
from .judge import judge
from .moves import MAX, Calc, Held, Move
from .phrases import Mood
from .problem import Problem

# How often a CoT opens with a remark, gives its plan, names a first part.
_REMARK, _PLAN, _PART = 0.5, 0.3, 0.12
# How often a step is tested, doubted without need, or summed up; and a mistake doubted before it is seen.
_TEST, _FALSE_ALARM, _SUM_UP, _HESITATE = 0.07, 0.05, 0.05, 0.15
# How often a mistake is one of the wrong operation; how many further steps are taken before it is noticed.
_CONFUSED, _DELAYS = 0.2, (0, 0, 0, 1, 2)
# No further mistakes or asides once a CoT would grow longer than this.
_MOST_LINES = 14


class Line(NamedTuple):
    """A step: its act, its text, and whether it is meant to be right."""

    act: str
    text: str
    right: bool = True


def write(problem: Problem, draw: Draw, mistake_rate: float) -> list[Line]:
    """A CoT, one act per line, that ends in the right answer; every mistake in it is mended."""
    writer = _Writer(problem, draw, mistake_rate)
    writer.open()
    writer.take_all(mend_from=0)
    writer.close(problem.answer)
    return writer.lines


def write_wrong(problem: Problem, draw: Draw, mistake_rate: float) -> tuple[list[Line], int] | None:
    """A CoT with one mistake that nobody notices, and the index of its line; None if it can't be carried.

    What follows the mistake is taken from the wrong value, the answer too.
    """
    writer = _Writer(problem, draw, mistake_rate)
    writer.open()
    planted = writer.take_all(mend_from=draw.between(1, len(writer.moves)))
    if planted is None:
        return None
    writer.close(problem.concluded(writer.held, writer.moves))
    return writer.lines, planted


class _Writer:
    """One CoT in the making: its lines, and the values held so far."""

    def __init__(self, problem: Problem, draw: Draw, mistake_rate: float) -> None:
        self.problem, self.draw, self.rate = problem, draw, mistake_rate
        self.moves = problem.moves(draw)
        self.lines: list[Line] = []
        self.held: dict[str, Any] = {}

    def open(self) -> None:
        """Perhaps a remark (perhaps misread, then mended), the plan, a first part."""
        draw, remarks = self.draw, self.problem.remarks()
        if remarks and draw.chance(_REMARK):
            remark = draw.pick(remarks)
            wrong = remark.misread(draw) if draw.chance(self.rate) else None
            if wrong:
                self.lines.append(Line(remark.act, f"{wrong}.", right=False))
                self._say(Mood.SUSPECT)
                self.lines.append(Line("Correct", f"No, {remark.text}."))
            else:
                self.lines.append(Line(remark.act, f"{remark.text}."))
        plan, first = self.problem.plan(), self.moves[0]
        if plan and draw.chance(_PLAN):
            self._plan(plan)
        elif len(self.moves) > 2 and isinstance(first, Calc) and draw.chance(_PART):
            self._say(Mood.PART, first.expression({}))

    def _plan(self, plan: str) -> None:
        """The plan, perhaps after a wrong one that is noticed."""
        draw = self.draw
        if draw.chance(self.rate) and self._is_wrong(wrong := _miscopied(draw, plan)):
            act, text = phrases.write(draw, Mood.PLAN, wrong)
            self.lines.append(Line(act, text, right=False))
            self._say(Mood.DETECT, wrong)
            if draw.chance(0.5):
                self._say(Mood.MEND, plan)
                return
            self._say(Mood.RESTART)
        self._say(Mood.PLAN, plan)

    def take_all(self, mend_from: int) -> int | None:
        """Take every move; the one before `mend_from` (from 1) wrongly and for good, others mended.

        Returns the line of the mistake that stays, or None if there is none.
        """
        at, planted = 0, None
        while at < len(self.moves):
            move = self.moves[at]
            if at + 1 == mend_from and planted is None:
                wrong = self._slip(move)
                if wrong is None:
                    return None
                planted, self.rate = len(self.lines) - 1, 0.0
                at += 1
                continue
            if planted is not None and move.value(self.held) is None:
                return None
            taken = self._mistaken(at) if self._room(at, 5) and self.draw.chance(self.rate) else 0
            if not taken:
                self._take(move)
                if self._room(at):
                    self._look_back(move, last=at == len(self.moves) - 1)
            at += taken or 1
        return planted

    def close(self, answer: str) -> None:
        if answer == self.problem.answer and self._room(len(self.moves)):
            self.lines += [Line(act, claim) for act, claim in self.problem.proofs(self.draw)]
        self._say(Mood.ANSWER, answer)

    def _room(self, at: int, lines: int = 2) -> bool:
        """Whether so many more lines may be written beside the moves from `at` on."""
        return len(self.lines) + len(self.moves) - at + lines <= _MOST_LINES

    def _say(self, mood: Mood, claim: str = "", value: int | None = None) -> None:
        self.lines.append(Line(*phrases.write(self.draw, mood, claim, value)))

    def _state(self, move: Move, held: Held, *, right: bool = True) -> None:
        self.lines.append(Line(*phrases.state(self.draw, move.act, move.text(held)), right))

    def _take(self, move: Move, mood: Mood | None = None) -> None:
        """Take a move as it should be taken from what is held."""
        self.held[move.key] = move.value(self.held)
        if mood is None:
            self._state(move, self.held)
        else:
            self._say(mood, move.text(self.held))

    def _slip(self, move: Move) -> Any | None:
        """Take a move wrongly; its wrong value, or None if nothing wrong could be said."""
        wrong = move.slip(self.draw, self.held)
        if wrong is None or not self._is_wrong(move.text(trial := {**self.held, move.key: wrong})):
            return None
        self.held = trial
        self._state(move, trial, right=False)
        return wrong

    def _mistaken(self, at: int) -> int:
        """Take a move wrongly, perhaps go on from it, notice it, mend it; how many moves that took, or 0."""
        draw, move = self.draw, self.moves[at]
        if draw.chance(_CONFUSED) and self._confuse(move):
            return 1
        wrong = self._slip(move)
        if wrong is None:
            return 0
        claim = move.text(self.held)
        passed, spoilt = self._carry(at, draw.pick(_DELAYS))
        self._notice(move, claim, wrong)
        for again in (move, *spoilt):
            self._take(again, Mood.MEND)
        return 1 + passed

    def _confuse(self, move: Move) -> bool:
        """The wrong operation, then back to where it began; false if it can't be told from a right step."""
        confused = move.confused(self.held)
        if confused is None:
            return False
        claim, origin = confused
        known = origin in self.problem.chart.values or int(origin) in self.held.values()
        if not known or not self._is_wrong(claim):
            return False
        self.lines.append(Line(*phrases.state(self.draw, move.act, claim), right=False))
        self._say(Mood.DETECT, claim)
        self._say(Mood.BACK, origin)
        self._take(move)
        return True

    def _carry(self, at: int, steps: int) -> tuple[int, Sequence[Move]]:
        """Go on for up to `steps` moves from a wrong value: how many, and which of them must be redone."""
        wrong, redo, passed = {self.moves[at].key}, [], 0
        for move in self.moves[at + 1 : at + 1 + steps]:
            value = move.value(self.held)
            trial = {**self.held, move.key: value}
            carried = bool(wrong & set(move.needs))
            if value is None or (carried and not self._is_wrong(move.text(trial))):
                break
            if carried:
                wrong.add(move.key)
                redo.append(move)
            self.held = trial
            self._state(move, trial, right=not carried)
            passed += 1
        return passed, redo

    def _notice(self, move: Move, claim: str, wrong: Any) -> None:
        draw, number = self.draw, type(wrong) is int
        if draw.chance(_HESITATE):
            self._say(Mood.DOUBT, str(wrong) if number and draw.chance(0.5) else claim)
        clashes = [
            (test, due, got)
            for test, due in move.tests(self.held)
            if (got := evaluate(test)) is not None and got != due and 0 <= got <= MAX
        ]
        if clashes and draw.chance(0.2):
            test, due, got = draw.pick(clashes)
            self._say(Mood.CLASH, f"{show(test)}={got}", due)
        else:
            self._say(Mood.DETECT, str(wrong) if number and draw.chance(0.3) else claim)

    def _look_back(self, move: Move, *, last: bool) -> None:
        """Now and then a doubt that proves unfounded, a test, or a summary."""
        draw, value = self.draw, self.held[move.key]
        tests = list(move.tests(self.held))
        if draw.chance(_FALSE_ALARM):
            claim = move.text(self.held)
            self._say(Mood.DOUBT, claim)
            self._say(Mood.CHECK, claim)
        elif tests and draw.chance(_TEST):
            test, due = draw.pick(tests)
            self._say(Mood.CHECK, f"{show(test)}={due}")
        elif type(value) is int and not last and draw.chance(_SUM_UP):
            self._say(Mood.SUM_UP, str(value))

    def _is_wrong(self, claim: str) -> bool:
        judged = judge(self.problem, claim, {})
        return judged is None or not judged.true


def _miscopied(draw: Draw, expression: str) -> str:
    """The expression with one sign or one number wrong."""
    signs = [i for i, c in enumerate(expression) if c in "+-"]
    if signs and draw.chance(0.5):
        i = draw.pick(signs)
        return expression[:i] + ("-" if expression[i] == "+" else "+") + expression[i + 1 :]
    number = draw.pick(list(re.finditer("[0-9]+", expression)))
    return expression[: number.start()] + str(slipped(draw, int(number.group()))) + expression[number.end() :]
