"""What a policy is: who writes. Local models, served ones and pools of them all look like this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

Finish = Literal["stop", "length", "error"]


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """`n` continuations of one prompt. `key` decides every random draw and the order of batches.

    Sampling ends at the first of `stop` (kept in the text), at the model's end of sequence, or after
    `max_tokens` tokens. Temperature 0 is greedy.
    """

    prompt: str
    key: str
    n: int = 1
    max_tokens: int = 256
    temperature: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One continuation: its text without the prompt, how many tokens it took, and how it ended.

    `logprob` is the natural-log probability of its tokens at temperature 1. A fault is data: `finish` is
    "error" and `error` says what happened.
    """

    text: str
    tokens: int
    finish: Finish
    logprob: float = 0.0
    error: str | None = None


class Policy(Protocol):
    """Writes continuations. Implementations are not thread-safe; a worker process owns one."""

    @property
    def name(self) -> str:
        """What a reader knows it by: a model folder's or hub name, never a path of this machine."""

    @property
    def hash(self) -> str:
        """A hash of its weights (local) or of its server's identity."""

    @property
    def writes_tags(self) -> bool:
        """Whether it was trained to write act tags. If not, it is prompted with the text alone."""

    def prompt(self, question: str, prefix: str = "") -> str:
        """The prompt that makes it think about `question`, going on from `prefix`.

        `prefix` is open markup (`<Think_Start>…`) for a policy that writes tags, else plain text.
        """

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        """`n` samples per request, in the order of the requests."""

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """For each prompt the log-probability of each of its continuations, summed over tokens."""


class Requests(Protocol):
    """Requests of one policy under way; what the earlier ones computed serves the later ones."""

    @property
    def busy(self) -> bool:
        """Whether any is under way."""

    def enter(self, requests: Sequence[SampleRequest]) -> Sequence[int]:
        """Put requests under way; returns their numbers, in order."""

    def advance(self) -> list[tuple[int, list[Sample]]]:
        """Go on until some are done; returns these by number, with their samples."""

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """As the policy's own."""


@runtime_checkable
class Streaming(Protocol):
    """A policy whose requests need not wait for one another's ends."""

    def stream(self) -> Requests:
        """A stream with nothing under way. It is for one thread and one shard's work."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """AlphaZero's (p, v) of a state: the probability of each act and of the end, and a value in [-1, 1]."""

    priors: Mapping[str, float]
    value: float


@runtime_checkable
class PolicyValue(Protocol):
    """What a policy with heads of its own can do beside writing."""

    def opinions(self, states: Sequence[tuple[str, str]]) -> list[Opinion]:
        """P and V of states (question, chain of thought so far).

        The chain of thought is open markup for a policy that writes tags, else plain text.
        """
