"""The search over thinking factors: an action is an act, its words the best of N."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, isfinite

from ...schemas import Seed, markup
from .game import CotGame, CotState, Table
from .notation import END
from .segments import act_drafts
from .tree import Evaluation, Node


class ActGame(CotGame):
    """Actions are the inventory's acts, and the end; an act's `branches` best segments are a choice below it.

    Priors are the policy's own probabilities of the tags, the `top_k` likeliest kept and renormalised; a
    policy that writes no tags has no opinion, and its priors are uniform over all acts. A segment's prior is
    its share of the judge's scores (of the per-token probabilities where the policy judges itself), so the
    best judged is tried first and another only where that one disappoints.
    """

    action_kind = "act"

    def __init__(self, table: Table, seed: Seed, start: str = "", prefix_steps: int = 0) -> None:
        super().__init__(table, seed, start, prefix_steps)
        self._ways: dict[tuple[str, str], dict[str, CotState]] = {}

    async def evaluate(self, state: CotState) -> Evaluation:
        if state.act is not None:
            return await self._words(state, state.act)
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
        if state.act is not None:
            return self._ways[state.body, state.act][action]
        if action != END:
            return replace(state, act=action)
        return replace(state, body=self.notation.closed(state.body), depth=state.depth + 1, over=True)

    def taken(self, node: Node[CotState]) -> set[tuple[str, str]]:
        """Of each act tried at a node, the segment most visited: (act, text)."""
        tried = [(e.action, e.child.edges) for e in node.edges if e.child is not None and e.child.edges]
        return {(act, max(ways, key=lambda w: (w.visits, w.q, w.prior)).action) for act, ways in tried}

    async def _words(self, state: CotState, act: str) -> Evaluation:
        """The choice among an act's segments; over where no candidate can be gone on from."""
        drafts, why = await act_drafts(self, state, act)
        self.drafts.setdefault(state.body, []).extend(drafts)
        best = [d for d in drafts if d.after is not None][: self.table.settings.branches]
        if not best:
            return await self.over(state, why)
        self._ways[state.body, act] = {d.text: d.after for d in best if d.after is not None}
        total = sum(d.weight for d in best)
        priors = tuple(d.weight / total if total else 1 / len(best) for d in best)
        return Evaluation(None, tuple(d.text for d in best), priors)


def top_priors(logprobs: Sequence[float], k: int) -> dict[int, float]:
    """The k likeliest indices, likeliest first, with their probabilities renormalised (uniform if all 0)."""
    best = sorted(range(len(logprobs)), key=lambda i: (-logprobs[i], i))[:k]
    top = logprobs[best[0]]
    if not isfinite(top):
        return {i: 1 / len(best) for i in best}
    weights = {i: exp(logprobs[i] - top) for i in best}
    total = sum(weights.values())
    return {i: w / total for i, w in weights.items()}
