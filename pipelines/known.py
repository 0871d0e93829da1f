"""What is known of a trace's steps: the labels, the first error, and the truth where a checker knows it."""

from dataclasses import dataclass

from ..generators import families
from ..schemas import Trace, labels


@dataclass(frozen=True)
class Known:
    """Per step its hard label, and whether no unmended error is pending after it (None: nobody knows).

    `first_error` is None, too, where no step has evidence of its own: the outcome alone does not place it.
    """

    hard: tuple[bool | None, ...]
    first_error: int | None
    clean: tuple[bool, ...] | None

    @property
    def contradicted(self) -> bool:
        """Whether the truth contradicts a label."""
        pairs = zip(self.hard, self.clean or (), strict=False)
        return any(label is not None and label != clean for label, clean in pairs)


def known(trace: Trace, threshold: float) -> Known:
    """The labels at the run's threshold, beside what the seed families' step checker says."""
    hard = labels.hard(trace, threshold)
    measured = any(s.n_rollouts and not s.reason for s in trace.steps)
    truth = families.check(trace.question, trace.text)
    return Known(
        hard=tuple(hard),
        first_error=labels.first_error(hard) if measured else None,
        clean=truth.clean if truth is not None and len(truth.clean) == len(trace.steps) else None,
    )
