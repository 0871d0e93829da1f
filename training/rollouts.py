"""On-policy rollouts by the engine, as tokens: what was drawn is what is trained on.

A text cut into tokens anew may be cut otherwise than it was drawn, and would have another probability. So a
rollout keeps the tokens of the engine, and positions in its text are found in them.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from ..models.headed import StepsRow
from ..models.local import LocalPolicy
from ..models.policy_value import PolicyValueModel
from ..models.sampling import Drawn, Engine, Row
from ..schemas import generator, rng_key
from ..schemas.markup import END, THINK_START, act_end, act_start

_NONE, _OPENS, _CLOSES = -1, 0, 1  # where a draw stops: entries of the engine's stop sets

Score = Callable[[Sequence[tuple[str, str]]], list[float]]
"""Judges (question, chain of thought so far) pairs, in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a rollout begins: a question, and the chain of thought so far as the policy writes it.

    `body` is open markup for a policy that writes tags. `key` decides every draw.
    """

    question: str
    reference: str
    body: str
    key: str


@dataclass(slots=True)
class Rollout:
    """What was written from a start: `tokens` after `prompt`, whose question ends at `prompt_end`.

    `ended`: it came to an end of its own. `segments`: (tokens so far, the judge's score there) at each end of
    a chosen segment, and `rejected` the candidates beside them, as (tokens before, tokens, score).
    """

    start: Start
    prompt: tuple[int, ...]
    prompt_end: int
    tokens: list[int] = field(default_factory=list)
    ended: bool = False
    error: str | None = None
    segments: list[tuple[int, float | None]] = field(default_factory=list)
    rejected: list["Candidate"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment that was not chosen: it stood behind `after` tokens of its rollout.

    `over`: nothing can follow it. `score` is the judge's, None for one that cannot be gone on from.
    """

    after: int
    tokens: list[int]
    over: bool
    ended: bool
    score: float | None


class Roller:
    """Draws rollouts from a local policy whose trunk is `network`'s, or a copy of it."""

    def __init__(
        self,
        policy: LocalPolicy,
        network: PolicyValueModel,
        temperature: float,
        max_tokens: int,
        separator: str,
    ) -> None:
        self.policy, self.network = policy, network
        self.temperature, self.max_tokens = temperature, max_tokens
        self.tags = network.input == "markup"
        acts = [a for a in network.actions if a != END]
        self._opens = tuple(map(act_start, acts))
        self._closes = tuple(map(act_end, acts)) if self.tags else (separator,)

    def begin(self, starts: Sequence[Start]) -> list[Rollout]:
        """Rollouts with nothing written yet."""
        rows = [StepsRow(s.question, s.body, (len(s.body),)) for s in starts]
        encoded = self.network.encode(rows)
        return [Rollout(s, tuple(e.ids), e.prompt_end) for s, e in zip(starts, encoded, strict=True)]

    def write(self, rollouts: Sequence[Rollout], best_of: int = 1, judge: Score | None = None) -> None:
        """Write each to its end, or to `max_tokens`.

        With `best_of` above 1 it is done segment by segment: in markup the policy opens an act, then
        `best_of` candidates go on from there to the act's end; in text a candidate is a step. The best judged
        goes on, and the others are kept.
        """
        engine = Engine(
            self.policy.model,
            ends=self.policy.ends,
            rows=self.policy.batch_rows,
            work=self.policy.work,
        )
        if best_of == 1 or judge is None:
            self._go_on(rollouts, [d for [d] in self._draw(engine, rollouts, "all", 1, _NONE)])
            return
        engine.stop_sets += [self.policy.stop_set(self._opens), self.policy.stop_set(self._closes)]
        going, turn = list(rollouts), 0
        while going:
            if self.tags:
                self._go_on(going, [d for [d] in self._draw(engine, going, f"act {turn}", 1, _OPENS)])
                going = [r for r in going if not self._over(r)]
            candidates = self._draw(engine, going, f"segment {turn}", best_of, _CLOSES)
            self._choose(going, candidates, judge)
            going = [r for r in going if not self._over(r)]
            turn += 1

    def text(self, rollout: Rollout, tokens: Sequence[int]) -> str:
        """The whole chain of thought where these tokens are what was written."""
        return rollout.start.body + self.policy.text(rollout.prompt, tokens)

    def tokens_at(self, rollout: Rollout, ends: Sequence[int]) -> dict[int, int]:
        """For each end in the whole chain of thought the index in `tokens` of the last one before it.

        That is the first token with which all characters before the end are there. -1 for an end that is not
        behind the start.
        """
        text, before = self.policy.text(rollout.prompt, rollout.tokens), len(rollout.start.body)
        found: dict[int, int] = {}
        low = 0
        for end in sorted({*ends}):
            if end <= before:
                found[end] = -1
                continue
            wanted = text[: end - before]

            def reaches(i: int, wanted: str = wanted) -> bool:
                return self.policy.text(rollout.prompt, rollout.tokens[: i + 1]).startswith(wanted)

            low = found[end] = bisect_left(range(len(rollout.tokens)), True, lo=low, key=reaches)
        return found

    def _room(self, rollout: Rollout) -> int:
        left = self.max_tokens - len(rollout.tokens)
        return min(left, self.policy.context - len(rollout.prompt) - len(rollout.tokens))

    def _over(self, rollout: Rollout) -> bool:
        return rollout.ended or rollout.error is not None or self._room(rollout) <= 0

    def _ends(self, drawn: Drawn) -> bool:
        """Whether it ends as the model ends a sequence."""
        return bool(drawn.tokens) and drawn.tokens[-1] in self.policy.ends

    def _go_on(
        self, rollouts: Sequence[Rollout], drawn: Sequence[Drawn], scores: Sequence[float | None] = ()
    ) -> None:
        for i, (rollout, d) in enumerate(zip(rollouts, drawn, strict=True)):
            rollout.tokens += d.tokens
            rollout.error, rollout.ended = d.error, self._ends(d)
            rollout.segments.append((len(rollout.tokens), scores[i] if scores else None))

    def _draw(
        self, engine: Engine, rollouts: Sequence[Rollout], purpose: str, n: int, stops: int
    ) -> list[list[Drawn]]:
        rows = []
        for rollout in rollouts:
            ids, room = (*rollout.prompt, *rollout.tokens), self._room(rollout)
            for k in range(n):
                draw = generator(rng_key(0, rollout.start.key, purpose, k))
                rows.append(Row(ids, draw.random(room).tolist(), self.temperature, stops))
        tickets = engine.enter(rows)
        done: dict[int, Drawn] = {}
        while engine.busy:
            done |= engine.advance()
        every = [done[t] for t in tickets]
        return [every[i : i + n] for i in range(0, len(every), n)]

    def _choose(self, rollouts: Sequence[Rollout], drawn: Sequence[list[Drawn]], judge: Score) -> None:
        """The best judged of each rollout's candidates goes on; of equals the first."""
        fit = [(i, k) for i, ds in enumerate(drawn) for k, d in enumerate(ds) if self._fit(d)]
        texts = [
            (rollouts[i].start.question, self.text(rollouts[i], [*rollouts[i].tokens, *drawn[i][k].tokens]))
            for i, k in fit
        ]
        scores = dict(zip(fit, judge(texts), strict=True))
        best = [max(range(len(ds)), key=lambda k: scores.get((i, k), -inf)) for i, ds in enumerate(drawn)]
        for i, (rollout, ds) in enumerate(zip(rollouts, drawn, strict=True)):
            rollout.rejected += [
                Candidate(
                    after=len(rollout.tokens),
                    tokens=d.tokens,
                    over=self._ends(d) or not d.stopped or len(d.tokens) >= self._room(rollout),
                    ended=self._ends(d),
                    score=scores.get((i, k)),
                )
                for k, d in enumerate(ds)
                if k != best[i] and d.error is None
            ]
        chosen = [ds[k] for ds, k in zip(drawn, best, strict=True)]
        self._go_on(rollouts, chosen, [scores.get((i, k)) for i, k in enumerate(best)])

    def _fit(self, drawn: Drawn) -> bool:
        """Whether a candidate can be gone on from, or is an end: in markup an act must have been closed."""
        return drawn.error is None and drawn.stopped and not (self.tags and self._ends(drawn))


def start_body(network: PolicyValueModel) -> str:
    """The chain of thought that has not begun, as the policy is prompted with it."""
    return THINK_START if network.input == "markup" else ""
