"""The mathematics of the search, on small games with known values."""

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from math import sqrt

import pytest
from cotmill.generators.search.tree import Edge, Environment, Evaluation, Node, Puct, Tree
from cotmill.schemas import unit_interval
from hypothesis import given, settings
from hypothesis import strategies as st

Line = tuple[str, ...]


@dataclass
class RandomGame:
    """A full tree of the given width and depth; its leaf results, priors and values are drawn from a key.

    With `adversary`, every second choice is made against the thinker. `hops` lets other tasks run meanwhile.
    """

    key: str
    width: int = 3
    depth: int = 3
    adversary: bool = False
    hops: int = 0
    evaluated: int = 0

    def z(self, line: Line) -> float:
        return round(2 * unit_interval(self.key, "z", *line) - 1, 3)

    def minimax(self, line: Line = ()) -> float:
        if len(line) == self.depth:
            return self.z(line)
        values = [self.minimax((*line, str(i))) for i in range(self.width)]
        return max(values) if self.player(line) > 0 else min(values)

    def player(self, line: Line) -> int:
        return -1 if self.adversary and len(line) % 2 else 1

    async def evaluate(self, state: Line) -> Evaluation:
        for _ in range(int(unit_interval("hops", *state) * (self.hops + 1))):
            await asyncio.sleep(0)
        self.evaluated += 1
        if len(state) == self.depth:
            return Evaluation(self.z(state))
        weights = [0.2 + unit_interval(self.key, "p", *state, i) for i in range(self.width)]
        return Evaluation(
            value=2 * unit_interval(self.key, "v", *state) - 1,
            actions=tuple(map(str, range(self.width))),
            priors=tuple(w / sum(weights) for w in weights),
            player=self.player(state),
        )

    async def step(self, state: Line, action: str) -> Line:
        return (*state, action)


class Nim:
    """Take one to three; who takes the last wins. Lost for the one to move exactly at multiples of four."""

    async def evaluate(self, state: tuple[int, int]) -> Evaluation:
        left, player = state
        if left == 0:
            return Evaluation(-float(player))
        actions = tuple(map(str, range(1, min(3, left) + 1)))
        return Evaluation(0.0, actions, (1 / len(actions),) * len(actions), player)

    async def step(self, state: tuple[int, int], action: str) -> tuple[int, int]:
        return state[0] - int(action), -state[1]


@dataclass
class Walk:
    """One action per state, for ever; each state's value is a coin that shows +1 with probability 0.7."""

    key: int

    def coin(self, state: int) -> float:
        return 1.0 if unit_interval("coin", self.key, state) < 0.7 else -1.0

    async def evaluate(self, state: int) -> Evaluation:
        return Evaluation(self.coin(state), ("on",), (1.0,))

    async def step(self, state: int, action: str) -> int:
        return state + 1


@dataclass
class Bandit:
    """One move, known results."""

    results: tuple[float, ...]
    priors: tuple[float, ...]

    async def evaluate(self, state: str) -> Evaluation:
        if state:
            await asyncio.sleep(0)
            return Evaluation(self.results[int(state)])
        return Evaluation(0.0, tuple(map(str, range(len(self.results)))), self.priors)

    async def step(self, state: str, action: str) -> str:
        return action


def searched(
    environment: Environment, start: object, simulations: int, noise: str | None = None, **puct: float
) -> Tree:
    tree = Tree(environment, start, Puct(**puct))
    asyncio.run(tree.search(simulations, noise))
    return tree


def visits(tree: Tree) -> list[int]:
    return [e.visits for e in tree.root.edges]


def best(tree: Tree) -> str:
    return tree.root.edges[max(range(len(tree.root.edges)), key=tree.distribution(0).__getitem__)].action


def nodes(node: Node) -> Iterator[tuple[Node, Edge]]:
    for edge in node.edges:
        if edge.child is not None:
            yield node, edge
            yield from nodes(edge.child)


def check_books(tree: Tree, simulations: int) -> None:
    """Every simulation is accounted for, in every node, and none is left in flight."""
    assert tree.root.over or sum(visits(tree)) == simulations
    for node, edge in nodes(tree.root):
        child = edge.child
        assert edge.in_flight == 0
        assert child is not None
        assert child.ready is None
        if not child.over:
            own = 0 if child.value is None else 1
            assert edge.visits == own + child.visits
            below = (child.value or 0.0) + child.player * sum(e.total for e in child.edges)
            assert edge.total == pytest.approx(node.player * below)
        else:
            assert edge.total == pytest.approx(node.player * edge.visits * child.value)


