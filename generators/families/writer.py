"""Writes a problem's CoT in tagged acts, with planted mistakes that are noticed and mended."""

from typing import Any, NamedTuple

from . import phrases
from .draws import Draw
from .expressions import show
from .judge import judge
from .moves import Move
from .phrases import Mood
from .problem import Problem


class Line(NamedTuple):
    """A step: its act, its text, and whether it is meant to be right."""

    act: str
    text: str
    right: bool = True


_OPENING, _PLAN, _PART, _MISREAD = 0.55, 0.3, 0.1, 0.05
_TEST, _FALSE_ALARM, _SUM_UP, _HESITATE = 0.08, 0.05, 0.05, 0.15


class Writer:
    """One CoT in the making: its lines, and the values held so far."""

    def __init__(self, problem: Problem, draw: Draw, mistake_rate: float) -> None:
        self.problem, self.draw, self.rate = problem, draw, mistake_rate
        self.lines: list[Line] = []
        self.held: dict[str, Any] = {}

    def write(self) -> list[Line]:
        """The acts and lines of the whole CoT."""
        self._open()
        moves = self.problem.moves(self.draw)
        at = 0
        while at < len(moves):
            slipped = self.draw.chance(self.rate) and self._mistake(moves, at)
            if slipped:
                at = slipped
                continue
            self._take(moves[at])
            self._look_back(moves[at], last=at == len(moves) - 1)
            at += 1
        self.lines += [Line(act, text) for act, text in self.problem.proofs(self.draw)]
        self._say(Mood.ANSWER, self.problem.answer)
        return self.lines

    def _say(self, mood: Mood, claim: str = "", value: int | None = None) -> None:
        self.lines.append(Line(*phrases.write(self.draw, mood, claim, value)))

    def _state(self, act: str, claim: str, *, right: bool = True) -> None:
        self.lines.append(Line(*phrases.state(self.draw, act, claim), right))

    def _open(self) -> None:
        draw, remarks = self.draw, self.problem.remarks()
        if remarks and draw.chance(_OPENING):
            remark = draw.pick(remarks)
            wrong = remark.misread(draw) if draw.chance(self.rate) else None
            if wrong:
                self.lines.append(Line(remark.act, wrong + ".", False))
                self._say(Mood.SUSPECT)
                self.lines.append(Line("Correct", f"No, {remark.text}."))
            else:
                self.lines.append(Line(remark.act, remark.text + "."))
        plans = self.problem.plans()
        if plans and draw.chance(_PLAN):
            self._say(Mood.PLAN, draw.pick(plans))

    def _take(self, move: Move, mood: Mood | None = None) -> None:
        """Write a move as it should be, from what is held."""
        value = move.value(self.held)
        assert value is not None, (self.problem.question, move)
        self.held[move.key] = value
        claim = move.text(self.held)
        if mood is None:
            self._state(move.act, claim)
        else:
            self._say(mood, claim)

    def _mistake(self, moves: list[Move], at: int) -> int:
        """Take the move wrongly, perhaps go on from it, notice, mend; where to go on, or 0 if it can't be."""
        draw, move = self.draw, moves[at]
        if draw.chance(0.2) and (confused := move.confused(draw, self.held)):
            claim, origin = confused
            if self._is_wrong(claim) and self._is_known(origin):
                self._state(move.act, claim, right=False)
                self._say(Mood.DETECT, claim)
                self._say(Mood.BACK, origin)
                self._take(move)
                return at + 1
        wrong = move.slip(draw, self.held)
        if wrong is None:
            return 0
        trial = {**self.held, move.key: wrong}
        claim = move.text(trial)
        if not self._is_wrong(claim):
            return 0
        self.held = trial
        self._state(move.act, claim, right=False)
        carried = self._carry(moves, at, draw.pick((0, 0, 0, 1, 2)))
        self._notice(move, claim, wrong)
        self._take(move, Mood.MEND)
        for later in carried:
            self._take(later, Mood.MEND)
        return at + 1 + self._passed

    def _carry(self, moves: list[Move], at: int, steps: int) -> list[Move]:
        """Go on for up to `steps` moves from a wrong value; the moves that must be redone."""
        spoilt, carried = {moves[at].key}, []
        self._passed = 0
        for move in moves[at + 1 : at + 1 + steps]:
            value = move.value(self.held)
            if value is None:
                break
            trial = {**self.held, move.key: value}
            claim = move.text(trial)
            if spoilt & set(move.needs):
                if not self._is_wrong(claim):
                    break
                spoilt.add(move.key)
                carried.append(move)
            self.held = trial
            self._state(move.act, claim, right=not spoilt & set(move.needs))
            self._passed += 1
        return carried

    def _notice(self, move: Move, claim: str, wrong: Any) -> None:
        draw = self.draw
        number = isinstance(wrong, int) and not isinstance(wrong, bool)
        if draw.chance(_HESITATE):
            self._say(Mood.DOUBT, draw.pick((claim, str(wrong))) if number else claim)
        tests = [(t, v) for t, v in move.tests(self.held) if _small(t, v)] if number else []
        if tests and draw.chance(0.2):
            test, due = draw.pick(tests)
            from .expressions import evaluate

            got = evaluate(test)
            if got is not None and 0 <= got != due:
                self._say(Mood.CLASH, f"{show(test)}={got}", due)
                return
        self._say(Mood.DETECT, str(wrong) if number and draw.chance(0.3) else claim)

    def _look_back(self, move: Move, *, last: bool) -> None:
        """Now and then a doubt that proves unfounded, a test, or a summary."""
        draw = self.draw
        claim, value = move.text(self.held), self.held[move.key]
        number = isinstance(value, int) and not isinstance(value, bool)
        tests = [(t, v) for t, v in move.tests(self.held) if _small(t, v)] if number else []
        if draw.chance(_FALSE_ALARM):
            self._say(Mood.DOUBT, claim)
            self._say(Mood.CHECK, claim)
        elif tests and draw.chance(_TEST):
            test, due = draw.pick(tests)
            self._say(Mood.CHECK, f"{show(test)}={due}")
        elif number and not last and draw.chance(_SUM_UP):
            self._say(Mood.SUM_UP, str(value))

    def _is_known(self, number: str) -> bool:
        return number in self.problem.chart.values or int(number) in self.held.values()

    def _is_wrong(self, claim: str) -> bool:
        judged = judge(self.problem, claim, {})
        return judged is None or not judged.true


def _small(test: Any, value: int) -> bool:
    return 0 <= value <= 999


def write(problem: Problem, draw: Draw, mistake_rate: float) -> list[Line]:
    """A CoT as acts and lines, one act per step."""
    return Writer(problem, draw, mistake_rate).write()
