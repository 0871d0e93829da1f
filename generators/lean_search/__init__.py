"""Proof search: tactics as actions, by best-first search and by the tree search."""

from .game import Attempt, BudgetSpent, Position, Proposer, TacticGame
from .proposals import Proposal, generic
from .search import Found, TacticSearch, propose_generic, prove

__all__ = [
    "Attempt",
    "BudgetSpent",
    "Found",
    "Position",
    "Proposal",
    "Proposer",
    "TacticGame",
    "TacticSearch",
    "generic",
    "propose_generic",
    "prove",
]