class TwoPart(RandomGame):
    """The same game, its choices made in two parts: left or not, then which of the rest."""

    async def evaluate(self, state: Line) -> Evaluation:
        whole = await super().evaluate(tuple(s for s in state if s != "right"))
        if state[-1:] == ("right",):
            rest = sum(whole.priors[1:])
            return Evaluation(None, whole.actions[1:], tuple(p / rest for p in whole.priors[1:]))
        if not whole.actions:
            return whole
        return Evaluation(whole.value, ("0", "right"), (whole.priors[0], sum(whole.priors[1:])))


class Plain:
    """PUCT once more, written down as the formula stands: the measure for the real one."""

    def __init__(self, game: RandomGame, c: float) -> None:
        self.game, self.c = game, c
        self.n: dict[Line, int] = {}
        self.w: dict[Line, float] = {}
        self.known: dict[Line, Evaluation] = {}

    def evaluate(self, line: Line) -> Evaluation:
        self.known[line] = asyncio.run(self.game.evaluate(line))
        return self.known[line]

    def simulate(self, line: Line = ()) -> float:
        here = self.known[line]
        if not here.actions:
            return here.value
        after = [(*line, a) for a in here.actions]
        total = sum(self.n.get(s, 0) for s in after)
        mean = (here.player * here.value + sum(self.w.get(s, 0.0) for s in after)) / (1 + total)

        def score(i: int) -> tuple[float, float, int]:
            n = self.n.get(after[i], 0)
            q = self.w[after[i]] / n if n else mean
            return q + self.c * here.priors[i] * sqrt(total) / (1 + n), here.priors[i], -i

        to = after[max(range(len(after)), key=score)]
        value = self.simulate(to) if to in self.known else self.evaluate(to).value
        self.n[to] = self.n.get(to, 0) + 1
        self.w[to] = self.w.get(to, 0.0) + here.player * value
        return value


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=3), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.floats(0.1, 4))
def test_it_is_puct_as_the_formula_stands(key: str, width: int, depth: int, two: bool, c: float) -> None:
    game = RandomGame(key, width, depth, two)
    plain = Plain(game, c)
    plain.evaluate(())
    for _ in range(60):
        plain.simulate()
    tree = searched(game, (), 60, c_puct=c)
    assert visits(tree) == [plain.n.get((a.action,), 0) for a in tree.root.edges]
    for edge in tree.root.edges:
        assert edge.total == pytest.approx(plain.w.get((edge.action,), 0.0))


@pytest.mark.parametrize("left", [5, 6, 7, 9, 10, 11])
def test_it_finds_the_winning_move_in_nim(left: int) -> None:
    tree = searched(Nim(), (left, 1), 1500)
    assert best(tree) == str(left % 4)


@pytest.mark.parametrize(("left", "value"), [(3, 1), (4, -1), (6, 1), (8, -1)])
def test_it_knows_who_wins_at_nim(left: int, value: int) -> None:
    tree = searched(Nim(), (left, 1), 6000)
    chosen = max(tree.root.edges, key=lambda e: e.visits)
    assert chosen.q == pytest.approx(value, abs=0.1)


def test_the_adversary_is_searched_as_well_as_the_thinker() -> None:
    tree = searched(Nim(), (6, -1), 1500)
    assert best(tree) == "2"
    assert max(tree.root.edges, key=lambda e: e.visits).q > 0.5  # from the point of view of who moves


@pytest.mark.parametrize("two", [False, True])
def test_q_converges_to_the_minimax_value(two: bool) -> None:
    """Over a dozen random games; what is left is the price of exploring, which shrinks with the visits."""

    def error(game: RandomGame, simulations: int) -> float:
        edges = searched(game, (), simulations).root.edges
        return abs(max(edges, key=lambda e: e.visits).q - game.minimax())

    games = [RandomGame(str(key), adversary=two) for key in range(12)]
    early, late = ([error(game, n) for game in games] for n in (100, 10_000))
    assert sum(late) < sum(early) / 5
    assert sum(late) / len(late) < 0.05
    assert max(late) < 0.1


