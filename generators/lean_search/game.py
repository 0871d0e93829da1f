"""Proof search as a game for the tree: states are Lean's tactic states, actions are tactics."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...verifiers.lean import (
    LeanBackend,
    LeanError,
    LeanLost,
    ProofFinished,
    ProofGivenUp,
    TacticState,
    Theorem,
)
from ..search.tree import Evaluation
from .proposals import normalised
from .shapes import Proposal

# exact? says in a message which term closes the goal.
SEARCH_LIBRARY = "exact?"
_SUGGESTED = re.compile(r"Try this:\s*(?:\[apply\]\s*)?(exact .*)", re.DOTALL)
_LONG = 1000

Proposer = Callable[[TacticState], Sequence[Proposal]]


class BudgetSpent(Exception):
    """As many tactics were run as the budget allows."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A tactic that Lean refused at `state`, with its own message; `undecided`: a limit or a crash."""

    state: TacticState
    tactic: str
    error: str
    undecided: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Where the search stands: goals, or a result: +1 proved, -1 refused or nothing new."""

    state: TacticState | None
    result: int | None = None


@dataclass(slots=True)
class TacticGame:
    """An `Environment` of the tree search. Each step runs one tactic of the `budget`, a look-up two.

    A refused tactic, and one that leads to a state seen before, are lost games; a finished proof is won.
    After the first proof the game is decided: see `proof`.
    """

    backend: LeanBackend
    proposers: Sequence[Proposer]
    budget: int
    depth: int
    run: int = 0
    proof: ProofFinished | None = None
    attempts: list[Attempt] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    action_kind = "tactic"

    def start(self, theorem: Theorem) -> Position:
        """The first position. Raises BadInput where the statement does not elaborate, LeanLost at a limit."""
        state = self.backend.start(theorem)
        self._seen.add(state.pp)
        return Position(state)

    async def evaluate(self, state: Position) -> Evaluation:
        """Tactics with their priors. Fewer and shorter goals are worth more."""
        if state.state is None:
            return Evaluation(float(state.result or -1))
        found = self.proposals(state.state)
        if not found:
            return Evaluation(-1.0)
        return Evaluation(self.value(state.state), tuple(p.tactic for p in found), normalised(found))

    async def step(self, state: Position, action: str) -> Position:
        """What a tactic makes of a position. Raises BudgetSpent."""
        return self.play(state, action)

    def proposals(self, state: TacticState) -> list[Proposal]:
        """What all proposers say, the likeliest first; who is named twice keeps the larger weight.

        Nothing where a proof would have more than `depth` tactics.
        """
        if len(state.tactics) >= self.depth:
            return []
        best: dict[str, float] = {}
        for proposer in self.proposers:
            for p in proposer(state):
                best[p.tactic] = max(best.get(p.tactic, 0.0), p.weight)
        return sorted((Proposal(t, w) for t, w in best.items()), key=lambda p: (-p.weight, p.tactic))

    @staticmethod
    def value(state: TacticState) -> float:
        """Between -1 and 1."""
        return 1 / (1 + state.num_goals) - min(len(state.pp), _LONG) / _LONG

    def play(self, position: Position, tactic: str) -> Position:
        """As `step`, for callers that do not wait."""
        state = position.state
        assert state is not None
        if tactic == SEARCH_LIBRARY:
            found = self._looked_up(state)
            if found is None:
                return Position(None, -1)
            tactic = found
        self._spend()
        result = self.backend.run_tac(state, tactic)
        match result:
            case ProofFinished():
                self.proof = self.proof or result
                return Position(None, 1)
            case LeanError():
                self.attempts.append(Attempt(state, tactic, result.error, result.undecided))
                return Position(None, -1)
            case ProofGivenUp():
                return Position(None, -1)
        if result.pp in self._seen:
            return Position(None, -1)
        self._seen.add(result.pp)
        return Position(result)

    def _spend(self) -> None:
        if self.run >= self.budget:
            raise BudgetSpent
        self.run += 1

    def _looked_up(self, state: TacticState) -> str | None:
        """What `exact?` suggests."""
        self._spend()
        lines = "\n".join([*state.tactics, SEARCH_LIBRARY, "all_goals sorry"]).split("\n")
        code = f"{state.theorem.statement} := by\n" + "".join(f"  {line}\n" for line in lines)
        try:
            messages = self.backend.check(code)
        except LeanLost as e:
            self.attempts.append(Attempt(state, SEARCH_LIBRARY, str(e), undecided=True))
            return None
        for message in messages:
            if found := _SUGGESTED.match(message.text):
                return " ".join(found[1].split())
        return None
