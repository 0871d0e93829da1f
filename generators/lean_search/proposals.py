"""Tactics worth a try at a goal, from its shape alone, each with a weight that becomes its prior."""

from collections.abc import Iterator, Sequence

from ..lean_reverse.states import BadState, Goal, Hypothesis, parse_state
from ..lean_reverse.terms import Binder, Infix, Name, Prefix, Term
from .arithmetic import arithmetic
from .shapes import Proposal, facts_of, fresh, objects_of, read

# Where a variable of such a type is taken apart, which constructors come out, with their fields.
_CONSTRUCTORS = {
    "Nat": (("zero", ()), ("succ", ("_",))),
    "List": (("nil", ()), ("cons", ("x", "_"))),
    "Bool": (("false", ()), ("true", ())),
    "Option": (("none", ()), ("some", ("x",))),
}
_RECURSIVE = ("Nat", "List")
_NUMBERS = ("Nat", "Int")
_RELATIONS = ("=", "≠", "<", "≤", ">", "≥", "∣")
_UNFOLDINGS = "Nat.pow_succ, Nat.mul_add, Nat.add_mul, Nat.mul_comm, Nat.mul_left_comm"
_INT_UNFOLDINGS = "Int.pow_succ, Int.mul_add, Int.add_mul, Int.mul_comm, Int.mul_left_comm"
_WITNESSES, _CASES = 6, 3


def generic(state: str) -> list[Proposal]:
    """What the first goal of a pretty-printed state suggests, the most promising first, without repetition.

    Nothing for a state that cannot be read.
    """
    try:
        goals = parse_state(state)
    except BadState:
        return []
    if not goals:
        return []
    goal = goals[0]
    best: dict[str, float] = {}
    for p in (*_closers(goal), *_target(goal), *_hypotheses(goal), *_variables(goal), *arithmetic(goal)):
        best[p.tactic] = max(best.get(p.tactic, 0.0), p.weight)
    return sorted((Proposal(t, w) for t, w in best.items()), key=lambda p: (-p.weight, p.tactic))


def _closers(goal: Goal) -> Iterator[Proposal]:
    target, whole = goal.target, " ".join((goal.target, *(h.type for h in goal.hypotheses)))
    numeric = any(h.type in _NUMBERS for h in goal.hypotheses) or any(c.isdigit() for c in whole)
    if numeric:
        yield Proposal("omega", 12)
    yield Proposal("simp", 3)
    if " = " in target or " ↔ " in target:
        yield Proposal("rfl", 4)
    if not any(h.name in target.split() for h in objects_of(goal)):
        yield Proposal("decide", 3)
    if facts_of(goal):
        yield from (Proposal("assumption", 2), Proposal("simp_all", 4), Proposal("contradiction", 1.5))
        if target != "False":
            yield Proposal("exfalso", 0.3)
    yield Proposal("grind", 3)
    yield Proposal("exact?", 1)
    if "if " in target or "match " in target:
        yield Proposal("split", 5)
    if "*" in whole or "^" in whole:
        rules = _INT_UNFOLDINGS if "Int" in {h.type for h in goal.hypotheses} else _UNFOLDINGS
        yield Proposal(f"simp [{rules}]", 1)
        yield Proposal(f"simp [{rules}] at * <;> omega", 1)
        if "^ (" in target:
            yield Proposal("rw [Nat.pow_succ]", 3)


def _target(goal: Goal) -> Iterator[Proposal]:
    match term := read(goal.target):
        case Binder("∀", names, _, _):
            yield Proposal(f"intro {' '.join(fresh(goal, n) for n in names)}", 10)
        case Infix("→", _, _) | Prefix("¬", _) | Infix("≠", _, _):
            yield Proposal(f"intro {fresh(goal, 'h')}", 8)
        case Infix("∧" | "↔", _, _):
            yield Proposal("constructor", 7)
        case Infix("∨", _, _):
            yield from (Proposal("left", 2), Proposal("right", 2))
        case Binder("∃", _, _, _):
            yield from (Proposal(f"refine ⟨{w}, ?_⟩", 4 / (i + 1)) for i, w in enumerate(_witnesses(goal)))
            yield Proposal("exact ⟨_, rfl⟩", 2)
        case Infix("=", _, _) if "fun " in goal.target:
            yield Proposal("funext x", 2)
    if isinstance(term, Infix) and term.operator in _RELATIONS and facts_of(goal):
        yield Proposal(f"refine Decidable.byContradiction fun {fresh(goal, 'hn')} => ?_", 0.5)
    for name in _atoms(goal)[:_CASES]:
        yield Proposal(f"by_cases {fresh(goal, 'h' + name)} : {name}", 1)


