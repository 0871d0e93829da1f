"""AlphaZero's targets from proof searches: states of the search that the found proof's CoT goes through."""

from ...schemas import Candidate, SearchState, Trace
from ..assemble import open_prefix
from ..lean_reverse.rows import LeanSeed, SearchedState
from ..lean_reverse.states import BadState, Goal, parse_state
from ..lean_reverse.story import tell

ACTION_KIND = "tactic"


def tactic_states(trace: Trace, seed: LeanSeed) -> list[SearchState]:
    """One row for each searched state that the trace comes to: pi over tactics, Q, and z, the game's end.

    `trace` tells the proof of `seed`, step by step as its story does. A row's `prefix` ends before the first
    step at that state. Chosen is the tactic of the proof as it was kept; where that is none of the state's
    actions, the search's own.
    """
    if not seed.searched:
        return []
    cuts = [(step.start, step.end) for step in trace.steps]
    rows: list[SearchState] = []
    met: set[tuple[Goal, ...]] = set()
    places = {goals: (n, s) for n, s in enumerate(seed.searched) if (goals := _goals(s.state))}
    for cut, paragraph in enumerate(tell(seed)):
        at = paragraph.said[0].at
        goals = _goals(seed.traced[at].state_before) if at >= 0 else ()
        if goals in met or goals not in places:
            continue
        met.add(goals)
        depth, searched = places[goals]
        tactics = [t.tactic for t in seed.traced if _goals(t.state_before) == goals]
        prefix = open_prefix(trace.text, trace.acts, cuts, cut)
        rows.append(_row(trace, searched, _chosen(searched, tactics), prefix, depth))
    return rows


def _goals(state: str) -> tuple[Goal, ...]:
    try:
        return parse_state(state)
    except BadState:
        return ()


def _chosen(searched: SearchedState, tactics: list[str]) -> str:
    kept = {" ".join(t.split()) for t in tactics}
    for action, ran in zip(searched.actions, searched.ran, strict=True):
        if " ".join(ran.split()) in kept:
            return action
    return searched.chosen


def _row(trace: Trace, searched: SearchedState, chosen: str, prefix: str, depth: int) -> SearchState:
    total = sum(searched.visits)
    tried = zip(searched.actions, searched.ran, searched.q, strict=True)
    return SearchState(
        trace_id=trace.trace_id,
        seed_id=trace.seed_id,
        question=trace.question,
        prefix=prefix,
        action_kind=ACTION_KIND,
        actions=searched.actions,
        prior=searched.prior,
        visits=searched.visits,
        pi=tuple(n / total for n in searched.visits),
        q=searched.q,
        chosen=chosen,
        candidates=tuple(
            Candidate(action=action, text=ran, score=q, chosen=action == chosen)
            for action, ran, q in tried
            if ran
        ),
        value=trace.reward,
        depth=depth,
    )
