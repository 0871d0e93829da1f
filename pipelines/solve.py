"""`cotmill solve`: one question, thought about aloud, by a blind search or by a vote."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from ..generators.assemble import assemble, claimed_answer
from ..generators.search import SearchSettings, search_shard
from ..labelers.summary import summarise
from ..models.policy import PolicyValue, SampleRequest
from ..models.pool import PolicyPool
from ..schemas import BadInput, CotmillError, Generator, MarkupError, Seed, Source, Trace, markup, rng_key
from .colours import fill_of
from .evaluation_commands import SEARCH, nested
from .inspect import printable
from .policies import model_path, open_policy, prm_path
from .progress import Progress

if TYPE_CHECKING:
    from ..models.policy import Policy

_DEFAULTS = SEARCH | {"simulations": 16}
_TEMPERATURE = 0.8


@dataclass(frozen=True, slots=True)
class Solved:
    """What was thought: text, its acts in order, the summary that a user is shown, the answer if any.

    `method` is search or vote, `tokens` all that were written on the way.
    """

    question: str
    answer: str | None
    summary: str
    acts: tuple[tuple[str, str], ...]
    text: str
    method: str
    tokens: int
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """Summary, answer and cost, for people."""
        answer = self.answer if self.answer is not None else f"none ({self.error or 'it gave no answer'})"
        cost = f"{self.method}, {self.tokens:,} tokens written"
        return [
            "",
            f"summary  {printable(self.summary)}",
            f"answer   {printable(answer)}",
            f"         ({cost})",
        ]


class Aloud:
    """Prints a chain of thought act by act, as it grows."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._said = 0

    def __call__(self, body: str) -> None:
        """Say what of a body (markup, or text) has not been said yet."""
        parts = acts_of(body)
        for act, text in parts[self._said :]:
            label = Text(f"{act:<14}", style=f"black on {fill_of(act)}")
            self.console.print(Text.assemble(label, " ", printable(text, None)))
        self._said = max(self._said, len(parts))


def solve(
    question: str,
    policy: str,
    *,
    prm: str | None = None,
    pool: Sequence[str] = (),
    n: int = 8,
    device: str = "auto",
    overrides: Sequence[str] = (),
    aloud: Aloud | None = None,
) -> Solved:
    """Think about a question: by search where a PRM or the policy's heads can lead it, else by vote.

    Raises BadInput for bad settings or models, CotmillError where the policy fails.
    """
    if not question.strip():
        raise BadInput("is empty", field="QUESTION")
    settings = _settings(overrides)
    leader = open_policy(model_path(policy, Path()), device=device, batch_rows=256)
    seed = Seed(question=question, answer="", source=Source(name="solve"))
    if prm is None and not isinstance(leader, PolicyValue):
        if pool:
            raise BadInput("a pool writes for a search: give --prm, or a policy with heads", field="--pool")
        with Progress().waiting(f"thinking {n} times"):
            trace, tokens = _voted(seed, leader, n, settings.max_tokens)
        method = "vote"
    else:
        trace, tokens = _searched(seed, leader, prm, pool, device, settings, aloud)
        method = "search"
    body = markup.render(trace.text, trace.acts) if trace.acts else trace.text
    if aloud is not None:
        aloud(body)
    answer = claimed_answer(trace)
    summary = summarise(trace.model_copy(update={"answer": answer})) if trace.text else ""
    return Solved(question, answer, summary, tuple(acts_of(body)), trace.text, method, tokens, trace.error)


def acts_of(body: str) -> list[tuple[str, str]]:
    """The acts of open or closed markup as (act, text); of text without acts, its lines."""
    try:
        text, acts = markup.parse(body.removesuffix(markup.THINK_END), closed=False)
    except MarkupError:
        return [("", line) for line in markup.strip_tags(body).splitlines() if line.strip()]
    return [(a.act, text[a.start : a.end]) for a in acts]


def _searched(
    seed: Seed,
    leader: "Policy",
    prm: str | None,
    pool: Sequence[str],
    device: str,
    settings: SearchSettings,
    aloud: Aloud | None,
) -> tuple[Trace, int]:
    from ..generators.search.judges import prm_scorer
    from ..models.network import RewardModel
    from ..verifiers.math import MathVerifier

    others = [open_policy(model_path(m, Path()), device=device, batch_rows=256) for m in pool]
    policy = PolicyPool((leader, *others)) if others else leader
    scorer = prm_scorer(RewardModel.load(prm_path(prm), device)) if prm is not None else None
    with Progress().waiting("thinking"):
        found = search_shard(
            [seed], policy, MathVerifier(), settings, 0, scorer=scorer, blind=True, aloud=aloud
        )
    trace = found.played.get(seed.seed_id)
    if trace is None:
        raise CotmillError("; ".join(why for _, why in found.stats.failed) or "nothing was written")
    return trace, found.stats.tokens


def _voted(seed: Seed, policy: "Policy", n: int, max_tokens: int) -> tuple[Trace, int]:
    """The first of the traces that give the most frequent answer; any trace where none gives one.

    Raises CotmillError where the policy could write none.
    """
    request = SampleRequest(
        policy.prompt(seed.question),
        rng_key(0, seed.seed_id, "solve"),
        n=n,
        max_tokens=max_tokens,
        temperature=_TEMPERATURE if n > 1 else 0.0,
    )
    [samples] = policy.sample([request])
    if all(sample.finish == "error" for sample in samples):
        raise CotmillError(f"the policy {policy.name} failed: {samples[0].error}")
    head = markup.THINK_START if policy.writes_tags else ""
    traces = [
        assemble(
            seed,
            head + sample.text,
            generator=Generator.COMPLETION,
            prefix_steps=0,
            policy=policy.name,
            policy_hash=policy.hash,
            temperature=request.temperature,
            key=request.key,
            sample=sample,
        )
        for sample in samples
    ]
    answers = [claimed_answer(t) for t in traces]
    votes = Counter(a for a in answers if a is not None)
    chosen = answers.index(votes.most_common(1)[0][0]) if votes else 0
    return traces[chosen], sum(t.tokens for t in traces)


def _settings(overrides: Sequence[str]) -> SearchSettings:
    try:
        return SearchSettings.model_validate(_DEFAULTS | nested(overrides))
    except ValidationError as e:
        error = e.errors()[0]
        what = "no such setting" if error["type"] == "extra_forbidden" else error["msg"]
        raise BadInput(what, file="command line", field=".".join(map(str, error["loc"]))) from e
