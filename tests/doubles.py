"""Stand-ins for what is slow or random: a policy that says what it is told to, a verifier that compares.

`from doubles import …` works in every test folder.
"""

from collections.abc import Callable, Iterable, Sequence

from cotmill.models.policy import Sample, SampleRequest
from cotmill.schemas import Outcome, Verdict

Says = Callable[[str, str], Sequence[str | Sample]]
_BEHIND = "\0"


class TablePolicy:
    """Goes on from (question, prefix) with what `says` lists, sample by sample, over and over.

    A text ends with "stop" and takes a token a word; a `Sample` is given as it is. `requests` holds all that
    it was asked.
    """

    name, hash = "table", "0"

    def __init__(self, says: Says, *, writes_tags: bool = False) -> None:
        self.says, self.writes_tags = says, writes_tags
        self.requests: list[SampleRequest] = []

    @property
    def prefixes(self) -> list[str]:
        """What it was asked to go on from, in order."""
        return [r.prompt.partition(_BEHIND)[2] for r in self.requests]

    def prompt(self, question: str, prefix: str = "") -> str:
        return f"{question}{_BEHIND}{prefix}"

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        self.requests += requests
        return [self._samples(r) for r in requests]

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        raise NotImplementedError("this policy only samples")

    def _samples(self, request: SampleRequest) -> list[Sample]:
        question, _, prefix = request.prompt.partition(_BEHIND)
        said = self.says(question, prefix)
        return [_sample(said[i % len(said)]) for i in range(request.n)]


def _sample(said: str | Sample) -> Sample:
    return said if isinstance(said, Sample) else Sample(said, len(said.split()), "stop")


class Exact:
    """Right is what is equal. Writes down what it was asked."""

    name = "exact"

    def __init__(self, undecided: Iterable[str] = ()) -> None:
        self.asked: list[tuple[str, str]] = []
        self.undecided = set(undecided)

    def verify(self, prediction: str, reference: str) -> Verdict:
        return self.verify_many([(prediction, reference)])[0]

    def verify_many(self, pairs: Iterable[tuple[str, str]]) -> list[Verdict]:
        pairs = list(pairs)
        self.asked += pairs
        return [self._one(*pair) for pair in pairs]

    def close(self) -> None: ...

    def _one(self, prediction: str, reference: str) -> Verdict:
        if self.undecided & {prediction, reference}:
            return Verdict(outcome=Outcome.UNDECIDED, reason="timeout")
        same = prediction.strip() == reference.strip()
        return Verdict(outcome=Outcome.CORRECT if same else Outcome.WRONG, reason="compared")
