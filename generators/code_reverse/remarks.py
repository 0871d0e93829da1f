"""What else a recorded run shows: branches, loop counts, invariants that held, calls, exceptions caught."""

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from ..phrasing import Slots
from .dryrun import own_events
from .observe import Event, Outcome
from .shape import is_class, loops

MAX_CONDITION = 60
_LEAST_HEADS = 3


@dataclass(frozen=True, slots=True)
class Remark:
    """A kind of phrase (`remark_…`) and its slots."""

    kind: str
    slots: Slots


def remarks(unit: ast.FunctionDef, outcome: Outcome, everything: Sequence[Outcome]) -> list[Remark]:
    """What can be said about one call's run; an invariant holds in all of `everything`."""
    if outcome.cut or not outcome.events:
        return []
    own = own_events(unit, outcome.events)
    found = [*_loop_counts(unit, own), *_branches(unit, own), *_calls(unit, outcome.events), *_caught(own)]
    if not any(o.cut or not o.events for o in everything):
        found += _invariants(unit, [own_events(unit, o.events) for o in everything])
    return found


def _loop_counts(unit: ast.FunctionDef, own: Sequence[Event]) -> Iterator[Remark]:
    if is_class(unit):
        return
    for loop in loops(unit)[:1]:
        inside = range(loop.lineno + 1, (loop.end_lineno or loop.lineno) + 1)
        lines = [e.line for e in own if e.kind == "line"]
        turns = sum(a == loop.lineno and b in inside for a, b in pairwise(lines))
        if turns != 1 and loop.body[0].lineno > loop.lineno:
            yield Remark(
                "remark_turns" if turns else "remark_no_turn", {"turns": str(turns)} if turns else {}
            )


def _branches(unit: ast.FunctionDef, own: Sequence[Event]) -> Iterator[Remark]:
    """How often a condition held: of two or more times that it was asked."""
    lines = [e.line for e in own if e.kind == "line"]
    for node in ast.walk(unit):
        if not isinstance(node, ast.If) or node.test.end_lineno != node.lineno:
            continue
        condition = ast.unparse(node.test)
        inside = range(node.body[0].lineno, (node.body[-1].end_lineno or node.lineno) + 1)
        if len(condition) > MAX_CONDITION or "`" in condition or node.lineno in inside:
            continue
        asked = sum(line == node.lineno for line in lines)
        held = sum(a == node.lineno and b in inside for a, b in pairwise(lines))
        slots = {"condition": f"`{condition}`", "held": str(held), "asked": str(asked)}
        if asked > 1:
            kind = "always" if held == asked else "some" if held else "never"
            yield Remark(f"remark_branch_{kind}", slots)
        elif asked == 1:
            yield Remark(f"remark_branch_{'once' if held else 'skipped'}", slots)


def _calls(unit: ast.FunctionDef, events: Sequence[Event]) -> Iterator[Remark]:
    called = Counter(e.text for e in events if e.kind == "call" and e.parent is not None)
    for name, count in sorted(called.items()):
        if is_class(unit) or name.startswith("<"):
            continue
        slots = {"name": f"`{name}`", "count": str(count)}
        own = name == unit.name
        yield Remark(f"remark_{'self_' if own else ''}call{'s' if count > 1 else ''}", slots)


def _caught(own: Sequence[Event]) -> Iterator[Remark]:
    for number, event in enumerate(own):
        if event.kind == "raise" and any(e.kind == "line" for e in own[number + 2 :]):
            yield Remark("remark_caught", {"error": f"`{event.text.replace('`', chr(39))}`"})
            return


def _invariants(unit: ast.FunctionDef, runs: Sequence[Sequence[Event]]) -> Iterator[Remark]:
    """Relations between numbers that held whenever the first loop was about to begin a turn or to end."""
    if is_class(unit) or not loops(unit):
        return
    histories = [list(_heads(loops(unit)[0].lineno, own)) for own in runs]
    heads = [h for history in histories for h in history]
    if max(map(len, histories), default=0) < _LEAST_HEADS:
        return
    targets = {
        n.id for n in ast.walk(getattr(loops(unit)[0], "target", ast.Pass())) if isinstance(n, ast.Name)
    }
    names = sorted(set.intersection(*({k for k in h if k not in targets} for h in heads)))
    moving = [n for n in names if any(len({h[n] for h in history}) > 2 for history in histories)]
    for name in moving:
        steps = [(a[name], b[name]) for h in histories for a, b in pairwise(h)]
        slots = {"name": f"`{name}`"}
        if all(a <= b for a, b in steps):
            yield Remark("remark_never_falls", slots)
        elif all(a >= b for a, b in steps):
            yield Remark("remark_never_grows", slots)
    for one, other in combinations(names, 2):
        if one in moving or other in moving:
            for a, b in ((one, other), (other, one)):
                if all(h[a] <= h[b] for h in heads):
                    yield Remark("remark_invariant", {"relation": f"`{a} <= {b}`"})
                    break


def _heads(line: int, own: Sequence[Event]) -> Iterator[dict[str, float]]:
    """The numbers at each arrival at the loop's head."""
    state: dict[str, float] = {}
    for event in own:
        if event.kind == "line" and event.line == line:
            yield dict(state)
        _update(state, event)


def _update(state: dict[str, float], event: Event) -> None:
    for name, text in event.values.items():
        number = _number(text)
        if number is None:
            state.pop(name, None)
        else:
            state[name] = number


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
