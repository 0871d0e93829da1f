"""From what somebody wrote to a Trace: parsed, cut into steps, and decided by a verifier."""

import re
from collections.abc import Iterable, Iterator, Sequence

from .. import __version__
from ..models.policy import Sample
from ..schemas import (
    ActSpan,
    Domain,
    Generator,
    MarkupError,
    Method,
    Origin,
    Outcome,
    Provenance,
    Seed,
    Step,
    Trace,
    Verdict,
    markup,
    split_steps,
)
from ..verifiers.answers import extract_answer
from ..verifiers.base import Verifier

ANSWER = "Answer"
NO_ANSWER = Verdict(
    outcome=Outcome.WRONG, reason="no final answer", evidence="the trace gives no final answer"
)
UNREAD = Verdict(
    outcome=Outcome.UNDECIDED, reason="no final answer", evidence="no final answer could be read off"
)
NOT_COMPARABLE = Verdict(
    outcome=Outcome.UNDECIDED,
    reason="answers differ as text",
    evidence="the answers differ as text, which decides nothing outside mathematics",
)

STATED = Verdict(
    outcome=Outcome.CORRECT,
    reason="reference stated",
    evidence="the human's Answer act states the reference word for word",
)


def seed_trace(seed: Seed) -> Trace:
    """The seed's own trace, undecided. Without a CoT its text is empty and it has no step."""
    return Trace(
        seed_id=seed.seed_id,
        domain=seed.domain,
        question=seed.question,
        text=seed.text,
        generator=seed.generator,
        steps=tuple(Step(start=a, end=b, origin=seed.origin) for a, b in seed.steps),
        acts=seed.acts,
        reference=seed.answer or None,
        source=seed.source,
        provenance=Provenance(code_version=__version__),
    )


def open_prefix(text: str, acts: Sequence[ActSpan], steps: Sequence[tuple[int, int]], cut: int) -> str:
    """What a policy goes on from after the first `cut` steps: open markup where there are acts, else text.

    What separates the cut step from the next one is part of it; it is empty for text at cut 0.
    """
    end = steps[cut][0] if 0 < cut < len(steps) else steps[-1][1] if cut else 0
    if not acts:
        return text[:end]
    return markup.render(text[:end], [a for a in acts if a.end <= end], closed=False)


def assemble(
    seed: Seed,
    body: str,
    *,
    generator: Generator,
    prefix_steps: int,
    policy: str,
    policy_hash: str,
    temperature: float,
    key: str,
    sample: Sample | None = None,
    parent_id: str | None = None,
    copied: Sequence[Step] | None = None,
) -> Trace:
    """An undecided trace from `body`: the whole CoT, prefix included, as markup or as text.

    The first `prefix_steps` steps are the seed's, the rest the policy's; `copied` says otherwise where
    another trace than the seed was continued. Copied steps keep their bounds, so that counts measured at
    their ends hold; only what the policy wrote is cut into steps. What went
    wrong on the way (cut off, malformed markup, a fault of the server) is in `error`; the text is kept all
    the same.
    """
    error = None
    if markup.looks_like_markup(body):
        try:
            text, acts = markup.parse(body)
        except MarkupError as e:
            text, acts, error = markup.strip_tags(body), (), f"malformed markup: {e}"
    else:
        text, acts = body, ()
    if sample is not None and sample.finish == "length":
        error = "cut off: max_tokens reached"
    elif sample is not None and sample.finish == "error":
        error = f"policy failed: {sample.error}"
    text, acts = markup.trim(text, acts)
    if copied is None:
        copied = [Step(start=a, end=b, origin=seed.origin) for a, b in seed.steps[:prefix_steps]]
    return Trace(
        seed_id=seed.seed_id,
        domain=seed.domain,
        question=seed.question,
        text=text,
        generator=generator,
        steps=(
            *(Step(start=s.start, end=s.end, origin=s.origin) for s in copied),
            *_written(text, acts, copied[-1].end if copied else 0),
        ),
        acts=acts,
        reference=seed.answer or None,
        prefix_steps=prefix_steps,
        tokens=sample.tokens if sample else 0,
        error=error,
        source=seed.source,
        provenance=Provenance(
            policy=policy,
            policy_hash=policy_hash,
            temperature=temperature,
            rng_key=key,
            parent_id=seed.seed_id if parent_id is None else parent_id,
            code_version=__version__,
        ),
    )


