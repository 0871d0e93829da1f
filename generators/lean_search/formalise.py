"""From language to Lean: a policy states a seed's question, and the statement's proof becomes its CoT."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...models.policy import Policy, SampleRequest
from ...models.prompts import template
from ...schemas import SearchState, Seed, Trace, rng_key
from ...verifiers.lean import LeanBackend, LeanUnavailable
from ..lean_reverse.rows import LeanSeed, Task
from ..lean_reverse.write import reverse
from ..rejected import Rejected
from ..written import written_by
from .asking import Formalising
from .game import Proposer
from .live import settled
from .search import DEFAULT, TacticSearch, propose_generic
from .statements import NAME, Statement, read_statement
from .targets import tactic_states
from .vetting import Vetting

PROMPT = "lean_formalise.md"


@dataclass
class Formalised:
    """Traces that serve seeds, states of their proofs' searches, and what the policy wrote for them.

    `refused`: the seed's place, why its statement was not taken, and the statement.
    """

    traces: list[Trace] = field(default_factory=list)
    states: list[SearchState] = field(default_factory=list)
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    sampled: int = 0
    tokens: int = 0


def formalise(
    seeds: Sequence[Seed],
    policy: Policy,
    lean: LeanBackend,
    asked: Formalising,
    run_seed: int,
    search: TacticSearch = DEFAULT,
    proposers: Sequence[Proposer] = (propose_generic,),
) -> Formalised:
    """At most one trace a seed: of the first statement that is vetted and proved.

    It ends in the seed's answer. Its `seed_id` and `parent_id` are the seed's; `evidence` gives the theorem
    with its proof.
    """
    requests = [_request(seed, policy, asked, run_seed) for seed in seeds]
    done = Formalised()
    vetting = Vetting(lean, asked.budget)
    for place, (seed, request, samples) in enumerate(
        zip(seeds, requests, policy.sample(requests), strict=True)
    ):
        done.sampled += len(samples)
        done.tokens += sum(s.tokens for s in samples)
        done.refused += [(place, f"the policy failed: {s.error}", "") for s in samples if s.finish == "error"]
        by = written_by(policy, asked.temperature, request.key, "")
        by = by.model_copy(update={"parent_id": seed.seed_id})
        for text in dict.fromkeys(s.text for s in samples if s.finish != "error"):
            proved = _proved(seed, text, vetting, search, proposers)
            if isinstance(proved, str):
                done.refused.append((place, proved, text))
                continue
            made = reverse(proved, run_seed=run_seed, by=by)
            if isinstance(made, Rejected):
                done.refused.append((place, made.reason, text))
                continue
            done.traces.append(made)
            done.states += tactic_states(made, proved)
            break
    return done


def _request(seed: Seed, policy: Policy, asked: Formalising, run_seed: int) -> SampleRequest:
    question = template(PROMPT).format(question=seed.question, answer=seed.answer)
    return SampleRequest(
        prompt=policy.prompt(question),
        key=rng_key(run_seed, seed.seed_id, "lean_formalise"),
        n=asked.candidates,
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
    )


def _proved(
    seed: Seed, text: str, vetting: Vetting, search: TacticSearch, proposers: Sequence[Proposer]
) -> LeanSeed | str:
    """The statement in a policy's text with a proof, serving the seed; or why there is none."""
    statement = read_statement(text)
    if not isinstance(statement, Statement):
        return statement
    try:
        if why := vetting.complaint(statement, seed.question, seed.answer):
            return why
    except LeanUnavailable as e:
        return f"no Lean to hold a statement against: {e}"
    task = Task(seed.seed_id, seed.question, seed.answer, seed.domain)
    bare = LeanSeed(NAME, statement.theorem.statement, seed.source, task=task)
    found = settled(bare, vetting.lean, search, proposers)
    return f"a formal statement without a proof: {found.reason}" if isinstance(found, Rejected) else found
