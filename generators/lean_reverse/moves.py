"""What one tactic did to the state, read from the difference of states, as things that can be said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .english import introduce, is_fact, join, names_of, quoted, say, say_hypothesis, say_target, state_facts
from .states import Goal, Hypothesis
from .terms import Binder, Infix, Name, Prefix, Term, Unreadable, parse_term
from .tree import Node

_ARITHMETIC = {"omega", "linarith", "nlinarith", "positivity"}
_BY_EVALUATION = {"decide", "norm_num", "native_decide"}
_BY_SIMPLIFYING = {
    "simp",
    "simp_all",
    "simpa",
    "dsimp",
    "ring",
    "ring_nf",
    "field_simp",
    "ac_rfl",
    "simp_arith",
}
_BY_LOGIC = {"tauto", "trivial", "grind", "aesop"}


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that can be said about the tactic at `at` of the trace (-1: about the whole)."""

    kind: str
    slots: Mapping[str, str] = field(default_factory=dict)
    at: int = -1
    optional: bool = False


def new_in(goal: Goal, before: Goal) -> list[Hypothesis]:
    """What `goal` has among its hypotheses that `before` did not, by name and type."""
    old = {(h.name, h.type, h.value) for h in before.hypotheses}
    return [h for h in goal.hypotheses if (h.name, h.type, h.value) not in old]


def describe(new: Sequence[Hypothesis], goal: Goal) -> dict[str, str]:
    """Slots `let` (objects), `facts` and `got` (both together) for hypotheses that came in."""
    objects = [h for h in new if not is_fact(h, goal)]
    facts = [h for h in new if is_fact(h, goal)]
    slots: dict[str, str] = {}
    if objects:
        slots["let"] = introduce(objects, goal)
    if facts:
        slots["facts"] = state_facts(facts, goal)
    names = join([h.name for h in objects])
    slots["got"] = (
        f"{names} with {slots['facts']}" if objects and facts else slots.get("facts") or names or ""
    )
    return slots


def head_line(tactic: str) -> str:
    """The tactic without the blocks inside it, between backquotes."""
    line = tactic.split("\n")[0].strip()
    return quoted(re.sub(r"\s*(:= by\b.*|\bwith|=>|\bby)$", "", line))


def closing(node: Node, goal: Goal, premises: Mapping[str, str], known: set[str]) -> list[Said]:
    """What to say where the tactic closed its goal."""
    head, tac = node.head, {"tac": head_line(node.tactic), "goal": say_target(goal)}
    if head in ("rw", "rewrite", "erw"):
        return _rewrite(node, goal, None, premises, known)
    if head in ("exact", "apply", "refine", "exact_mod_cast"):
        return _exact(node, goal, tac, premises, known)
    facts = [h.name for h in goal.hypotheses if is_fact(h, goal)]
    if head in _ARITHMETIC:
        slots = {"facts": join(facts)} if 0 < len(facts) < 5 else {}
        kind = "linear"
        if slots and goal.target == "False":
            kind = "linear_contradiction" if len(facts) > 1 else "linear_absurd"
        return [Said(kind, {**tac, **slots}, node.index)]
    if head in _BY_EVALUATION:
        return [Said("evaluate", tac, node.index)]
    if head == "rfl":
        sides = _equation(goal.target)
        same = sides is not None and sides[0] == sides[1]
        return [Said("same_sides" if same else "by_definition", tac, node.index)]
    if head in _BY_SIMPLIFYING:
        return [Said("simplify_close", tac, node.index)]
    if head == "assumption":
        return [Said("assumption", tac, node.index)]
    if head in ("contradiction", "absurd"):
        return [_clash(node, goal, tac)]
    if head in _BY_LOGIC:
        return [Said("logic", tac, node.index)]
    return [Said("closed", tac, node.index)]


