"""A story put into words: text, acts and steps of a trace."""

from collections.abc import Sequence

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
from .story import Incomplete, Paragraph, answer_of, proof_text, tell

PHRASES = "phrases_lean.yaml"
NOT_REPLAYED = "recorded trace, not replayed"
_OPTIONAL_SHARE = 0.7
_NOBODY = Provenance()


def reverse(seed: LeanSeed, *, run_seed: int, by: Provenance = _NOBODY) -> Trace | Rejected:
    """The CoT behind a recorded proof, in words drawn from `run_seed`; or why there is none.

    `by` says who stated the theorem, where somebody did.

    Steps are `proof` steps of one trial: right where Lean took the tactic, wrong where it refused it.
    The outcome is correct only where the row records that Lean checked the whole proof.
    """
    row = seed.source.row
    story = story_of(seed)
    if isinstance(story, str):
        return Rejected(story, row)
    key = rng_key(run_seed, f"{seed.full_name}\n{seed.statement}", "lean_reverse")
    text, acts = word(story, PhraseBook.load(PHRASES), generator(key), _OPTIONAL_SHARE)
    made = {"rng_key": by.rng_key or key, "verifier": verifier_of(seed), "code_version": __version__}
    by = by.model_copy(update=made)
    trace = as_trace(seed, story, text, acts, by)
    if complaints := unfaithful(trace, seed):
        return Rejected(f"the text says what the recorded proof does not: {complaints[0]}", row)
    return trace


def story_of(seed: LeanSeed) -> list[Paragraph] | str:
    """What there is to say of a recorded proof, or why nothing can be."""
    if not seed.traced:
        return "no recorded tactic states, and no Lean backend to make them"
    try:
        story = tell(seed)
    except (BadState, Incomplete) as e:
        return f"not a readable recorded proof: {e}"
    book = PhraseBook.load(PHRASES)
    unsayable = (s.kind for p in story for s in p.said if not book.sayable(s.kind, s.slots))
    return next((f"no words for what a tactic did: {kind}" for kind in unsayable), story)


def verifier_of(seed: LeanSeed) -> str:
    """Who says that the proof holds."""
    if seed.check is None or not seed.check.sound:
        return "recorded trace"
    return seed.replayed or f"lean {seed.check.lean} (recorded)"


def as_trace(
    seed: LeanSeed,
    story: Sequence[Paragraph],
    text: str,
    acts: tuple[ActSpan, ...],
    by: Provenance,
    origin: Origin = Origin.PROOF,
) -> Trace:
    """A wording of the story, with what Lean says of each of its steps.

    Raises ValueError where the text has another number of steps than the story.
    """
    steps = tuple(
        Step(
            start=start,
            end=end,
            origin=origin,
            method=Method.PROOF,
            n_rollouts=1,
            n_correct=int(paragraph.right),
            evidence=paragraph.ground or None,
        )
        for (start, end), paragraph in zip(split_steps(text, acts), story, strict=True)
    )
    evidence = NOT_REPLAYED
    if verified := seed.check is not None and seed.check.sound:
        accepted = f"Lean {seed.check.lean} accepted the proof, without sorry or added axioms"
        evidence = accepted if seed.replayed else f"{accepted}; {NOT_REPLAYED}"
    seed_id, domain = trace_id(seed.question, text, Generator.LEAN_REVERSE), Domain.LEAN
    if seed.task is not None:
        seed_id, domain = seed.task.seed_id, seed.task.domain
        evidence = f"{evidence}:\n{proof_text(seed)}"
    return Trace(
        seed_id=seed_id,
        domain=domain,
        question=seed.question,
        text=text,
        generator=Generator.LEAN_REVERSE,
        steps=steps,
        acts=acts,
        answer=answer_of(seed),
        reference=seed.reference,
        outcome=Outcome.CORRECT if verified else Outcome.UNDECIDED,
        evidence=evidence,
        source=seed.source,
        provenance=by,
    )
