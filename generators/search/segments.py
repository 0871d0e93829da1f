"""Best of N: what a pool of policies writes next, every candidate kept with its judge's score."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp

from ...models.policy import Sample, SampleRequest
from ...schemas import markup
from .game import CotGame, CotState, Draft
from .notation import Notation, text_of

DEAD_END = "dead end: no well-formed continuation"
_IMPOSSIBLE = -20.0  # per byte; below it nothing is told apart


@dataclass(frozen=True, slots=True)
class Written:
    """A sample, and which member of the pool wrote it."""

    sample: Sample
    member: int = 0


async def pool(
    game: CotGame,
    state: CotState,
    shown: Callable[[Notation], str],
    stop: Callable[[Notation], tuple[str, ...]],
    purpose: str,
) -> list[Written]:
    """N samples, shared among the pool's policies and temperatures; the first ones get one more for the rest.

    `shown` and `stop` say what a member with that notation goes on from, and where it ends.
    """
    settings, members = game.table.settings, game.table.members
    writers = [(i, t) for i in range(len(members)) for t in settings.temperatures]
    share, rest = divmod(settings.candidates, len(writers))
    pending = [
        game.table.sample(
            member,
            SampleRequest(
                prompt=members[member].prompt(game.seed.question, shown(game.notations[member])),
                key=game.key(state, purpose, i),
                n=share + (i < rest),
                max_tokens=settings.segment_tokens,
                temperature=temperature,
                stop=stop(game.notations[member]),
            ),
        )
        for i, (member, temperature) in enumerate(writers)
        if share + (i < rest)
    ]
    asked = zip(writers, pending, strict=False)
    written = [Written(sample, member) for (member, _), samples in asked for sample in await samples]
    game.spent += sum(w.sample.tokens for w in written)
    return written


async def act_drafts(game: CotGame, state: CotState, act: str) -> tuple[list[Draft], str]:
    """The distinct segments sampled for an act, judged; and what to say if none can be gone on from.

    One that is empty, doesn't end within its bounds or holds a tag can't be.
    """
    written = await pool(
        game, state, lambda n: n.opened(state.body) + n.lead(act), lambda n: (n.stop(act),), f"act {act}"
    )
    drafts = [_segment(game, state, act, w) for w in written if w.sample.finish != "error"]
    return await judged(game, state, drafts), why_none(written)


async def judged(game: CotGame, state: CotState, drafts: Iterable[Draft]) -> list[Draft]:
    """Distinct drafts, each with its score: the scorer's, else the mean log-probability that it came with.

    Several models' own log-probabilities compare badly: without a scorer, the leader of such a pool judges
    all drafts, by log-probability per byte. Those that can be gone on from come first, best first.
    """
    seen: dict[tuple[str, bool], Draft] = {}
    for draft in drafts:
        seen.setdefault((draft.text, draft.after is None), draft)
    fit = [d for d in seen.values() if d.after is not None]
    if game.table.scorer is None:
        if fit and len({m.hash for m in game.table.members}) > 1:
            scores = await _by_leader(game, state, [d.after.body for d in fit if d.after])
            fit = [replace(d, score=s) for d, s in zip(fit, scores, strict=True)]
        fit = [replace(d, weight=exp(d.score or 0.0)) for d in fit]
    elif fit:
        scores = await game.table.scores(game.seed.question, [d.after.body for d in fit if d.after])
        fit = [replace(d, score=s, weight=s) for d, s in zip(fit, scores, strict=True)]
    fit.sort(key=lambda d: -(d.score or 0.0))
    return fit + [replace(d, score=None) for d in seen.values() if d.after is None]


async def _by_leader(game: CotGame, state: CotState, bodies: Sequence[str]) -> list[float]:
    """Log-probability per byte of what each body adds to the state's, by the pool's leader."""
    before, *after = (b if game.notation.tags else text_of(b) for b in (state.body, *bodies))
    added = [text.removeprefix(before) for text in after]
    totals = await game.table.batcher.logprobs(game.prompt(before), added)
    scored = zip(totals, added, strict=True)
    return [max(total / max(len(text.encode()), 1), _IMPOSSIBLE) for total, text in scored]


def drafted(
    game: CotGame, state: CotState, action: str, text: str, body: str | None, written: Written, *, ended: bool
) -> Draft:
    """A sample as a draft that leads to `body`, or to the end of the game."""
    after, sample = None, written.sample
    if body is not None:
        body = game.notation.closed(body) if ended else body
        after = CotState(body, depth=state.depth + 1, tokens=state.tokens + sample.tokens, over=ended)
    score = sample.logprob / max(sample.tokens, 1)
    return Draft(action, text, after, score, policy=game.table.members[written.member].name)


def why_none(written: Sequence[Written]) -> str:
    """Why there is nothing to go on from, where there is nothing."""
    faults = [w.sample.error or "no reason given" for w in written if w.sample.finish == "error"]
    return f"policy failed: {faults[0]}" if len(faults) == len(written) else DEAD_END


def _segment(game: CotGame, state: CotState, act: str, draft: Written) -> Draft:
    """A sample as an act's segment. Without tags, the end of the sequence ends the CoT as well."""
    notation, sample = game.notations[draft.member], draft.sample
    written = sample.text.removesuffix(notation.stop(act))
    stopped = written != sample.text
    text = notation.said(act, written)
    whole = sample.finish == "stop" and bool(written.strip())
    if notation.tags:
        whole = whole and stopped and markup.escape(text) == written.strip()
    body = notation.with_act(state.body, act, text) if whole else None
    return drafted(game, state, act, text, body, draft, ended=not stopped)
