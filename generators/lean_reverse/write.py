"""A story put into words: text, acts and steps of a trace."""

from ... import __version__
from ...schemas import (
    ActSpan,
    Domain,
    Generator,
    Method,
    Origin,
    Outcome,
    Provenance,
    Step,
    Trace,
    generator,
    rng_key,
    split_steps,
    trace_id,
)
from ..phrasing import PhraseBook
from ..rejected import Rejected
from ..wording import word
from .faithful import unfaithful
from .rows import LeanSeed
from .states import BadState
from .story import Incomplete, Paragraph, proof_text, tell

PHRASES = "phrases_lean.yaml"
NOT_REPLAYED = "recorded trace, not replayed"
_OPTIONAL_SHARE = 0.7


def reverse(seed: LeanSeed, *, run_seed: int) -> Trace | Rejected:
    """The CoT behind a recorded proof, in words drawn from `run_seed`; or why there is none.

    Steps are `proof` steps of one trial: right where Lean took the tactic, wrong where it refused it.
    The outcome is correct only where the row records that Lean checked the whole proof.
    """
    row = seed.source.row
    if not seed.traced:
        return Rejected("no recorded tactic states, and no Lean backend to make them", row)
    try:
        story = tell(seed)
    except (BadState, Incomplete) as e:
        return Rejected(f"not a readable recorded proof: {e}", row)
    key = rng_key(run_seed, f"{seed.full_name}\n{seed.statement}", "lean_reverse")
    text, acts = word(story, PhraseBook.load(PHRASES), generator(key), _OPTIONAL_SHARE)
    trace = _trace(seed, story, text, acts, key)
    if complaints := unfaithful(trace, seed):
        return Rejected(f"the text says what the recorded proof does not: {complaints[0]}", row)
    return trace


def _trace(seed: LeanSeed, story: list[Paragraph], text: str, acts: tuple[ActSpan, ...], key: str) -> Trace:
    spans = split_steps(text, acts)
    steps = tuple(
        Step(
            start=start,
            end=end,
            origin=Origin.PROOF,
            method=Method.PROOF,
            n_rollouts=1,
            n_correct=int(paragraph.right),
        )
        for (start, end), paragraph in zip(spans, story, strict=True)
    )
    evidence, verifier = NOT_REPLAYED, "recorded trace"
    if verified := seed.check is not None and seed.check.sound:
        verifier = f"lean {seed.check.lean} (recorded)"
        accepted = f"Lean {seed.check.lean} accepted the proof, without sorry or added axioms"
        evidence = accepted if seed.replayed else f"{accepted}; {NOT_REPLAYED}"
        verifier = seed.replayed or verifier
    return Trace(
        seed_id=trace_id(seed.question, text, Generator.LEAN_REVERSE),
        domain=Domain.LEAN,
        question=seed.question,
        text=text,
        generator=Generator.LEAN_REVERSE,
        steps=steps,
        acts=acts,
        answer=proof_text(seed),
        reference=seed.statement,
        outcome=Outcome.CORRECT if verified else Outcome.UNDECIDED,
        evidence=evidence,
        source=seed.source,
        provenance=Provenance(rng_key=key, verifier=verifier, code_version=__version__),
    )
