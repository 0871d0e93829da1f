"""Thinking as a game: states are chains of thought, the end is an answer, and a verifier says who won.

What searches over acts and over whole steps have in common: keys, leaf values, ends, and a record of both.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ...models.batcher import Batcher
from ...models.policy import Opinion, Policy, PolicyValue, Sample, SampleRequest
from ...models.pool import members_of
from ...schemas import BadInput, Generator, Inventory, Outcome, Seed, Trace, content_hash, markup, rng_key
from ..assemble import assemble, claimed_answer
from .notation import Notation, text_of
from .settings import SearchSettings
from .tree import Evaluation

Scorer = Callable[[str, Sequence[str]], Sequence[float]]
"""`score(question, prefixes)`: per CoT prefix the probability, in [0, 1], that it leads to a right answer."""

TOO_DEEP = "cut off: max_depth reached"
_Z = {Outcome.CORRECT: 1.0, Outcome.WRONG: -1.0, Outcome.UNDECIDED: 0.0}


@dataclass(frozen=True, slots=True)
class CotState:
    """Where a game stands: the CoT so far as `body` (open markup; text where no acts are known).

    `act` is chosen and not yet written. `depth` counts moves, `tokens` those sampled on the way here. A game
    that is over has its whole CoT as `body`; one that stopped unfinished says why in `error`.
    """

    body: str
    act: str | None = None
    depth: int = 0
    tokens: int = 0
    over: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A sampled segment or step under its action: the text, and the judge's score.

    `after` is the state it leads to; one that can't be gone on from has none, and no score. `weight`, in
    [0, 1], is the score as a prior not yet normalised. `policy` is the name of who wrote it.
    """

    action: str
    text: str
    after: CotState | None = None
    score: float | None = None
    weight: float = 0.0
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """What all games of a shard share. `decide` gives traces their outcomes, many at once.

    A `blind` search knows no answers: an end that nobody decided is worth what the opinion on it says.
    `aloud` is told each body that was played.
    """

    batcher: Batcher
    settings: SearchSettings
    inventory: Inventory
    decide: Callable[[list[Trace]], list[Trace]]
    run_seed: int
    scorer: Scorer | None = None
    blind: bool = False
    aloud: Callable[[str], None] | None = None

    @property
    def policy(self) -> Policy:
        return self.batcher.policy

    @property
    def members(self) -> tuple[Policy, ...]:
        """Who writes candidates; the first one leads."""
        return members_of(self.policy)

    def sample(self, member: int, request: SampleRequest) -> "asyncio.Future[list[Sample]]":
        """To be awaited: samples of one member of the pool."""
        kind = f"sample {member}" if member else "sample"
        return self.batcher.sample(request, self.members[member], kind)

    def opinion(self, question: str, shown: str) -> "asyncio.Future[Opinion]":
        """To be awaited: what the leader's heads say of a state."""
        item = (question, shown)
        return self.batcher.submit("opinion", item, item, self._opinions)

    def decided(self, trace: Trace) -> "asyncio.Future[Trace]":
        """To be awaited: the trace with its outcome."""
        key = (trace.trace_id, trace.error or "", trace.provenance.rng_key)
        return self.batcher.submit("verify", key, trace, self.decide)

    def scores(self, question: str, bodies: Iterable[str]) -> "asyncio.Future[list[float]]":
        """To be awaited: the scorer's probability for each body."""
        item = (question, *bodies)
        return self.batcher.submit("score", item, item, self._score)

    def _opinions(self, states: list[tuple[str, str]]) -> list[Opinion]:
        leader = self.members[0]
        assert isinstance(leader, PolicyValue)
        return leader.opinions(states)

    def _score(self, items: list[tuple[str, ...]]) -> list[list[float]]:
        """One call of the scorer per question."""
        assert self.scorer is not None
        asked: dict[str, list[str]] = {}
        for question, *bodies in items:
            asked.setdefault(question, []).extend(bodies)
        scored = {}
        for question, bodies in asked.items():
            scores = [float(score) for score in self.scorer(question, bodies)]
            if len(scores) != len(bodies) or not all(0 <= score <= 1 for score in scores):
                raise ValueError("a scorer must give one probability in [0, 1] per prefix")
            scored[question] = iter(scores)
        return [[next(scored[question]) for _ in bodies] for question, *bodies in items]


