"""What rollouts earned, and at which tokens: process rewards at step ends, the outcome's at the end."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import NamedTuple

from ..generators.assemble import assemble, decide
from ..models.network import OutcomeModel, RewardModel
from ..models.policy import Finish, Sample
from ..models.policy_value import PolicyValueModel
from ..schemas import (
    ActSpan,
    Generator,
    MarkupError,
    Outcome,
    Seed,
    Source,
    Trace,
    markup,
    split_steps,
)
from ..verifiers.base import Verifier
from .ppo_settings import PPOSettings
from .rollouts import Candidate, Roller, Rollout

_ACT_END = re.compile(r"<ACT_\w+?_End>")


@dataclass(slots=True)
class Episode:
    """A rollout, or a candidate beside one, as it is trained on.

    Of `ids`, those from `start` on are actions. `process`: (index in `ids`, reward), at the last tokens of
    steps; `outcome`: the reward of the last token, None where the episode goes on. `cuts`: last tokens of
    chosen segments. `acts`: (index of the last token of a state, index of the act that was taken there).
    `played`: it is the whole of what was played, so that V and P can learn from it.
    """

    ids: list[int]
    prompt_end: int
    start: int
    outcome: float | None
    process: list[tuple[int, float]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    acts: list[tuple[int, int]] = field(default_factory=list)
    played: bool = True
    verdict: Outcome = Outcome.UNDECIDED


class Reading(NamedTuple):
    """The well-formed part of a chain of thought: its text and acts, and where its steps end in the text.

    Positions in what was written (markup, where it has acts) are `at`, the steps' ends, and those in `taken`:
    (where a state ends, the act that was taken there or `END`).
    """

    text: str
    acts: tuple[ActSpan, ...]
    ends: tuple[int, ...]
    at: tuple[int, ...]
    taken: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(cls, body: str, tags: bool) -> "Reading":
        """Read what a policy wrote; markup that is malformed has no steps."""
        if not tags:
            ends = tuple(end for _, end in split_steps(body))
            return cls(body, (), ends, ends)
        closed = [m.end() for m in _ACT_END.finditer(body)]
        try:
            text, acts = markup.parse(body[: closed[-1]] if closed else body, closed=False)
            ends = tuple(end for _, end in split_steps(text, acts))
            at = markup.marked_steps(text, acts, ends)[1]
            act_ends = markup.marked_steps(text, acts, [a.end for a in acts])[1]
        except MarkupError:
            return cls("", (), (), ())
        states = (len(markup.THINK_START), *act_ends)
        names = [a.act for a in acts]
        if acts and body[act_ends[-1] :].lstrip().startswith(markup.THINK_END):
            names.append(markup.END)
        return cls(text, acts, ends, at, tuple(zip(states, names, strict=False)))


class Judges:
    """Who says what rollouts earned: the verifier, and a PRM and an ORM where they are given."""

    def __init__(
        self,
        settings: PPOSettings,
        network: PolicyValueModel,
        verifier: Verifier,
        prm: RewardModel | None,
        orm: OutcomeModel | None,
    ) -> None:
        self.settings, self.network, self.verifier, self.prm, self.orm = settings, network, verifier, prm, orm
        self._actions = {name: i for i, name in enumerate(network.actions)}

    def score(self, prefixes: Sequence[tuple[str, str]]) -> list[float]:
        """How good (question, chain of thought so far) pairs are, in [-1, 1]: the PRM's word, else V's.

        To the PRM a chain of thought without a step is the worst: it is malformed, or says nothing.
        """
        if self.prm is None:
            return [opinion.value for opinion in self.network.opinions(prefixes)]
        readings = [Reading.of(body, self.network.input == "markup") for _, body in prefixes]
        scores = _steps(self.prm, [(q, r) for (q, _), r in zip(prefixes, readings, strict=True)])
        return [s[-1] if s else -1.0 for s in scores]

    def episodes(self, rollouts: Sequence[Rollout], roller: Roller) -> list[Episode]:
        """Each rollout as an episode with its rewards; behind them all the candidates not chosen."""
        played = [roller.text(r, r.tokens) for r in rollouts]
        beside = [(r, c) for r in rollouts for c in r.rejected]
        traces = [_trace(r, body, r.ended) for r, body in zip(rollouts, played, strict=True)]
        traces += [
            _trace(r, roller.text(r, [*r.tokens[: c.after], *c.tokens]), c.ended) for r, c in beside if c.over
        ]
        decided = decide(traces, self.verifier)
        rewards = self._outcomes(decided)
        readings = [Reading.of(body, roller.tags) for body in played]
        scores: list[list[float]] = [[] for _ in rollouts]
        if self.prm is not None and self.settings.best_of == 1:
            asked = [(r.start.question, x) for r, x in zip(rollouts, readings, strict=True)]
            scores = _steps(self.prm, asked)
        out = [
            self._played(rollout, reading, s, roller, reward, trace.outcome)
            for rollout, reading, s, reward, trace in zip(
                rollouts, readings, scores, rewards, decided, strict=False
            )
        ]
        ends = iter(rewards[len(rollouts) :])
        return out + [self._beside(r, c, next(ends) if c.over else None) for r, c in beside]

    def _played(
        self,
        rollout: Rollout,
        reading: Reading,
        scores: Sequence[float],
        roller: Roller,
        reward: float,
        verdict: Outcome,
    ) -> Episode:
        start, last = len(rollout.prompt), len(rollout.prompt) + len(rollout.tokens) - 1
        at = roller.tokens_at(rollout, [*reading.at, *(end for end, _ in reading.taken)])
        marks = [(start + at[end], s) for end, s in zip(reading.at, scores, strict=False)]
        if self.prm is not None and self.settings.best_of > 1:
            marks = [(start + n - 1, s) for n, s in rollout.segments if s is not None]
        over = rollout.error is None
        return Episode(
            [*rollout.prompt, *rollout.tokens],
            rollout.prompt_end,
            start,
            reward if over else None,
            self._process([m for m in marks if m[0] >= start], _last(marks, start), last if over else None),
            [start + n - 1 for n, _ in rollout.segments] if self.settings.best_of > 1 else [],
            [
                (start + at[end], self._actions[name])
                for end, name in reading.taken
                if name in self._actions and end >= len(rollout.start.body)
            ],
            verdict=verdict,
        )

    def _beside(self, rollout: Rollout, candidate: Candidate, reward: float | None) -> Episode:
        start = len(rollout.prompt) + candidate.after
        last = start + len(candidate.tokens) - 1
        process: list[tuple[int, float]] = []
        if self.prm is not None:
            scored = [(len(rollout.prompt) + n - 1, s) for n, s in rollout.segments if s is not None]
            marks = [] if candidate.score is None else [(last, candidate.score)]
            process = self._process(marks, _last(scored, start), None if reward is None else last)
        ids = [*rollout.prompt, *rollout.tokens[: candidate.after], *candidate.tokens]
        return Episode(ids, rollout.prompt_end, start, reward, process, played=False)

    def _process(
        self, marks: Sequence[tuple[int, float]], before: float, last: int | None
    ) -> list[tuple[int, float]]:
        """Rewards at steps' last tokens from the scores there; `before`: the score of what stood before.

        Differences telescope: together they are worth the last score, however many steps there were. Paid
        back at the end (`last`), they are potential-based shaping, which changes no optimal policy (Ng,
        Harada, Russell 1999).
        """
        weight, form = self.settings.process_weight, self.settings.process
        out = []
        for at, score in marks:
            out.append((at, weight * (score if form == "value" else score - before)))
            before = score
        if form == "potential" and last is not None and (marks or before):
            out.append((last, -weight * before))
        return out

    def _outcomes(self, traces: Sequence[Trace]) -> list[float]:
        """+1 and -1 by the verifier; where it can't decide the ORM's score in [-1, 1], or `undecided`.

        Whoever says nothing has not answered, and loses as well: else silence would pay.
        """
        rewards = [self.settings.undecided if t.reward is None else float(t.reward) for t in traces]
        silent = {i for i, t in enumerate(traces) if not t.text}
        for i in silent:
            rewards[i] = -1.0
        open_ones = [i for i, t in enumerate(traces) if t.reward is None and i not in silent]
        if self.orm is not None and open_ones:
            marked = self.orm.input == "markup"
            texts = [
                (t.question, markup.render(t.text, t.acts) if marked and t.acts else t.text)
                for t in (traces[i] for i in open_ones)
            ]
            for i, p in zip(open_ones, self.orm.score_traces(texts), strict=True):
                rewards[i] = rewards[i] if isnan(p) else 2 * p - 1
        return rewards


def _steps(prm: RewardModel, rows: Sequence[tuple[str, Reading]]) -> list[list[float]]:
    """Its scores in [-1, 1] of (question, reading) pairs' steps; 0 for a step beyond its context."""
    scores = prm.score_steps([prm.row(q, r.text, r.acts, r.ends) for q, r in rows])
    return [[0.0 if isnan(p) else 2 * p - 1 for p in row] for row in scores]


def _last(marks: Sequence[tuple[int, float]], start: int) -> float:
    """The score of the last mark before `start`; 0 where there is none."""
    return next((s for at, s in reversed(marks) if at < start), 0.0)


def _trace(rollout: Rollout, body: str, ended: bool) -> Trace:
    finish: Finish = "error" if rollout.error else "stop" if ended else "length"
    seed = Seed(
        question=rollout.start.question, answer=rollout.start.reference, source=Source(name="rollouts")
    )
    return assemble(
        seed,
        body,
        generator=Generator.COMPLETION,
        prefix_steps=0,
        policy="ppo",
        policy_hash="",
        temperature=0.0,
        key=rollout.start.key,
        sample=Sample(body, len(rollout.tokens), finish),
    )