def changing(node: Node, goal: Goal, after: Goal, premises: Mapping[str, str], known: set[str]) -> list[Said]:
    """What to say where one goal took the place of another."""
    head, new = node.head, new_in(after, goal)
    slots = {"tac": head_line(node.tactic), "goal": say_target(after), "old": say_target(goal)}
    slots |= {k: v for k, v in describe(new, after).items() if v}
    same_target = goal.target == after.target

    def said(kind: str) -> list[Said]:
        return [Said(kind, slots, node.index)]

    if head in ("rw", "rewrite", "erw", "simp_rw"):
        return _rewrite(node, goal, after, premises, known)
    if head in ("intro", "intros", "rintro", "rintros", "by_contra") and new:
        if after.target == "False":
            return said("suppose" if "let" not in slots else "suppose_with")
        return said(f"intro_{'facts' if 'let' not in slots else 'both' if 'facts' in slots else 'let'}")
    if head == "exfalso" and after.target == "False":
        return said("exfalso")
    if head in ("left", "right") and (sides := _infix(goal.target, "∨")):
        slots["other"] = say(sides[head == "left"], names_of(goal))
        return said(head)
    if witness := witness_of(node, goal):
        slots["witness"] = witness
        return said("witness")
    if same_target and new:
        kept = names_of(goal)
        if all(h.name in kept for h in new) and len(names_of(after)) == len(kept):
            return said("becomes")
        source = _source(node, goal)
        if source:
            slots["from"] = source
        reason = _reason(node, goal)
        if reason:
            slots["reason"] = reason
        return said("obtain" if source else "derive")
    if head in ("apply", "refine", "suffices", "exact", "refine'") and not new:
        slots |= _applied(node, goal)
        return [*_recall(node, premises, known), *said("reduce_hypothesis" if "rule" in slots else "reduce")]
    if head in ("show", "change", "unfold", "delta"):
        return said("restate")
    if head in _BY_SIMPLIFYING | {"norm_num", "push_neg", "push_cast", "norm_cast"} and not new:
        return said("simplify")
    if same_target and not new:
        return said("unchanged")
    return said("step_both" if new else "step")


def splitting(node: Node, goal: Goal, goals: Sequence[Goal]) -> list[Said]:
    """What to say where several goals took the place of one."""
    count = _count(len(goals))
    slots = {"tac": head_line(node.tactic), "count": count, "goal": say_target(goal)}
    if all(g.target == goal.target for g in goals):
        if subject := _source(node, goal):
            slots["from"] = subject
        if cases := alternatives(goal, goals):
            return [Said("cases", {**slots, "cases": cases}, node.index)]
        return [Said("cases_bare", slots, node.index)]
    slots["parts"] = "; and ".join(say_target(g) for g in goals)
    return [Said("parts", slots, node.index)]


def alternatives(goal: Goal, goals: Sequence[Goal]) -> str:
    """What distinguishes the cases of a split: what each of them knows; empty where one knows nothing new."""
    cases = [describe(new_in(g, goal), g).get("got", "") for g in goals]
    if len(cases) < 2 or not all(cases):
        return ""
    return f"either {cases[0]}, or {cases[1]}" if len(cases) == 2 else "; or ".join(cases)


def _count(n: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}.get(n, str(n))


def _infix(text: str, operator: str) -> tuple[str, str] | None:
    """Both sides, as written, of a statement whose outermost sign is `operator`."""
    try:
        term = parse_term(text)
    except Unreadable:
        return None
    if not isinstance(term, Infix) or term.operator != operator:
        return None
    for match in re.finditer(re.escape(operator), text):
        left, right = text[: match.start()].strip(), text[match.end() :].strip()
        if _reads_as(left, term.left) and _reads_as(right, term.right):
            return left, right
    return None


def _reads_as(text: str, term: Term) -> bool:
    try:
        return parse_term(text) == term
    except Unreadable:
        return False


def _equation(text: str) -> tuple[str, str] | None:
    return _infix(text, "=")


