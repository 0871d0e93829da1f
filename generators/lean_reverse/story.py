"""A recorded proof as the order of things to be said: paragraphs, each of one or a few sentences.

Nothing here is drawn at random: the same trace gives the same story, which the writer words and the checker
reads the text against.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .english import introduce, is_fact, names_of, quoted, say, say_target, state_facts
from .failures import explain
from .moves import (
    Said,
    alternatives,
    changing,
    closing,
    describe,
    head_line,
    negated,
    new_in,
    splitting,
    witness_of,
)
from .rows import LeanSeed
from .states import Goal
from .tree import Node, build, entry_goals

_TAKES_CASES = ("induction", "cases", "rcases", "match", "cases'", "induction'")
_STATES_LEMMA = ("have", "suffices", "obtain", "let", "show")
_VALUES = {"zero": "0", "nil": "[]", "none": "none", "false": "false", "true": "true"}


class Incomplete(ValueError):
    """The recorded trace doesn't reach the end of its proof."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One step of the CoT; `right` is false for an attempt that Lean refused.

    `ground` is what it rests on: the state and the tactic, Lean's message, or nothing.
    """

    said: tuple[Said, ...]
    right: bool = True
    ground: str = ""


@dataclass(slots=True)
class _Pending:
    """A goal that waits: what it came from, its place among its siblings, and how to open it."""

    goal: Goal
    parent: Goal
    kind: str
    place: int
    of: int
    subject: str = ""


def tell(seed: LeanSeed) -> list[Paragraph]:
    """The story of a recorded proof; raises BadState, or Incomplete where the record breaks off."""
    roots = build(seed.traced)
    if not roots or not roots[0].before:
        raise Incomplete("no recorded tactic")
    narrator = _Narrator(seed)
    first = roots[0].before[0]
    for said in _opening(seed, first):
        narrator.add(said)
    narrator.add(_given(first))
    narrator.add(_plan(roots, first))
    narrator.current = first
    narrator.walk(roots)
    if narrator.pending or (narrator.current is not None) or roots[-1].after:
        raise Incomplete("the recorded trace leaves goals open")
    narrator.add(*_closing_words(seed), ground="")
    if seed.task is None:
        narrator.add(Said("answer", {"proof": proof_text(seed)}), ground="")
    else:
        narrator.add(Said("answer_task", {"answer": seed.task.answer}), ground="")
    return narrator.paragraphs


def answer_of(seed: LeanSeed) -> str:
    """What the story ends in: the task's answer, or the proof."""
    return proof_text(seed) if seed.task is None else seed.task.answer


def proof_text(seed: LeanSeed) -> str:
    """The whole theorem with its proof, as Lean takes it."""
    tactics = seed.proof or "\n".join(_dedented(n.tactic) for n in build(seed.traced))
    body = "\n".join(f"  {line}" if line.strip() else line for line in tactics.split("\n"))
    head = seed.statement if seed.statement.split("\n")[0].rstrip()[-1:] != "," else seed.full_name
    return f"{head} := by\n{body}"


def _dedented(tactic: str) -> str:
    """A tactic as recorded keeps the indentation of its later lines; two columns belong to the block."""
    first, *rest = tactic.split("\n")
    return "\n".join([first, *(line.removeprefix("  ") for line in rest)])


def _ground(seed: LeanSeed, at: int) -> str:
    """The state before a recorded tactic, and the tactic without the blocks inside it."""
    if at < 0:
        return seed.traced[0].state_before
    return _at_state(seed.traced[at].state_before, seed.traced[at].tactic.split("\n")[0])


def _at_state(state: str, tactic: str) -> str:
    return f"{state}\n>>> {tactic}"


