"""Monte Carlo tree search by PUCT, as in AlphaZero (Silver et al. 2018, doi 10.1126/science.aar6404).

The core knows nothing of language: an `Environment` says which actions a state has, how likely they are, how
good the state is, and where an action leads. Values are the thinker's: +1 is won, -1 is lost, whoever moves.
A state whose choice is made against the thinker says so (`Evaluation.player = -1`); single-player
environments never do.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log, sqrt
from typing import Generic, Protocol, TypeVar

from ...schemas import generator

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """(p, v) of a state, AlphaZero's network call: its actions, their priors (aligned, sum 1), its value.

    `value` lies in [-1, 1], from the thinker's point of view. Without actions the game is over and `value` is
    its result z. None: no opinion, a simulation goes on at once (a choice in two parts, such as an act and
    then its words). `player` is +1 where the thinker chooses, -1 where an adversary does.
    """

    value: float | None
    actions: tuple[str, ...] = ()
    priors: tuple[float, ...] = ()
    player: int = 1


class Environment(Protocol[State]):
    """What is searched: acts, whole steps, tactics, or a board game. Both calls happen once per node."""

    async def evaluate(self, state: State) -> Evaluation:
        """The state's actions, priors and value."""

    async def step(self, state: State, action: str) -> State:
        """The state to which an action leads."""


@dataclass(frozen=True, slots=True)
class Puct:
    """How the tree weighs. Defaults: no noise, one simulation at a time.

    `fpu` (first-play urgency): an untried action's Q is the mean of its state less this (Leela's and KataGo's
    reduction). `parallel` simulations run at once, kept apart by virtual visits.
    """

    c_puct: float = 1.5
    fpu: float = 0.0
    parallel: int = 1
    dirichlet_alpha: float = 0.3
    dirichlet_fraction: float = 0.0


@dataclass(slots=True)
class Edge(Generic[State]):
    """One action of a state: N, W, P, and how many simulations are on their way through it.

    W sums values from the point of view of who chooses at the edge's state, so that its best edge always has
    the largest Q.
    """

    action: str
    prior: float
    visits: int = 0
    total: float = 0.0
    in_flight: int = 0
    child: "Node[State] | None" = None

    @property
    def q(self) -> float:
        """W / N; 0 for an untried action."""
        return self.total / self.visits if self.visits else 0.0


@dataclass(slots=True)
class Node(Generic[State]):
    """A state with its evaluation and edges. `ready` is pending while another simulation evaluates it."""

    state: State
    value: float | None = None
    player: int = 1
    edges: list[Edge[State]] = field(default_factory=list)
    ready: asyncio.Future[None] | None = None

    @property
    def over(self) -> bool:
        return not self.edges

    @property
    def visits(self) -> int:
        """Completed simulations that went on from here."""
        return sum(e.visits for e in self.edges)

    @property
    def mean(self) -> float:
        """The mean of the state's own value and all that simulations brought since, for the thinker."""
        total, n = self.player * sum(e.total for e in self.edges), self.visits
        if self.value is not None:
            total, n = total + self.value, n + 1
        return total / n if n else 0.0


