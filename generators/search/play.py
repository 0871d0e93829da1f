"""One game from its start to its end, and what is learned from it."""

from dataclasses import dataclass
from math import inf

from ...schemas import Candidate, Method, SearchState, Trace, markup
from .acts import ActGame
from .game import CotState
from .steps import StepGame
from .tree import Edge, Node, Tree

Game = ActGame | StepGame


@dataclass(frozen=True, slots=True)
class Move:
    """A move played: where, from which distribution, and which."""

    node: Node[CotState]
    pi: tuple[float, ...]
    edge: Edge[CotState]


@dataclass(frozen=True, slots=True)
class Played:
    """A game played: its tree from the first root on, its moves, its decided trace, the nodes evaluated."""

    start: Node[CotState]
    moves: tuple[Move, ...]
    trace: Trace
    nodes: int


async def play(game: Game) -> Played:
    """Search, move, keep the tree, and so on until the game is over.

    After `max_moves` moves, or `max_spent` tokens, the rest follows the most visited actions and then one
    greedy rollout.
    """
    settings = game.table.settings
    most = inf if settings.max_spent is None else settings.max_spent
    tree: Tree[CotState] = Tree(game, game.start, settings.puct())
    start, moves = tree.root, list[Move]()
    await tree.start()
    while not tree.root.over and len(moves) != settings.max_moves and game.spent < most:
        state = tree.root.state
        await tree.search(settings.simulations, game.key(state, "noise"))
        pi = tree.distribution(settings.tau)
        edge = tree.draw(pi, game.key(state, "move"))
        moves.append(Move(tree.root, tuple(pi), edge))
        tree.advance(edge)
        if tree.root.state.act is not None:
            follow(tree)
        if game.table.aloud is not None:
            game.table.aloud(tree.root.state.body)
    while tree.root.visits:
        follow(tree)
    if tree.root.over:
        trace = await game.end(tree.root.state)
    else:
        [trace] = await game.roll_out(tree.root.state, 1, 0.0)
    return Played(start, tuple(moves), trace, tree.nodes)


def follow(tree: Tree[CotState]) -> None:
    """Play the most visited action, if any was visited."""
    if tree.root.visits:
        tree.advance(tree.draw(tree.distribution(0), ""))


def states(game: Game, played: Played) -> list[SearchState]:
    """The training targets, one per move: visits, pi and Q at its state, and z, the result of the game."""
    trace = played.trace
    if not trace.text or (game.notation.marked and not trace.acts):
        return []
    return [
        SearchState(
            trace_id=trace.trace_id,
            seed_id=game.seed_id,
            question=game.seed.question,
            prefix=move.node.state.body,
            action_kind=game.action_kind,
            actions=tuple(e.action for e in move.node.edges),
            prior=tuple(e.prior for e in move.node.edges),
            visits=tuple(e.visits for e in move.node.edges),
            pi=move.pi,
            q=tuple(e.q for e in move.node.edges),
            chosen=move.edge.action,
            candidates=_candidates(game, move.node),
            value=trace.reward,
            depth=move.node.state.depth,
        )
        for move in played.moves
    ]


def _candidates(game: Game, node: Node[CotState]) -> tuple[Candidate, ...]:
    taken = game.taken(node)
    return tuple(
        Candidate(
            action=d.action,
            text=d.text,
            score=d.score,
            chosen=d.after is not None and (d.action, d.text) in taken,
            policy=d.policy,
        )
        for d in game.drafts.get(node.state.body, ())
    )


def with_evidence(trace: Trace, evidence: dict[str, tuple[int, int]]) -> Trace:
    """The trace with the counts of those steps from whose ends the search rolled out.

    Only rollouts from exactly that prefix count, whose number was fixed beforehand: the visits of a tree go
    where it hopes to win, and their share of wins is no estimate of the prefix's value.
    """
    steps = []
    for step in trace.steps:
        n_correct, n = evidence.get(trace.text[: step.end], (0, 0))
        if n and step.method is None:
            update = {"n_correct": n_correct, "n_rollouts": n, "method": Method.ROLLOUTS}
            step = step.model_copy(update=update)
        steps.append(step)
    return trace.model_copy(update={"steps": tuple(steps)})


def whole_body(trace: Trace) -> str:
    """The trace as the body of a game that is over."""
    return markup.render(trace.text, trace.acts) if trace.acts else trace.text
