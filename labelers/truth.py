"""Labels against the truth that the seed families' step checker knows."""

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from ..generators import families
from ..schemas import Origin, Outcome, Trace, labels

BINS = 5


class Truth(BaseModel):
    """Counts that add up over shards. Positive = the step's prefix is clean (no unmended error).

    `bins` holds per fifth of q: how many prefixes, the sum of their q, how many of them are clean.
    """

    model_config = ConfigDict(extra="forbid")

    true_positive: int = 0
    false_positive: int = 0
    true_negative: int = 0
    false_negative: int = 0
    wrong_traces: int = 0
    first_error_exact: int = 0
    first_error_near: int = 0
    bins: list[tuple[int, float, int]] = [(0, 0.0, 0)] * BINS

    def add(self, other: "Truth") -> "Truth":
        mine, theirs = self.model_dump(exclude={"bins"}), other.model_dump(exclude={"bins"})
        bins = [(a[0] + b[0], a[1] + b[1], a[2] + b[2]) for a, b in zip(self.bins, other.bins, strict=True)]
        return Truth(**{k: mine[k] + theirs[k] for k in mine}, bins=bins)

    @property
    def measured(self) -> int:
        """How many step prefixes were compared."""
        return self.true_positive + self.false_positive + self.true_negative + self.false_negative

    @property
    def precision(self) -> float | None:
        """Of the steps labelled right, the share that are clean."""
        return _share(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float | None:
        """Of the clean steps, the share labelled right."""
        return _share(self.true_positive, self.true_positive + self.false_negative)

    @property
    def exact_share(self) -> float | None:
        """Of the wrong traces, the share whose true first error the labels name exactly."""
        return _share(self.first_error_exact, self.wrong_traces)

    @property
    def near_share(self) -> float | None:
        """The same within one step."""
        return _share(self.first_error_near, self.wrong_traces)

    @property
    def calibration_error(self) -> float | None:
        """|mean q - share of clean prefixes|, weighted over the bins (expected calibration error)."""
        n = sum(b[0] for b in self.bins)
        return sum(abs(q - clean) for _, q, clean in self.bins) / n if n else None


def compare(traces: Iterable[Trace], threshold: float = 0.0, *, seeds: bool = False) -> Truth:
    """The labels of steps that a policy wrote, or of the seeds' own, against the checker.

    They stand apart, since a seed's mistakes are planted and soon mended: the policy, which learnt to mend
    them, succeeds from a prefix with one. Traces that the checker does not know are passed over.
    """
    total = Truth()
    for trace in traces:
        if not trace.measured:
            continue
        truth = families.check(trace.question, trace.text)
        if truth is not None and len(truth.clean) == len(trace.steps):
            total = total.add(_one(trace, truth, threshold, seeds))
    return total


def _one(trace: Trace, truth: families.StepTruth, threshold: float, seeds: bool) -> Truth:
    hard = labels.hard(trace, threshold)
    one = Truth()
    bins = [list(b) for b in one.bins]
    evident = [i for i, s in enumerate(trace.steps) if s.n_rollouts and not s.reason]
    measured = [i for i in evident if (trace.steps[i].origin is Origin.POLICY) != seeds]
    for i in measured:
        kind = ("true" if hard[i] == truth.clean[i] else "false") + ("_positive" if hard[i] else "_negative")
        setattr(one, kind, getattr(one, kind) + 1)
        if (q := labels.soft(trace.steps[i])) is not None:
            b = bins[min(int(q * BINS), BINS - 1)]
            b[0], b[1], b[2] = b[0] + 1, b[1] + q, b[2] + truth.clean[i]
    one.bins = [(int(n), float(q), int(c)) for n, q, c in bins]
    own = any(s.origin is Origin.POLICY for s in trace.steps)
    if trace.outcome is Outcome.WRONG and evident and own and not seeds and truth.first_error is not None:
        said = labels.first_error(hard)
        one.wrong_traces = 1
        one.first_error_exact = int(said == truth.first_error)
        one.first_error_near = int(said is not None and abs(said - truth.first_error) <= 1)
    return one


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
