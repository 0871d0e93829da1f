"""A program's making as the order of things to be said, from what was observed when it ran.

`choose` draws which example is run by hand, which wrong draft comes first, and what is checked; given those,
`tell` is fixed: the writer words it, and the checker reads the text against it.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...schemas import generator
from .dryrun import N_STYLES, DryRun, dry_run, pairs
from .mutate import Mutant
from .observe import Draft, Facts, Outcome
from .rows import CodeSeed
from .shape import Part, function_of, parts, shape, signature

DRAFT_SHARE = 0.6
PLAIN_SHARE = 0.8
_MENDS = {"guard": "mend_guard", "early_return": "mend_indent"}
_PIECES = {
    "write_head": "the head", "write_head_names": "the start values", "write_head_guard": "the simple case",
    "write_for": "a loop", "write_for_first": "a loop", "write_while": "a loop",
    "write_while_first": "a loop", "write_between": "some more preparation",
    "write_more": "what comes between", "write_end": "the result",
}  # fmt: skip
_COUNTS = {3: "three", 4: "four", 5: "five"}
_ASK = re.compile(
    r"^(?:write|create|implement|define) (?:a|an|the) (?:python )?(?:function|program|method|code)"
    r"(?: called `?\w+`?)? (?:to|that|which) ",
    re.IGNORECASE,
)
_IMPERATIVES = {
    "return", "count", "find", "compute", "tell", "list", "look", "merge", "reverse", "turn", "move", "raise",
    "sort", "add", "sum", "group", "flatten", "remove", "rotate", "encode", "shift", "transpose", "check",
    "calculate", "get", "determine", "convert", "extract", "print", "compare",
}  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Choices:
    """What is told of all that could be: indices into the facts' examples, edges and drafts."""

    dry: int | None
    draft: int | None
    checks: tuple[int, ...]
    edges: tuple[int, ...]
    noted: tuple[int, ...]
    style: int
    whole: bool


def choose(seed: CodeSeed, facts: Facts, key: str) -> Choices:
    """Draws from `key` alone."""
    rng = generator(key)
    function = function_of(seed.code, facts.entry)
    style = int(rng.integers(N_STYLES))
    short = [i for i, o in enumerate(facts.outcomes) if o.value and len(o.value) <= 80]
    told = [i for i in short if dry_run(function, facts.outcomes[i], style)]
    lively = [i for i in told if _liveliness(dry_run(function, facts.outcomes[i], style)) >= 2] or told
    dry = lively[int(rng.integers(len(lively)))] if lively else None
    draft = None
    if facts.drafts and rng.random() < DRAFT_SHARE:
        quiet = [i for i, d in enumerate(facts.drafts) if d.outcome.value]
        pool = quiet if quiet and rng.random() < PLAIN_SHARE else list(range(len(facts.drafts)))
        draft = pool[int(rng.integers(len(pool)))]
    others = [i for i in short if i != dry and (draft is None or i != facts.drafts[draft].example)]
    noted = sorted(rng.permutation(len(facts.examples))[: int(rng.integers(1, 3))].tolist())
    usable = [i for i, (_, o) in enumerate(facts.edges) if (o.value and len(o.value) <= 60) or o.error]
    return Choices(
        dry=dry,
        draft=draft,
        checks=tuple(others[: int(rng.integers(1, 4))]),
        edges=tuple(usable[: int(rng.integers(0, 2))]),
        noted=tuple(noted),
        style=style,
        whole=len(seed.code.split("\n")) <= 6 and bool(rng.random() < 0.5),
    )


def _liveliness(run: DryRun | None) -> int:
    """How much there is to see: the turns that change something, or the inner calls."""
    if run is None:
        return 0
    return sum(bool(t.changed) for t in run.turns) if run.turns else int(run.slots.get("turns", "1"))


