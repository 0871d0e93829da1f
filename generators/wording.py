"""A story in words, and whether a text is one: what the reverse generators share with their checkers."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from ..schemas import ActSpan, Trace
from .phrasing import PhraseBook, Slots


class Said(Protocol):
    """One thing that can be said; what is optional may be left out."""

    @property
    def kind(self) -> str: ...
    @property
    def slots(self) -> Slots: ...
    @property
    def optional(self) -> bool: ...


class Paragraph(Protocol):
    """One step of a CoT: the things that it says, an act each."""

    @property
    def said(self) -> Sequence[Said]: ...


def word(
    story: Sequence[Paragraph], book: PhraseBook, rng: np.random.Generator, optional_share: float
) -> tuple[str, tuple[ActSpan, ...]]:
    """Paragraphs between blank lines; of what is optional, `optional_share` is said."""
    parts: list[str] = []
    acts: list[ActSpan] = []
    at = 0
    for paragraph in story:
        chosen = [s for s in paragraph.said if not s.optional or rng.random() < optional_share]
        for i, said in enumerate(chosen):
            separator = " " if i else "\n\n" if parts else ""
            sentence = book.say(said.kind, said.slots, rng)
            at += len(separator)
            acts.append(ActSpan(start=at, end=at + len(sentence), act=book.act(said.kind)))
            at += len(sentence)
            parts += [separator, sentence]
    return "".join(parts), tuple(acts)


def misworded(trace: Trace, story: Sequence[Paragraph], book: PhraseBook, ground: str) -> Iterator[str]:
    """Where the trace is no wording of the story; only optional things may be passed over.

    `ground` names, for the complaint, what the story was derived from.
    """
    yield from outside_acts(trace.text, trace.acts)
    for step, paragraph in zip(trace.steps, story, strict=False):
        acts = [a for a in trace.acts if step.start <= a.start and a.end <= step.end]
        spoken = [(a.act, trace.text[a.start : a.end]) for a in acts]
        if not _spells(spoken, paragraph.said, book):
            yield f"not what {ground} bears out: {trace.text[step.start : step.end][:200]!r}"


def outside_acts(text: str, acts: Sequence[ActSpan]) -> Iterator[str]:
    """What a text says outside every act, as complaints."""
    at = 0
    for act in acts:
        if text[at : act.start].strip():
            yield f"text outside every act: {text[at : act.start]!r}"
        at = act.end
    if text[at:].strip():
        yield f"text outside every act: {text[at:]!r}"


def _spells(spoken: Sequence[tuple[str, str]], said: Sequence[Said], book: PhraseBook) -> bool:
    if not said:
        return not spoken
    first, rest = said[0], said[1:]
    if first.optional and _spells(spoken, rest, book):
        return True
    if not spoken:
        return False
    act, text = spoken[0]
    return (
        act == book.act(first.kind)
        and book.recognises(first.kind, first.slots, text)
        and _spells(spoken[1:], rest, book)
    )