class _Narrator:
    def __init__(self, seed: LeanSeed) -> None:
        self.seed = seed
        self.paragraphs: list[Paragraph] = []
        self.pending: list[_Pending] = []
        self.current: Goal | None = None
        self.known: set[str] = set()
        self.failed = list(seed.failed)

    def add(self, *said: Said, right: bool = True, ground: str | None = None) -> None:
        if said:
            rests_on = _ground(self.seed, said[0].at) if ground is None else ground
            self.paragraphs.append(Paragraph(said, right, rests_on))

    def walk(self, nodes: Sequence[Node]) -> None:
        """Tactic by tactic; one whose inside cannot be followed is told from the states around it alone."""
        for node in nodes:
            if not node.before:
                continue
            said, pending, current = len(self.paragraphs), list(self.pending), self.current
            known, failed = set(self.known), list(self.failed)
            try:
                self._tell(node)
            except Incomplete:
                if not node.children:
                    raise
                del self.paragraphs[said:]
                self.pending, self.current, self.known, self.failed = pending, current, known, failed
                self._tell(replace(node, children=()))

    def _tell(self, node: Node) -> None:
        if node.is_bullet:
            gain = len(node.after) - len(node.before) + self._waiting
            self.walk(node.children)
            if self._waiting != gain and node.tries:
                raise Incomplete("a block leaves other goals than its tactics do")
            return
        goal = node.before[0]
        opening = self._open(goal, node)
        opening = self._attempts(node, goal, opening)
        self._move(node, goal, opening)

    @property
    def _waiting(self) -> int:
        """How many goals are open."""
        return len(self.pending) + (self.current is not None)

    def _open(self, goal: Goal, node: Node) -> list[Said]:
        """Turns to the goal where it isn't the one in hand."""
        if goal.same(self.current):
            return []
        if self.current is not None:
            waiting = _Pending(self.current, self.current, "back", 0, 1)
            self.pending.append(waiting)
        found = next((p for p in self.pending if p.goal.same(goal)), None)
        if found is None:
            raise Incomplete("a goal appears that no recorded tactic opened")
        self.pending.remove(found)
        self.current = goal
        return [_turn(found, node.index)]

    def _attempts(self, node: Node, goal: Goal, opening: list[Said]) -> list[Said]:
        """The attempts that Lean refused here, each with its message and the way back."""
        state = self.seed.traced[node.index].state_before
        here = [f for f in self.failed if f.state_before == state]
        for failure in here:
            self.failed.remove(failure)
            if opening:
                self.add(*opening)
                opening = []
            tac = {"tac": quoted(failure.tactic.replace("\n", "; ")), "goal": say_target(goal)}
            tried = _at_state(state, failure.tactic)
            self.add(Said("propose", tac, node.index), right=False, ground=tried)
            kind, slots = explain(failure.error, goal)
            said = Said(kind, {**tac, **slots}, node.index), Said("backtrack", tac, node.index)
            self.add(*said, ground=failure.error)
        return opening

    def _move(self, node: Node, goal: Goal, opening: list[Said]) -> None:
        if node.children:
            self._structured(node, goal, opening)
            return
        opened = node.opened
        seed = self.seed
        if opened is None:
            self._all_goals(node, opening)
        elif not opened:
            self.add(*opening, *closing(node, goal, seed.premises, self.known))
            self.current = None
        elif len(opened) == 1:
            self.add(*opening, *changing(node, goal, opened[0], seed.premises, self.known))
            self.current = opened[0]
        else:
            self.add(*opening, *splitting(node, goal, opened))
            self._wait(opened, goal, "case" if _same_targets(opened, goal) else "part", node)
            self.current = None

    def _all_goals(self, node: Node, opening: list[Said]) -> None:
        """A tactic that changed other goals than the current one."""
        tac = head_line(node.tactic)
        if not node.after:
            self.add(*opening, Said("all_closed", {"tac": tac}, node.index))
            self.current, self.pending = None, []
            return
        count, goal = str(len(node.after)), say_target(node.after[0])
        self.add(*opening, Said("several", {"tac": tac, "count": count, "goal": goal}, node.index))
        self.pending = [_Pending(g, g, "back", i, len(node.after)) for i, g in enumerate(node.after)]
        self.current = None

    def _structured(self, node: Node, goal: Goal, opening: list[Said]) -> None:
        entries = entry_goals(node.children)
        opened, outside = node.opened, list(self.pending)
        slots = {"tac": head_line(node.tactic), "goal": say_target(goal)}
        if node.head in _TAKES_CASES and not opened:
            self._cases(node, goal, entries, opening)
        elif node.head == "calc":
            links = "; then ".join(say_target(g) for g in entries)
            self.add(*opening, Said("calc", {**slots, "links": links}, node.index))
            self._wait(entries, goal, "link", node)
            self.current = None
        elif node.head in _STATES_LEMMA and opened and len(opened) == 1:
            self._lemma(node, goal, opened[0], entries, opening, outside)
            return
        else:
            self._with_sides(node, goal, entries, opening)
        self.walk(node.children)
        if opened is None:
            raise Incomplete("a block changes goals outside it")
        self._settle(opened, goal, node, outside)

    def _cases(self, node: Node, goal: Goal, entries: list[Goal], opening: list[Said]) -> None:
        subject = _subject(node)
        spoken = say(subject, names_of(goal))
        slots = {"tac": head_line(node.tactic), "goal": say_target(goal), "subject": spoken}
        induction = node.head.startswith("induction")
        if induction:
            self.add(*opening, Said("induction", slots, node.index))
        else:
            if cases := alternatives(goal, entries):
                slots["cases"] = cases
            known = goal.named(subject)
            fact = known is not None and is_fact(known, goal)
            kind = ("cases_of" if fact else "cases_of_value") if cases else "cases_bare_of"
            self.add(*opening, Said(kind, slots, node.index))
        self._wait(entries, goal, "induction" if induction else "case", node, subject)
        self.current = None

    def _lemma(
        self,
        node: Node,
        goal: Goal,
        after: Goal,
        entries: list[Goal],
        opening: list[Said],
        outside: list[_Pending],
    ) -> None:
        new = new_in(after, goal)
        if not new:
            raise Incomplete("nothing comes out of a lemma")
        slots = {"tac": head_line(node.tactic), **describe(new, after)}
        slots["claim"] = "; ".join(say_target(g) for g in entries)
        self.add(*opening, Said("lemma", slots, node.index))
        if len(entries) == 1:
            self.current = entries[0]
        else:
            self._wait(entries, goal, "side", node)
            self.current = None
        self.walk(node.children)
        self.add(Said("lemma_done", {**slots, "goal": say_target(after)}, node.index))
        self._settle((after,), goal, node, outside)

    def _with_sides(self, node: Node, goal: Goal, entries: list[Goal], opening: list[Said]) -> None:
        """A term or tactic whose gaps are filled by tactics of their own."""
        slots = {"tac": head_line(node.tactic), "goal": say_target(goal)}
        needs = "; and ".join(say_target(g) for g in entries)
        if witness := witness_of(node, goal):
            slots |= {"witness": witness, "goal": needs}
        self.add(
            *opening, Said("witness" if witness else "with_sides", {**slots, "needs": needs}, node.index)
        )
        if len(entries) == 1:
            self.current = entries[0]
        else:
            self._wait(entries, goal, "side", node)
            self.current = None

    def _settle(self, opened: Sequence[Goal], goal: Goal, node: Node, outside: list[_Pending]) -> None:
        """What is left after a block: of the goals that waited before it all, of its own none."""
        if self.current is not None or any(p not in outside for p in self.pending):
            raise Incomplete("a block ends before its goals are closed")
        self.current = opened[0] if len(opened) == 1 else None
        if len(opened) > 1:
            self._wait(opened, goal, "part", node)

    def _wait(self, goals: Sequence[Goal], parent: Goal, kind: str, node: Node, subject: str = "") -> None:
        subject = subject or _subject(node)
        waiting = [_Pending(g, parent, kind, i, len(goals), subject) for i, g in enumerate(goals)]
        self.pending = waiting + self.pending


