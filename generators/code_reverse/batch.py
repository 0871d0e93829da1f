"""Many programs at once: observed one by one, then put into words by whoever writes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...models.policy import Policy
from ...schemas import Trace
from ...verifiers.sandbox import sandbox_available
from ..rejected import Rejected
from ..written import Written
from .asking import PolicyWriting
from .observe import Facts, Unusable, observe
from .policy import Observed, rewrite, write_with_policy
from .rows import CodeSeed
from .write import write

Writer = Literal["grammar", "rewrite", "policy"]


@dataclass
class Reversed:
    """Traces; what was rejected, by the seed's place and why; and what the policy wrote for it."""

    traces: list[Trace] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    sampled: int = 0
    tokens: int = 0


def reverse_all(
    seeds: Sequence[CodeSeed],
    run_seed: int,
    writer: Writer = "grammar",
    policy: Policy | None = None,
    asked: PolicyWriting | None = None,
) -> Reversed:
    """The CoTs behind the programs, each through the same checker. A writer other than the grammar needs a
    policy; each text of its that is refused is a rejection of its own.
    """
    done = Reversed()
    if missing := sandbox_available():
        done.rejected = [(i, f"no sandbox: {missing}") for i in range(len(seeds))]
        return done
    observed: dict[int, Observed] = {}
    for i, seed in enumerate(seeds):
        try:
            observed[i] = seed, observe(seed)
        except Unusable as e:
            done.rejected.append((i, str(e)))
    asked = asked or PolicyWriting()
    if writer == "policy":
        assert policy is not None
        made = write_with_policy(list(observed.values()), policy, asked, run_seed)
    else:
        own = [_in_grammar(seed, facts, run_seed) for seed, facts in observed.values()]
        made = rewrite(own, list(observed.values()), policy, asked, run_seed) if policy else own
    for i, written in zip(observed, made, strict=True):
        done.traces += written.traces
        done.rejected += [(i, why) for why in written.refused]
        done.sampled += written.sampled
        done.tokens += written.tokens
    done.rejected.sort(key=lambda r: r[0])
    return done


def _in_grammar(seed: CodeSeed, facts: Facts, run_seed: int) -> Written:
    trace = write(seed, facts, run_seed=run_seed)
    return Written([], [trace.reason]) if isinstance(trace, Rejected) else Written([trace])
