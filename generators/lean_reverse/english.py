"""Lean terms, types and hypotheses in ordinary mathematical English.

Connectives and quantifiers become words, arithmetic stays in symbols. Distinct terms get distinct words;
notation that the parser or the tables below do not know stays as Lean prints it, between backquotes.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from .states import Goal, Hypothesis
from .terms import Apply, Binder, Field, Infix, ListOf, Name, Prefix, Term, Unreadable, parse_term

_FUNCTIONS = {
    "List.length": "length", "List.map": "map", "List.reverse": "reverse", "List.range": "range",
    "List.append": "append", "List.sum": "sum", "List.filter": "filter", "List.foldl": "foldl",
    "List.foldr": "foldr", "List.take": "take", "List.drop": "drop", "Option.map": "map", "max": "max",
    "min": "min", "some": "some", "Nat.succ": "succ", "Nat.pred": "pred", "Nat.gcd": "gcd",
}  # fmt: skip
_FIELDS = {"length", "reverse", "succ", "pred", "sum", "isEmpty", "natAbs", "head?", "tail"}
_CONSTANTS = {"True", "False", "true", "false", "none", "Nat", "Int", "Bool", "Prop", "Type"}
_RELATIONS = {"=", "≠", "<", "≤", ">", "≥", "∣", "∈", "∉", "==", "!="}
_CONNECTIVES = {"∧", "∨", "→", "↔"}
_NOUNS = {
    "Nat": ("a natural number", "natural numbers"), "ℕ": ("a natural number", "natural numbers"),
    "Int": ("an integer", "integers"), "ℤ": ("an integer", "integers"),
    "ℚ": ("a rational number", "rational numbers"), "ℝ": ("a real number", "real numbers"),
    "Bool": ("a boolean", "booleans"), "Prop": ("a statement", "statements"), "Type": ("a type", "types"),
}  # fmt: skip
_POWER = {
    "::": 67, "++": 65, "+": 65, "-": 65, "*": 70, "/": 70, "%": 70, "^": 75, "&&": 35, "||": 30, "∘": 90,
} | dict.fromkeys(_RELATIONS, 50)  # fmt: skip

Types = Mapping[str, str]


@lru_cache(maxsize=8192)
def say(text: str, locals_: frozenset[str]) -> str:
    """A term in words; `locals_` are the names of the hypotheses and variables around it."""
    try:
        return _words(parse_term(text), locals_)
    except Unreadable:
        return quoted(text)


def quoted(text: str) -> str:
    """Lean's own notation, on one line, between backquotes."""
    return f"`{' '.join(text.split())}`"


def say_target(goal: Goal) -> str:
    """What is to be shown; `False` as a goal is a contradiction to be reached."""
    return "a contradiction" if goal.target == "False" else say(goal.target, names_of(goal))


def say_hypothesis(hypothesis: Hypothesis, goal: Goal) -> str:
    """`name: statement` for a fact; for an object its type in words."""
    name, locals_ = hypothesis.name, names_of(goal)
    if hypothesis.value is not None:
        return f"{name} := {say(hypothesis.value, locals_)}"
    if is_fact(hypothesis, goal):
        return f"{name}: {say(hypothesis.type, locals_)}"
    noun = _noun_of(hypothesis.type, locals_)
    return f"{name} {noun[0]}" if noun else f"{name}: {quoted(hypothesis.type)}"


def names_of(goal: Goal) -> frozenset[str]:
    return frozenset(h.name for h in goal.hypotheses)


def is_fact(hypothesis: Hypothesis, goal: Goal) -> bool:
    """Whether the type is a statement (or cannot be told: then it is quoted, which suits either)."""
    if hypothesis.value is not None:
        return False
    types = {h.name: h.type for h in goal.hypotheses}
    try:
        term = parse_term(hypothesis.type)
    except Unreadable:
        return False
    return _is_statement(term, types)