def _rewrite(
    node: Node, goal: Goal, after: Goal | None, premises: Mapping[str, str], known: set[str]
) -> list[Said]:
    match = re.match(r"\w+ \[(?P<rules>.*)\](?: at (?P<places>.*))?$", " ".join(node.tactic.split()))
    rules = [r.strip() for r in re.split(r",(?![^(\[]*[)\]])", match["rules"])] if match else []
    slots = {"tac": head_line(node.tactic), "rule": join([_rule(r, goal) for r in rules]) or "that"}
    if after is None:
        slots["old"] = say_target(goal)
        kind = "_close"
    elif match and match["places"]:
        changed = new_in(after, goal)
        slots["fact"] = state_facts(changed, after) or "nothing new"
        kind = "_at"
    else:
        slots["goal"] = say_target(after)
        kind = ""
    if len(rules) == 1 and (sides := _local_equation(rules[0], goal)):
        slots["left"], slots["right"] = sides
        return [Said("substitute" + kind, slots, node.index)]
    return [*_recall(node, premises, known), Said("rewrite" + kind, slots, node.index)]


def _rule(rule: str, goal: Goal) -> str:
    name = rule.removeprefix("←").strip()
    written = name if goal.named(name) else quoted(name)
    return f"{written} from right to left" if rule.startswith("←") else written


def _local_equation(rule: str, goal: Goal) -> tuple[str, str] | None:
    """What a hypothesis's equation replaces, and by what."""
    hypothesis = goal.named(rule.removeprefix("←").strip())
    sides = _equation(hypothesis.type) if hypothesis else None
    if sides is None:
        return None
    left, right = (say(s, names_of(goal)) for s in sides)
    return (right, left) if rule.startswith("←") else (left, right)


def _recall(node: Node, premises: Mapping[str, str], known: set[str]) -> list[Said]:
    """The library facts that the tactic names, each said once in a proof."""
    said = []
    for name in re.findall(r"[\w'.]+", node.tactic):
        if name in premises and name not in known:
            known.add(name)
            if statement := premise_in_words(premises[name]):
                slots = {"name": quoted(name), "statement": statement}
                said.append(Said("recall", slots, node.index, optional=True))
    return said


def premise_in_words(type_: str) -> str | None:
    """A library fact without the binders before it; None where its notation is not known."""
    text, names = type_, set()
    while match := re.match(r"∀ ((?:[({][^(){}]*[)}] ?)+), (.*)$", text, re.S):
        for group in re.findall(r"[({]([^:]*):", match[1]):
            names |= set(group.split())
        text = match[2]
    words = say(text, frozenset(names))
    return None if "`" in words else words


def _exact(
    node: Node, goal: Goal, tac: dict[str, str], premises: Mapping[str, str], known: set[str]
) -> list[Said]:
    term = node.tactic.removeprefix(node.head).strip()
    hypothesis = goal.named(term)
    if hypothesis and hypothesis.type == goal.target:
        return [Said("exact_hypothesis", {**tac, "name": term}, node.index)]
    parts = _components(term)
    if parts and (whole := _infix(goal.target, "∧")) and len(parts) == 2:
        facts = [goal.named(p) for p in parts]
        if all(f is not None and f.type == side for f, side in zip(facts, whole, strict=True)):
            return [Said("exact_pair", {**tac, "first": parts[0], "second": parts[1]}, node.index)]
    if parts and len(parts) == 2 and _is_exists(goal.target):
        slots = {**tac, "witness": say(parts[0], names_of(goal))}
        if fact := goal.named(parts[1]):
            slots["fact"] = say_hypothesis(fact, goal)
            return [Said("exact_witness", slots, node.index)]
        return [Said("exact_witness_computed" if parts[1] == "rfl" else "closed", slots, node.index)]
    slots = {**tac, "term": quoted(term)}
    uses = [h.name for h in goal.hypotheses if is_fact(h, goal) and _mentions(term, h.name)]
    if uses:
        slots["uses"] = join(uses)
    lemma = re.match(r"[@(]?([A-Z]\w*(?:\.[\w']+)+)", term)
    if lemma:
        slots["lemma"] = quoted(lemma[1])
        return [*_recall(node, premises, known), Said("exact_lemma", slots, node.index)]
    if goal.target == "False" and len(uses) > 1:
        return [Said("exact_clash", slots, node.index)]
    return [Said("exact_uses" if uses else "exact_term", slots, node.index)]


