"""Tactic states as Lean pretty-prints them, read into goals."""

import re
from dataclasses import dataclass

_NO_GOALS = {"", "no goals", "goals accomplished"}
_HYPOTHESIS = re.compile(r"^(?P<names>[^\s:()]+(?: [^\s:()]+)*) :(?P<equal>=)? ?(?P<type>.*)$", re.DOTALL)

_BINDS = re.compile(r"(?<![\w.'])(?:let|have|match|fun|if|show)(?![\w'])")


class BadState(ValueError):
    """The text is not a tactic state."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """`name : type`, or `name : type := value`."""

    name: str
    type: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal: the case's tag (may be empty), the hypotheses in order, and what is to be shown."""

    tag: str
    hypotheses: tuple[Hypothesis, ...]
    target: str

    def same(self, other: "Goal | None") -> bool:
        """Whether hypotheses and target agree, whatever the tag."""
        return other is not None and (self.hypotheses, self.target) == (other.hypotheses, other.target)

    def named(self, name: str) -> Hypothesis | None:
        """The (last) hypothesis of that name."""
        return next((h for h in reversed(self.hypotheses) if h.name == name), None)


def parse_state(text: str) -> tuple[Goal, ...]:
    """The goals of a pretty-printed state, the current one first; raises BadState."""
    if text.strip() in _NO_GOALS:
        return ()
    return tuple(_goal(block) for block in re.split(r"\n\s*\n", text.strip("\n")) if block.strip())


def _goal(block: str) -> Goal:
    entries: list[str] = []
    for line in block.split("\n"):
        if line[:1].isspace() and entries:
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
    tag = ""
    if entries and entries[0].startswith("case "):
        tag = entries.pop(0).removeprefix("case ").strip()
    targets = [i for i, entry in enumerate(entries) if entry.startswith("⊢")]
    if targets != [len(entries) - 1]:
        raise BadState(f"{len(targets)} targets in one goal")
    hypotheses: list[Hypothesis] = []
    for entry in entries[:-1]:
        match = _HYPOTHESIS.match(entry)
        if match is None:
            raise BadState(f"not a hypothesis: {entry[:60]!r}")
        type_, value = _typed(match["type"])
        hypotheses += [Hypothesis(name, type_, value) for name in match["names"].split(" ")]
    return Goal(tag, tuple(hypotheses), entries[-1].removeprefix("⊢").strip())


def _typed(text: str) -> tuple[str, str | None]:
    """A type, and the value of a local definition; a `:=` inside a term defines nothing here."""
    type_, _, value = text.partition(" := ")
    inside = _BINDS.search(type_) or any(type_.count(a) != type_.count(b) for a, b in ("()", "[]", "{}"))
    return (text.strip(), None) if inside or not value else (type_.strip(), value.strip())
