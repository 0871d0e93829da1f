"""Judges of steps beside the contrast judge: a trained reward model, and a policy with a prompt file."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from string import Template
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..models.policy import Policy, Sample, SampleRequest
from ..schemas import MarkupError, Trace, content_hash, markup, rng_key
from .opinion import Opinion

if TYPE_CHECKING:
    from ..models.headed import StepsRow
    from ..models.network import RewardModel

PROMPT = "first_error.md"


class JudgeSettings(BaseModel):
    """Who gives a second opinion on labelled traces.

    `contrast`: the run's own policy as a reader, and what right solutions say; learns from the outcomes.
    `prm`: a reward model. `policy`: a policy that follows a prompt file, its votes counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["none", "contrast", "prm", "policy"] = "none"
    model: str | None = Field(
        default=None, description="a reward model (default: the one that ships) or a policy (the run's own)"
    )
    threshold: float = Field(default=0.5, gt=0, lt=1, description="prm: a step is wrong below this score")
    prompt: str | None = Field(default=None, description="policy: one's own prompt file")
    votes: int = Field(default=5, ge=1)
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=1024, ge=1)


@dataclass(frozen=True)
class RewardJudge:
    """The first step that a reward model scores below `threshold`; none where it scores none so low."""

    model: "RewardModel"
    name: str
    threshold: float = 0.5

    def opinions(self, traces: Sequence[Trace], pool: Sequence[Trace]) -> list[Opinion | None]:
        """No opinion on a trace without steps, beyond the model's context, or whose acts cross its steps."""
        rows = {i: row for i, t in enumerate(traces) if (row := self._row(t)) is not None}
        scored = dict(zip(rows, self.model.score_steps(list(rows.values())), strict=True))
        return [self._opinion(scored.get(i, ())) for i in range(len(traces))]

    def _row(self, trace: Trace) -> "StepsRow | None":
        """The trace as the model reads it, in training too."""
        try:
            return self.model.row(trace.question, trace.text, trace.acts, [s.end for s in trace.steps])
        except MarkupError:
            return None

    def _opinion(self, scores: Sequence[float]) -> Opinion | None:
        if not scores or any(map(isnan, scores)):
            return None
        first = next((i for i, score in enumerate(scores) if score < self.threshold), None)
        return Opinion(first, tuple(scores))


@dataclass(frozen=True)
class PolicyJudge:
    """A policy that is asked for the first wrong step, so many votes; the most frequent answer counts.

    The prompt has `$question`, `$steps` (numbered from 1), `$answer` (the right one) and `$word`, which
    marks the reply and which no judged text can know. A reply that can't be read is no vote; without any
    vote there is no opinion.
    """

    policy: Policy
    template: Template
    run_seed: int
    votes: int = 5
    temperature: float = 0.7
    max_tokens: int = 1024

    @property
    def name(self) -> str:
        return self.policy.name

    def opinions(self, traces: Sequence[Trace], pool: Sequence[Trace]) -> list[Opinion | None]:
        asked = [self._request(t) for t in traces if t.steps]
        answers = iter(self.policy.sample(asked) if asked else [])
        return [self._opinion(t, next(answers)) if t.steps else None for t in traces]

    def _request(self, trace: Trace) -> SampleRequest:
        steps = "\n\n".join(f"Step {i}: {trace.text[s.start : s.end]}" for i, s in enumerate(trace.steps, 1))
        asks = self.template.safe_substitute(
            question=trace.question, steps=steps, answer=trace.reference or "unknown", word=_word(trace)
        )
        return SampleRequest(
            prompt=self.policy.prompt(asks),
            key=rng_key(self.run_seed, trace.trace_id, "step judge"),
            n=self.votes,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            stop=(f"</verdict {_word(trace)}>",),
        )

    def _opinion(self, trace: Trace, samples: Sequence[Sample]) -> Opinion | None:
        n = len(trace.steps)
        votes = [v for s in samples if (v := read_vote(self._plain(s), _word(trace), n)) is not None]
        if not votes:
            return None
        counts = Counter(votes)
        winner = min(counts, key=lambda v: (-counts[v], v))
        scores = tuple(sum(v > i for v in votes) / len(votes) for i in range(n))
        return Opinion(None if winner == n else winner, scores)

    def _plain(self, sample: Sample) -> str:
        return markup.strip_tags(sample.text) if self.policy.writes_tags else sample.text


def read_vote(reply: str, word: str, n: int) -> int | None:
    """The index of the step that a reply calls the first wrong one, `n` for none; None where unreadable."""
    said = r"(?:step\s*)?(\d{1,6}|none)"
    verdicts = re.findall(rf"<verdict {word}>\s*{said}\s*</verdict {word}>", reply, re.IGNORECASE)
    if len(verdicts) != 1:
        return None
    if verdicts[0].lower() == "none":
        return n
    index = int(verdicts[0]) - 1
    return index if 0 <= index < n else None


def _word(trace: Trace) -> str:
    return content_hash("word", trace.trace_id)[:16]
