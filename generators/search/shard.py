"""One shard of seeds through the search: every game at once, through one batcher."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ...models.batcher import Batcher, CallStats
from ...models.policy import Policy
from ...schemas import BadInput, Inventory, Outcome, SearchState, Seed, Trace, Verdict
from ...verifiers.base import Verifier
from ..assemble import decide, open_prefix
from ..completion import merge
from .acts import ActGame
from .game import Scorer, Table, source_of_priors, source_of_values
from .play import Game, Played, play, states, with_evidence
from .settings import SearchSettings
from .splice import splice
from .steps import StepGame

NO_ACTS = "a cut of a CoT without acts cannot be gone on from as markup"


@dataclass
class SearchStats:
    """What a shard's searches did and cost. `failed`: (seed_id, reason) of games without searched states.

    `occupancy` is the batcher's account per kind of request: calls, requests, rows, tokens.
    """

    games: int = 0
    moves: int = 0
    simulations: int = 0
    nodes: int = 0
    ends: int = 0
    splices: int = 0
    tokens: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    occupancy: dict[str, CallStats] = field(default_factory=dict)


@dataclass
class SearchYield:
    """Distinct traces with their counts, one searched state per move played, and the account.

    `played`: by seed_id the trace of its game, of the last cut's where there were several.
    """

    traces: list[Trace] = field(default_factory=list)
    played: dict[str, Trace] = field(default_factory=dict)
    states: list[SearchState] = field(default_factory=list)
    stats: SearchStats = field(default_factory=SearchStats)


def search_shard(
    seeds: Sequence[Seed],
    policy: Policy,
    verifier: Verifier,
    settings: SearchSettings,
    run_seed: int,
    scorer: Scorer | None = None,
    inventory: Inventory | None = None,
    *,
    blind: bool = False,
    aloud: Callable[[str], None] | None = None,
) -> SearchYield:
    """Play a game from every configured cut of every seed (by default one, from the bare question).

    What a seed yields does not depend on the order of the seeds. A game that fails leaves a reason and harms
    no other. `blind`: seeds' answers are not known to the search, and its traces stay undecided; `aloud`
    hears each CoT as far as it was played. Raises BadInput where the settings ask for priors or values that
    the policy cannot give.
    """
    batcher = Batcher(policy)
    remembered: Verifier = Blind() if blind else Remembered(verifier)
    table = Table(
        batcher=batcher,
        settings=settings,
        inventory=inventory or Inventory.load(),
        decide=lambda traces: decide(traces, remembered),
        run_seed=run_seed,
        scorer=scorer,
        blind=blind,
        aloud=aloud,
    )
    source_of_priors(table), source_of_values(table)
    if settings.acts == "none" and len({m.writes_tags for m in table.members}) > 1:
        raise BadInput("whole steps are searched by policies that all write tags, or that all don't")
    out = SearchYield()
    stats, games = out.stats, list[Game]()
    for seed in seeds:
        for game in _games(table, seed):
            if isinstance(game, str):
                stats.failed.append((seed.seed_id, game))
            else:
                games.append(game)
    for game, result in zip(games, batcher.run(map(_whole_game, games)), strict=True):
        own = game.ends()
        if isinstance(result, Exception):
            stats.failed.append((game.seed_id, f"{type(result).__name__}: {result}"))
        elif not result.played.trace.text:
            stats.failed.append((game.seed_id, result.played.trace.error or "nothing was written"))
        else:
            played = result.played.trace.trace_id
            own.sort(key=lambda t: t.trace_id != played)
            if result.played.moves and not result.states:
                stats.failed.append(
                    (game.seed_id, result.played.trace.error or "the played trace has no acts")
                )
            own += result.splices
            out.states += result.states
            out.played[game.seed_id] = result.played.trace
            stats.games += 1
            stats.moves += len(result.played.moves)
            stats.nodes += result.played.nodes
            stats.splices += len(result.splices)
        out.traces += [with_evidence(t, game.evidence) for t in own]
    stats.simulations = stats.moves * settings.simulations
    stats.ends = sum(t.count for t in out.traces)
    stats.tokens = sum(calls.tokens for calls in batcher.stats.values())
    stats.occupancy = batcher.stats
    out.traces = merge(out.traces)
    return out


@dataclass(frozen=True, slots=True)
class _Result:
    played: Played
    states: list[SearchState]
    splices: list[Trace]


async def _whole_game(game: Game) -> _Result:
    played = await play(game)
    found = states(game, played)
    return _Result(played, found, await splice(game, played) if game.table.settings.splices else [])


def _games(table: Table, seed: Seed) -> Iterator[Game | str]:
    """The games of one seed, or why there is none from a cut."""
    kind = ActGame if table.settings.acts == "tags" else StepGame
    marked = table.policy.writes_tags or table.settings.acts == "tags"
    for cut in sorted({int(share * len(seed.steps)) for share in table.settings.cuts}):
        if cut and marked and not seed.acts:
            yield NO_ACTS
        else:
            acts = seed.acts if marked else ()
            body = open_prefix(seed.text, acts, seed.steps, cut).rstrip() if cut else ""
            yield kind(table, seed, body, cut)


class Blind:
    """A verifier that knows no answer."""

    name = "none"

    def verify(self, prediction: str, reference: str) -> Verdict:
        return Verdict(outcome=Outcome.UNDECIDED, reason="not looked at")

    def verify_many(self, pairs: Iterable[tuple[str, str]]) -> list[Verdict]:
        return [self.verify(*pair) for pair in pairs]

    def close(self) -> None: ...


class Remembered:
    """A verifier that is asked no pair twice: the rollouts of one question end in few different answers."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    @property
    def name(self) -> str:
        return self._verifier.name

    def verify(self, prediction: str, reference: str) -> Verdict:
        return self.verify_many([(prediction, reference)])[0]

    def verify_many(self, pairs: Iterable[tuple[str, str]]) -> list[Verdict]:
        pairs = list(pairs)
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._verdicts]
        self._verdicts.update(zip(new, self._verifier.verify_many(new), strict=True))
        return [self._verdicts[pair] for pair in pairs]

    def close(self) -> None:
        self._verifier.close()
