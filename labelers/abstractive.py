"""Summaries that a policy writes, each checked for what the trace does not hold.

The check knows numbers, equations, the answer and words; it does not understand. What passes may still twist
what it says, so the policy's summary replaces the extractive one only where a run asks for it.
"""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..models.policy import Policy, Sample, SampleRequest
from ..models.prompts import summary_question
from ..schemas import Trace, markup, rng_key
from .claims import claims
from .summary import summarise

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]{4,}")
_STEM = 5
_KNOWN_WORDS = 0.6


class SummarySettings(BaseModel):
    """Who summarises: nobody but the trace itself, or a policy whose `candidates` are checked in turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["extractive", "abstractive"] = "extractive"
    candidates: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=200, ge=1)


def summarise_with(
    policy: Policy, traces: Sequence[Trace], settings: SummarySettings, run_seed: int
) -> tuple[list[str], int]:
    """For each trace the first of the policy's summaries that it bears out, else the extractive one.

    And how many tokens the policy wrote.
    """
    requests = [
        SampleRequest(
            prompt=policy.prompt(summary_question(t.question, t.text)),
            key=rng_key(run_seed, t.trace_id, "summary"),
            n=settings.candidates,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
        )
        for t in traces
    ]
    answers = policy.sample(requests) if requests else []
    chosen = []
    for trace, samples in zip(traces, answers, strict=True):
        borne_out = (s for s in map(_text, samples) if s and not unsupported(trace, s))
        chosen.append(next(borne_out, None) or summarise(trace))
    return chosen, sum(s.tokens for samples in answers for s in samples)


def unsupported(trace: Trace, summary: str) -> list[str]:
    """What a summary says that neither the trace nor its question holds; empty where nothing was found.

    A number that stands in neither; an equation that the trace states otherwise, or of known numbers but
    nowhere; a sentence of mostly unknown words; a missing answer; more text than the trace has.
    """
    held = f"{trace.question}\n{trace.text}"
    numbers, words = set(_numbers(held)), set(_stems(held))
    stated = [c for step in trace.steps for c in claims(trace.text[step.start : step.end])]
    last, known = dict(stated), set(stated)
    found = [f"the number {n}" for n in _numbers(summary) if n not in numbers]
    for left, right in claims(summary):
        if last.get(left, right) != right:
            found.append(f"{left} = {right}, which was mended")
        elif (left, right) not in known and f"{left}={right}" not in re.sub(r"\s", "", held):
            found.append(f"{left} = {right}")
    for sentence in _SENTENCE.split(summary):
        said = _stems(sentence)
        if said and sum(s in words for s in said) < _KNOWN_WORDS * len(said):
            found.append(f"'{sentence.strip()}'")
    if trace.answer and not re.search(rf"(?<!\w){re.escape(trace.answer.strip())}(?!\w)", summary):
        found.append(f"not the answer {trace.answer}")
    if len(summary) > len(trace.text):
        found.append("more than the trace itself")
    return found


def _text(sample: Sample) -> str:
    return "" if sample.finish != "stop" else " ".join(markup.strip_tags(sample.text).split())


def _numbers(text: str) -> list[str]:
    return [n.replace(",", "") for n in _NUMBER.findall(text)]


def _stems(text: str) -> list[str]:
    """The beginnings of longer words: what inflection leaves alone."""
    return [w.casefold()[:_STEM] for w in _WORD.findall(text)]
