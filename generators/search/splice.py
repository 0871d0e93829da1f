"""Self-correction from the tree: a wrong branch, the act that notices it, the right branch, in one trace.

Where a line and a losing side branch part, a person might have taken the wrong one, noticed, and gone back.
The words that notice are the policy's own, written with the wrong branch before its eyes. What is spliced is
kept only if it ends right by the verifier's word, and, where an exact step checker knows the question, if the
branch was really wrong, the noticing is to the point, and nothing wrong is left unmended.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ...models.policy import Sample
from ...schemas import Outcome, Trace, markup, split_steps
from ..families import check
from .game import CotState
from .notation import text_of
from .play import Game, Played, whole_body
from .segments import act_drafts
from .tree import Node

NOTICING = ("DetectError", "Backtrack")
ATTEMPTS = 4
"""Wrong turns tried per splice wanted."""
LOST = -0.9
CHANCE = 0.05
"""A wrong turn: the mean result from there is at most LOST, and it is wrong by the step checker; where that
does not know the question, so many tries would hardly (CHANCE) all fail at the success rate of the fork."""


@dataclass(frozen=True, slots=True)
class WrongTurn:
    """A losing state off the right line, where the two part, and the probability that it is bad luck."""

    fork: CotState
    wrong: CotState
    luck: float


async def splice(game: Game, played: Played) -> list[Trace]:
    """Up to `splices` self-corrections from one game, surest wrong turns first; none without a right end."""
    acts = [a for a in NOTICING if a in game.table.inventory.names]
    right = _right_end(game, played)
    if right is None or not acts:
        return []
    line = whole_body(right)
    turns = sorted(_wrong_turns(game, played.start, line), key=lambda t: (t.luck, t.wrong.body))
    made: list[Trace] = []
    for turn in turns[: ATTEMPTS * game.table.settings.splices]:
        trace = await _spliced(game, turn, right, line, acts)
        if trace is not None:
            made.append(trace)
        if len(made) == game.table.settings.splices:
            break
    return made


async def _spliced(game: Game, turn: WrongTurn, right: Trace, line: str, acts: list[str]) -> Trace | None:
    """The splice with the best judged noticing that passes, if any does."""
    drafts, _ = await act_drafts(game, turn.wrong, await _likelier(game, turn.wrong, acts))
    rest = line[len(turn.fork.body) :].lstrip()
    for noticed in (d.after for d in drafts):
        if noticed is None or noticed.over:
            continue
        body = noticed.body + game.notation.joint(noticed.body) + rest
        tokens = noticed.tokens + max(0, right.tokens - turn.fork.tokens)
        state = CotState(body, tokens=tokens, over=True)
        trace = await game.decided(state, Sample("", 0, "stop"), game.key(turn.wrong, "splice"), None)
        if trace.outcome is Outcome.CORRECT and trace.error is None and _confirmed(turn, trace):
            return trace
    return None


def _is_wrong(game: Game, turn: WrongTurn) -> bool:
    """Whether the branch holds a wrong step, as far as anybody can tell."""
    truth = check(game.seed.question, text_of(turn.wrong.body))
    if truth is None:
        return turn.luck <= CHANCE
    return not all(truth.right[_steps(turn.fork) :])


def _confirmed(turn: WrongTurn, trace: Trace) -> bool:
    """Whether, where the step checker knows the question, the noticing is right and nothing left unmended."""
    truth = check(trace.question, trace.text)
    return truth is None or (truth.right[_steps(turn.wrong)] and truth.clean[-1])


def _steps(state: CotState) -> int:
    return len(split_steps(text_of(state.body)))


async def _likelier(game: Game, state: CotState, acts: list[str]) -> str:
    """The act by which the policy would rather notice; the first where it writes no tags."""
    if not game.notation.tags or len(acts) == 1:
        return acts[0]
    joint = game.notation.joint(state.body)
    tags = [joint + markup.act_start(a) for a in acts]
    logprobs = await game.table.batcher.logprobs(game.prompt(state.body), tags)
    return acts[max(range(len(acts)), key=lambda i: (logprobs[i], -i))]


def _right_end(game: Game, played: Played) -> Trace | None:
    """The played trace if it is right from end to end, else the first such end met."""
    for trace in (played.trace, *game.ends()):
        if trace.outcome is Outcome.CORRECT and trace.error is None and _writes(game, trace):
            truth = check(trace.question, trace.text)
            if truth is None or truth.clean[-1]:
                return trace
    return None


def _writes(game: Game, trace: Trace) -> bool:
    return bool(trace.acts) == game.notation.marked


def _wrong_turns(game: Game, start: Node[CotState], line: str) -> Iterator[WrongTurn]:
    """The first losing states off the line, below every state that it shares with the tree.

    A branch that notices an error already is none: the line then knows better than the noticing.
    """
    rollouts = max(1, game.table.settings.rollouts)
    waiting = [(start, start)]
    while waiting:
        node, fork = waiting.pop()
        for edge in node.edges:
            child = edge.child
            if child is None or not edge.visits or child.state.over or edge.action in NOTICING:
                continue
            if child.state.act is not None:
                waiting.append((child, fork))
                continue
            if _leads_to(child.state.body, line, game.notation.joint(child.state.body)):
                waiting.append((child, child))
                continue
            turn = WrongTurn(fork.state, child.state, ((1 - fork.mean) / 2) ** (edge.visits * rollouts))
            if edge.q <= LOST and _is_wrong(game, turn):
                yield turn
            else:
                waiting.append((child, fork))


def _leads_to(body: str, line: str, joint: str) -> bool:
    return line.startswith(body + joint) or line.removesuffix(markup.THINK_END) == body
