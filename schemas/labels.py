"""Labels, computed from the evidence that steps store. Nothing else in the project computes one.

A step's value is that of its prefix: the share of rollouts from its end that reach the right answer
(Math-Shepherd, arXiv 2312.08935). A wrong step that is mended later is wrong, and the steps are right
again from the Correct on; the first error is the first wrong step that is never mended.
"""

from collections.abc import Sequence
from math import sqrt

from .records import Method, Outcome, Step, Trace


def wilson(n_correct: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval for a share (95% at the default z); (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = n_correct / n, z * z
    centre, spread = p + z2 / (2 * n), z * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = (centre - spread) / (1 + z2 / n), (centre + spread) / (1 + z2 / n)
    return (0.0 if n_correct == 0 else low), (1.0 if n_correct == n else high)


def soft(step: Step) -> float | None:
    """The success ratio q; null unless the number of rollouts was fixed beforehand."""
    if step.method is not Method.ROLLOUTS or step.n_rollouts == 0 or step.reason:
        return None
    return step.n_correct / step.n_rollouts


def interval(step: Step) -> tuple[float, float] | None:
    """The 95% interval of `soft`."""
    return None if soft(step) is None else wilson(step.n_correct, step.n_rollouts)


def hard(trace: Trace, threshold: float = 0.0) -> list[bool | None]:
    """Right or wrong per step: more than `threshold` of the rollouts succeed (0: at least one does).

    A step without rollouts of its own takes what its neighbours imply: the last step is as right as the
    answer; a prefix of a good prefix is good; what follows a bad prefix is bad.
    """
    steps = trace.steps
    out: list[bool | None] = [
        None if s.reason or s.n_rollouts == 0 else s.n_correct / s.n_rollouts > threshold for s in steps
    ]
    measured = list(out)
    for i, step in enumerate(steps):
        if step.method is not Method.INFERRED or step.reason:
            continue
        if i == len(steps) - 1 and trace.outcome is not Outcome.UNDECIDED:
            out[i] = trace.outcome is Outcome.CORRECT
        elif any(measured[i + 1 :]):
            out[i] = True
        elif any(m is False for m in measured[:i]):
            out[i] = False
    return out


def three_valued(step: Step, good: float = 0.5) -> int | None:
    """-1: no rollout succeeds; 1: at least the share `good` does; 0: between. Null without evidence."""
    if step.reason or step.n_rollouts == 0:
        return None
    if step.n_correct == 0:
        return -1
    return 1 if step.n_correct / step.n_rollouts >= good else 0


def first_error(labels: Sequence[bool | None]) -> int | None:
    """The index of the first wrong step that is never mended; None where there is no such step.

    Takes hard labels; steps without a label are passed over.
    """
    first: int | None = None
    for i, good in enumerate(labels):
        if good:
            first = None
        elif good is False and first is None:
            first = i
    return first


def consensus(step_hard: bool | None, step: Step) -> bool | None:
    """Whether the judge's opinion and the rollouts agree; null where either is missing or neutral."""
    if step_hard is None or step.judge is None or step.judge.label == 0:
        return None
    return step_hard == (step.judge.label > 0)
