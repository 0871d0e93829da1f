"""The search over thinking factors: an action is an act, its words the best of N."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from math import exp, inf, isfinite, log

from ...schemas import Seed, markup
from .game import CotGame, CotState, Table, source_of_priors
from .notation import END, openings
from .segments import act_drafts
from .tree import Evaluation, Node


class ActGame(CotGame):
    """Actions are the inventory's acts, and the end; an act's `branches` best segments are a choice below it.

    Priors are the policy head's, the policy's own probabilities of the tags, or those of the acts' opening
    words, the `top_k` likeliest kept and renormalised; else uniform over all acts. A segment's prior is
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
        heads, source = self.opinion(state), source_of_priors(self.table)
        tags = self._tags(state, actions) if source == "tags" else None
        words = self._openings(state, actions) if source == "openings" else None
        value = await self.leaf_value(state, heads)
        if tags is not None:
            scores = await tags
        elif words is not None:
            scores = await words
        elif source == "head" and heads is not None:
            priors = (await heads).priors
            scores = [log(p) if (p := priors.get(a, 0.0)) > 0 else -inf for a in actions]
        else:
            return Evaluation(value, tuple(actions), (1 / len(actions),) * len(actions))
        likely = top_priors(scores, self.table.settings.top_k)
        return Evaluation(value, tuple(actions[i] for i in likely), tuple(likely.values()))

    def _tags(self, state: CotState, actions: Sequence[str]) -> "asyncio.Future[list[float]]":
        """To be awaited: the policy's own log-probabilities of the acts' tags."""
        joint = self.notation.joint(state.body)
        tags = [markup.THINK_END if a == END else joint + markup.act_start(a) for a in actions]
        return self.table.batcher.logprobs(self.prompt(state.body), tags)

    def _openings(self, state: CotState, actions: Sequence[str]) -> "asyncio.Task[list[float]]":
        """To be awaited: how much likelier an act's opening words are here than before an empty question.

        Domain conditional pointwise mutual information (Holtzman et al. 2021, arXiv 2104.08315): words that
        are long or rare anywhere don't count against an act. 0 for an action without opening words.
        """
        leads = [openings().get(a, "") for a in actions]
        shown = self.notation.opened(state.body)
        here = self.table.batcher.logprobs(self.prompt(shown), leads)
        anywhere = self.table.batcher.logprobs(self.table.policy.prompt(""), leads)

        async def gained() -> list[float]:
            pairs = zip(leads, await here, await anywhere, strict=True)
            return [a - b if lead and isfinite(b) else 0.0 for lead, a, b in pairs]

        return asyncio.ensure_future(gained())

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
