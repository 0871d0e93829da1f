"""Labels, computed from the evidence that steps store. Nothing else in the project computes one.

A step's value is that of its prefix: the share of rollouts from its end that reach the right answer
(Math-Shepherd, arXiv 2312.08935). A wrong step that is mended later is wrong, and the steps are right
again from the Correct on; the first error is the first wrong step that is never mended.

Counts that stopped at the first success (`scan`, `binary_search`) are biased as shares: they say whether any
rollout succeeds, and give hard labels at threshold 0 alone.
"""

from collections.abc import Sequence
from math import sqrt

from .records import Method, Outcome, Step, Trace

EARLY_STOPPED = frozenset({Method.SCAN, Method.BINARY_SEARCH})


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
    answer; a prefix of a good prefix is good; what follows a bad prefix is bad. A share that early stopping
    biased is not held against a threshold above 0: null.
    """
    steps = trace.steps
    measured = [_measured(s, threshold) for s in steps]
    if steps and _inferred(steps[-1]) and trace.outcome is not Outcome.UNDECIDED:
        measured[-1] = trace.outcome is Outcome.CORRECT
    out = list(measured)
    for i, step in enumerate(steps):
        if not _inferred(step) or out[i] is not None:
            continue
        if any(measured[i + 1 :]):
            out[i] = True
        elif any(m is False for m in measured[:i]):
            out[i] = False
    return out


def _measured(step: Step, threshold: float) -> bool | None:
    if step.reason or step.n_rollouts == 0:
        return None
    if step.method in EARLY_STOPPED and step.n_correct and threshold > 0:
        return None
    return step.n_correct / step.n_rollouts > threshold


def _inferred(step: Step) -> bool:
    return step.method is Method.INFERRED and not step.reason


def three_valued(step: Step, good: float = 0.5) -> int | None:
    """-1: no rollout succeeds; 1: at least the share `good` does; 0: between.

    Null without evidence, and where early stopping biased the share.
    """
    if step.reason or step.n_rollouts == 0 or step.method in EARLY_STOPPED:
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


def opinion(trace: Trace) -> list[bool | None]:
    """What the judge says of each step: right, wrong, or null where it is neutral or silent."""
    return [s.judge.label > 0 if s.judge and s.judge.label else None for s in trace.steps]


def agreed(hard_labels: Sequence[bool | None], opinions: Sequence[bool | None]) -> bool | None:
    """Whether the rollouts and the judge name the same first error of a trace, or both none.

    Null where one of them says nothing at all. The filter of arXiv 2501.07301.
    """
    if all(h is None for h in hard_labels) or all(o is None for o in opinions):
        return None
    return first_error(hard_labels) == first_error(opinions)
