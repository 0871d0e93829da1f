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
    trace = as_trace(seed, facts, text, acts, [p.right for p in story], by)
    if complaints := unfaithful(trace, seed, facts):
        return Rejected(f"the text says what the run does not: {complaints[0]}", seed.source.row)
    return trace


def as_trace(
    seed: CodeSeed,
    facts: Facts,
    text: str,
    acts: tuple[ActSpan, ...],
    right: Sequence[bool],
    by: Provenance,
) -> Trace:
    """A CoT with the verdict on its program; `right`: of each step, whether no mistake stands at its end."""
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
        )
        for (start, end), good in zip(spans, right, strict=True)
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
