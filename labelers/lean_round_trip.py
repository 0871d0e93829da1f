"""Round trips of Lean proofs: a policy turns a CoT's steps back into tactics, and Lean runs them.

The share of tries that close the goal is the CoT's quality. A step's share counts the tries that Lean took up
to its end. The labels that the recorded proof gave its steps stay; a step without one takes what the furthest
try says, since one way through is enough to verify it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..models.policy import Policy, Sample, SampleRequest
from ..models.prompts import template
from ..schemas import BadInput, Domain, Method, RoundTrip, Step, Trace, markup, rng_key
from ..verifiers.lean import (
    LeanBackend,
    LeanError,
    LeanLost,
    LeanUnavailable,
    ProofFinished,
    TacticState,
    Theorem,
)
from .round_trip import RoundTripSettings, Travelled, thoughts

PROMPT = "lean_round_trip.md"
SKIP = "skip"
NOT_REACHED = "no try got through the steps before it"
_FENCE = re.compile(r"```(?:lean4?)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_GOES_ON = (" ", "|", "·", "<;>", ")")


@dataclass(slots=True)
class _Try:
    """One way through a trace: the step that is next, and the first that failed or that nobody can judge."""

    trace: int
    number: int
    state: TacticState
    at: int = 1
    closed: bool = False
    failed: bool = False
    undecided: bool = False

    @property
    def ended(self) -> bool:
        return self.closed or self.failed or self.undecided

    def passed(self, step: int) -> bool | None:
        """Whether Lean took all up to the end of this step; None where nobody knows."""
        if self.closed or step < self.at:
            return True
        return None if self.undecided else False


def label_proof_trips(
    traces: Sequence[Trace], policy: Policy, lean: LeanBackend, settings: RoundTripSettings, run_seed: int
) -> Travelled:
    """Each Lean trace with `round_trip` on itself and on its steps, from `rollouts` tries.

    In a try the policy is asked step by step, the Answer apart, with the theorem, the thoughts so far and
    Lean's state; steps that tell a refused attempt are passed over. It fails at the step whose tactic Lean
    refuses, or at the last one where the goal is still open. A limit, or a fault of the policy, leaves it
    undecided from there. Traces that this Lean cannot set out on, or with fewer than two steps, are left as
    they are.
    """
    if not settings.rollouts:
        return Travelled(list(traces))
    tries = [t for i, trace in enumerate(traces) for t in _set_out(i, trace, lean, settings.rollouts)]
    tokens = 0
    while walking := [t for t in tries if not t.ended]:
        requests = [_request(traces[t.trace], t, policy, settings, run_seed) for t in walking]
        for one, [sample] in zip(walking, policy.sample(requests), strict=True):
            tokens += sample.tokens
            _go(one, sample, lean)
            _pass_over(one, traces[one.trace])
    of_trace: dict[int, list[_Try]] = {}
    for one in tries:
        of_trace.setdefault(one.trace, []).append(one)
    done = [_with(trace, of_trace.get(i, []), policy.name) for i, trace in enumerate(traces)]
    return Travelled(done, len(tries), tokens)


def _set_out(place: int, trace: Trace, lean: LeanBackend, tries: int) -> list[_Try]:
    if trace.domain is not Domain.LEAN or not trace.reference or len(trace.steps) < 2:
        return []
    try:
        state = lean.start(Theorem.read(trace.reference))
    except (BadInput, LeanLost, LeanUnavailable):
        return []
    made = [_Try(place, number, state) for number in range(tries)]
    for one in made:
        _pass_over(one, trace)
    return made


def _pass_over(one: _Try, trace: Trace) -> None:
    """On to the next step that has to be asked about; behind the last, an open goal is a failure."""
    last = len(trace.steps) - 1
    while one.at <= last and (step := trace.steps[one.at - 1]).n_rollouts and not step.n_correct:
        one.at += 1
    if one.at > last and not one.ended:
        one.at, one.failed = last, True


def _request(
    trace: Trace, one: _Try, policy: Policy, settings: RoundTripSettings, run_seed: int
) -> SampleRequest:
    step = trace.steps[one.at - 1]
    asked = template(PROMPT).format(
        statement=one.state.theorem.statement,
        thoughts=thoughts(trace, one.at - 1) if one.at > 1 else "(none)",
        step=trace.text[step.start : step.end],
        tactics="\n".join(one.state.tactics) or "(none)",
        state=one.state.pp,
    )
    return SampleRequest(
        prompt=policy.prompt(asked),
        key=rng_key(run_seed, trace.trace_id, f"lean_round_trip {one.number}", one.at),
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
    )


def _go(one: _Try, sample: Sample, lean: LeanBackend) -> None:
    """Run one step's tactics."""
    if sample.finish == "error":
        one.undecided = True
        return
    for tactic in tactics_of(sample.text):
        result = lean.run_tac(one.state, tactic)
        match result:
            case ProofFinished():
                one.closed = True
                return
            case TacticState():
                one.state = result
            case LeanError(undecided=True):
                one.undecided = True
                return
            case _:
                one.failed = True
                return
    one.at += 1


def tactics_of(text: str) -> list[str]:
    """The tactics in a policy's text: a fence's inside where there is one; none for `skip` or an empty text.

    A line that is indented, or begins as a case or a combinator does, belongs to the tactic before it.
    """
    text = markup.strip_tags(text)
    fenced = _FENCE.search(text)
    lines = (fenced[1] if fenced else text).strip("\n").split("\n")
    depth = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    tactics: list[str] = []
    for line in lines:
        line = line[depth:].rstrip().strip("`")
        if not line or line.startswith("--"):
            continue
        if line.startswith(_GOES_ON) and tactics and not line.startswith("· "):
            tactics[-1] += f"\n{line}"
        else:
            tactics.append(line)
    return [t for t in tactics if t != SKIP]


def _with(trace: Trace, tries: Sequence[_Try], policy: str) -> Trace:
    if not tries:
        return trace
    last = len(trace.steps) - 1
    furthest = max((last if t.closed else t.at - 1 for t in tries), default=0)
    refused = any(t.failed and t.at == furthest + 1 for t in tries)

    def counted(step: int) -> RoundTrip:
        passed = [p for t in tries if (p := t.passed(step)) is not None]
        return RoundTrip(n_rollouts=len(passed), n_correct=sum(passed), policy=policy)

    def labelled(step: Step, number: int) -> Step:
        update: dict[str, object] = {"round_trip": counted(number)}
        if step.method is None and step.reason is None:
            if number <= furthest or (refused and number == furthest + 1):
                right = int(number <= furthest)
                update |= {"method": Method.PROOF, "n_rollouts": 1, "n_correct": right}
            else:
                update["reason"] = NOT_REACHED
        return step.model_copy(update=update)

    steps = tuple(labelled(s, n) if n <= last else s for n, s in enumerate(trace.steps, 1))
    return trace.model_copy(update={"steps": steps, "round_trip": counted(last)})
