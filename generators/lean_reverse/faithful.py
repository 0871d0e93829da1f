"""The faithfulness checker: everything a Lean CoT states is derived again from the recorded trace.

Two checks, independent of what the writer meant. The *text* must be a wording of the story, act for act: what
the phrase book cannot say with the story's values is refused. And the *story* is audited against the raw
states: each goal, hypothesis, count and closing that it claims must be there, before or after its tactic.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

from ...schemas import Trace
from ..phrasing import PhraseBook
from ..wording import misworded
from .english import introduce, is_fact, say_hypothesis, say_target
from .moves import Said
from .rows import LeanSeed
from .states import BadState, Goal, parse_state
from .story import Incomplete, Paragraph, answer_of, tell

PHRASES = "phrases_lean.yaml"

# What a kind claims of the goals: that one is closed, that one takes the place of one, or several do.
_CLOSES = {
    "exact_hypothesis", "exact_pair", "exact_witness", "exact_witness_computed", "exact_uses",
    "exact_clash", "exact_lemma", "exact_term", "assumption", "linear", "linear_contradiction",
    "linear_absurd", "evaluate", "same_sides", "by_definition", "simplify_close", "impossible",
    "contradiction", "logic", "closed", "rewrite_close", "substitute_close",
}  # fmt: skip
_REPLACES = {
    "intro_facts", "intro_let", "intro_both", "suppose", "suppose_with", "exfalso", "left", "right",
    "becomes", "obtain", "derive", "reduce", "reduce_hypothesis", "restate", "simplify", "unchanged",
    "step", "step_both", "rewrite", "rewrite_at", "substitute", "substitute_at",
}  # fmt: skip
_SPLITS = ("cases", "cases_bare", "parts")
_CONNECTING = ("either", "or", "and", "with", ",", ";")


def unfaithful(trace: Trace, seed: LeanSeed) -> list[str]:
    """What the trace says that the recorded proof does not bear out; empty where all holds."""
    try:
        story = tell(seed)
    except (BadState, Incomplete) as e:
        return [f"the recorded proof cannot be read: {e}"]
    complaints = [
        *_frame(trace, seed, story),
        *misworded(trace, story, PhraseBook.load(PHRASES), "the recorded proof"),
    ]
    return complaints + [c for p in story for s in p.said for c in _Audit(s, seed).complaints()]


def _frame(trace: Trace, seed: LeanSeed, story: Sequence[Paragraph]) -> Iterator[str]:
    """Question, answer, reference and the steps' marks."""
    if (trace.question, trace.reference) != (seed.question, seed.reference):
        yield "the question or the reference is another one"
    if trace.answer != answer_of(seed):
        yield "the answer is not the recorded proof, or not the task's"
    if [s.n_correct for s in trace.steps] != [int(p.right) for p in story]:
        yield "the steps' marks are not those of the recorded tactics"


