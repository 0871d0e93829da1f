"""The search without factors: an action is a whole sampled step, and is named by what it says."""

from collections import Counter

from ...models.policy import Sample
from ...schemas import Seed, markup
from .game import CotGame, CotState, Table
from .notation import END
from .segments import Draft, distinct, draft, judge, pool, record, why_none
from .tree import Evaluation


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
        samples = await pool(self, state, self.notation.visible(state.body), self._stop, "step")
        every = [self._draft(state, s) for s in samples if s.finish != "error"]
        drafts = distinct(every)
        scores = await judge(self, drafts)
        fit = [i for i, d in enumerate(drafts) if d.after is not None]
        record(self, state, drafts, scores, [d.text for d in drafts], fit)
        share = Counter(d.text for d in every if d.after is not None)
        if not share:
            return await self.over(state, why_none(samples))
        self._ways[state.body] = {d.text: d.after for d in reversed(drafts) if d.after is not None}
        priors = tuple(n / share.total() for n in share.values())
        return Evaluation(await self.leaf_value(state), tuple(share), priors)

    async def step(self, state: CotState, action: str) -> CotState:
        return self._ways[state.body][action]

    def _draft(self, state: CotState, sample: Sample) -> Draft:
        """A sample as a step. Markup ends by its own tag, text by the end of the sequence."""
        notation, step = self.notation, sample.text.strip()
        if notation.tags:
            ended = step == markup.THINK_END
            whole = step.endswith(self._stop) and (not ended or state.body != notation.empty)
            text = END if ended else step
        else:
            ended = not sample.text.endswith(notation.separator)
            whole, text = sample.finish == "stop" and bool(step), step
        body = None
        if whole:
            body = state.body if notation.tags and ended else notation.with_step(state.body, step)
        return draft(self, state, text, body, sample, ended=ended)
