"""What a verifier is: who says whether an answer, a program or a proof is right."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

from ..schemas import Outcome, Verdict

Pair = tuple[str, str]


class Verifier(Protocol):
    """Judges a prediction against a reference. Implementations may own processes: close them after use.

    A verdict depends on its two texts alone; nothing that a text holds makes `verify` raise.
    """

    @property
    def name(self) -> str:
        """What a row's provenance calls it."""

    def verify(self, prediction: str, reference: str) -> Verdict:
        """`prediction`: a CoT, a bare answer or a program; `reference`: the gold answer or the tests."""

    def verify_many(self, pairs: Iterable[Pair]) -> list[Verdict]:
        """The verdicts on (prediction, reference) pairs, in order."""

    def close(self) -> None:
        """End what the verifier owns. It may be used again afterwards."""


class Closing(ABC):
    """`with` for verifiers: closes at the end."""

    @abstractmethod
    def close(self) -> None:
        """End what is owned."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def correct(reason: str, evidence: str = "") -> Verdict:
    return Verdict(outcome=Outcome.CORRECT, reason=reason, evidence=evidence)


def wrong(reason: str, evidence: str = "") -> Verdict:
    return Verdict(outcome=Outcome.WRONG, reason=reason, evidence=evidence)


def undecided(reason: str, evidence: str = "") -> Verdict:
    return Verdict(outcome=Outcome.UNDECIDED, reason=reason, evidence=evidence)
