"""A flat recorded trace as a tree: which tactics run inside which.

LeanDojo's benchmark lists a structured tactic (`induction … with`, `have … := by`, `·`) and then the
tactics inside it, one after another. A tactic belongs to the one before it whose text contains it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .rows import TracedTactic
from .states import Goal, parse_state

# What these run may fail, or be run again and again.
_TRIES = ("first ", "first\n", "repeat ", "repeat' ", "try ", "iterate ", "any_goals ", "(")
_BULLETS = ("·", ".", "case ", "next", "focus", "all_goals", "any_goals")


@dataclass(frozen=True, slots=True)
class Node:
    """A tactic at `index` of the flat trace, the goals before and after it, and the tactics inside it."""

    index: int
    tactic: str
    before: tuple[Goal, ...]
    after: tuple[Goal, ...]
    children: tuple["Node", ...]

    @property
    def head(self) -> str:
        """The tactic's first word."""
        return self.tactic.split(maxsplit=1)[0].rstrip(";") if self.tactic.strip() else ""

    @property
    def is_bullet(self) -> bool:
        """Whether it says nothing itself: it focuses on a goal, or combines the tactics inside it."""
        says_nothing = self.tactic.startswith((*_BULLETS, *_TRIES)) or _combines(self.tactic)
        return bool(self.children) and says_nothing

    @property
    def tries(self) -> bool:
        """Whether what it runs may fail, or be run again."""
        return self.tactic.startswith(_TRIES)

    @property
    def opened(self) -> tuple[Goal, ...] | None:
        """The goals that stand in the current goal's place afterwards; None where others changed as well."""
        rest = self.before[1:]
        cut = len(self.after) - len(rest)
        if cut < 0 or not all(a.same(b) for a, b in zip(self.after[cut:], rest, strict=True)):
            return None
        return self.after[:cut]


def build(traced: Sequence[TracedTactic]) -> tuple[Node, ...]:
    """The trees of a trace, in order; raises BadState."""
    nodes, at = [], 0
    while at < len(traced):
        node, at = _node(traced, at)
        nodes.append(node)
    return tuple(nodes)


def entry_goals(children: Iterable[Node]) -> list[Goal]:
    """The goals at which the tactics inside a structured tactic set out."""
    entries: list[Goal] = []
    produced: list[Goal] = []
    for child in children:
        if not child.before:
            continue
        goal = child.before[0]
        if known := next((g for g in produced if g.same(goal)), None):
            produced.remove(known)
        else:
            entries.append(goal)
            produced += [g for g in child.before[1:] if not any(g.same(e) for e in produced)]
        produced = [*(child.opened or ()), *produced]
    return entries


def _node(traced: Sequence[TracedTactic], at: int) -> tuple[Node, int]:
    own = traced[at]
    text, position, index = _squash(own.tactic), 0, at
    if _combines(own.tactic) and (combined := _combined(traced, at)):
        return combined
    tries = own.tactic.startswith(_TRIES)
    marked = "\n" in own.tactic or " by " in text or "=>" in text or own.tactic.startswith(_BULLETS)
    children: list[Node] = []
    at += 1
    while (marked or tries) and at < len(traced):
        inner = _squash(traced[at].tactic)
        found = text.find(inner, position)
        if found < 0 or len(inner) >= len(text) or (tries and _follows(own, traced[at])):
            break
        child, at = _node(traced, at)
        children.append(child)
        position = 0 if tries else found + len(inner)
    state = parse_state(own.state_before), parse_state(own.state_after)
    return Node(index, own.tactic, *state, tuple(children)), at


def _follows(own: TracedTactic, next_: TracedTactic) -> bool:
    """Whether the next tactic begins where this one ended."""
    return next_.state_before == own.state_after != own.state_before


def _combines(tactic: str) -> bool:
    return " <;> " in tactic or tactic.startswith("all_goals ")


def _combined(traced: Sequence[TracedTactic], at: int) -> tuple[Node, int] | None:
    """`t <;> s` and `all_goals s` with what they ran, goal by goal; None where the trace doesn't tell it."""
    own, index, children = traced[at], at, list[Node]()
    before, after = parse_state(own.state_before), parse_state(own.state_after)
    waiting, text = list(before), _squash(own.tactic)
    at += 1
    while not children or not _same(waiting, after):
        if at == len(traced) or _squash(traced[at].tactic) not in text:
            return None
        child, at = _node(traced, at)
        place = next((i for i, g in enumerate(waiting) if child.before and g.same(child.before[0])), None)
        if place is None or child.opened is None:
            return None
        waiting[place : place + 1] = child.opened
        children.append(child)
    return Node(index, own.tactic, before, after, tuple(children)), at


def _same(some: Sequence[Goal], others: Sequence[Goal]) -> bool:
    return len(some) == len(others) and all(a.same(b) for a, b in zip(some, others, strict=True))


def _squash(text: str) -> str:
    return " ".join(text.split())