def tell(seed: CodeSeed, facts: Facts, choices: Choices) -> list[Paragraph]:
    """The story of one program under the given choices."""
    function = function_of(seed.code, facts.entry)
    draft = facts.drafts[choices.draft] if choices.draft is not None else None
    paragraphs = [Paragraph((_target(seed, function),)), Paragraph(tuple(_given(facts, choices)))]
    kind, slots = shape(function)
    plan = Said(kind, {"name": f"`{facts.entry}`", **slots})
    paragraphs.append(Paragraph((plan, *_pieces(seed, facts, choices))))
    paragraphs += _writing(seed, facts, choices, draft)
    if draft:
        paragraphs += _mending(seed, facts, draft, function, choices)
    dry = choices.dry
    if dry is not None and not (draft and draft.example == dry):
        paragraphs.append(Paragraph((_run(function, facts, dry, choices.style),)))
    if checks := _checks(facts, choices, draft):
        paragraphs.append(Paragraph(tuple(checks)))
    paragraphs += [Paragraph((_edge(*facts.edges[i]),)) for i in choices.edges]
    tests = len(seed.tests)
    paragraphs.append(Paragraph((Said("passed", {"count": str(tests)}),)))
    paragraphs.append(Paragraph((Said("answer", {"code": fenced(seed.code)}),)))
    return paragraphs


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def _target(seed: CodeSeed, function: ast.FunctionDef) -> Said:
    text = " ".join(seed.text.split())
    task = _ASK.sub("", text)
    slots = {"signature": f"`{signature(function)}`"}
    if task != text or task.split(" ")[0].lower() in _IMPERATIVES:
        task = re.split(r"(?<=[a-z0-9)])\.(?: |$)", task)[0]
        slots["task"] = (task[:1].lower() + task[1:]).rstrip(". ").replace("`", "'")
        return Said("target", slots)
    first = re.split(r"(?<=[a-z0-9)])[.?](?: |$)", text)[0].rstrip(".? ").replace("`", "'")
    return Said("target_text", {**slots, "text": first})


def _given(facts: Facts, choices: Choices) -> list[Said]:
    said = [Said("given_example", _example(facts, choices.noted[0]))]
    said += [Said("given_another", _example(facts, i)) for i in choices.noted[1:]]
    empty = next((i for i, e in enumerate(facts.examples) if re.search(r"\[\]|''|\b0\b", e.call)), None)
    if empty is not None and empty not in choices.noted:
        said.append(Said("given_edge", _example(facts, empty), optional=True))
    return said


def _example(facts: Facts, index: int) -> dict[str, str]:
    example = facts.examples[index]
    return {"call": f"`{example.call}`", "expected": f"`{example.expected}`"}


def _writing(seed: CodeSeed, facts: Facts, choices: Choices, draft: Draft | None) -> list[Paragraph]:
    """The program, or the wrong draft, part by part; wrong from the part in which the slip is."""
    code = draft.mutant.source if draft else seed.code
    right = [p.code for p in parts(seed.code, facts.entry)]
    written = parts(code, facts.entry)
    if choices.whole:
        written, right = [Part("write_whole", code, {})], [seed.code]
    out, good = [], True
    for number, part in enumerate(written):
        good = good and number < len(right) and part.code == right[number]
        out.append(Paragraph((Said(part.kind, {**part.slots, "code": fenced(part.code)}),), good))
    return out


def _pieces(seed: CodeSeed, facts: Facts, choices: Choices) -> list[Said]:
    """The parts ahead, where there are several and they are written one by one."""
    names = [_PIECES.get(p.kind, "") for p in parts(seed.code, facts.entry)]
    if choices.whole or len(names) not in _COUNTS or len(set(names)) < len(names):
        return []
    pieces = f"{', '.join(names[:-1])} and {names[-1]}"
    return [Said("decompose", {"count": _COUNTS[len(names)], "pieces": pieces}, optional=True)]


