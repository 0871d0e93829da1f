"""A policy's proposals: tactics that it writes for a state, weighted by how often it writes them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...models.policy import Policy, SampleRequest
from ...models.prompts import template
from ...schemas import rng_key
from ...verifiers.lean import TacticState
from .shapes import Proposal

PROMPT = "lean_tactics.md"
_CHARS = 300


@dataclass(frozen=True, slots=True)
class PolicyProposer:
    """`samples` tactics a state, from the prompt in `data/prompts/lean_tactics.md`.

    Weights sum to `weight`, which is set against the generic proposals' (12 for omega). Draws come from
    `run_seed` and the state.
    """

    policy: Policy
    run_seed: int
    samples: int = 8
    temperature: float = 1.0
    max_tokens: int = 64
    weight: float = 20.0

    def __call__(self, state: TacticState) -> Sequence[Proposal]:
        """What it writes; faults and what is no single tactic are left out."""
        request = SampleRequest(
            self.policy.prompt(self._question(state)),
            rng_key(self.run_seed, f"{state.theorem.statement}\n{state.pp}", "lean_tactics"),
            n=self.samples,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            stop=("\n",),
        )
        [samples] = self.policy.sample([request])
        written = [t for s in samples if s.finish != "error" and (t := _tactic(s.text))]
        each = self.weight / max(len(samples), 1)
        return [Proposal(tactic, each * n) for tactic, n in Counter(written).most_common()]

    @staticmethod
    def _question(state: TacticState) -> str:
        return template(PROMPT).format(
            statement=state.theorem.statement,
            tactics="\n".join(state.tactics) or "(none)",
            state=state.pp,
        )


def _tactic(text: str) -> str | None:
    """One line that could be a tactic: no fence, no comment, nothing that gives up."""
    line = text.strip().strip("`").strip()
    gives_up = any(word in line for word in ("sorry", "admit", "--", "```"))
    return line if line and "\n" not in line and len(line) <= _CHARS and not gives_up else None
