"""Best of N: what a pool of temperatures writes next, every candidate kept with its judge's score."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...models.policy import Sample, SampleRequest
from ...schemas import Candidate
from .game import CotGame, CotState

DEAD_END = "dead end: no well-formed continuation"


@dataclass(frozen=True, slots=True)
class Draft:
    """A sampled segment or step: its text, and the state it leads to (None if it can't be gone on from)."""

    text: str
    after: CotState | None
    mean_logprob: float


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


async def act_segment(game: CotGame, state: CotState, act: str) -> CotState:
    """The state after one act, its segment the best of N; over where no candidate can be gone on from.

    A candidate that is empty, doesn't end within its bounds or holds a tag is kept, and never chosen.
    """
    notation = game.notation
    shown, stop = notation.opened(state.body) + notation.lead(act), notation.stop(act)
    samples = await pool(game, state, shown, (stop,), f"act {act}")
    drafts = distinct(act_draft(game, state, act, s) for s in samples if s.finish != "error")
    scores = await judge(game, drafts)
    ranked = [(score, -i) for i, score in enumerate(scores) if score is not None]
    best = -max(ranked)[1] if ranked else None
    record(game, state, drafts, scores, [act] * len(drafts), {best})
    after = None if best is None else drafts[best].after
    return after or game.stopped(state, why_none(samples))


def act_draft(game: CotGame, state: CotState, act: str, sample: Sample) -> Draft:
    """A sample as an act's segment. Without tags, the end of the sequence ends the CoT as well."""
    notation = game.notation
    written = sample.text.removesuffix(notation.stop(act))
    stopped = written != sample.text
    whole = sample.finish == "stop" and bool(written.strip()) and (stopped or not notation.tags)
    text = notation.said(act, written)
    body = notation.with_act(state.body, act, text) if whole else None
    return draft(game, state, text, body, sample, ended=not stopped)


def draft(
    game: CotGame, state: CotState, text: str, body: str | None, sample: Sample, *, ended: bool
) -> Draft:
    """A sample as a draft that leads to `body`, or to the end of the game."""
    after = None
    if body is not None:
        body = game.notation.closed(body) if ended else body
        after = CotState(body, state.depth + 1, state.tokens + sample.tokens, over=ended)
    return Draft(text, after, sample.logprob / max(sample.tokens, 1))


def distinct(drafts: Iterable[Draft]) -> list[Draft]:
    """The first draft of each text, and of each way to go on from it."""
    seen: dict[tuple[str, tuple[str, bool] | None], Draft] = {}
    for d in drafts:
        way = None if d.after is None else (d.after.body, d.after.over)
        seen.setdefault((d.text, way), d)
    return list(seen.values())


async def judge(game: CotGame, drafts: Sequence[Draft]) -> list[float | None]:
    """A score per draft that can be gone on from: the scorer's, else its mean log-probability per token."""
    if game.table.scorer is None:
        return [None if d.after is None else d.mean_logprob for d in drafts]
    bodies = [d.after.body for d in drafts if d.after is not None]
    scores = iter(await game.table.scores(game.seed.question, bodies) if bodies else ())
    return [None if d.after is None else next(scores) for d in drafts]


def record(
    game: CotGame,
    state: CotState,
    drafts: Sequence[Draft],
    scores: Sequence[float | None],
    actions: Sequence[str],
    chosen: Iterable[int | None],
) -> None:
    """Keep every candidate with its score."""
    taken = set(chosen)
    game.candidates.setdefault(state.body, []).extend(
        Candidate(action=action, text=d.text, score=score, chosen=i in taken)
        for i, (d, score, action) in enumerate(zip(drafts, scores, actions, strict=True))
    )


def why_none(samples: Sequence[Sample]) -> str:
    """Why there is nothing to go on from."""
    faults = [s.error or "no reason given" for s in samples if s.finish == "error"]
    return f"policy failed: {faults[0]}" if len(faults) == len(samples) else DEAD_END
