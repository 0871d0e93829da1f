"""The first error of a wrong solution, searched for: hard labels at "any" for a few rollouts.

Of a prefix both searches ask whether any of k completions ends right, and stop at the first that does. What
they count is therefore no success ratio.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from ..generators.completion import CompletionSettings, Continuation, successes
from ..models.policy import Policy
from ..schemas import Method, Outcome, Seed, Step, Trace, rng_key
from ..verifiers.base import Verifier
from .inquiry import Inquiry, side_by_side

NOBODY_DECIDED = "no rollout from here was decided"


@dataclass
class Suspect:
    """A wrong solution, the method by which its first error is to be found, and what was asked about it.

    `asked[after]` holds the rollouts from the prefix of so many steps.
    """

    seed: Seed
    trace: Trace
    method: Method
    asked: dict[int, list[Trace]] = field(default_factory=dict)

    @property
    def labelled(self) -> Trace:
        """The trace with its counts; a step that was not asked about is `inferred`."""
        steps = [
            _counted(step, self.asked[i], self.method) if i in self.asked else _inferred(step)
            for i, step in enumerate(self.trace.steps, 1)
        ]
        return self.trace.model_copy(update={"steps": tuple(steps)})


def find_first_errors(
    suspects: Sequence[Suspect],
    policy: Policy,
    verifier: Verifier,
    settings: CompletionSettings,
    run_seed: int,
) -> list[Trace]:
    """Search each suspect for its first error, filling in what was asked; returns all rollouts.

    `settings.rollouts` is k, the most that one prefix takes. Draws are keyed by trace and prefix: a
    suspect's label doesn't depend on who is searched beside it.
    """
    inquiries = [_SEARCHES[s.method](s, settings.rollouts, run_seed) for s in suspects]
    return side_by_side(inquiries, policy, verifier, settings)


def inferred(trace: Trace) -> Trace:
    """A right solution at "any": it is itself a success from each of its prefixes, and needs no rollout."""
    return trace.model_copy(update={"steps": tuple(map(_inferred, trace.steps))})


def _scan(suspect: Suspect, k: int, run_seed: int) -> Inquiry:
    """Step by step, to the first prefix from which none of `k` rollouts succeeds."""
    for after in range(suspect.trace.prefix_steps + 1, len(suspect.trace.steps)):
        if not (yield from _any_success(suspect, after, k, run_seed)):
            return


def _binary_search(suspect: Suspect, k: int, run_seed: int) -> Inquiry:
    """By halves, as if no prefix behind the first error could lead to success (arXiv 2406.06592, 3.2)."""
    good, bad = suspect.trace.prefix_steps, len(suspect.trace.steps)
    while bad - good > 1:
        middle = (good + bad) // 2
        if (yield from _any_success(suspect, middle, k, run_seed)):
            good = middle
        else:
            bad = middle


_SEARCHES = {Method.SCAN: _scan, Method.BINARY_SEARCH: _binary_search}


def _any_success(
    suspect: Suspect, after: int, k: int, run_seed: int
) -> Generator[Continuation, list[Trace], bool]:
    rollouts = suspect.asked.setdefault(after, [])
    for index in range(k):
        key = rng_key(run_seed, suspect.trace.trace_id, f"first error {after}", index)
        made = yield Continuation(suspect.seed, suspect.trace, after, 1, key)
        rollouts += made
        if any(t.outcome is Outcome.CORRECT for t in made):
            return True
    return False


def _counted(step: Step, rollouts: Sequence[Trace], method: Method) -> Step:
    right, decided = successes(rollouts)
    reason = None if decided else NOBODY_DECIDED
    update = {"n_correct": right, "n_rollouts": decided, "method": method, "reason": reason}
    return step.model_copy(update=update)


def _inferred(step: Step) -> Step:
    return step if step.method else step.model_copy(update={"method": Method.INFERRED})
