"""CoTs behind Lean proofs that a policy writes, under the checker that the grammar's pass."""

from collections.abc import Sequence

from ...models.policy import Policy, Sample, SampleRequest
from ...models.prompts import informal_question
from ...schemas import Origin, Provenance, Trace, rng_key, split_steps
from ..code_reverse.asking import PolicyWriting
from ..written import Written, read_markup, written_by
from .faithful import unfaithful
from .rows import LeanSeed
from .story import Paragraph, proof_text
from .write import as_trace, story_of, verifier_of


def informalise(
    seeds: Sequence[LeanSeed], policy: Policy, settings: PolicyWriting, run_seed: int
) -> list[Written]:
    """CoTs that the policy writes from the proofs and their states: each is kept, or refused with the reason.

    Its prompt is that of `cotmill train sft --set task=reverse` on the rows of a Lean source.
    """
    stories = [story_of(seed) for seed in seeds]
    asked = [
        (place, story, _request(seeds[place], story, policy, settings, run_seed))
        for place, story in enumerate(stories)
        if not isinstance(story, str)
    ]
    out = [Written(refused=[story] if isinstance(story, str) else []) for story in stories]
    answers = policy.sample([request for *_, request in asked])
    for (place, story, request), samples in zip(asked, answers, strict=True):
        done, seed = out[place], seeds[place]
        done.sampled, done.tokens = len(samples), sum(s.tokens for s in samples)
        by = written_by(policy, settings.temperature, request.key, verifier_of(seed))
        for sample in samples:
            made = _taken(seed, story, sample, by)
            if isinstance(made, Trace):
                done.traces.append(made)
            else:
                done.refused.append(made)
    return out


def _request(
    seed: LeanSeed, story: Sequence[Paragraph], policy: Policy, settings: PolicyWriting, run_seed: int
) -> SampleRequest:
    question = informal_question(seed.question, proof_text(seed), (p.ground for p in story))
    return SampleRequest(
        prompt=policy.prompt(question),
        key=rng_key(run_seed, f"{seed.full_name}\n{seed.statement}", "lean_reverse_policy"),
        n=settings.candidates,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
    )


def _taken(seed: LeanSeed, story: Sequence[Paragraph], sample: Sample, by: Provenance) -> Trace | str:
    """A policy's text as a trace, or why it is none."""
    body = read_markup(sample)
    if isinstance(body, str):
        return body
    text, acts = body
    if (told := len(split_steps(text, acts))) != len(story):
        return f"the policy tells another number of steps than the proof has: {told}, not {len(story)}"
    trace = as_trace(seed, story, text, acts, by, Origin.POLICY)
    found = unfaithful(trace, seed)
    return f"the policy says what the proof does not: {found[0]}" if found else trace
