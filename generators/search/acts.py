"""The search over thinking factors: an action is an act, its segment the best of N."""

from collections.abc import Sequence
from math import exp, isfinite

from ...schemas import markup
from .game import CotGame, CotState
from .notation import END
from .segments import act_segment
from .tree import Evaluation


class ActGame(CotGame):
    """Actions are the inventory's acts, and the end.

    Priors are the policy's own probabilities of the tags, the `top_k` likeliest kept and renormalised; a
    policy that writes no tags has no opinion, and its priors are uniform over all acts.
    """

    action_kind = "act"

    async def evaluate(self, state: CotState) -> Evaluation:
        if over := await self.result(state):
            return over
        acts = list(self.table.inventory.names)
        actions = acts if state.body == self.notation.empty else [*acts, END]
        asked = None
        if self.notation.tags:
            joint = self.notation.joint(state.body)
            tags = [markup.THINK_END if a == END else joint + markup.act_start(a) for a in actions]
            asked = self.table.batcher.logprobs(self.prompt(state.body), tags)
        value = await self.leaf_value(state)
        if asked is None:
            return Evaluation(value, tuple(actions), (1 / len(actions),) * len(actions))
        likely = top_priors(await asked, self.table.settings.top_k)
        return Evaluation(value, tuple(actions[i] for i in likely), tuple(likely.values()))

    async def step(self, state: CotState, action: str) -> CotState:
        if action != END:
            return await act_segment(self, state, action)
        body = self.notation.closed(state.body)
        return CotState(body, state.depth + 1, state.tokens, over=True)


def top_priors(logprobs: Sequence[float], k: int) -> dict[int, float]:
    """The k likeliest indices, likeliest first, with their probabilities renormalised (uniform if all 0)."""
    best = sorted(range(len(logprobs)), key=lambda i: (-logprobs[i], i))[:k]
    top = logprobs[best[0]]
    if not isfinite(top):
        return {i: 1 / len(best) for i in best}
    weights = {i: exp(logprobs[i] - top) for i in best}
    total = sum(weights.values())
    return {i: w / total for i, w in weights.items()}
