"""A dry run in words: the recorded events of one call, told turn by turn or call by call."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .observe import Event, Outcome
from .shape import Loop, is_class, loops

MAX_TURNS = 6
MAX_VALUE = 60
YIELDS, PRINTS = "yield", "print()"
_STYLES = (
    ("{label} → {change}", "{label} → nothing changes", "; "),
    ("with {label}, {change}", "with {label} nothing changes", "; "),
    ("{label}: {change}", "{label}: no change", ", then "),
    ("{label} gives {change}", "{label} changes nothing", "; "),
    ("at {label} we have {change}", "at {label} nothing happens", ", "),
)
N_STYLES = len(_STYLES)
_CLAUSES = _STYLES[:3]  # what can take "it prints 3" after it

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a loop: the loop variables it began with, and what it left changed."""

    label: Values
    changed: Values


@dataclass(frozen=True, slots=True)
class DryRun:
    """How a call went: `kind` is "loop", "recursion", "calls" or "straight", the rest its phrases' slots."""

    kind: str
    slots: Mapping[str, str]
    turns: tuple[Turn, ...] = ()


def dry_run(unit: ast.FunctionDef, outcome: Outcome, style: int) -> DryRun | None:
    """The dry run of a recorded call; None where it is too long to tell, or there is nothing to tell."""
    if outcome.cut or not outcome.events:
        return None
    if is_class(unit):
        return _calls(outcome.events)
    if (recursive := _recursive(outcome.events)) is not None:
        return _recursion(outcome.events, unit, recursive)
    own = own_events(unit, outcome.events)
    for loop in sorted(loops(unit), key=lambda n: -_work(n, own)):
        found = turns(loop, own)
        if found:
            return _loop(loop, own, found, style)
    return _straight(own)


def _work(loop: Loop, own: Sequence[Event]) -> int:
    """How many lines ran in a loop."""
    return sum(loop.lineno <= e.line <= (loop.end_lineno or loop.lineno) for e in own if e.kind == "line")


def own_events(unit: ast.FunctionDef, events: Sequence[Event]) -> list[Event]:
    """The events of the first call of the unit itself."""
    frame = next((e.frame for e in events if e.kind == "call" and e.text == unit.name), None)
    return [e for e in events if e.frame == frame]