def _mending(
    seed: CodeSeed, facts: Facts, draft: Draft, function: ast.FunctionDef, choices: Choices
) -> list[Paragraph]:
    """The draft run, the failure noticed, its cause found and mended, and the example run again."""
    mutant, outcome = draft.mutant, draft.outcome
    slots = {**_example(facts, draft.example), **_came_to(outcome)}
    wrong_function = function_of(mutant.source, facts.entry)
    style = (choices.style + 1) % N_STYLES
    wrong = dry_run(wrong_function, outcome, style) if outcome.value else None
    ended = "endless" if outcome.endless else "error" if outcome.error else "value"
    run = Said(f"draft_{wrong.kind if wrong else ended}", {**slots, **(wrong.slots if wrong else {})})
    detected = [Said("detect_value" if outcome.value else "detect_error", slots)]
    right = dry_run(function, facts.outcomes[draft.example], choices.style)
    if departure := _departure(wrong, right):
        detected.append(Said("departure", departure))
    detected.append(_cause(mutant))
    mended = Said(_MENDS.get(mutant.kind, "mend"), _mend(mutant))
    again = [Said("again", {**slots, "value": f"`{facts.outcomes[draft.example].value}`"})]
    if not facts.outcomes[draft.example].value:
        again = []
    if right and draft.example == choices.dry:
        again = [_run(function, facts, draft.example, choices.style)]
    out = [Paragraph((run,), False), Paragraph(tuple(detected), False), Paragraph((mended,))]
    return [*out, *([Paragraph(tuple(again))] if again else [])]


def _came_to(outcome: Outcome) -> dict[str, str]:
    slots = {}
    if outcome.value:
        slots["got"] = f"`{outcome.value}`"
    if outcome.error:
        slots["error"] = f"`{outcome.error.replace('`', chr(39))}`"
    return slots


def _departure(wrong: DryRun | None, right: DryRun | None) -> dict[str, str] | None:
    """Where the draft's run first leaves the right one: the same turn, another value of one variable."""
    if wrong is None or right is None:
        return None
    for one, other in zip(wrong.turns, right.turns, strict=False):
        if one.label != other.label:
            return None
        for name, value in one.changed.items():
            if name in other.changed and other.changed[name] != value:
                slots = {"turn": pairs(one.label), "name": f"`{name}`"}
                return slots | {"wrong": f"`{value}`", "right": f"`{other.changed[name]}`"}
        if one.changed != other.changed:
            return None
    return None


def _cause(mutant: Mutant) -> Said:
    slots = {"line": f"`{mutant.wrong.strip() or mutant.right.strip().splitlines()[0]}`"}
    if mutant.kind == "boundary":
        loose = _equalities(mutant.wrong) > _equalities(mutant.right)
        return Said("cause_loose" if loose else "cause_strict", slots)
    return Said(f"cause_{mutant.kind}", slots)


def _equalities(line: str) -> int:
    return line.count("<=") + line.count(">=")


def _mend(mutant: Mutant) -> dict[str, str]:
    if mutant.kind == "guard":
        return {"code": fenced(mutant.right)}
    return {"wrong": f"`{mutant.wrong.strip()}`", "right": f"`{mutant.right.strip()}`"}


def _run(function: ast.FunctionDef, facts: Facts, index: int, style: int) -> Said:
    run = dry_run(function, facts.outcomes[index], style)
    slots = {**_example(facts, index), "value": f"`{facts.outcomes[index].value}`"}
    return Said(f"run_{run.kind}", {**slots, **run.slots}) if run else Said("run_value", slots)


def _checks(facts: Facts, choices: Choices, draft: Draft | None) -> list[Said]:
    said = []
    for number, index in enumerate(choices.checks):
        slots = {**_example(facts, index), "value": f"`{facts.outcomes[index].value}`"}
        said.append(Said("check_more" if number else "check", slots))
    return said


def _edge(call: str, outcome: Outcome) -> Said:
    if outcome.error:
        return Said("edge_error", {"call": f"`{call}`", **_came_to(outcome)})
    return Said("edge", {"call": f"`{call}`", "value": f"`{outcome.value}`"})
