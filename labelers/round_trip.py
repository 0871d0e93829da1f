"""Round trips: programs written from a CoT's words alone, and tested. What cannot be built back was not said.

The share that passes after the whole CoT, its answer apart, is the CoT's quality; after a prefix, it is the
success ratio of the prefix's last step. The labels that the CoT's own run gave its steps stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from ..models.policy import Policy, SampleRequest
from ..models.prompts import template
from ..schemas import Outcome, RoundTrip, Trace, rng_key
from ..verifiers.base import Verifier

PROMPT = "code_round_trip.md"


class RoundTripSettings(BaseModel):
    """`rollouts` programs from each CoT, and from each of its prefixes where `prefixes` is set; 0: none.

    For a Lean proof's CoT, `rollouts` tries at its tactics, step by step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rollouts: int = Field(default=0, ge=0)
    prefixes: bool = True
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=512, ge=1)


@dataclass
class Travelled:
    """The traces with their round trips, and what those cost."""

    traces: list[Trace]
    rollouts: int = 0
    tokens: int = 0


def label_round_trips(
    traces: Sequence[Trace], policy: Policy, verifier: Verifier, settings: RoundTripSettings, run_seed: int
) -> Travelled:
    """Each reversed program's trace with `round_trip` on itself and, for prefixes, on its steps.

    The policy sees neither the question nor the Answer step. A program that the verifier leaves undecided is
    not counted. Traces without a reference or with fewer than two steps are left as they are.
    """
    if not settings.rollouts:
        return Travelled(list(traces))
    places: list[tuple[int, int]] = []
    for i, trace in enumerate(traces):
        last = len(trace.steps) - 1
        if trace.reference and last > 0:
            places += [(i, n) for n in range(1 if settings.prefixes else last, last + 1)]
    requests = [
        SampleRequest(
            prompt=policy.prompt(template(PROMPT).format(thoughts=thoughts(traces[i], n))),
            key=rng_key(run_seed, traces[i].trace_id, "round_trip", n),
            n=settings.rollouts,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
        )
        for i, n in places
    ]
    answers = policy.sample(requests)
    pairs = [
        (sample.text, traces[i].reference or "")
        for (i, _), samples in zip(places, answers, strict=True)
        for sample in samples
    ]
    verdicts = iter(verifier.verify_many(pairs))
    counted: dict[tuple[int, int], RoundTrip] = {}
    for place, samples in zip(places, answers, strict=True):
        outcomes = [next(verdicts).outcome for _ in samples]
        decided = [o for o in outcomes if o is not Outcome.UNDECIDED]
        right = sum(o is Outcome.CORRECT for o in decided)
        counted[place] = RoundTrip(n_rollouts=len(decided), n_correct=right, policy=policy.name)
    done = [_with(trace, i, counted) for i, trace in enumerate(traces)]
    return Travelled(done, len(pairs), sum(s.tokens for samples in answers for s in samples))


def thoughts(trace: Trace, steps: int) -> str:
    """The first steps of a CoT, in their words."""
    return trace.text[: trace.steps[steps - 1].end]


def _with(trace: Trace, number: int, counted: dict[tuple[int, int], RoundTrip]) -> Trace:
    last = len(trace.steps) - 1
    steps = tuple(
        step.model_copy(update={"round_trip": trip}) if (trip := counted.get((number, n))) else step
        for n, step in enumerate(trace.steps, 1)
    )
    return trace.model_copy(update={"steps": steps, "round_trip": counted.get((number, last))})
