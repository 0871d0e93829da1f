"""CoTs behind programs that a policy writes, or rewrites, under the checker that the grammar's pass."""

from collections.abc import Sequence

from ...models.policy import Policy, Sample, SampleRequest
from ...models.prompts import reverse_question, template
from ...schemas import ActSpan, Provenance, Trace, markup, rng_key
from ..written import Written, read_markup, written_by
from .asking import PolicyWriting
from .claims import claim, read
from .faithful import unfaithful
from .observe import Facts
from .rows import CodeSeed
from .write import VERIFIER, as_trace

Observed = tuple[CodeSeed, Facts]


def write_with_policy(
    observed: Sequence[Observed], policy: Policy, settings: PolicyWriting, run_seed: int
) -> list[Written]:
    """CoTs that the policy writes from the programs alone: each one is kept, or refused with the reason.

    Its prompt is that of `cotmill train sft --set task=reverse`.
    """
    requests = [
        SampleRequest(
            prompt=policy.prompt(reverse_question(seed.question, seed.code)),
            key=rng_key(run_seed, f"{seed.question}\n{seed.code}", "code_reverse_policy"),
            n=settings.candidates,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
        )
        for seed, _ in observed
    ]
    out = []
    for (seed, facts), request, samples in zip(observed, requests, policy.sample(requests), strict=True):
        done = Written(sampled=len(samples), tokens=sum(s.tokens for s in samples))
        for sample in samples:
            made = _taken(seed, facts, sample, _by(policy, settings, request.key))
            if isinstance(made, Trace):
                done.traces.append(made)
            else:
                done.refused.append(made)
        out.append(done)
    return out


def _taken(seed: CodeSeed, facts: Facts, sample: Sample, by: Provenance) -> Trace | str:
    """A policy's text as a trace, or why it is none."""
    body = read_markup(sample)
    if isinstance(body, str):
        return body
    text, acts = body
    reading = read(seed, facts, text, acts)
    if reading.complaints:
        return f"the policy says what the run does not: {reading.complaints[0]}"
    trace = as_trace(seed, facts, text, acts, reading.right, reading.evidence, by)
    found = unfaithful(trace, seed, facts)
    return f"the policy says what the run does not: {found[0]}" if found else trace


def rewrite(
    written: Sequence[Written],
    observed: Sequence[Observed],
    policy: Policy,
    settings: PolicyWriting,
    run_seed: int,
) -> list[Written]:
    """The grammar's CoTs reworded act by act; what the policy wrote that states something else is refused.

    An act keeps its own words where no candidate states just what it states; code is never reworded.
    """
    places = [
        (i, j)
        for i, one in enumerate(written)
        for trace in one.traces
        for j, act in enumerate(trace.acts)
        if "```" not in trace.text[act.start : act.end]
    ]
    requests = [_rewording(written[i].traces[0], j, policy, settings, run_seed) for i, j in places]
    chosen: list[dict[int, str]] = [{} for _ in written]
    out = [Written(list(one.traces), list(one.refused)) for one in written]
    for (i, j), samples in zip(places, policy.sample(requests), strict=True):
        own = _said(written[i].traces[0], j)
        out[i].sampled += len(samples)
        for sample in samples:
            out[i].tokens += sample.tokens
            text = " ".join(markup.strip_tags(sample.text).split())
            if sample.finish != "error" and text and claim(text) == claim(own):
                chosen[i].setdefault(j, text)
            else:
                out[i].refused.append(f"a rewording that states something else: {text[:200]!r}")
    for one, said, (seed, facts) in zip(out, chosen, observed, strict=True):
        if said:
            made = _reworded(one.traces[0], seed, facts, said, policy, settings)
            if found := unfaithful(made, seed, facts):
                one.refused.append(f"the policy says what the run does not: {found[0]}")
            else:
                one.traces = [made]
    return out


def _rewording(
    trace: Trace, number: int, policy: Policy, settings: PolicyWriting, run_seed: int
) -> SampleRequest:
    own = _said(trace, number)
    return SampleRequest(
        prompt=policy.prompt(template("code_rewrite.md").format(text=own)),
        key=rng_key(run_seed, trace.trace_id, "code_rewrite", number),
        n=settings.candidates,
        max_tokens=min(settings.max_tokens, 16 + len(own)),
        temperature=settings.temperature,
        stop=("\n\n",),
    )


def _said(trace: Trace, number: int) -> str:
    act = trace.acts[number]
    return trace.text[act.start : act.end]


def _reworded(
    trace: Trace,
    seed: CodeSeed,
    facts: Facts,
    said: dict[int, str],
    policy: Policy,
    settings: PolicyWriting,
) -> Trace:
    pieces: list[str] = []
    acts: list[ActSpan] = []
    at = length = 0
    for number, act in enumerate(trace.acts):
        between, text = trace.text[at : act.start], said.get(number, _said(trace, number))
        pieces += [between, text]
        length += len(between)
        acts.append(ActSpan(start=length, end=length + len(text), act=act.act))
        length += len(text)
        at = act.end
    right = [bool(s.n_correct) for s in trace.steps]
    by = _by(policy, settings, trace.provenance.rng_key)
    grounds = [s.evidence or "" for s in trace.steps]
    return as_trace(seed, facts, "".join(pieces), tuple(acts), right, grounds, by)


def _by(policy: Policy, settings: PolicyWriting, key: str) -> Provenance:
    return written_by(policy, settings.temperature, key, VERIFIER)