class _Audit:
    """One thing said, held against the raw states around its tactic."""

    def __init__(self, said: Said, seed: LeanSeed) -> None:
        self.said, self.seed, self.slots = said, seed, said.slots
        self.traced = seed.traced[max(said.at, 0)]

    @cached_property
    def before(self) -> tuple[Goal, ...]:
        return parse_state(self.traced.state_before)

    @cached_property
    def after(self) -> tuple[Goal, ...]:
        return parse_state(self.traced.state_after)

    def complaints(self) -> Iterator[str]:
        kind = self.said.kind
        for claim, holds in self._claims():
            if not holds:
                yield f"tactic {self.said.at} ({kind}): {claim} does not hold in the recorded states"

    def _claims(self) -> Iterator[tuple[str, bool]]:
        kind, slots = self.said.kind, self.slots
        if kind in ("answer", "answer_task", "candidate", "recorded_done", "checked"):
            return
        gain = len(self.after) - len(self.before)
        if kind in _CLOSES:
            yield "a closed goal", gain <= -1
            yield "the goal", slots.get("goal", say_target(self.before[0])) == say_target(self.before[0])
        elif kind in _REPLACES:
            yield "one goal in the place of one", gain == 0
            yield "the new goal", slots.get("goal", say_target(self.after[0])) == say_target(self.after[0])
        elif kind in _SPLITS:
            words = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
            yield "the count", gain + 1 == words.get(slots["count"], 0) or str(gain + 1) == slots["count"]
        elif "goal" in slots:
            yield "the goal", slots["goal"] in self._targets_around()
        if "old" in slots:
            yield "the old goal", slots["old"] == say_target(self.before[0])
        if kind == "exfalso":
            yield "a contradiction as goal", self.after[0].target == "False"
        yield from self._hypotheses()
        if "statement" in slots:
            yield "the library fact", slots["name"].strip("`") in self.seed.premises
        if "error" in slots or kind.startswith("failed"):
            yield "the failure", any(f.state_before == self.traced.state_before for f in self.seed.failed)
        if "tac" in slots and kind not in ("propose", "backtrack") and not kind.startswith("failed"):
            head = slots["tac"].strip("`").removesuffix("…")
            near = [t.tactic for t in self.seed.traced]
            yield "the tactic", any(head in " ".join(t.split()) for t in near)

    def _targets_around(self) -> set[str]:
        """Goals before and after the tactic, and those at which tactics inside it set out."""
        goals = [*self.before, *self.after]
        if not self.after or "\n" in self.traced.tactic or " by " in self.traced.tactic:
            for inner in self.seed.traced[self.said.at + 1 :]:
                goals += parse_state(inner.state_before)[:1]
        targets = {say_target(g) for g in goals}
        whole = self.slots["goal"]
        return targets | ({whole} if all(p in targets for p in whole.split("; and ")) else set())

    def _hypotheses(self) -> Iterator[tuple[str, bool]]:
        """Whatever is said to be known stands among the hypotheses before or after the tactic."""
        goals = [*self.before, *self.after]
        for inner in self.seed.traced[self.said.at + 1 :] if "cases" in self.slots else ():
            goals += parse_state(inner.state_before)[:1]
        known = {say_hypothesis(h, g) for g in goals for h in g.hypotheses}
        names = {h.name for g in goals for h in g.hypotheses}
        for slot in ("facts", "fact", "rule", "got", "cases"):
            if slot in self.slots and self.said.kind not in ("rewrite", "rewrite_at", "rewrite_close"):
                text = self.slots[slot]
                if slot == "rule" and "←" in self.traced.tactic:
                    text = text.removesuffix(" from right to left")
                yield f"'{slot}'", _made_of(text, known | names)
        for slot in ("uses", "name", "first", "second", "reason"):
            if slot in self.slots and not self.slots[slot].startswith("`"):
                yield f"'{slot}'", _made_of(self.slots[slot], names)
        if "let" in self.slots:
            yield (
                "'let'",
                any(
                    introduce([h for h in g.hypotheses if h in chosen], g) == self.slots["let"]
                    for g in goals
                    for chosen in self._object_sets(g)
                ),
            )

    def _object_sets(self, goal: Goal) -> Iterator[list[object]]:
        """All objects of a goal, and those that the goal before lacked."""
        objects = [h for h in goal.hypotheses if not is_fact(h, goal)]
        yield list(objects)
        yield [h for h in objects if h not in self.before[0].hypotheses]


def _made_of(text: str, pieces: set[str]) -> bool:
    """Whether a text consists of the given pieces and of connecting words only."""
    for piece in sorted(pieces, key=len, reverse=True):
        if ": " in piece or " := " in piece:
            text = text.replace(piece, " ; ")
    words = text.replace(",", " , ").replace(";", " ; ").split()
    return all(word in _CONNECTING or word in pieces or word.strip("`") in pieces for word in words)