def test_q_converges_to_the_expectation_where_nothing_is_chosen() -> None:
    means = []
    for walk in map(Walk, range(15)):
        means.append(searched(walk, 0, 300).root.edges[0].q)
        assert means[-1] == pytest.approx(sum(walk.coin(i) for i in range(1, 301)) / 300)
    assert sum(means) / len(means) == pytest.approx(0.4, abs=0.05)


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=3), st.integers(1, 6))
def test_a_choice_in_two_parts_is_one_simulation_deep(key: str, k: int) -> None:
    """A state without a value is passed through: what counts is the state behind it."""
    game = TwoPart(key, width=4, depth=3, hops=2)
    tree = searched(game, (), 80, parallel=k)
    check_books(tree, 80)
    for _, edge in nodes(tree.root):
        if edge.action == "right" and edge.child is not None:
            assert edge.visits == edge.child.visits
            assert edge.child.mean == pytest.approx(edge.q)


def test_a_choice_in_two_parts_finds_the_same_value() -> None:
    game = TwoPart("two parts", width=4, depth=3)
    tree = searched(game, (), 6000)
    assert max(tree.root.edges, key=lambda e: e.visits).q == pytest.approx(game.minimax(), abs=0.12)


def test_pi_concentrates_on_the_best_move_with_simulations() -> None:
    game = Bandit((-0.1, 0.5, 0.1), (0.6, 0.1, 0.3))
    shares = [searched(game, "", n).distribution(1.0)[1] for n in (10, 100, 1000)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9


def test_without_better_knowledge_visits_follow_the_priors() -> None:
    tree = searched(Bandit((0.0, 0.0, 0.0), (0.5, 0.3, 0.2)), "", 1000)
    assert [v / 1000 for v in visits(tree)] == pytest.approx([0.5, 0.3, 0.2], abs=0.02)


def test_first_play_urgency_decides_whether_the_untried_is_tried() -> None:
    game = Bandit((0.1, 0.9), (0.9, 0.1))
    assert 0 not in visits(searched(game, "", 20, fpu=0.0))
    assert visits(searched(game, "", 20, fpu=2.0)) == [20, 0]


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=3), st.integers(1, 3), st.integers(1, 4), st.booleans(), st.integers(1, 9))
def test_every_simulation_is_accounted_for(key: str, width: int, depth: int, two: bool, k: int) -> None:
    check_books(searched(RandomGame(key, width, depth, two, hops=3), (), 70, parallel=k), 70)


def test_overlapping_simulations_of_one_line_wait_for_one_another() -> None:
    game = RandomGame("line", width=1, depth=4, hops=5)
    tree = searched(game, (), 12, parallel=6)
    check_books(tree, 12)
    assert game.evaluated == 5  # each of the five states once


@settings(max_examples=10, deadline=None)
@given(st.text(max_size=3), st.integers(0, 5))
def test_one_simulation_at_a_time_is_the_sequential_search(key: str, hops: int) -> None:
    """However long the environment lets it wait."""
    at_once, waiting = RandomGame(key), RandomGame(key, hops=hops)
    assert visits(searched(at_once, (), 50)) == visits(searched(waiting, (), 50, parallel=1))


def test_virtual_visits_spread_what_runs_at_once_and_only_that() -> None:
    """In flight, a simulation counts in U and not in Q: four at once try four equals, one by one don't."""
    game = Bandit((0.9, -0.9, -0.9, -0.9), (0.25,) * 4)
    assert visits(searched(game, "", 4, parallel=4, c_puct=0.5)) == [1, 1, 1, 1]
    assert visits(searched(game, "", 4, parallel=1, c_puct=0.5)) == [4, 0, 0, 0]


def test_with_many_simulations_virtual_visits_change_nothing_that_matters() -> None:
    game = RandomGame("same", hops=3)
    one, eight = (searched(game, (), 3000, parallel=k) for k in (1, 8))
    assert best(one) == best(eight)
    assert eight.distribution(1.0) == pytest.approx(one.distribution(1.0), abs=0.03)


def test_without_noise_a_search_repeats_exactly() -> None:
    first, second = (searched(RandomGame("r", hops=2), (), 200, parallel=4) for _ in range(2))
    assert [(e.visits, e.total) for _, e in nodes(first.root)] == [
        (e.visits, e.total) for _, e in nodes(second.root)
    ]