def _clash(node: Node, goal: Goal, tac: dict[str, str]) -> Said:
    """The hypothesis that is plainly impossible, where one is to be seen."""
    for h in goal.hypotheses:
        if is_fact(h, goal) and _impossible(h.type):
            return Said("impossible", {**tac, "fact": say_hypothesis(h, goal)}, node.index)
    return Said("contradiction", tac, node.index)


def _impossible(text: str) -> bool:
    sides = _equation(text)
    known = {"false": False, "true": True, "!false": True, "!true": False}
    if text == "False":
        return True
    if sides and all(s in known for s in sides):
        return known[sides[0]] != known[sides[1]]
    return bool(re.fullmatch(r"\S+ ∈ \[\]", text))


def _applied(node: Node, goal: Goal) -> dict[str, str]:
    """`apply h`: the hypothesis used, and what it says."""
    term = node.tactic.removeprefix(node.head).strip()
    hypothesis = goal.named(term.split(" ")[0])
    if hypothesis is None or not is_fact(hypothesis, goal):
        lemma = re.match(r"[A-Z]\w*(?:\.[\w']+)+", term)
        return {"lemma": quoted(lemma[0])} if lemma else {}
    return {"rule": say_hypothesis(hypothesis, goal)}


def witness_of(node: Node, goal: Goal) -> str | None:
    """What is put forward for an existence goal, the rest being left to show."""
    if not _is_exists(goal.target):
        return None
    term = node.tactic.removeprefix(node.head).strip()
    if node.head in ("use", "exists", "existsi"):
        return say(term, names_of(goal))
    parts = _components(term)
    if node.head in ("refine", "exact") and parts and len(parts) == 2 and parts[1].startswith(("?", "by ")):
        return say(parts[0], names_of(goal))
    return None


def _components(term: str) -> list[str] | None:
    """The parts of an anonymous constructor `⟨a, b⟩`."""
    if not (term.startswith("⟨") and term.endswith("⟩")):
        return None
    parts, depth = [""], 0
    for char in term[1:-1]:
        depth += (char in "⟨([") - (char in "⟩)]")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [p.strip() for p in parts]


def _is_exists(text: str) -> bool:
    try:
        term = parse_term(text)
    except Unreadable:
        return False
    return isinstance(term, Binder) and term.kind == "∃"


def _source(node: Node, goal: Goal) -> str | None:
    """The hypothesis or the library fact that is taken apart."""
    text = " ".join(node.tactic.split())
    match = re.match(r"(?:obtain|rcases|cases|match|let|have) .*?:= (.*)$", text) or re.match(
        r"(?:cases|rcases|cases') (?:[\w'✝]+ : )?(.*?)(?: with .*)?$", text
    )
    if match is None or (node.head in ("have", "let") and not text.split(" ", 1)[1].startswith("⟨")):
        return None
    term = match[1].strip()
    return term if goal.named(term) else quoted(term)


def _reason(node: Node, goal: Goal) -> str | None:
    """The facts that a term-mode `have` combines."""
    _, _, term = node.tactic.partition(":=")
    uses = [h.name for h in goal.hypotheses if is_fact(h, goal) and _mentions(term, h.name)]
    return join(uses) or None


def _mentions(term: str, name: str) -> bool:
    return re.search(rf"(?<![\w'.]){re.escape(name)}(?![\w'])", term) is not None


def negated(text: str) -> bool:
    """Whether a statement is a negation or an inequation, to be refuted by assuming it."""
    try:
        term = parse_term(text)
    except Unreadable:
        return False
    if isinstance(term, Prefix):
        return term.operator == "¬"
    return (isinstance(term, Infix) and term.operator == "≠") or term == Name("False")
