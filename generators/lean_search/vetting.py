"""Whether a formal statement says something: held against Lean, its own negation, and wrong answers.

Whether it says what the question asks cannot be proved. It has to name the question's numbers and the answer,
and it must stop being provable where the answer is another one.
"""

from dataclasses import dataclass

from ...schemas import BadInput
from ...verifiers.lean import LeanBackend, LeanLost, ProofFinished, TacticState
from ..lean_reverse.states import BadState, parse_state
from ..lean_reverse.terms import Infix, Prefix
from .search import TacticSearch, propose_generic, prove
from .shapes import read
from .statements import Statement, known_answer, numbers_in

_INTROS = "intros"
_SAME = ("=", "≤", "≥", "↔", "→")


@dataclass(frozen=True, slots=True)
class Vetting:
    """Checks of statements by a Lean. `budget`: how many tactics a proof that should not exist may take."""

    lean: LeanBackend
    budget: int = 12

    def complaint(self, statement: Statement, question: str, answer: str) -> str | None:
        """Why a statement is not taken for the question with its known answer; None where it is."""
        known = known_answer(answer)
        if known is None:
            return "an answer that is no whole number, yes or no"
        if missing := sorted(numbers_in(question) - statement.numbers):
            return f"a formal statement without a number of the question: {missing[0]}"
        if not isinstance(known, bool):
            if not _names(statement, known):
                return "a formal statement that does not name the answer"
        elif not statement.numbers:
            return "a formal statement without a number, of a question that asks yes or no"
        elif known is not _affirms(statement):
            return "a formal statement that decides the question the other way"
        try:
            return self._vacuous(statement) or self._indifferent(statement, question, known)
        except BadInput as e:
            return f"a formal statement that does not elaborate: {e.what}"
        except LeanLost as e:
            return f"a formal statement that Lean did not settle: {e}"

    def _vacuous(self, statement: Statement) -> str | None:
        """Raises BadInput where the statement does not elaborate, LeanLost at a limit."""
        start = self.lean.start(statement.theorem)
        inside = self.lean.run_tac(start, _INTROS)
        opened = inside if isinstance(inside, TacticState) else start
        if _same_sides(opened.pp):
            return "a vacuous formal statement: both sides are the same"
        if isinstance(self.lean.run_tac(opened, "assumption"), ProofFinished):
            return "a vacuous formal statement: it is among its own hypotheses"
        if self._provable(statement.negated()):
            return "a formal statement whose negation is provable"
        contradiction = self.lean.run_tac(opened, "exfalso")
        if isinstance(contradiction, TacticState) and self._closes(contradiction):
            return "a vacuous formal statement: its hypotheses contradict one another"
        return None

    def _indifferent(self, statement: Statement, question: str, known: int | bool) -> str | None:
        """Whether another answer would be as provable; for yes or no, whether all other numbers would be."""
        if isinstance(known, bool):
            others = [s for n in sorted(statement.numbers) for s in _changed(statement, n, last=False)]
            if others and all(map(self._provable, others)):
                return "a formal statement that holds for other numbers as well"
            return None
        # Where the answer is also a number of the question, what is given must stay as it is.
        last = abs(known) in numbers_in(question)
        others = _changed(statement, abs(known), last=last)
        if not others or any(map(self._provable, others)):
            return "a formal statement that holds for wrong answers as well"
        return None

    def _provable(self, statement: Statement) -> bool:
        search = TacticSearch(budget=self.budget)
        return prove(statement.theorem, self.lean, search).tactics is not None

    def _closes(self, state: TacticState) -> bool:
        """Whether one of the likeliest tactics closes the state."""
        tactics = [p.tactic for p in propose_generic(state)][: self.budget]
        return any(isinstance(self.lean.run_tac(state, t), ProofFinished) for t in tactics)


def _names(statement: Statement, known: int) -> bool:
    if known >= 0:
        return known in statement.numbers
    text = "".join(statement.theorem.statement.split())
    return abs(known) in statement.numbers and f"-{abs(known)}" in text


def _affirms(statement: Statement) -> bool:
    """Whether the conclusion is no negation."""
    match read(statement.conclusion):
        case Prefix("¬", _) | Infix("≠", _, _):
            return False
    return not statement.conclusion.startswith("¬")


def _changed(statement: Statement, number: int, *, last: bool) -> list[Statement]:
    """The statement with neighbours of a number in its place, and with some far from it."""
    near = {number - 2, number - 1, number + 1, number + 2, 2 * number, number + 10, 101 * number + 7}
    return [
        changed
        for other in sorted(near - {number})
        if other >= 0 and (changed := statement.with_number(number, other, last=last))
    ]


def _same_sides(state: str) -> bool:
    """Whether the target is a relation of something to itself."""
    try:
        goals = parse_state(state)
    except BadState:
        return False
    term = read(goals[0].target) if goals else None
    return isinstance(term, Infix) and term.operator in _SAME and term.left == term.right
