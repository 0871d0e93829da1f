"""A program's making as the order of things to be said, from what was observed when it ran.

`choose` draws which example is run by hand, which wrong draft comes first, and what is checked; given those,
`tell` is fixed: the writer words it, and the checker reads the text against it.
"""

import ast
import re
from dataclasses import dataclass

from ...schemas import generator
from .dryrun import N_STYLES, DryRun, dry_run
from .mending import mending
from .observe import Draft, Facts, Outcome
from .plans import shape
from .remarks import remarks
from .rows import CodeSeed
from .said import Paragraph, Said, example_slots, fenced, outcome_slots, quoted, run_said, valued_slots
from .shape import Part, is_class, parts, signature, unit_of

DRAFT_SHARE = 0.65
PAIR_SHARE = 0.3
PLAIN_SHARE = 0.8
DOUBT_SHARE = 0.3
MAX_REMARKS = 2
_PIECES = {
    "write_head": "the head", "write_head_names": "the start values", "write_head_guard": "the simple case",
    "write_for": "a loop", "write_for_first": "a loop", "write_while": "a loop",
    "write_while_first": "a loop", "write_between": "some more preparation",
    "write_more": "what comes between", "write_end": "the result", "write_helpers": "a helper",
    "write_preface": "what has to be there first", "write_read": "the reading of the input",
    "write_function": "the function itself", "write_class": "the class with its first method",
}  # fmt: skip
_SENTENCE = re.compile(r"(?<=[a-z0-9)\]'\"])[.?](?: |$)")
_ENDS = ".:;,? "
MAX_TASK = 300
_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
_ASK = re.compile(
    r"^(?:write|create|implement|define) (?:(?:a|an|the) )?(?:python )?(?:function|program|method|code|class)"
    r"(?: called `?\w+`?)? (?:to|that|which) ",
    re.IGNORECASE,
)
_IMPERATIVES = {
    "return", "count", "find", "compute", "tell", "list", "look", "merge", "reverse", "turn", "move", "raise",
    "sort", "add", "sum", "group", "flatten", "remove", "rotate", "encode", "shift", "transpose", "check",
    "calculate", "get", "determine", "convert", "extract", "print", "compare", "read", "give", "build", "say",
    "yield", "split", "join", "swap", "collect", "replace", "decide", "evaluate", "generate", "implement",
    "double", "approximate", "divide", "multiply", "subtract", "round", "test", "walk", "search", "take",
    "collapse", "format", "decode", "capitalize", "trim", "drop", "pick", "select", "measure",
    "repeat", "store", "order", "place", "draw", "show", "compress", "expand", "pair", "clean", "mask",
    "validate", "verify", "sanitize", "normalize", "simplify", "solve", "simulate", "partition", "zip",
    "make", "keep", "apply", "filter", "map", "parse", "translate", "given", "write", "insert",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choices:
    """What is told of all that could be: indices into the facts' examples, edges, drafts and remarks.

    `drafts` are told one after another: what is left wrong by one is the next.
    """

    dry: int | None
    drafts: tuple[int, ...]
    checks: tuple[int, ...]
    edges: tuple[int, ...]
    noted: tuple[int, ...]
    remarks: tuple[int, ...]
    style: int
    whole: bool
    joined: bool
    doubtful: bool


def choose(seed: CodeSeed, facts: Facts, key: str) -> Choices:
    """Draws from `key` alone."""
    rng = generator(key)
    unit = unit_of(seed.code, facts.entry)
    style = int(rng.integers(N_STYLES))
    short = [i for i, o in enumerate(facts.outcomes) if o.value and len(o.value) <= 80]
    told = {i: run for i in short if (run := dry_run(unit, facts.outcomes[i], style))}
    lively = [i for i, run in told.items() if _liveliness(run) >= 2] or list(told)
    dry = lively[int(rng.integers(len(lively)))] if lively else None
    drafts = _drafts(facts, float(rng.random()), float(rng.random()), float(rng.random()))
    failing = {facts.drafts[i].example for i in drafts}
    others = [i for i in short if i != dry and i not in failing]
    noted = sorted(rng.permutation(len(facts.examples))[: int(rng.integers(1, 3))].tolist())
    usable = [i for i, (_, o) in enumerate(facts.edges) if (o.value and len(o.value) <= 60) or o.error]
    found = remarks(unit, facts.outcomes[dry], facts.outcomes) if dry is not None else []
    picked = sorted(rng.permutation(len(found))[: int(rng.integers(0, MAX_REMARKS + 1))].tolist())
    return Choices(
        dry=dry,
        drafts=drafts,
        checks=tuple(others[: int(rng.integers(1, 4))]),
        edges=tuple(usable[: int(rng.integers(0, 2))]),
        noted=tuple(noted),
        remarks=tuple(picked),
        style=style,
        whole=len(seed.code.split("\n")) <= 6 and bool(rng.random() < 0.5),
        joined=bool(rng.random() < 0.5),
        doubtful=bool(rng.random() < DOUBT_SHARE),
    )


def _drafts(facts: Facts, told: float, paired: float, which: float) -> tuple[int, ...]:
    """The wrong drafts to be told, from three numbers in [0, 1)."""
    if not facts.drafts or told >= DRAFT_SHARE:
        return ()
    index = {d.mutant: i for i, d in enumerate(facts.drafts)}
    chains = [
        (i, index[d.mutant.slips[1]])
        for i, d in enumerate(facts.drafts)
        if d.mutant.slips and d.mutant.slips[1] in index
    ]
    if chains and paired < PAIR_SHARE:
        return chains[int(which * len(chains))]
    single = [i for i, d in enumerate(facts.drafts) if not d.mutant.slips]
    quiet = [i for i in single if facts.drafts[i].outcome.value]
    pool = quiet if quiet and which < PLAIN_SHARE else single
    if not pool:
        return ()
    return (pool[int(which / PLAIN_SHARE * len(pool)) % len(pool)],)


def _liveliness(run: DryRun) -> int:
    """How much there is to see: the turns that change something, or the calls and lines told."""
    return sum(bool(t.changed) for t in run.turns) if run.turns else run.slots["trail"].count(";") + 1


def tell(seed: CodeSeed, facts: Facts, choices: Choices) -> list[Paragraph]:
    """The story of one program under the given choices."""
    unit = unit_of(seed.code, facts.entry)
    drafts = [facts.drafts[i] for i in choices.drafts]
    paragraphs = [Paragraph(tuple(target(seed, unit))), Paragraph(tuple(_given(facts, choices)))]
    paragraphs.append(Paragraph((plan(unit, facts), *_pieces(seed, facts, choices))))
    paragraphs += _writing(seed, facts, choices, drafts[0] if drafts else None)
    if choices.doubtful and (drafts or choices.dry is not None):
        paragraphs.append(Paragraph((doubt(unit),), not drafts))
    paragraphs += mending(seed, facts, drafts, choices.style, choices.dry)
    dry = choices.dry
    if dry is not None:
        noticed = remarks(unit, facts.outcomes[dry], facts.outcomes)
        said = [Said(noticed[i].kind, noticed[i].slots) for i in choices.remarks]
        if drafts and drafts[-1].example == dry:  # mending has told this run already
            last = paragraphs.pop()
            paragraphs.append(Paragraph((*last.said, *said)))
        else:
            paragraphs.append(Paragraph((run_said(unit, facts, dry, choices.style), *said)))
    elif not facts.examples[0].expected:
        paragraphs.append(Paragraph((Said("run_value", valued_slots(facts, choices.noted[0])),)))
    if checks := _checks(facts, choices):
        paragraphs.append(Paragraph(tuple(checks)))
    paragraphs += [Paragraph((edge(*facts.edges[i]),)) for i in choices.edges]
    paragraphs.append(Paragraph((passed(facts),)))
    paragraphs.append(Paragraph((Said("answer", {"code": fenced(seed.code)}),)))
    return paragraphs


def plan(unit: ast.FunctionDef, facts: Facts) -> Said:
    kind, slots = shape(unit)
    return Said(kind, {"name": f"`{facts.entry or unit.name}`", **slots})


def doubt(unit: ast.FunctionDef) -> Said:
    """What one is not sure of once the code is written: it states nothing of the run."""
    looping = any(isinstance(n, ast.For | ast.While) for n in ast.walk(unit))
    return Said("doubt_loop" if looping else "doubt")


def passed(facts: Facts) -> Said:
    if facts.tests == 1:
        return Said("passed_one")
    return Said("passed", {"count": str(facts.tests)})


def target(seed: CodeSeed, unit: ast.FunctionDef) -> list[Said]:
    """What is asked: its first sentence where that is an order, and the rest if short; else all of it."""
    text = " ".join(seed.text.split()).replace("`", "'")
    task = _ASK.sub("", text)
    signed = signature(unit) if not seed.cases else ""
    slots = {"signature": f"`{signed}`"} if signed else {}
    kind = "target_class" if is_class(unit) else "target" if signed else "target_program"
    first, *more = _SENTENCE.split(task, maxsplit=1)
    if task != text or task.split(" ")[0].lower() in _IMPERATIVES:
        slots["task"] = (first[:1].lower() + first[1:]).rstrip(_ENDS)
        rest = " ".join(more).rstrip(_ENDS)
        said = [Said(kind, slots)]
        return [*said, Said("target_more", {"text": rest})] if 0 < len(rest) <= MAX_TASK else said
    whole = text if len(text) <= MAX_TASK else _SENTENCE.split(text, maxsplit=1)[0]
    return [Said(f"{kind}_text", {**slots, "text": whole.rstrip(_ENDS)})]


def _given(facts: Facts, choices: Choices) -> list[Said]:
    noted = [example_slots(facts, i) for i in choices.noted]
    if not facts.examples[0].expected:
        return [Said("given_none", noted[0])]
    if choices.joined and len(noted) == 2:
        return [Said("given_pair", _both(noted))]
    said = [Said("given_example", noted[0]), *(Said("given_another", slots) for slots in noted[1:])]
    empty = next((i for i, e in enumerate(facts.examples) if re.search(r"\[\]|''|\b0\b", e.call)), None)
    if empty is not None and empty not in choices.noted:
        said.append(Said("given_edge", example_slots(facts, empty), optional=True))
    return said


def _both(slots: list[dict[str, str]]) -> dict[str, str]:
    return {**slots[0], **{f"{k}2": v for k, v in slots[1].items()}}


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
        out.append(Paragraph((writing(part),), good))
    return out


def writing(part: Part) -> Said:
    return Said(part.kind, {**part.slots, "code": fenced(part.code.strip("\n"))})


def _pieces(seed: CodeSeed, facts: Facts, choices: Choices) -> list[Said]:
    """The parts ahead, where there are several and they are written one by one."""
    return [] if choices.whole else pieces(seed, facts)


def pieces(seed: CodeSeed, facts: Facts) -> list[Said]:
    names = [_PIECES.get(p.kind, p.slots.get("names", "")) for p in parts(seed.code, facts.entry)]
    if len(names) not in _COUNTS or len(set(names)) < len(names) or not all(names):
        return []
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return [Said("decompose", {"count": _COUNTS[len(names)], "pieces": listed}, optional=True)]


def _checks(facts: Facts, choices: Choices) -> list[Said]:
    if not facts.examples[0].expected:
        return []
    slots = [valued_slots(facts, i) for i in choices.checks]
    if choices.joined and len(slots) > 1:
        return [Said("check_pair", _both(slots)), *(Said("check_more", s) for s in slots[2:])]
    return [Said("check_more" if number else "check", s) for number, s in enumerate(slots)]


def edge(call: str, outcome: Outcome) -> Said:
    if outcome.error:
        return Said("edge_error", {"call": f"`{call}`", **outcome_slots(outcome)})
    return Said("edge", {"call": f"`{call}`", "value": quoted(outcome.value)})
