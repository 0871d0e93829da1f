"""The search without factors: an action is a whole sampled step, and is named by what it says."""

from collections import Counter

from ...schemas import Seed, markup
from .game import CotGame, CotState, Draft, Table
from .notation import END
from .segments import Written, drafted, judged, pool, why_none
from .tree import Evaluation, Node


class StepGame(CotGame):
    """Actions are the distinct steps among N samples, one edge each.

    Priors are the samples' shares, the policy's own distribution as its samples show it (Sampled MuZero,
    arXiv 2104.06303, with the policy itself as proposal).
    """

    action_kind = "step"

    def __init__(self, table: Table, seed: Seed, start: str = "", prefix_steps: int = 0) -> None:
        super().__init__(table, seed, start, prefix_steps)
        self._ways: dict[str, dict[str, CotState]] = {}
        self._stop: tuple[str, ...] = (self.notation.separator,)
        if self.notation.tags:
            self._stop = (*map(markup.act_end, table.inventory.names), markup.THINK_END)

    async def evaluate(self, state: CotState) -> Evaluation:
        if over := await self.result(state):
            return over
        heads = self.opinion(state)
        written = await pool(self, state, lambda n: n.visible(state.body), lambda _: self._stop, "step")
        every = [self._step(state, w) for w in written if w.sample.finish != "error"]
        self.drafts[state.body] = drafts = await judged(self, state, every)
        ways = {d.text: d.after for d in drafts if d.after is not None}
        if not ways:
            return await self.over(state, why_none(written))
        self._ways[state.body] = ways
        share = Counter(d.text for d in every if d.after is not None)
        priors = tuple(share[text] / share.total() for text in ways)
        return Evaluation(await self.leaf_value(state, heads), tuple(ways), priors)

    async def step(self, state: CotState, action: str) -> CotState:
        return self._ways[state.body][action]

    def taken(self, node: Node[CotState]) -> set[tuple[str, str]]:
        """Every step that became an edge, as (action, text): both are the step itself."""
        return {(e.action, e.action) for e in node.edges}

    def _step(self, state: CotState, written: Written) -> Draft:
        """A sample as a step. Markup ends by its own tag, text by the end of the sequence."""
        notation, sample = self.notation, written.sample
        text = sample.text.strip()
        body = None
        if not notation.tags:
            ended = not sample.text.endswith(notation.separator)
            if text and sample.finish == "stop":
                body = notation.with_step(state.body, text)
        elif ended := text == markup.THINK_END:
            text = END
            body = None if state.body == notation.empty else state.body
        elif text.endswith(self._stop):
            body = notation.with_step(state.body, text)
        return drafted(self, state, text, text, body, written, ended=ended)