def _witnesses(goal: Goal) -> list[str]:
    """Numbers, variables and sums of two of them."""
    names = [h.name for h in objects_of(goal) if h.type in _NUMBERS]
    pairs = [f"{a} + {b}" for i, a in enumerate(names) for b in names[i + 1 :]]
    others = [h.name for h in objects_of(goal) if h.type not in (*_NUMBERS, "Prop", "Type")]
    return [*pairs, *names, "0", "1", *others][:_WITNESSES]


def _atoms(goal: Goal) -> list[str]:
    """The statements among the variables."""
    return [h.name for h in goal.hypotheses if h.type == "Prop" and "✝" not in h.name]


def _hypotheses(goal: Goal) -> Iterator[Proposal]:
    facts = facts_of(goal)
    for h in facts:
        match term := read(h.type):
            case Infix("∧", _, _):
                yield Proposal(f"obtain ⟨{h.name}l, {h.name}r⟩ := {h.name}", 6)
            case Infix("∨", _, _):
                yield from _split(h, term)
            case Binder("∃", (name,), _, _):
                witness = fresh(goal, name)
                yield Proposal(f"obtain ⟨{witness}, {fresh(goal, 'h' + witness)}⟩ := {h.name}", 7)
            case Infix("↔", _, _):
                yield from (Proposal(f"rw [{h.name}]", 2), Proposal(f"exact {h.name}.mpr ‹_›", 1))
                yield from (Proposal(f"apply {h.name}.{way}", 2) for way in ("mp", "mpr"))
            case Infix("=", left, _):
                yield from (Proposal(f"rw [{h.name}]", 2), Proposal(f"rw [← {h.name}]", 0.5))
                if isinstance(left, Name) and not left.text.isdigit():
                    yield Proposal(f"subst {h.name}", 2)
            case Infix("→", _, _):
                yield Proposal(f"apply {h.name}", 3)
            case Binder("∀", _, type_, _):
                yield Proposal(f"apply {h.name}", 2)
                yield from _instances(goal, h, type_)
            case Prefix("¬", _) | Infix("≠", _, _) if goal.target == "False":
                yield Proposal(f"apply {h.name}", 5)
            case Infix("∣", _, _):
                yield Proposal(f"obtain ⟨{fresh(goal, 'c')}, {fresh(goal, 'hc')}⟩ := {h.name}", 1)


def _split(h: Hypothesis, term: Term) -> Iterator[Proposal]:
    count = 1
    while isinstance(term, Infix) and term.operator == "∨":
        count, term = count + 1, term.right
    cases = f"rcases {h.name} with {' | '.join([h.name] * count)}"
    if count <= _CASES:
        yield Proposal(cases, 3)
    yield from (Proposal(f"{cases} <;> omega", 3), Proposal(f"{cases} <;> simp_all", 3))


def _instances(goal: Goal, h: Hypothesis, type_: Term | None) -> Iterator[Proposal]:
    """A general fact at a variable: only where nothing of that shape was taken already."""
    name = fresh(goal, f"{h.name}_at")
    if name != f"{h.name}_at":
        return
    for x in objects_of(goal):
        if type_ is None or read(x.type) == type_:
            yield Proposal(f"have {name} := {h.name} {x.name}", 2)


def _variables(goal: Goal) -> Iterator[Proposal]:
    depends = {h.name for h in goal.hypotheses if "✝" in h.name}
    for variable in objects_of(goal):
        kind = variable.type.split(" ")[0]
        if kind not in _CONSTRUCTORS or variable.name not in _words_of(goal) or variable.name in depends:
            continue
        yield Proposal(f"cases {variable.name} with{_alternatives(goal, variable, '')}", 1)
        if kind in _RECURSIVE:
            ih = fresh(goal, "ih")
            yield Proposal(f"induction {variable.name} with{_alternatives(goal, variable, ih)}", 1.5)
            yield Proposal(f"induction {variable.name} <;> simp_all <;> omega", 1)


def _alternatives(goal: Goal, variable: Hypothesis, ih: str) -> str:
    kind = variable.type.split(" ")[0]
    lines = []
    for constructor, fields in _CONSTRUCTORS[kind]:
        names = [variable.name if f == "_" else fresh(goal, f) for f in fields]
        lines.append(
            " ".join([f"\n| {constructor}", *names, *([ih] if ih and "_" in fields else [])]) + " => ?_"
        )
    return "".join(lines)


def _words_of(goal: Goal) -> set[str]:
    """The names in what is to be shown, and in what is known."""
    text = " ".join((goal.target, *(h.type for h in facts_of(goal))))
    return set("".join(c if c.isalnum() or c in "_'." else " " for c in text).replace(".", " ").split())


def normalised(proposals: Sequence[Proposal]) -> tuple[float, ...]:
    """Weights as probabilities."""
    total = sum(p.weight for p in proposals)
    return tuple(p.weight / total for p in proposals)