class Tree(Generic[State]):
    """A search tree that grows by simulations and follows the moves played."""

    def __init__(self, environment: Environment[State], state: State, puct: Puct = Puct()) -> None:
        self.root: Node[State] = Node(state)
        self.nodes = 0
        self._environment = environment
        self._puct = puct
        self._root_priors: list[float] = []

    async def start(self) -> None:
        """Evaluate the first root. This is no simulation: visits at the root sum to the simulations run."""
        if not self.nodes:
            await self._evaluate(self.root)

    async def search(self, simulations: int, noise_key: str | None = None) -> None:
        """Run so many further simulations from the root; `noise_key` draws the root's Dirichlet noise.

        With `parallel` > 1 the simulations overlap while they wait for the environment; each takes effect on
        its own, and none is lost. What the environment raises ends the search.
        """
        await self.start()
        self._root_priors = self._noisy([e.prior for e in self.root.edges], noise_key)
        left = simulations

        async def worker() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await self._simulate()

        if self._puct.parallel == 1:
            await worker()
            return
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._puct.parallel, simulations)):
                    group.create_task(worker())
        except ExceptionGroup as e:
            raise e.exceptions[0] from None

    def distribution(self, tau: float) -> list[float]:
        """pi over the root's actions, proportional to N^(1/tau); the whole of it on the best where tau is 0.

        Equal visits are told apart by Q, then by the prior, then by order. All zero before any visit.
        """
        edges = self.root.edges
        if not self.root.visits:
            return [0.0] * len(edges)
        if tau == 0:
            best = max(range(len(edges)), key=lambda i: (edges[i].visits, edges[i].q, edges[i].prior, -i))
            return [float(i == best) for i in range(len(edges))]
        top = max(e.visits for e in edges)
        weights = [exp(log(e.visits / top) / tau) if e.visits else 0.0 for e in edges]
        return [w / sum(weights) for w in weights]

    def draw(self, pi: Sequence[float], key: str) -> Edge[State]:
        """The move: an edge of the root drawn from `pi` by a key."""
        if len(pi) == 1 or max(pi) == 1.0:
            return self.root.edges[max(range(len(pi)), key=pi.__getitem__)]
        point, at = generator(key).random() * sum(pi), 0.0
        for edge, p in zip(self.root.edges, pi, strict=True):
            at += p
            if point < at:
                return edge
        return max(self.root.edges, key=lambda e: e.visits)

    def advance(self, edge: Edge[State]) -> None:
        """Play a visited edge of the root: its child becomes the root and keeps its statistics."""
        if edge.child is None:
            raise ValueError(f"action {edge.action!r} was never tried")
        self.root = edge.child

    async def _simulate(self) -> None:
        """Down by max(Q + U) to a new or final state, evaluate it, and back its value up."""
        node, path = self.root, list[tuple[int, Edge[State]]]()
        try:
            while node.edges:
                edge = self._select(node)
                edge.in_flight += 1
                path.append((node.player, edge))
                if edge.child is None:
                    node = await self._expand(node, edge)
                    if node.value is not None:
                        break
                    continue
                node = edge.child
                if node.ready is not None:
                    await node.ready
            value = node.value or 0.0
            for player, edge in path:
                edge.visits += 1
                edge.total += player * value
        finally:
            for _, edge in path:
                edge.in_flight -= 1

    def _select(self, node: Node[State]) -> Edge[State]:
        """argmax of Q + U with U = c_puct P sqrt(sum N) / (1 + N); ties by prior, then by order.

        Simulations in flight count as visits in U and not in Q: virtual visits without a virtual loss, as in
        Liu et al. 2020 (arXiv 1810.11755).
        """
        edges = node.edges
        visits = seen = 0
        total = 0.0
        for edge in edges:
            visits += edge.visits
            seen += edge.in_flight
            total += edge.total
        own = 0 if node.value is None else 1
        mean = (total + node.player * (node.value or 0.0)) / max(own + visits, 1)
        untried = mean - self._puct.fpu
        scale = self._puct.c_puct * sqrt(visits + seen)
        priors = self._root_priors if node is self.root else None
        best, best_score, best_prior = edges[0], -float("inf"), 0.0
        for i, edge in enumerate(edges):
            prior = edge.prior if priors is None else priors[i]
            q = edge.total / edge.visits if edge.visits else untried
            score = q + scale * prior / (1 + edge.visits + edge.in_flight)
            if score > best_score or (score == best_score and prior > best_prior):
                best, best_score, best_prior = edge, score, prior
        return best

    async def _expand(self, node: Node[State], edge: Edge[State]) -> Node[State]:
        """Follow an untried edge and evaluate where it leads; others that come this way wait for it."""
        child: Node[State] = Node(node.state)
        edge.child = child
        if self._puct.parallel > 1:
            child.ready = asyncio.get_running_loop().create_future()
        try:
            child.state = await self._environment.step(node.state, edge.action)
            await self._evaluate(child)
        except BaseException:
            edge.child = None
            if child.ready is not None:
                child.ready.cancel()
            raise
        if child.ready is not None:
            child.ready.set_result(None)
            child.ready = None
        return child

    async def _evaluate(self, node: Node[State]) -> None:
        evaluation = await self._environment.evaluate(node.state)
        if evaluation.value is None and not evaluation.actions:
            raise ValueError("a game that is over needs a value")
        if evaluation.value is not None and not -1.0 <= evaluation.value <= 1.0:
            raise ValueError(f"a state's value must lie in [-1, 1], not {evaluation.value}")
        node.value, node.player = evaluation.value, evaluation.player
        node.edges = [Edge(a, p) for a, p in zip(evaluation.actions, evaluation.priors, strict=True)]
        self.nodes += 1

    def _noisy(self, priors: list[float], key: str | None) -> list[float]:
        share = self._puct.dirichlet_fraction
        if key is None or share == 0 or not priors:
            return priors
        noise = generator(key).dirichlet([self._puct.dirichlet_alpha] * len(priors))
        return [(1 - share) * p + share * float(x) for p, x in zip(priors, noise, strict=True)]