def _turn(pending: _Pending, at: int) -> Said:
    """How to open a goal that has waited."""
    goal, parent = pending.goal, pending.parent
    new = describe(new_in(goal, parent), goal)
    slots = {"goal": say_target(goal), "place": _place(pending)}
    slots |= {k: v for k, v in new.items() if v and k != "let"}
    value = _value(pending)
    if value:
        slots |= {"value": value, "subject": pending.subject}
    if pending.kind == "induction":
        if "facts" in slots:
            return Said("turn_step", slots, at)
        return Said("turn_base" if value else "turn_case", slots, at)
    if pending.kind == "case":
        if value and "facts" not in slots:
            return Said("turn_value", slots, at)
        if "facts" not in slots:
            return Said("turn_case", slots, at)
        return Said("turn_case_same" if goal.target == parent.target else "turn_case_facts", slots, at)
    return Said(
        {"part": "turn_part", "link": "turn_link", "side": "turn_side"}.get(pending.kind, "turn_back"),
        slots,
        at,
    )


def _place(pending: _Pending) -> str:
    if pending.place == 0:
        return "first"
    return (
        "last" if pending.place == pending.of - 1 and pending.of > 2 else _ORDINALS.get(pending.place, "next")
    )


_ORDINALS = {1: "second", 2: "third", 3: "fourth", 4: "fifth"}


