"""A thinker small enough to know by heart: it adds numbers, and errs two times in five."""

import re
from collections.abc import Callable, Mapping, Sequence
from math import exp, log

import pytest
from cotmill.models.policy import Sample, SampleRequest
from cotmill.schemas import Seed, Source, generator
from cotmill.schemas.markup import THINK_END, act_end, act_start
from doubles import Exact

EOS = "<eos>"
Script = Callable[[str], Mapping[str, float]]


class ScriptedPolicy:
    """A language model written as a function: behind a prompt, the next pieces and their probabilities."""

    name, hash = "scripted", "0"

    def __init__(self, script: Script, *, writes_tags: bool = True) -> None:
        self.script, self.writes_tags = script, writes_tags
        self.requests: list[SampleRequest] = []

    def prompt(self, question: str, prefix: str = "") -> str:
        return f"{question}|{prefix}"

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        self.requests += requests
        return [[self._one(r, i) for i in range(r.n)] for r in requests]

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return [
            [log(p) if (p := self.probability(prompt, c)) else -float("inf") for c in row]
            for prompt, row in zip(prompts, continuations, strict=True)
        ]

    def probability(self, prompt: str, continuation: str) -> float:
        """The probability that what follows `prompt` begins with `continuation`."""
        if not continuation:
            return 1.0
        return sum(
            p if piece.startswith(continuation) else p * self.probability(prompt + piece, rest)
            for piece, p in self.script(prompt).items()
            if piece.startswith(continuation) or ((rest := continuation.removeprefix(piece)) != continuation)
        )

    def _one(self, request: SampleRequest, index: int) -> Sample:
        rng, text, logprob = generator(f"{request.key} {index}"), "", 0.0
        for tokens in range(1, request.max_tokens + 1):
            pieces = self.script(request.prompt + text)
            sharp = max(request.temperature, 1e-3)
            top = max(pieces.values())
            weights = [exp(log(p / top) / sharp) for p in pieces.values()]
            piece = list(pieces)[int(rng.choice(len(weights), p=[w / sum(weights) for w in weights]))]
            logprob += log(pieces[piece])
            if piece == EOS:
                return Sample(text, tokens, "stop", logprob)
            text += piece
            if ends := [text.index(s) + len(s) for s in request.stop if s in text]:
                return Sample(text[: min(ends)], tokens, "stop", logprob)
        return Sample(text, request.max_tokens, "length", logprob)


def adder(prompt: str) -> Mapping[str, float]:
    """The script, in markup: it adds the question's numbers one by one, one too many with probability 0.4."""
    question, _, body = prompt.partition("|")
    numbers = [int(n) for n in question.split("+")]
    opened = re.search(r"<ACT_(\w+)_Start>([^<]*)$", body)
    sums = re.findall(r"(\d+)\+(\d+)=(\d+)", body)
    value = int(sums[-1][2]) if sums else numbers[0]
    if opened:
        act, written = opened.groups()
        if written:
            return {act_end(act): 1.0}
        if act == "Calculate" and len(sums) < len(numbers) - 1:
            to = numbers[len(sums) + 1]
            return {f"{value}+{to}={value + to}": 0.6, f"{value}+{to}={value + to + 1}": 0.4}
        said = {"Answer": f"The answer is {value}", "DetectError": f"Wait, {value} is wrong"}
        return {said.get(act, f"{act} {value}, good"): 0.9, f"{act}, hm": 0.1}
    if body.endswith(act_end("Answer")):
        return {THINK_END: 1.0}
    if body.endswith(">") and not body.endswith("_Start>"):
        return {"\n": 1.0}
    if len(sums) < len(numbers) - 1:
        return {act_start("Calculate"): 0.8, act_start("Plan"): 0.15, act_start("DetectError"): 0.05}
    return {act_start("Answer"): 0.9, act_start("Check"): 0.1}


def plain_adder(prompt: str) -> Mapping[str, float]:
    """The same thinker without tags: one line per sum, then the answer. Opening words don't disturb it."""
    question, _, text = prompt.partition("|")
    numbers = [int(n) for n in question.split("+")]
    sums = re.findall(r"(\d+)\+(\d+)=(\d+)", text)
    value = int(sums[-1][2]) if sums else numbers[0]
    line = text.rpartition("\n")[2]
    if "The answer is" in line and line[-1].isdigit():
        return {EOS: 1.0}
    if re.search(r"=\d+$", line):
        return {"\n": 1.0}
    if len(sums) < len(numbers) - 1:
        to = numbers[len(sums) + 1]
        return {f" {value}+{to}={value + to}": 0.6, f" {value}+{to}={value + to + 1}": 0.4}
    return {f" {value}" if line.endswith("is") else f"The answer is {value}": 1.0}


def sum_seed(question: str, **given: object) -> Seed:
    answer = str(sum(int(n) for n in question.split("+")))
    return Seed(question=question, answer=answer, source=Source(name="sums"), **given)  # type: ignore[arg-type]


@pytest.fixture
def scripted() -> type[ScriptedPolicy]:
    return ScriptedPolicy


@pytest.fixture
def tagged_adder() -> ScriptedPolicy:
    return ScriptedPolicy(adder)


@pytest.fixture
def untagged_adder() -> ScriptedPolicy:
    return ScriptedPolicy(plain_adder, writes_tags=False)


@pytest.fixture
def exact() -> type[Exact]:
    return Exact


@pytest.fixture
def sums() -> Callable[..., Seed]:
    """`sums("1+2")` is the seed that asks for 3."""
    return sum_seed