def _written(text: str, acts: Sequence[ActSpan], start: int) -> Iterator[Step]:
    """The policy's own steps: what the whole text's cuts leave of it from `start` on."""
    for a, b in split_steps(text, acts):
        piece = text[max(a, start) : b].lstrip()
        if piece:
            yield Step(start=b - len(piece), end=b, origin=Origin.POLICY)


def claimed_answer(trace: Trace) -> str | None:
    """The final answer that a trace gives: in its last Answer act, or, untagged, wherever it ends.

    A policy that writes tags must mark its answer; a person's CoT may have been tagged by a machine.
    """
    if trace.error is not None:
        return None
    if not trace.acts:
        return extract_answer(trace.text)
    said = _answer_act(trace)
    if said is None:
        return None if trace.provenance.policy else extract_answer(trace.text)
    return extract_answer(said) or said


def _answer_act(trace: Trace) -> str | None:
    """The text of the last Answer act."""
    answers = [a for a in trace.acts if a.act == ANSWER]
    return trace.text[answers[-1].start : answers[-1].end] if answers else None


def decide(traces: Iterable[Trace], verifier: Verifier) -> list[Trace]:
    """Each trace with its answer, outcome and evidence, and its last step's method where decided.

    A rollout without a final answer is wrong, a person's or an imported CoT undecided: there it is our
    reading that failed. So is one whose policy failed; one without a text or a reference stays as it is.
    """
    traces = list(traces)
    answers = [claimed_answer(t) for t in traces]
    asked = [i for i, (t, a) in enumerate(zip(traces, answers, strict=True)) if a is not None and t.reference]
    verdicts: dict[int, Verdict] = dict(
        zip(
            asked,
            verifier.verify_many([(answers[i] or "", traces[i].reference or "") for i in asked]),
            strict=True,
        )
    )
    decided = []
    for i, (trace, answer) in enumerate(zip(traces, answers, strict=True)):
        verdict = verdicts.get(i)
        if verdict and verdict.outcome is not Outcome.CORRECT and _states_reference(trace):
            answer, verdict = trace.reference, STATED
        if verdict and verdict.outcome is Outcome.WRONG and trace.domain is not Domain.MATH:
            verdict = NOT_COMPARABLE
        if verdict is None and trace.text and trace.reference and not _policy_failed(trace):
            verdict = NO_ANSWER if _owes_an_answer(trace) else UNREAD
        decided.append(trace if verdict is None else _with_verdict(trace, answer, verdict, verifier.name))
    return decided


def decide_open(traces: Iterable[Trace], verifier: Verifier) -> list[Trace]:
    """Traces of open questions, which no exact answer decides: the whole text, judged for its question."""
    traces = list(traces)
    open_ones = [
        i
        for i, t in enumerate(traces)
        if t.domain is Domain.OPEN and t.text and not _policy_failed(t) and t.outcome is not Outcome.CORRECT
    ]
    verdicts = verifier.verify_many([(traces[i].text, traces[i].question) for i in open_ones])
    for i, verdict in zip(open_ones, verdicts, strict=True):
        traces[i] = _with_verdict(traces[i], claimed_answer(traces[i]), verdict, verifier.name)
    return traces


def _states_reference(trace: Trace) -> bool:
    """Whether a person's Answer act holds the reference as a whole phrase.

    Good enough for somebody who wrote both, in prose; never for a policy, which might list guesses.
    """
    said = _answer_act(trace) if trace.generator is Generator.HUMAN else None
    if said is None or not trace.reference:
        return False
    phrase = r"\s+".join(map(re.escape, trace.reference.split()))
    return re.search(rf"(?<!\w){phrase}(?!\w)", said, re.IGNORECASE) is not None


def _owes_an_answer(trace: Trace) -> bool:
    """A rollout does; outside mathematics in prose, where any words may be one, only if it broke off."""
    return bool(trace.provenance.policy) and (
        trace.domain is Domain.MATH or trace.error is not None or bool(trace.acts)
    )


def _policy_failed(trace: Trace) -> bool:
    return trace.error is not None and trace.error.startswith("policy failed")


def _with_verdict(trace: Trace, answer: str | None, verdict: Verdict, verifier: str) -> Trace:
    steps = trace.steps
    if steps and verdict.outcome is not Outcome.UNDECIDED:
        steps = (*steps[:-1], steps[-1].model_copy(update={"method": Method.INFERRED}))
    return trace.model_copy(
        update={
            "answer": answer,
            "outcome": verdict.outcome,
            "evidence": verdict.evidence or verdict.reason,
            "steps": steps,
            "provenance": trace.provenance.model_copy(update={"verifier": verifier}),
        }
    )
