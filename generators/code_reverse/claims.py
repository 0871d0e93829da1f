"""Everything that may be said truly about one program's making, and whether a text says nothing else.

A writer that is no grammar may word things as it likes. What counts of an act is its *claim*: the code,
values and numbers in it, in their order, and the words between them that tell what is wanted from what came,
and what is so from what is not. A claim holds if something that was observed can be said with just this
claim. The acts together must make a story: a draft that is written must be found wrong and mended before
anything is claimed of the program, and the answer is the program.
"""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TypeVar

from ...schemas import ActSpan, split_steps
from ..phrasing import PhraseBook
from ..wording import outside_acts
from .dryrun import N_STYLES
from .mending import detected, mend, run_of_draft
from .observe import Draft, Facts
from .remarks import remarks
from .rows import CodeSeed
from .said import Said, evidence, example_slots, fenced, run_said, valued_slots
from .shape import Part, parts, unit_of
from .story import doubt, edge, passed, pieces, plan, target, writing

PHRASES = "phrases_code.yaml"
T = TypeVar("T")
_TOKEN = re.compile(
    r"(?P<code>```python\n.*?\n```)|`(?P<quoted>[^`]+)`|(?P<text>(?<!\w)'[^'\n]*')"
    r"|(?P<pair>\b\w+ = [^,;.\s]+)|(?P<number>(?<![\w.])-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z]+(?:'t)?)",
    re.DOTALL,
)
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_WORDS)}
_WANTED = {"should", "must", "expected", "wanted", "wants", "want", "ought", "supposed", "asks", "needs"}
_NOT = {"not", "never", "no", "nothing", "without", "instead", "wrong", "false", "rather", "cannot"}
_NOT |= {"fails", "fail", "failed", "neither", "nor", "nobody", "none", "skipped", "less", "fewer"}
_CONSTANTS = {"True", "False", "None"}
_FREE_NUMBERS = {"one", "two"}  # "one more", "the two": words more often than numbers


def claim(text: str) -> tuple[str, ...]:
    """What a text states: its code, quoted pieces, values, numbers, and the words that decide their sense."""
    found = []
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group(match.lastgroup or 0)
        if kind == "word":
            word = token.lower()
            if token in _CONSTANTS:
                found.append(token)
            elif word in _NUMBERS and word not in _FREE_NUMBERS:
                found.append(_NUMBERS[word])
            elif word in _WANTED or (word in ("has", "have") and text.startswith(" to ", match.end())):
                found.append("<wanted>")
            elif word in _NOT or word.endswith("n't") or word == "can't":
                found.append("<not>")
        else:
            found.append(token)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Writing:
    """A whole writing of code: the program or a draft in parts, and which draft it is."""

    parts: tuple[Part, ...]
    draft: int | None


class Sayings:
    """What can be said truly about one program."""

    def __init__(self, seed: CodeSeed, facts: Facts) -> None:
        self.seed, self.facts, self.book = seed, facts, PhraseBook.load(PHRASES)
        self.unit = unit_of(seed.code, facts.entry)

    @cached_property
    def of_task(self) -> list[Said]:
        """The target, what is given, the plan: true at any time."""
        slots = [example_slots(self.facts, i) for i in range(len(self.facts.examples))]
        said = [*target(self.seed, self.unit), plan(self.unit, self.facts), doubt(self.unit)]
        said += pieces(self.seed, self.facts)
        if not self.facts.examples[0].expected:
            return [*said, *(Said("given_none", s) for s in slots)]
        said += [Said(f"given_{k}", s) for k in ("example", "another", "edge") for s in slots]
        both = [{**a, **{f"{k}2": v for k, v in b.items()}} for a in slots for b in slots if a is not b]
        return said + [Said("given_pair", s) for s in both]

    @cached_property
    def of_program(self) -> list[Said]:
        """Runs and checks of the right program: true while no mistake stands."""
        said = [passed(self.facts), Said("answer", {"code": fenced(self.seed.code)})]
        short = [i for i, o in enumerate(self.facts.outcomes) if o.value]
        for i in short:
            slots, outcome = valued_slots(self.facts, i), self.facts.outcomes[i]
            said += [Said("run_value", slots)]
            said += [run_said(self.unit, self.facts, i, s) for s in range(N_STYLES)]
            said += [Said(r.kind, r.slots) for r in remarks(self.unit, outcome, self.facts.outcomes)]
            if self.facts.examples[i].expected:
                said += [Said(k, slots) for k in ("again", "check", "check_more")]
        if self.facts.examples[0].expected:
            slots2 = [valued_slots(self.facts, i) for i in short]
            said += [
                Said("check_pair", {**a, **{f"{k}2": v for k, v in b.items()}})
                for a in slots2
                for b in slots2
                if a is not b
            ]
        return said + [edge(*e) for e in self.facts.edges if e[1].value or e[1].error]

    def of_draft(self, draft: Draft) -> list[Said]:
        """The run of a draft that stands, its failure, its cause."""
        said = []
        for style in range(N_STYLES):
            for again in (False, True):
                said.append(run_of_draft(self.facts, draft, style, again=again))
                for slip in draft.mutant.slips[:1] or (draft.mutant,):
                    said += detected(self.unit, self.facts, draft, slip, style, again)
        return said

    @cached_property
    def writings(self) -> list[Writing]:
        """The program and every draft, in one piece and part by part."""
        out = []
        drafts = [(d.mutant.source, i) for i, d in enumerate(self.facts.drafts)]
        for code, draft in [(self.seed.code, None), *drafts]:
            out.append(Writing((Part("write_whole", code, {}),), draft))
            out.append(Writing(tuple(parts(code, self.facts.entry)), draft))
        return out

    def said(self, text: str, act: str, among: Sequence[Said]) -> Said | None:
        """Which of these things `text` says, in the grammar's words or with its claim."""
        stated = claim(text)
        fitting = [said for said in among if self.book.act(said.kind) == act]
        worded = (said for said in fitting if self.book.recognises(said.kind, said.slots, text))
        claimed = (said for said in fitting if stated in self._claims(said))
        return next(chain(worded, claimed), None)

    def _claims(self, said: Said) -> set[Hashable]:
        return self.book.senses(said.kind, said.slots, claim)