def turns(loop: Loop, own: Sequence[Event]) -> list[Turn]:
    """The turns of one loop, from the events of one frame; what a turn yields is a change, too."""
    end = loop.end_lineno or loop.lineno
    targets = _names(loop.target) if isinstance(loop, ast.For) else set()
    asked = _asked(loop) if isinstance(loop, ast.While) else set()
    out: list[Turn] = []
    state: dict[str, str] = {}
    label: dict[str, str] | None = None
    changed: dict[str, str] = {}
    inner = {
        name
        for node in ast.walk(loop)
        if isinstance(node, ast.For) and node is not loop
        for name in _names(node.target)
    }
    for number, event in enumerate(own):
        if event.kind == "line" and event.line == loop.lineno:
            if label is not None:
                out.append(Turn(label, changed))
            state |= event.values
            follows = next((e.line for e in own[number + 1 :] if e.kind in ("line", "return")), 0)
            enters = loop.lineno < follows <= end
            label = {k: v for k, v in state.items() if k in (targets or asked)} if enters else None
            changed = {}
        else:
            state |= event.values
            if label is not None and loop.lineno < event.line <= end:
                if event.kind == "line":
                    changed |= {k: v for k, v in event.values.items() if k not in targets | inner}
                elif event.kind == "yield" and event.text:
                    changed = {**changed, YIELDS: event.text}
    if label is not None:
        out.append(Turn(label, changed))
    return out


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _asked(loop: ast.While) -> set[str]:
    """What the loop's condition asks about and its body changes."""
    stored = {
        n.id
        for part in loop.body
        for n in ast.walk(part)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    return _names(loop.test) & stored


def pairs(values: Values) -> str:
    """`a = 1 and b = 2`."""
    special = {YIELDS: "it yields", PRINTS: "it prints"}
    said = [f"{special[k]} {v}" if k in special else f"{k} = {v}" for k, v in values.items()]
    return f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else "".join(said)


def _loop(loop: Loop, own: Sequence[Event], found: list[Turn], style: int) -> DryRun | None:
    if any(len(v) > MAX_VALUE for t in found for v in [*t.label.values(), *t.changed.values()]):
        return None
    if not any(t.changed for t in found):
        return None
    if any(not t.label for t in found) or any(len(t.changed) > 4 or len(t.label) > 3 for t in found):
        return None
    if any({YIELDS, PRINTS} & set(t.changed) for t in found):
        style %= len(_CLAUSES)
    said, idle, glue = _STYLES[style]
    shown = found if len(found) <= MAX_TURNS else [*found[: MAX_TURNS - 2], found[-1]]
    items = [
        (said if t.changed else idle).format(label=pairs(t.label), change=pairs(t.changed)) for t in shown
    ]
    trail = glue.join(items)
    if len(found) > MAX_TURNS:
        last = items[-1].removeprefix("with ").removeprefix("at ")
        trail = f"{glue.join(items[:-1])}, and so on, until at the last turn {last}"
    slots = _trail(trail)
    before: dict[str, str] = {}
    for event in own:
        if event.kind == "line" and event.line >= loop.lineno:
            break
        if event.kind == "line":
            before |= event.values
    before = {k: v for k, v in before.items() if len(v) <= MAX_VALUE}
    if before and len(before) <= 4:
        slots["before"] = pairs(before)
    return DryRun("loop", slots, tuple(found))


def _recursive(events: Sequence[Event]) -> str | None:
    """The function that calls itself in this run, the one with the most calls."""
    calls = {e.frame: e for e in events if e.kind == "call"}
    inner = [e.text for e in calls.values() if e.parent in calls and calls[e.parent].text == e.text]
    return max(sorted(set(inner)), key=inner.count) if inner else None


def _recursion(events: Sequence[Event], unit: ast.FunctionDef, name: str) -> DryRun | None:
    """The inner calls by their arguments and what they returned, in the order of their returns."""
    definition = next((n for n in ast.walk(unit) if isinstance(n, ast.FunctionDef) and n.name == name), None)
    if definition is None:
        return None
    calls = [e for e in events if e.kind == "call" and e.text == name]
    arguments = {e.frame: e.values for e in calls[1:]}
    returns = [e for e in events if e.kind == "return" and e.frame in arguments]
    names = {a.arg for a in definition.args.args}
    if not 0 < len(returns) <= MAX_TURNS or any(not e.text or len(e.text) > MAX_VALUE for e in returns):
        return None
    items = []
    for event in returns:
        given = {k: v for k, v in arguments[event.frame].items() if k in names}
        if not given or any(len(v) > MAX_VALUE for v in given.values()):
            return None
        items.append(f"with {pairs(given)} it returns {event.text}")
    return DryRun("recursion", {**_trail("; ".join(items)), "inner": f"`{name}`"})


def _calls(events: Sequence[Event]) -> DryRun | None:
    """The calls of a class's methods from outside, one after another."""
    made = [e for e in events if e.kind == "call" and e.parent is None]
    ends = {e.frame: e.text for e in events if e.kind == "return"}
    if not 0 < len(made) <= MAX_TURNS:
        return None
    items = []
    for event in made:
        given = {k: v for k, v in event.values.items() if k != "self"}
        came = ends.get(event.frame, "")
        if any(len(v) > MAX_VALUE for v in (*given.values(), came)):
            return None
        said = f"{event.text} with {pairs(given)}" if given else event.text
        items.append(f"{said} gives {came}" if came and came != "None" else f"{said} returns nothing")
    return DryRun("calls", {"trail": "; ".join(items)})


def _straight(own: Sequence[Event]) -> DryRun | None:
    items = [pairs(e.values) for e in own if e.kind == "line" and e.values]
    if not 0 < len(items) <= MAX_TURNS or any(len(i) > 2 * MAX_VALUE for i in items):
        return None
    return DryRun("straight", _trail(", then ".join(items)))


def _trail(text: str) -> dict[str, str]:
    """The turns, inside a sentence and as one of their own."""
    begins = next((w for w in ("with ", "at ") if text.startswith(w)), "")
    return {"trail": text, "Trail": text[:1].upper() + text[1:] if begins else text}
