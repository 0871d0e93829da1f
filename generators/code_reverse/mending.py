"""Wrong turns: a draft run, its failure noticed, its cause found and mended, until nothing is wrong."""

import ast
from collections.abc import Sequence

from .dryrun import N_STYLES, PRINTS, YIELDS, DryRun, dry_run, pairs
from .mutate import Mutant
from .observe import Draft, Facts
from .rows import CodeSeed
from .said import Paragraph, Said, example_slots, fenced, outcome_slots, run_said, valued_slots
from .shape import unit_of

_MENDS = {"early_return": "mend_indent"}


def mending(
    seed: CodeSeed, facts: Facts, drafts: Sequence[Draft], style: int, dry: int | None
) -> list[Paragraph]:
    """The way from the first draft to the program; each draft's mend leads to the next one.

    Steps are wrong until the last mend.
    """
    unit = unit_of(seed.code, facts.entry)
    out: list[Paragraph] = []
    for number, draft in enumerate(drafts):
        last = number == len(drafts) - 1
        slip = draft.mutant if last else draft.mutant.slips[0]
        out.append(Paragraph((run_of_draft(facts, draft, style, again=number > 0),), False))
        out.append(Paragraph(tuple(detected(unit, facts, draft, slip, style, number > 0)), False))
        out.append(Paragraph((mend(slip),), last))
    if drafts and facts.outcomes[drafts[-1].example].value:
        out.append(Paragraph((confirmed(unit, facts, drafts[-1].example, style, dry),)))
    return out


def run_of_draft(facts: Facts, draft: Draft, style: int, *, again: bool = False) -> Said:
    """What the draft did on the example that it fails."""
    outcome = draft.outcome
    slots = {**example_slots(facts, draft.example), **outcome_slots(outcome)}
    wrong = _told(facts, draft, style)
    ended = "endless" if outcome.endless else "error" if outcome.error else "value"
    kind = f"draft_{wrong.kind if wrong else ended}"
    if again and not wrong:
        kind += "_again"
    return Said(kind, {**slots, **(wrong.slots if wrong else {})})


def _told(facts: Facts, draft: Draft, style: int) -> DryRun | None:
    if not draft.outcome.value:
        return None
    return dry_run(unit_of(draft.mutant.source, facts.entry), draft.outcome, (style + 1) % N_STYLES)


def detected(
    unit: ast.FunctionDef, facts: Facts, draft: Draft, slip: Mutant, style: int, again: bool
) -> list[Said]:
    """The expectation that failed, where the run leaves the right one, and the line at fault."""
    slots = {**example_slots(facts, draft.example), **outcome_slots(draft.outcome)}
    kind = "detect_value" if draft.outcome.value else "detect_error"
    said = [Said(f"{kind}_again" if again else kind, slots)]
    right = dry_run(unit, facts.outcomes[draft.example], style)
    if not draft.mutant.slips and (found := departure(_told(facts, draft, style), right)):
        said.append(Said("departure", found))
    return [*said, cause(slip)]


def departure(wrong: DryRun | None, right: DryRun | None) -> dict[str, str] | None:
    """Where the draft's run first leaves the right one: the same turn, another value of one variable."""
    if wrong is None or right is None:
        return None
    for one, other in zip(wrong.turns, right.turns, strict=False):
        if one.label != other.label:
            return None
        for name, value in one.changed.items():
            own = name not in (YIELDS, PRINTS)
            if own and name in other.changed and not _same(other.changed[name], value):
                slots = {"turn": pairs(one.label), "name": f"`{name}`"}
                return slots | {"wrong": f"`{value}`", "right": f"`{other.changed[name]}`"}
        if one.changed != other.changed:
            return None
    return None


def _same(one: str, other: str) -> bool:
    """Whether two values are equal: 1 and 1.0 are no difference that anybody would name."""
    try:
        return bool(ast.literal_eval(one) == ast.literal_eval(other))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return one == other


def cause(slip: Mutant) -> Said:
    slots = {"line": f"`{slip.wrong.strip() or slip.right.strip().splitlines()[0]}`"}
    if slip.kind == "boundary":
        loose = _equalities(slip.wrong) > _equalities(slip.right)
        return Said("cause_loose" if loose else "cause_strict", slots)
    return Said(f"cause_{slip.kind}", slots)


def _equalities(line: str) -> int:
    return line.count("<=") + line.count(">=")


def mend(slip: Mutant) -> Said:
    if slip.kind in ("guard", "swapped"):
        return Said(f"mend_{slip.kind}", {"code": fenced(slip.right)})
    slots = {"wrong": f"`{slip.wrong.strip()}`", "right": f"`{slip.right.strip()}`"}
    return Said(_MENDS.get(slip.kind, "mend"), slots)


def confirmed(unit: ast.FunctionDef, facts: Facts, index: int, style: int, dry: int | None) -> Said:
    """The failing example run again on the mended program, by hand where that run was to be told anyway."""
    return run_said(unit, facts, index, style) if index == dry else Said("again", valued_slots(facts, index))
