"""The search for a proof: best-first or by the tree, within a stated number of tactics."""

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import log
from typing import Literal

from ...schemas import BadInput
from ...verifiers.lean import LeanBackend, LeanLost, ProofFinished, TacticState, Theorem
from ..lean_reverse.rows import SearchedState
from ..search.tree import Edge, Node, Puct, Tree
from .game import Attempt, BudgetSpent, Position, Proposer, TacticGame
from .proposals import generic, normalised
from .shapes import Proposal

# So many simulations in a row that end in known results: nothing is left to try.
_IDLE = 2000


@dataclass(frozen=True, slots=True)
class TacticSearch:
    """How a proof is looked for. `budget`: how many tactics Lean runs at most (looking up included).

    `depth`: how many tactics a proof may have. Best-first takes the tactic whose path has the largest product
    of priors; MCTS is PUCT over the same actions.
    """

    method: Literal["best_first", "mcts"] = "mcts"
    budget: int = 80
    depth: int = 12
    c_puct: float = 1.5


DEFAULT = TacticSearch()


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave. `tactics` is a proof that Lean's audit of the whole file accepted, or None.

    `attempts` are all tactics that Lean refused on the way, in order; `run` is how many were run. `searched`:
    the tree's states on the way to the proof, as they stood when it was found; best-first has none.
    """

    theorem: Theorem
    tactics: tuple[str, ...] | None
    attempts: tuple[Attempt, ...]
    run: int
    reason: str = ""
    axioms: tuple[str, ...] = ()
    searched: tuple[SearchedState, ...] = ()


def propose_generic(state: TacticState) -> list[Proposal]:
    """The proposer that needs no policy."""
    return generic(state.pp)


def prove(
    theorem: Theorem,
    backend: LeanBackend,
    settings: TacticSearch = DEFAULT,
    proposers: Sequence[Proposer] = (propose_generic,),
) -> Found:
    """Look for a proof. What goes wrong is the `reason` of a Found without tactics; nothing is raised."""
    game = TacticGame(backend, proposers, settings.budget, settings.depth)
    reason, searched = "no proof within the budget", tuple[SearchedState, ...]()
    try:
        start = game.start(theorem)
        if settings.method == "mcts":
            searched = asyncio.run(_mcts(game, start, settings))
        else:
            _best_first(game, start)
        if game.proof is None:
            reason = "no tactic left to try"
    except BudgetSpent:
        pass
    except BadInput as e:
        reason = e.what
    except LeanLost as e:
        reason = str(e)
    if game.proof is None:
        return Found(theorem, None, tuple(game.attempts), game.run, reason)
    tactics, axioms = _shortened(game.proof.tactics, game.proof.axioms, theorem, backend)
    return Found(theorem, tactics, tuple(game.attempts), game.run, "", axioms, searched)


def _best_first(game: TacticGame, start: Position) -> None:
    order = count()
    queue: list[tuple[float, int, Position, str]] = []

    def open_(position: Position, cost: float) -> None:
        proposals = game.proposals(position.state) if position.state else []
        for p, prior in zip(proposals, normalised(proposals), strict=True):
            heapq.heappush(queue, (cost - log(prior), next(order), position, p.tactic))

    open_(start, 0.0)
    while queue and game.proof is None:
        cost, _, position, tactic = heapq.heappop(queue)
        open_(game.play(position, tactic), cost)


async def _mcts(game: TacticGame, start: Position, settings: TacticSearch) -> tuple[SearchedState, ...]:
    """The states on the way to the proof, none where there is none."""
    tree = Tree(game, start, Puct(c_puct=settings.c_puct))
    idle = 0
    while game.proof is None and idle < _IDLE:
        before = game.run
        await tree.search(1)
        idle = idle + 1 if game.run == before else 0
    if game.proof is None:
        return ()
    return tuple(_searched(node, edge, game.proof) for node, edge in _won(tree.root))


def _won(node: Node[Position]) -> list[tuple[Node[Position], Edge[Position]]]:
    """Nodes and edges from here to the finished proof; none where it is not below."""
    for edge in node.edges:
        if edge.child is None:
            continue
        if edge.child.state.result == 1:
            return [(node, edge)]
        if below := _won(edge.child):
            return [(node, edge), *below]
    return []


def _searched(node: Node[Position], chosen: Edge[Position], proof: ProofFinished) -> SearchedState:
    def ran(edge: Edge[Position]) -> str:
        if edge.child is None:
            return ""
        if edge.child.state.result == 1:
            return proof.tactics[-1]
        state = edge.child.state.state
        return state.tactics[-1] if state else edge.action

    assert node.state.state is not None
    edges = node.edges
    return SearchedState(
        state=node.state.state.pp,
        actions=tuple(e.action for e in edges),
        prior=tuple(e.prior for e in edges),
        visits=tuple(e.visits for e in edges),
        q=tuple(e.q for e in edges),
        ran=tuple(map(ran, edges)),
        chosen=chosen.action,
    )


def _shortened(
    tactics: tuple[str, ...], axioms: tuple[str, ...], theorem: Theorem, backend: LeanBackend
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The proof without the tactics that it does not need, each omission audited."""
    at = 0
    while at < len(tactics) - 1:
        shorter = (*tactics[:at], *tactics[at + 1 :])
        audit = backend.audit(theorem, whole_file(theorem, shorter))
        if audit.proved:
            tactics, axioms = shorter, audit.axioms
        else:
            at += 1
    return tactics, axioms


def whole_file(theorem: Theorem, tactics: Sequence[str]) -> str:
    """The theorem with its proof, as a file."""
    lines = "\n".join(tactics).split("\n")
    return f"{theorem.statement} := by\n" + "".join(f"  {line}\n" for line in lines)
