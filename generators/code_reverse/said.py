"""The words of a code story: what can be said, and the slots that its phrases share."""

import ast
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from .dryrun import dry_run
from .observe import Facts, Outcome


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that can be said; what is optional may be left out."""

    kind: str
    slots: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One step of the CoT; `right` is false while a mistake stands."""

    said: tuple[Said, ...]
    right: bool = True


_GROUNDS = {
    "target": "the task", "plan": "the program's syntax tree", "decompose": "the program's syntax tree",
    "passed": "the judge: {count} passed", "answer": "the judge: the tests passed", "doubt": "",
    "given": "test: {call} -> {expected}", "write": "code that was run", "run": "run: {call} -> {value}",
    "again": "run: {call} -> {value}", "check": "run: {call} -> {value}", "edge": "run: {call} -> {value}",
    "remark": "recorded events", "draft": "run of the draft: {call} -> {got}",
    "detect": "test: {call} -> {expected}", "departure": "both runs at {turn}: {wrong}, {right}",
    "cause": "edit at {line}", "mend": "edit: {wrong} -> {right}",
}  # fmt: skip


def evidence(said: Said) -> str:
    """What a thing said rests on, in one line; empty where it states nothing."""
    slots = defaultdict(str, said.slots)
    slots["got"] = slots["got"] or slots["error"] or "no end"
    slots["value"] = slots["value"] or slots["error"]
    slots["right"] = slots["right"] or slots["code"]
    slots["count"] = slots["count"] or "1"
    ground = " ".join(_GROUNDS[said.kind.partition("_")[0]].format_map(slots).split())
    other = f", {slots['call2']} -> {slots['value2'] or slots['expected2']}" if "call2" in said.slots else ""
    return ground + other


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def quoted(text: str) -> str:
    """A value or an input in backquotes; one of several lines as the string that it is."""
    text = text.rstrip("\n")
    return f"`{text if text and chr(10) not in text and '`' not in text else repr(text).replace('`', '')}`"


def example_slots(facts: Facts, index: int) -> dict[str, str]:
    """The call, what it should come to, and how one speaks of it; a whole program is given an input."""
    example = facts.examples[index]
    whole = not facts.entry
    call = f"the input {quoted(example.call)}" if whole else f"`{example.call}`"
    slots = {"call": call, "Call": call[:1].upper() + call[1:], "returns": "prints" if whole else "returns"}
    slots["returned"] = "printed" if whole else "returned"
    if example.expected:
        slots["expected"] = f"{'about ' if example.near else ''}{quoted(example.expected)}"
    return slots


def valued_slots(facts: Facts, index: int) -> dict[str, str]:
    return {**example_slots(facts, index), "value": quoted(facts.outcomes[index].value)}


def outcome_slots(outcome: Outcome) -> dict[str, str]:
    slots = {}
    if outcome.value:
        slots["got"] = quoted(outcome.value)
    if outcome.error:
        slots["error"] = f"`{outcome.error.replace('`', chr(39))}`"
    return slots


def run_said(unit: ast.FunctionDef, facts: Facts, index: int, style: int) -> Said:
    """A right run, by hand where its events can be told."""
    run = dry_run(unit, facts.outcomes[index], style)
    slots = valued_slots(facts, index)
    return Said(f"run_{run.kind}", {**slots, **run.slots}) if run else Said("run_value", slots)