def test_noise_comes_from_its_key_and_leaves_the_priors_as_they_are() -> None:
    game = Bandit((0.0,) * 4, (0.97, 0.01, 0.01, 0.01))
    quiet = searched(game, "", 60, "k1")
    loud, again, other = (
        searched(game, "", 60, key, dirichlet_fraction=0.9, dirichlet_alpha=1.0) for key in ("k1", "k1", "k2")
    )
    assert visits(loud) == visits(again) != visits(other)
    assert visits(loud) != visits(quiet)
    assert [e.prior for e in loud.root.edges] == [e.prior for e in quiet.root.edges]


def test_noise_is_at_the_root_alone() -> None:
    """With everything but the root's choice fixed, noise cannot show below it."""
    game = RandomGame("below", width=2, depth=6)
    loud = searched(game, (), 400, "k", dirichlet_fraction=1.0)
    assert visits(loud) != visits(searched(game, (), 400))
    for edge in loud.root.edges:
        if edge.child is not None and edge.visits > 1:
            alone = searched(game, edge.child.state, edge.visits - 1)
            assert visits(alone) == [e.visits for e in edge.child.edges]


@pytest.mark.parametrize("tau", [0.25, 0.5, 1.0, 2.0])
def test_pi_is_proportional_to_the_visits_to_the_power_of_one_over_tau(tau: float) -> None:
    tree = searched(Bandit((0.2, 0.4, 0.0), (0.3, 0.3, 0.4)), "", 50)
    powers = [n ** (1 / tau) for n in visits(tree)]
    assert tree.distribution(tau) == pytest.approx([p / sum(powers) for p in powers])


def test_pi_becomes_greedy_as_tau_goes_to_zero() -> None:
    tree = searched(Bandit((0.2, 0.6, 0.0), (0.3, 0.3, 0.4)), "", 50)
    assert tree.distribution(1e-4) == pytest.approx(tree.distribution(0)) == [0.0, 1.0, 0.0]


def test_moves_are_drawn_from_pi() -> None:
    tree = searched(Bandit((0.2, 0.4, 0.0), (0.3, 0.3, 0.4)), "", 50)
    pi = tree.distribution(1.0)
    drawn = [tree.draw(pi, f"key {i}").action for i in range(3000)]
    assert [drawn.count(str(i)) / 3000 for i in range(3)] == pytest.approx(pi, abs=0.03)
    assert tree.draw(pi, "key 7") is tree.draw(pi, "key 7")


@pytest.mark.parametrize("parallel", [1, 5])
def test_the_tree_is_reused_after_a_move(parallel: int) -> None:
    game = RandomGame("reuse", width=3, depth=5, hops=2)
    tree = searched(game, (), 200, parallel=parallel)
    played = max(tree.root.edges, key=lambda e: e.visits)
    assert played.child is not None
    kept = [(e.action, e.visits, e.total) for e in played.child.edges]
    tree.advance(played)
    assert [(e.action, e.visits, e.total) for e in tree.root.edges] == kept
    assert tree.root.visits == played.visits - 1
    before = game.evaluated
    asyncio.run(tree.search(0))
    assert game.evaluated == before
    asyncio.run(tree.search(50))
    check_books(tree, played.visits - 1 + 50)


def test_only_a_tried_move_can_be_played() -> None:
    tree = searched(Bandit((1.0, 0.0), (0.999, 0.001)), "", 1)
    with pytest.raises(ValueError, match="never tried"):
        tree.advance(tree.root.edges[1])


def test_a_game_that_is_over_has_nothing_to_search() -> None:
    tree = searched(Nim(), (0, 1), 10)
    assert tree.root.over
    assert tree.root.value == -1
    assert tree.distribution(1.0) == []


@pytest.mark.parametrize("parallel", [1, 3])
def test_what_the_environment_raises_ends_the_search_and_leaves_the_tree_in_order(parallel: int) -> None:
    class Faulty(RandomGame):
        def step(self, state: Line, action: str) -> Awaitable[Line]:
            if self.evaluated > 20:
                raise OSError("no more")
            return super().step(state, action)

    tree = Tree(Faulty("f", depth=6, hops=2), (), Puct(parallel=parallel))
    with pytest.raises(OSError, match="no more"):
        asyncio.run(tree.search(100))
    assert all(e.in_flight == 0 for _, e in nodes(tree.root))
    check_books(tree, sum(visits(tree)))


def test_a_value_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        searched(Bandit((1.5,), (1.0,)), "", 1)


def test_a_game_that_is_over_needs_a_value() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        searched(Bandit((None,), (1.0,)), "", 1)  # type: ignore[arg-type]
