"""Adaptive labelling, written as one question after another and asked in batches."""

from collections.abc import Generator, Sequence
from contextlib import suppress

from ..generators.completion import CompletionSettings, Continuation, continue_all
from ..models.policy import Policy
from ..schemas import Trace
from ..verifiers.base import Verifier

# Asks for completions and is given them, until it knows enough.
Inquiry = Generator[Continuation, list[Trace], None]


def side_by_side(
    inquiries: Sequence[Inquiry], policy: Policy, verifier: Verifier, settings: CompletionSettings
) -> list[Trace]:
    """Let every inquiry ask until none has a question left; returns all rollouts, inquiry by inquiry.

    Those that are open at one time are answered in one call of the policy.
    """
    made: list[list[Trace]] = [[] for _ in inquiries]
    waiting = {i: wanted for i, one in enumerate(inquiries) if (wanted := next(one, None)) is not None}
    while waiting:
        answers = continue_all(list(waiting.values()), policy, verifier, settings)
        following: dict[int, Continuation] = {}
        for i, traces in zip(waiting, answers, strict=True):
            made[i] += traces
            with suppress(StopIteration):
                following[i] = inquiries[i].send(traces)
        waiting = following
    return [trace for traces in made for trace in traces]