def _value(pending: _Pending) -> str:
    """What the split variable is in this case, where the case's tag tells."""
    subject, goal, parent = pending.subject, pending.goal, pending.parent
    if parent.named(subject) is None:
        return ""
    constructor = goal.tag.rsplit(".", 1)[-1]
    if constructor in _VALUES:
        return _VALUES[constructor] if goal.named(subject) is None else ""
    objects = [h.name for h in new_in(goal, parent) if not is_fact(h, goal)]
    if constructor == "cons" and len(objects) == 2:
        return f"{objects[0]} :: {objects[1]}"
    if constructor == "some" and len(objects) == 1:
        return f"some({objects[0]})"
    return ""


def _subject(node: Node) -> str:
    """The variable or hypothesis that a case split is about, as it is written."""
    words = re.split(r" (?:with|using|generalizing) ", " ".join(node.tactic.split()))[0].split(" ")
    return " ".join(words[1:]).split(" : ")[-1] if words[0] in _TAKES_CASES else ""


def _same_targets(goals: Sequence[Goal], goal: Goal) -> bool:
    return all(g.target == goal.target for g in goals)


def _opening(seed: LeanSeed, goal: Goal) -> list[Said]:
    slots = {"goal": say_target(goal)}
    if seed.task is not None:
        return [Said("candidate", {"answer": seed.task.answer}), Said("claim", slots)]
    if seed.informal:
        slots["informal"] = seed.informal.strip().rstrip(".")
    return [Said("target", slots)]


def _given(goal: Goal) -> Said:
    objects = [h for h in goal.hypotheses if not is_fact(h, goal)]
    facts = [h for h in goal.hypotheses if is_fact(h, goal)]
    slots = {}
    if objects:
        slots["let"] = introduce(objects, goal)
    if facts:
        slots["facts"] = state_facts(facts, goal)
    if objects and facts:
        return Said("given_both", slots)
    return Said("given_let" if objects else "given_facts" if facts else "given_nothing", slots)


def _plan(roots: Sequence[Node], goal: Goal) -> Said:
    """The proof's shape, from its outer tactics."""
    heads = [n.head for n in roots]
    slots = {"goal": say_target(goal)}
    inducts = next((n for n in roots if n.head.startswith("induction")), None)
    if inducts:
        kind = "plan_induction_by" if " using " in inducts.tactic else "plan_induction"
        return Said(kind, {**slots, "subject": _subject(inducts)})
    splits = next((n for n in roots if n.head in (*_TAKES_CASES, "by_cases")), None)
    if "calc" in heads:
        return Said("plan_calc", slots)
    if witness_of(roots[0], goal):
        return Said("plan_witness", slots)
    if negated(goal.target) and heads[0] in ("intro", "by_contra", "rintro"):
        return Said("plan_refute", slots)
    if len(roots) == 1 and not roots[0].children:
        return Said("plan_direct", {**slots, "tac": head_line(roots[0].tactic)})
    if heads[0] in ("constructor", "refine") and len(roots[0].opened or ()) > 1:
        return Said("plan_parts", slots)
    if splits and splits.head == "by_cases":
        condition = " ".join(splits.tactic.split()[1:]).split(" : ")[-1]
        return Said("plan_by_cases", {**slots, "condition": say(condition, names_of(goal))})
    if splits:
        return Said("plan_cases", slots)
    if all(h in ("rw", "rfl", "omega", "calc") for h in heads):
        return Said("plan_rewrite", slots)
    if "apply" in heads:
        return Said("plan_backwards", slots)
    return Said("plan_unpack" if heads[0] in ("obtain", "rcases", "intro", "have") else "plan_steps", slots)


def _closing_words(seed: LeanSeed) -> list[Said]:
    if seed.check is None or not seed.check.sound:
        return [Said("recorded_done", {"count": str(len(seed.traced))})]
    return [Said("checked", {"lean": seed.check.lean})]