def join(parts: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def introduce(hypotheses: Sequence[Hypothesis], goal: Goal) -> str:
    """Objects as one would introduce them after "let": `p and q be statements and n a natural number`."""
    clauses: list[str] = []
    groups: list[tuple[str, list[str]]] = []
    for h in hypotheses:
        if groups and groups[-1][0] == h.type:
            groups[-1][1].append(h.name)
        else:
            groups.append((h.type, [h.name]))
    for type_, names in groups:
        noun = _noun_of(type_, names_of(goal))
        phrase = f"of type {quoted(type_)}" if noun is None else noun[len(names) > 1]
        clauses.append(f"{join(names)} {'be ' if not clauses else ''}{phrase}")
    return join(clauses)


def state_facts(hypotheses: Sequence[Hypothesis], goal: Goal) -> str:
    return join([say_hypothesis(h, goal) for h in hypotheses])


def _is_statement(term: Term, types: Types) -> bool:
    match term:
        case Infix(operator, _, right):
            if operator == "→":
                return _is_statement(right, types)
            return operator in _RELATIONS or operator in _CONNECTIVES
        case Prefix(operator, _):
            return operator == "¬"
        case Binder(kind, names, _, body):
            return kind == "∃" or (kind == "∀" and _is_statement(body, {**types, **dict.fromkeys(names, "")}))
        case Name(text):
            return text in ("True", "False") or types.get(text) == "Prop"
        case Apply(Name(text), _):
            return types.get(text, "").endswith("→ Prop")
    return False


def _noun_of(type_: str, locals_: frozenset[str]) -> tuple[str, str] | None:
    try:
        return _noun(parse_term(type_), locals_)
    except Unreadable:
        return None


def _noun(term: Term, locals_: frozenset[str]) -> tuple[str, str] | None:
    """A type as a noun, singular and plural; None where the tables have none."""
    match term:
        case Name(text) if text in _NOUNS:
            return _NOUNS[text]
        case Name(text) if text in locals_:
            return f"an element of {text}", f"elements of {text}"
        case Apply(Name("List"), (inner,)):
            if noun := _noun(inner, locals_):
                entries = noun[1].removeprefix("elements of ")
                return f"a list of {entries}", f"lists of {entries}"
        case Apply(Name("Option"), (inner,)):
            if noun := _noun(inner, locals_):
                return f"an optional {noun[0].split(' ', 1)[1]}", f"optional {noun[1]}"
        case Infix("→", left, Name("Prop")):
            if noun := _noun(left, locals_):
                return f"a property of {noun[1]}", f"properties of {noun[1]}"
        case Infix("→", left, right):
            a, b = _noun(left, locals_), _noun(right, locals_)
            if a and b and not isinstance(left, Infix):
                source, target = (noun[1].removeprefix("elements of ") for noun in (a, b))
                return f"a function from {source} to {target}", f"functions from {source} to {target}"
    return None


def _words(term: Term, locals_: frozenset[str]) -> str:
    """A statement in words, or a value in symbols; what is open at its right end goes on to the end."""
    match term:
        case Infix("∨", left, right) if isinstance(left, Binder) and isinstance(right, Binder):
            return f"either {_words(left, locals_)}, or {_words(right, locals_)}"
        case Infix("∧" | "∨" | "↔" as operator, left, right):
            word = {"∧": "and", "∨": "or", "↔": "if and only if"}[operator]
            parts = [_part(left, locals_)]
            while operator != "↔" and isinstance(right, Infix) and right.operator == operator:
                parts.append(_part(right.left, locals_))
                right = right.right
            parts.append(_part(right, locals_))
            return f" {word} ".join(parts) if len(parts) == 2 else join(parts, word)
        case Infix("→", left, right):
            if _closed(left) and _closed(right):
                return f"{_part(left, locals_)} implies {_part(right, locals_)}"
            plain = isinstance(left, Infix) and left.operator in ("∧", "∨") and _closed(left.left)
            premise = _words(left, locals_) if plain else _part(left, locals_)
            return f"if {premise}, then {_words(right, locals_)}"
        case Prefix("¬", Binder("∃", (name,), type_, body)):
            inner = locals_ | {name}
            noun = _singular(type_, locals_)
            return f"there is no {noun + ' ' if noun else ''}{name} with {_words(body, inner)}"
        case Prefix("¬", Infix("∣", left, right)):
            return f"{_symbols(left, locals_, 51)} does not divide {_symbols(right, locals_, 51)}"
        case Prefix("¬", Infix(operator, _, _) as inner_) if operator in _RELATIONS:
            return f"it is false that {_words(inner_, locals_)}"
        case Prefix("¬", inner_):
            return f"not {_part(inner_, locals_)}"
        case Binder("∀", names, type_, body):
            body_words = _words(body, locals_ | set(names))
            noun_ = _noun(type_, locals_) if type_ is not None else None
            if type_ is not None and noun_ is None:
                raise Unreadable("a type without a noun")
            if len(names) == 1:
                singular = noun_[0].split(" ", 1)[1] + " " if noun_ else ""
                return f"for every {singular}{names[0]}, {body_words}"
            return f"for all {noun_[1] + ' ' if noun_ else ''}{join(names)}, {body_words}"
        case Binder("∃", names, type_, body):
            body_words = _words(body, locals_ | set(names))
            noun = _singular(type_, locals_)
            if len(names) == 1:
                such = "with" if _closed(body) else "such that"
                return f"there is some {noun + ' ' if noun else ''}{names[0]} {such} {body_words}"
            raise Unreadable("several witnesses at once")
        case Infix("∣", left, right):
            return f"{_symbols(left, locals_, 51)} divides {_symbols(right, locals_, 51)}"
        case Infix("∈", left, right):
            return f"{_symbols(left, locals_, 51)} is in {_symbols(right, locals_, 51)}"
        case Infix("∉", left, right):
            return f"{_symbols(left, locals_, 51)} is not in {_symbols(right, locals_, 51)}"
    return _symbols(term, locals_, 0)


def _singular(type_: Term | None, locals_: frozenset[str]) -> str:
    if type_ is None:
        return ""
    noun = _noun(type_, locals_)
    if noun is None:
        raise Unreadable("a type without a noun")
    return noun[0].split(" ", 1)[1]


def _closed(term: Term) -> bool:
    """Whether the words of a statement need no brackets inside another."""
    match term:
        case Infix(operator, _, _):
            return operator not in _CONNECTIVES
        case Prefix("¬", operand):
            return isinstance(operand, Name | Apply)
        case Binder():
            return False
    return True


def _part(term: Term, locals_: frozenset[str]) -> str:
    words = _words(term, locals_)
    return words if _closed(term) else f"({words})"


def _symbols(term: Term, locals_: frozenset[str], power: int) -> str:
    """A value in symbols, in brackets where it binds weaker than `power`."""
    match term:
        case Name(text):
            if text in locals_ or text in _CONSTANTS or text.isdigit():
                return text
            return quoted(text)
        case Apply(function, arguments):
            return f"{_head(function, locals_)}({', '.join(_symbols(a, locals_, 0) for a in arguments)})"
        case Field(subject, field) if field in _FIELDS and field not in locals_:
            return f"{field}({_symbols(subject, locals_, 0)})"
        case ListOf(items):
            return f"[{', '.join(_symbols(i, locals_, 0) for i in items)}]"
        case Prefix("-" | "!" | "↑" as operator, operand):
            inside = _symbols(operand, locals_, 76 if operator == "-" else 1024)
            return _bracketed(f"{operator}{inside}", 75, power)
        case Binder("fun", names, _, body):
            inner = _symbols(body, locals_ | set(names), 0)
            return _bracketed(f"{' '.join(names)} ↦ {inner}", 5, power)
        case Infix("%", left, right):
            return _bracketed(f"{_symbols(left, locals_, 71)} mod {_symbols(right, locals_, 71)}", 64, power)
        case Infix(operator, left, right) if operator in _POWER:
            own = _POWER[operator]
            right_side = own if operator in ("::", "^") else own + 1
            left_side = own + 1 if operator in ("::", "^") or own == 50 else own
            space = "" if operator == "^" else " "
            return _bracketed(
                f"{_symbols(left, locals_, left_side)}{space}{operator}{space}"
                f"{_symbols(right, locals_, right_side)}",
                own,
                power,
            )
        case Infix() | Binder() | Prefix("¬", _):
            return f"({_words(term, locals_)})"
    raise Unreadable("no symbol for this term")


def _head(function: Term, locals_: frozenset[str]) -> str:
    match function:
        case Name(text) if text in locals_:
            return text
        case Name(text) if text in _FUNCTIONS and _FUNCTIONS[text] not in locals_:
            return _FUNCTIONS[text]
    raise Unreadable("an unknown function")


def _bracketed(text: str, own: int, power: int) -> str:
    return f"({text})" if own < power else text
