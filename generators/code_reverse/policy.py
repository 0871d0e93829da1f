"""CoTs behind programs that a policy writes, or rewrites, under the checker that the grammar's pass."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from ... import __version__
from ...models.policy import Policy, SampleRequest
from ...models.prompts import reverse_question, template
from ...schemas import ActSpan, MarkupError, Provenance, Trace, markup, rng_key
from ..rejected import Rejected
from .claims import claim, read
from .faithful import unfaithful
from .observe import Facts
from .rows import CodeSeed
from .write import VERIFIER, as_trace

Observed = tuple[CodeSeed, Facts]


class PolicyWriting(BaseModel):
    """How a policy is asked. `candidates`: texts drawn for each program, or for each sentence rewritten."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=1024, ge=1)


def write_with_policy(
    observed: Sequence[Observed], policy: Policy, settings: PolicyWriting, run_seed: int
) -> list[Trace | Rejected]:
    """CoTs that the policy writes from the programs alone: each one is kept, or rejected with the reason.

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
    out: list[Trace | Rejected] = []
    for (seed, facts), request, samples in zip(observed, requests, policy.sample(requests), strict=True):
        for sample in samples:
            row = seed.source.row
            if sample.finish != "stop":
                out.append(Rejected(f"the policy's text is cut off: {sample.error or sample.finish}", row))
                continue
            body = (
                sample.text
                if sample.text.startswith(markup.THINK_START)
                else markup.THINK_START + sample.text
            )
            try:
                text, acts = markup.trim(*markup.parse(body))
            except MarkupError as e:
                out.append(Rejected(f"the policy's markup is malformed: {e}", row))
                continue
            reading = read(seed, facts, text, acts)
            if reading.complaints:
                out.append(Rejected(f"the policy says what the run does not: {reading.complaints[0]}", row))
                continue
            trace = as_trace(seed, facts, text, acts, reading.right, _by(policy, settings, request.key))
            found = unfaithful(trace, seed, facts)
            out.append(
                Rejected(f"the policy says what the run does not: {found[0]}", row) if found else trace
            )
    return out


def rewrite(
    traces: Sequence[Trace],
    observed: Sequence[Observed],
    policy: Policy,
    settings: PolicyWriting,
    run_seed: int,
) -> tuple[list[Trace], int]:
    """The grammar's CoTs reworded act by act, and how many of the policy's sentences were refused.

    An act keeps its own words where no candidate states just what it states; code is never reworded.
    """
    places = [
        (i, j)
        for i, trace in enumerate(traces)
        for j, act in enumerate(trace.acts)
        if "```" not in trace.text[act.start : act.end]
    ]
    requests = [
        SampleRequest(
            prompt=policy.prompt(template("code_rewrite.md").format(text=_said(traces[i], j))),
            key=rng_key(run_seed, traces[i].trace_id, "code_rewrite", j),
            n=settings.candidates,
            max_tokens=min(settings.max_tokens, 2 * len(_said(traces[i], j))),
            temperature=settings.temperature,
            stop=("\n\n",),
        )
        for i, j in places
    ]
    chosen: dict[tuple[int, int], str] = {}
    refused = 0
    for (i, j), samples in zip(places, policy.sample(requests), strict=True):
        for sample in samples:
            text = " ".join(markup.strip_tags(sample.text).split())
            if sample.finish != "error" and text and claim(text) == claim(_said(traces[i], j)):
                chosen.setdefault((i, j), text)
            else:
                refused += 1
    out = []
    for i, (trace, (seed, facts)) in enumerate(zip(traces, observed, strict=True)):
        said = {j: text for (k, j), text in chosen.items() if k == i}
        made = _reworded(trace, seed, facts, said, policy, settings) if said else trace
        if made is not trace and unfaithful(made, seed, facts):
            made, refused = trace, refused + 1
        out.append(made)
    return out, refused


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
    return as_trace(seed, facts, "".join(pieces), tuple(acts), right, by)


def _by(policy: Policy, settings: PolicyWriting, key: str) -> Provenance:
    return Provenance(
        policy=policy.name,
        policy_hash=policy.hash,
        temperature=settings.temperature,
        rng_key=key,
        verifier=VERIFIER,
        code_version=__version__,
    )
