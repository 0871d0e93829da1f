"""Proof search: tactics as actions, by best-first search and by the tree search."""

from .formalise import Formalised, formalise
from .game import Attempt, BudgetSpent, Position, Proposer, TacticGame
from .live import recorded, settled
from .policy import PolicyProposer
from .proposals import generic
from .search import Found, TacticSearch, propose_generic, prove
from .shapes import Proposal
from .targets import tactic_states

__all__ = [
    "Attempt",
    "BudgetSpent",
    "Formalised",
    "Found",
    "PolicyProposer",
    "Position",
    "Proposal",
    "Proposer",
    "TacticGame",
    "TacticSearch",
    "formalise",
    "generic",
    "propose_generic",
    "prove",
    "recorded",
    "settled",
    "tactic_states",
]
