"""What a policy wrote for the reverse generators: kept, or refused with the reason, and what it cost."""

from dataclasses import dataclass, field

from .. import __version__
from ..models.policy import Policy, Sample
from ..schemas import ActSpan, MarkupError, Provenance, Trace, markup


@dataclass
class Written:
    """What was written for one source: traces that hold, why others were refused, and what it cost."""

    traces: list[Trace] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sampled: int = 0
    tokens: int = 0


def read_markup(sample: Sample) -> tuple[str, tuple[ActSpan, ...]] | str:
    """Text and acts of a sample that goes on from `<Think_Start>`; or why it has none."""
    if sample.finish != "stop":
        return f"the policy's text is cut off: {sample.error or sample.finish}"
    body = sample.text.removeprefix(markup.THINK_START)
    try:
        return markup.trim(*markup.parse(markup.THINK_START + body))
    except MarkupError as e:
        return f"the policy's markup is malformed: {e}"


def written_by(policy: Policy, temperature: float, key: str, verifier: str) -> Provenance:
    return Provenance(
        policy=policy.name,
        policy_hash=policy.hash,
        temperature=temperature,
        rng_key=key,
        verifier=verifier,
        code_version=__version__,
    )
