"""Best of N: what a pool of temperatures writes next, every candidate kept with its judge's score."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import exp

from ...models.policy import Sample, SampleRequest
from ...schemas import markup
from .game import CotGame, CotState, Draft

DEAD_END = "dead end: no well-formed continuation"


async def pool(
    game: CotGame, state: CotState, shown: str, stop: tuple[str, ...], purpose: str
) -> list[Sample]:
    """N samples, shared among the pool's temperatures; the first ones get one more where N leaves a rest."""
    settings = game.table.settings
    share, rest = divmod(settings.candidates, len(settings.temperatures))
    prompt = game.prompt(shown)
    pending = [
        game.table.batcher.sample(
            SampleRequest(
                prompt=prompt,
                key=game.key(state, purpose, i),
                n=share + (i < rest),
                max_tokens=settings.segment_tokens,
                temperature=temperature,
                stop=stop,
            )
        )
        for i, temperature in enumerate(settings.temperatures)
        if share + (i < rest)
    ]
    return [sample for samples in pending for sample in await samples]


async def act_drafts(game: CotGame, state: CotState, act: str) -> tuple[list[Draft], str]:
    """The distinct segments sampled for an act, judged; and what to say if none can be gone on from.

    One that is empty, doesn't end within its bounds or holds a tag can't be.
    """
    notation = game.notation
    shown = notation.opened(state.body) + notation.lead(act)
    samples = await pool(game, state, shown, (notation.stop(act),), f"act {act}")
    drafts = [_segment(game, state, act, s) for s in samples if s.finish != "error"]
    return await judged(game, drafts), why_none(samples)


async def judged(game: CotGame, drafts: Iterable[Draft]) -> list[Draft]:
    """Distinct drafts, each with its score: the scorer's, else the mean log-probability that it came with.

    Those that can be gone on from come first, best first.
    """
    seen: dict[tuple[str, bool], Draft] = {}
    for draft in drafts:
        seen.setdefault((draft.text, draft.after is None), draft)
    fit = [d for d in seen.values() if d.after is not None]
    if game.table.scorer is None:
        fit = [replace(d, weight=exp(d.score or 0.0)) for d in fit]
    elif fit:
        scores = await game.table.scores(game.seed.question, [d.after.body for d in fit if d.after])
        fit = [replace(d, score=s, weight=s) for d, s in zip(fit, scores, strict=True)]
    fit.sort(key=lambda d: -(d.score or 0.0))
    return fit + [replace(d, score=None) for d in seen.values() if d.after is None]


def drafted(
    game: CotGame, state: CotState, action: str, text: str, body: str | None, sample: Sample, *, ended: bool
) -> Draft:
    """A sample as a draft that leads to `body`, or to the end of the game."""
    after = None
    if body is not None:
        body = game.notation.closed(body) if ended else body
        after = CotState(body, depth=state.depth + 1, tokens=state.tokens + sample.tokens, over=ended)
    return Draft(action, text, after, sample.logprob / max(sample.tokens, 1))


def why_none(samples: Sequence[Sample]) -> str:
    """Why there is nothing to go on from, where there is nothing."""
    faults = [s.error or "no reason given" for s in samples if s.finish == "error"]
    return f"policy failed: {faults[0]}" if len(faults) == len(samples) else DEAD_END


def _segment(game: CotGame, state: CotState, act: str, sample: Sample) -> Draft:
    """A sample as an act's segment. Without tags, the end of the sequence ends the CoT as well."""
    notation = game.notation
    written = sample.text.removesuffix(notation.stop(act))
    stopped = written != sample.text
    text = notation.said(act, written)
    whole = sample.finish == "stop" and bool(written.strip())
    if notation.tags:
        whole = whole and stopped and markup.escape(text) == written.strip()
    body = notation.with_act(state.body, act, text) if whole else None
    return drafted(game, state, act, text, body, sample, ended=not stopped)
