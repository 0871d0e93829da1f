"""A program's story put into words: text, acts and steps of a trace."""

from collections.abc import Sequence

from ... import __version__
from ...schemas import (
    ActSpan,
    Domain,
    Generator,
    Method,
    Origin,
    Provenance,
    Step,
    Trace,
    generator,
    rng_key,
    split_steps,
    trace_id,
)
from ...verifiers.sandbox import sandbox_available
from ..phrasing import PhraseBook
from ..rejected import Rejected
from ..wording import word
from .claims import PHRASES
from .faithful import unfaithful
from .observe import Facts, Unusable, observe
from .rows import CodeSeed
from .said import Paragraph, evidence
from .story import choose, tell

VERIFIER = "code"
_OPTIONAL_SHARE = 0.6


def reverse(seed: CodeSeed, *, run_seed: int) -> Trace | Rejected:
    """The CoT behind a program that passes its tests, in words drawn from `run_seed`; or why there is none.

    One sandbox decides whether the program is right, as the code verifier does, and gives the CoT its facts.
    Steps are `execution` steps of one trial: wrong from the one that brings a mistake in until it is mended.
    """
    row = seed.source.row
    if missing := sandbox_available():
        return Rejected(f"no sandbox: {missing}", row)
    try:
        facts = observe(seed)
    except Unusable as e:
        return Rejected(str(e), row)
    return write(seed, facts, run_seed=run_seed)


def write(seed: CodeSeed, facts: Facts, *, run_seed: int) -> Trace | Rejected:
    """The CoT from observed facts; its text is checked before it is kept."""
    key = rng_key(run_seed, f"{seed.task_id}\n{seed.question}\n{seed.code}", "code_reverse")
    story = tell(seed, facts, choose(seed, facts, key))
    text, acts = word(story, PhraseBook.load(PHRASES), generator(rng_key(0, key, "words")), _OPTIONAL_SHARE)
    by = Provenance(rng_key=key, verifier=VERIFIER, code_version=__version__)
    right = [p.right for p in story]
    spans = split_steps(text, acts)
    spoken = [[text[a.start : a.end] for a in acts if s <= a.start < e] for s, e in spans]
    grounds = [_rests_on(p, texts) for p, texts in zip(story, spoken, strict=True)]
    trace = as_trace(seed, facts, text, acts, right, grounds, by)
    if complaints := unfaithful(trace, seed, facts):
        return Rejected(f"the text says what the run does not: {complaints[0]}", seed.source.row)
    return trace


def _rests_on(paragraph: Paragraph, texts: Sequence[str]) -> str:
    """The evidence of what a paragraph said of all that it might have."""
    book = PhraseBook.load(PHRASES)
    said = [s for s in paragraph.said if any(book.recognises(s.kind, s.slots, text) for text in texts)]
    return "; ".join(ground for s in said if (ground := evidence(s)))


def as_trace(
    seed: CodeSeed,
    facts: Facts,
    text: str,
    acts: tuple[ActSpan, ...],
    right: Sequence[bool],
    grounds: Sequence[str],
    by: Provenance,
) -> Trace:
    """A CoT with the verdict on its program. Of each step, `right` says whether no mistake stands at its end,
    and `grounds` what it rests on.
    """
    verdict = facts.verdict
    spans = split_steps(text, acts)
    origin = Origin.POLICY if by.policy else Origin.PROGRAM
    steps = tuple(
        Step(
            start=start,
            end=end,
            origin=origin,
            method=Method.EXECUTION,
            n_rollouts=1,
            n_correct=int(good),
            evidence=ground or None,
        )
        for (start, end), good, ground in zip(spans, right, grounds, strict=True)
    )
    return Trace(
        seed_id=trace_id(seed.question, text, Generator.CODE_REVERSE),
        domain=Domain.CODE,
        question=seed.question,
        text=text,
        generator=Generator.CODE_REVERSE,
        steps=steps,
        acts=acts,
        answer=seed.code,
        reference=seed.reference,
        outcome=verdict.outcome,
        evidence=f"{verdict.reason}: {verdict.evidence}" if verdict.evidence else verdict.reason,
        source=seed.source,
        provenance=by,
    )