class CotGame:
    """One question, thought about from one prefix of a CoT (`start`: a body of `prefix_steps` steps).

    `spent` counts the tokens written for it. `evidence` holds the rollouts from each evaluated state,
    (n_correct, n_decided) by its text, and `drafts` what was sampled after each body.
    """

    def __init__(self, table: Table, seed: Seed, start: str = "", prefix_steps: int = 0) -> None:
        tags = table.policy.writes_tags
        separator = "\n\n" if start and "\n\n" in seed.text else table.settings.separator
        self.table = table
        self.seed, self.seed_id = seed, seed.seed_id
        marked = tags or table.settings.acts == "tags"
        self.notations = tuple(Notation(m.writes_tags, marked, separator) for m in table.members)
        self.notation = self.notations[0]
        self.start = CotState(start or self.notation.empty)
        self.prefix_steps = prefix_steps
        self.spent = 0
        self.evidence: dict[str, tuple[int, int]] = {}
        self.drafts: dict[str, list[Draft]] = {}
        self._places: dict[str, str] = {}
        self._ended: dict[CotState, Trace] = {}
        self._decided: dict[tuple[str | None, ...], asyncio.Future[Trace]] = {}
        self._met: dict[str, Trace] = {}
        self._counts: Counter[str] = Counter()

    def ends(self) -> list[Trace]:
        """Every distinct finished trace met so far, with its count, in the order of meeting."""
        return [t.model_copy(update={"count": self._counts[i]}) for i, t in self._met.items()]

    def key(self, state: CotState, purpose: str, index: int = 0) -> str:
        """The key of one draw at a state; the same in whatever order the tree comes there."""
        place = self._places.get(state.body)
        if place is None:
            place = content_hash("search", self.seed_id, self.start.body, state.body)
            self._places[state.body] = place
        return rng_key(self.table.run_seed, place, purpose, index)

    def prompt(self, shown: str) -> str:
        return self.table.policy.prompt(self.seed.question, shown)

    async def result(self, state: CotState) -> Evaluation | None:
        """The evaluation of a state at which the game is over; None where it goes on."""
        if not state.over and state.depth < self.table.settings.max_depth:
            return None
        return await self.over(state)

    async def over(self, state: CotState, why: str = TOO_DEEP) -> Evaluation:
        """The evaluation z of a state where the game ends: +1 correct, -1 wrong, 0 where nobody knows.

        In a blind search the opinion on what was written stands in for what nobody knows.
        """
        trace = await self.end(state, why)
        if trace.outcome is not Outcome.UNDECIDED or not self.table.blind:
            return Evaluation(_Z[trace.outcome])
        if claimed_answer(trace) is None:
            return Evaluation(-1.0)
        written = replace(state, body=state.body.removesuffix(markup.THINK_END))
        return Evaluation(await self.leaf_value(written, self.opinion(written), rollouts=False))

    async def end(self, state: CotState, why: str = TOO_DEEP) -> Trace:
        """The decided trace of a state at which the game is over; one that could go on is stopped there."""
        if state not in self._ended:
            final = state if state.over else self.stopped(state, why)
            pool = set(self.table.settings.temperatures)
            temperature = pool.pop() if len(pool) == 1 else None
            sample = Sample("", 0, "stop")
            trace = await self.decided(final, sample, self.key(state, "end"), temperature)
            self._ended[state] = trace
            self._record(trace)
        return self._ended[state]

    def stopped(self, state: CotState, why: str) -> CotState:
        """Where the game is over although the CoT is not."""
        body = self.notation.closed(state.body)
        return replace(state, body=body, act=None, over=True, error=why)

    async def roll_out(self, state: CotState, n: int, temperature: float) -> list[Trace]:
        """`n` CoTs continued from a state to their ends in one go, decided."""
        prefix = self.notation.visible(state.body)
        request = SampleRequest(
            prompt=self.prompt(prefix),
            key=self.key(state, "rollout"),
            n=n,
            max_tokens=self.table.settings.max_tokens,
            temperature=temperature,
            stop=(markup.THINK_END,) if self.notation.tags else (),
        )
        samples = await self.table.batcher.sample(request)
        self.spent += sum(s.tokens for s in samples)
        verdicts = [
            self.decided(
                CotState(prefix + s.text, tokens=state.tokens, over=True), s, request.key, temperature
            )
            for s in samples
        ]
        traces = [await verdict for verdict in verdicts]
        for trace in traces:
            self._record(trace)
        return traces

    def opinion(self, state: CotState) -> "asyncio.Future[Opinion] | None":
        """To be awaited: what the policy's heads say of a state; None where nothing is asked of them."""
        priors = self.table.settings.acts == "tags" and source_of_priors(self.table) == "head"
        if not priors and source_of_values(self.table) != "head":
            return None
        shown = state.body if self.notation.tags else text_of(state.body)
        return self.table.opinion(self.seed.question, shown)

    async def leaf_value(
        self, state: CotState, heads: "asyncio.Future[Opinion] | None", *, rollouts: bool = True
    ) -> float:
        """V(s): the rollouts' mean result, an opinion (the heads' or the scorer's), or their mix.

        0 where there is neither.
        """
        settings, source = self.table.settings, source_of_values(self.table)
        scores = self.table.scores(self.seed.question, [state.body]) if source == "scorer" else None
        rolled = 0.0
        n = settings.rollouts if rollouts else 0
        if n:
            traces = await self.roll_out(state, n, settings.rollout_temperature)
            outcomes = [t.outcome for t in traces]
            decided = sum(o is not Outcome.UNDECIDED for o in outcomes)
            self.evidence[text_of(state.body)] = (sum(o is Outcome.CORRECT for o in outcomes), decided)
            rolled = sum(_Z[o] for o in outcomes) / len(outcomes)
        if scores is not None:
            judged = 2 * (await scores)[0] - 1
        elif source == "head" and heads is not None:
            judged = (await heads).value
        else:
            return rolled
        weight = settings.rollout_weight if n else 0.0
        return weight * rolled + (1 - weight) * judged

    def decided(
        self, state: CotState, sample: Sample, key: str, temperature: float | None
    ) -> "asyncio.Future[Trace]":
        """To be awaited: a whole CoT as a trace with its outcome. One that was met before is that trace.

        `sample` says how the writing ended; `temperature` is None where several wrote it.
        """
        met = (state.body, state.error, sample.finish, sample.error)
        if met not in self._decided:
            trace = self._trace(state, sample, key, temperature)
            self._decided[met] = self.table.decided(trace)
        return self._decided[met]

    def _trace(self, state: CotState, sample: Sample, key: str, temperature: float | None) -> Trace:
        policy = self.table.policy
        trace = assemble(
            self.seed,
            state.body,
            generator=Generator.SEARCH,
            prefix_steps=self.prefix_steps,
            policy=policy.name,
            policy_hash=policy.hash,
            temperature=temperature or 0.0,
            key=key,
            sample=replace(sample, tokens=state.tokens + sample.tokens),
        )
        if temperature is None:
            provenance = trace.provenance.model_copy(update={"temperature": None})
            trace = trace.model_copy(update={"provenance": provenance})
        return trace if state.error is None else trace.model_copy(update={"error": state.error})

    def _record(self, trace: Trace) -> None:
        if trace.text:
            self._met.setdefault(trace.trace_id, trace)
            self._counts[trace.trace_id] += 1


def source_of_priors(table: Table) -> str:
    """Where acts' priors come from: head, tags, openings or uniform. Raises BadInput where it can't."""
    leader, asked = table.members[0], table.settings.priors
    has_head = isinstance(leader, PolicyValue)
    if asked == "auto":
        return "head" if has_head else "tags" if leader.writes_tags else "uniform"
    if asked == "head" and not has_head:
        raise BadInput(f"the policy {leader.name} has no policy head", field="priors")
    if asked == "tags" and not leader.writes_tags:
        raise BadInput(f"the policy {leader.name} writes no tags", field="priors")
    return asked


def source_of_values(table: Table) -> str:
    """Whose opinion of a leaf counts: head, scorer or none. Raises BadInput where there is no such one."""
    leader, asked = table.members[0], table.settings.values
    has_head, has_scorer = isinstance(leader, PolicyValue), table.scorer is not None
    if asked == "auto":
        return "head" if has_head else "scorer" if has_scorer else "none"
    if asked == "head" and not has_head:
        raise BadInput(f"the policy {leader.name} has no value head", field="values")
    if asked == "scorer" and not has_scorer:
        raise BadInput("there is no scorer", field="values")
    return asked
