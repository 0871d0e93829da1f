"""A pool of policies that write for one search: different models, or copies of one."""

from collections.abc import Sequence

from ..schemas import content_hash
from .policy import Policy, Sample, SampleRequest


class PolicyPool:
    """The first member leads: it says how likely acts are and what a state is worth, and plays games out.

    All of them write candidates. As a policy, the pool is its leader.
    """

    def __init__(self, members: Sequence[Policy]) -> None:
        if not members:
            raise ValueError("a pool needs a member")
        self.members = tuple(members)

    @property
    def leader(self) -> Policy:
        return self.members[0]

    @property
    def name(self) -> str:
        """The members' names, joined by `+`."""
        return "+".join(member.name for member in self.members)

    @property
    def hash(self) -> str:
        return content_hash("pool", *(member.hash for member in self.members))

    @property
    def writes_tags(self) -> bool:
        return self.leader.writes_tags

    def prompt(self, question: str, prefix: str = "") -> str:
        return self.leader.prompt(question, prefix)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        return self.leader.sample(requests)

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return self.leader.logprobs(prompts, continuations)


def members_of(policy: Policy) -> tuple[Policy, ...]:
    """The policies of a pool, its leader first; a policy alone is its own pool."""
    return policy.members if isinstance(policy, PolicyPool) else (policy,)