@dataclass
class Reading:
    """A text read as a story: its faults, and of each step whether no mistake stands at its end, and why."""

    complaints: list[str]
    right: list[bool]
    evidence: list[str]


def read(seed: CodeSeed, facts: Facts, text: str, acts: Sequence[ActSpan]) -> Reading:
    """Reads acts one by one, knowing what stands written; stops at the first that does not hold.

    `right` has one entry for each step of `split_steps`.
    """
    sayings = Sayings(seed, facts)
    complaints = list(outside_acts(text, acts))
    marks: dict[int, bool] = {}
    grounds: dict[int, str] = {}
    writing_on = sayings.writings
    written: list[str] = []
    standing: int | None = None
    done = answered = False
    for act in acts:
        said = text[act.start : act.end]
        if answered:
            complaints.append(f"something is said after the answer: {said[:80]!r}")
            break
        if act.act == "WriteCode" and not done:
            written.append(said)
            writing_on = [w for w in writing_on if _writes(sayings, w, written)]
            if not writing_on:
                complaints.append(f"neither the program nor a draft that was run: {said[:200]!r}")
                break
            done_now = [w for w in writing_on if len(w.parts) == len(written)]
            right_so_far = any(w.draft is None for w in writing_on)
            if done_now and not any(len(w.parts) > len(written) for w in writing_on):
                done, standing = True, None if right_so_far else done_now[0].draft
            marks[act.end], grounds[act.end] = right_so_far, "code that was run"
            continue
        if act.act == "Correct" and standing is not None:
            slips = facts.drafts[standing].mutant.slips
            slip = slips[0] if slips else facts.drafts[standing].mutant
            if (found := sayings.said(said, act.act, [mend(slip)])) is None:
                complaints.append(f"not the mend of what is wrong: {said[:200]!r}")
                break
            left = slips[1] if slips else None
            standing = next((i for i, d in enumerate(facts.drafts) if left and d.mutant == left), None)
            if left and standing is None:
                complaints.append("what is left wrong was never run")
                break
        elif (found := sayings.said(said, act.act, _sayable(sayings, facts, done, standing))) is None:
            complaints.append(f"not what the run bears out: {said[:200]!r}")
            break
        marks[act.end], grounds[act.end] = standing is None, evidence(found)
        answered = act.act == "Answer"
    if not complaints and not answered:
        complaints.append("it ends without the program as its answer")
    steps = split_steps(text, acts)
    resting = ["; ".join(g for g in _within(grounds, *step) if g) for step in steps]
    return Reading(complaints, [_within(marks, *step)[-1:] != [False] for step in steps], resting)


def _within(found: dict[int, T], start: int, end: int) -> list[T]:
    """What was found at the ends of a step's acts."""
    return [value for at, value in found.items() if start < at <= end]


def _sayable(sayings: Sayings, facts: Facts, done: bool, standing: int | None) -> list[Said]:
    if not done:
        return sayings.of_task
    if standing is None:
        return [*sayings.of_task, *sayings.of_program]
    return [*sayings.of_task, *sayings.of_draft(facts.drafts[standing])]


def _writes(sayings: Sayings, whole: Writing, written: Sequence[str]) -> bool:
    """Whether these acts write the first parts of it."""
    if len(written) > len(whole.parts):
        return False
    said = writing(whole.parts[len(written) - 1])
    return sayings.said(written[-1], "WriteCode", [said]) is not None
