"""Lean terms as Lean pretty-prints them, read into trees.

Reads the notation of propositional and first-order logic, arithmetic, lists and function application. What
it does not know raises `Unreadable`; callers then keep the text as it stands.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_LENGTH = 4000
MAX_DEPTH = 60


class Unreadable(Exception):
    """The text holds notation that this parser does not know."""


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier or a number, as it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class Apply:
    """`f a b`."""

    function: "Term"
    arguments: tuple["Term", ...]


@dataclass(frozen=True, slots=True)
class Infix:
    operator: str
    left: "Term"
    right: "Term"


@dataclass(frozen=True, slots=True)
class Prefix:
    """`¬p`, `-x`, `!b`, `↑n`."""

    operator: str
    operand: "Term"


@dataclass(frozen=True, slots=True)
class Field:
    """`xs.length`, where what stands before the dot is not a namespace."""

    subject: "Term"
    field: str


@dataclass(frozen=True, slots=True)
class Binder:
    """`∀ (x y : T), body`, `∃ x, body`, `fun x => body`; `kind` is "∀", "∃", "fun"; `type` may be missing."""

    kind: str
    names: tuple[str, ...]
    type: "Term | None"
    body: "Term"


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple["Term", ...]


Term = Name | Apply | Infix | Prefix | Field | Binder | ListOf

# Binding powers as in Lean's Prelude: (operator, power, associativity).
_INFIX: dict[str, tuple[int, str]] = {
    "↔": (20, "none"), "→": (25, "right"), "∨": (30, "right"), "∧": (35, "right"),
    "||": (30, "left"), "&&": (35, "left"),
    "=": (50, "none"), "≠": (50, "none"), "<": (50, "none"), "≤": (50, "none"), ">": (50, "none"),
    "≥": (50, "none"), "∣": (50, "none"), "∈": (50, "none"), "∉": (50, "none"), "==": (50, "none"),
    "!=": (50, "none"),
    "++": (65, "left"), "+": (65, "left"), "-": (65, "left"), "::": (67, "right"),
    "*": (70, "left"), "/": (70, "left"), "%": (70, "left"), "^": (75, "right"), "∘": (90, "right"),
}  # fmt: skip
_PREFIX = {"¬": 40, "-": 75, "!": 40, "↑": 1024}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+)(?![\w.])"
    r"|(?P<name>@?[A-Za-z_α-ωΑ-Ωℕℤℚℝℂ?][\w'✝!?₀-₉⁰¹²³]*(?:\.[A-Za-z_α-ω][\w'✝!?₀-₉]*)*✝?[⁰¹²³⁴-⁹]*)"
    r"|(?P<operator>=>|↔|→|∨|∧|¬|\|\||&&|==|!=|=|≠|<|≤|>|≥|∣|∈|∉|\+\+|\+|-|::|\*|/|%|\^|∘|!|↑|∀|∃|λ"
    r"|\.[A-Za-z_]\w*|[()\[\],:{}]))"
)
# `xs[i]` takes an entry, `f [i]` applies a function.
_INDEX = re.compile(r"[\w'!?✝)\]]\[")
_KEYWORDS = {"fun", "let", "have", "if", "then", "else", "match", "with", "do", "show", "by", "from", "in"}


@lru_cache(maxsize=4096)
def parse_term(text: str) -> Term:
    """A term from its text; raises Unreadable."""
    if len(text) > MAX_LENGTH:
        raise Unreadable("too long")
    parser = _Parser(_tokens(text))
    term = parser.expression(0)
    if parser.peek() != ("end", ""):
        raise Unreadable(parser.peek()[1])
    return term


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    text = text.rstrip()
    if _INDEX.search(text):
        raise Unreadable("an index")
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable(text[at : at + 20])
        kind = match.lastgroup or ""
        tokens.append((kind, match.group(kind)))
        # `(h x).left`, `n.succ` after a bracket: a field only where the dot follows at once.
        at = match.end()
    return [*tokens, ("end", "")]


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at]

    def take(self, expected: str | None = None) -> str:
        _, text = self.tokens[self.at]
        if expected is not None and text != expected:
            raise Unreadable(f"expected {expected}, found {text!r}")
        self.at += 1
        return text

    def expression(self, power: int) -> Term:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        left = self.operand()
        while True:
            _, text = self.peek()
            binding = _INFIX.get(text)
            if binding is None or binding[0] < power:
                break
            own, side = binding
            self.take()
            left = Infix(text, left, self.expression(own if side == "right" else own + 1))
            if side == "none" and _INFIX.get(self.peek()[1], (0, ""))[0] == own:
                raise Unreadable("chained relation")
        self.depth -= 1
        return left

    def operand(self) -> Term:
        kind, text = self.peek()
        if text in ("∀", "∃") or (kind == "name" and text == "fun") or text == "λ":
            return self.binder()
        if kind == "operator" and text in _PREFIX:
            self.take()
            return Prefix(text, self.expression(_PREFIX[text]))
        function = self.atom()
        arguments = []
        while self._starts_atom():
            arguments.append(self.atom())
        if self.peek()[1] in ("fun", "∀", "∃") and arguments:
            raise Unreadable("binder as a last argument")
        return Apply(function, tuple(arguments)) if arguments else function

    def _starts_atom(self) -> bool:
        kind, text = self.peek()
        return kind == "number" or (kind == "name" and text not in _KEYWORDS) or text in ("(", "[")

    def atom(self) -> Term:
        kind, text = self.peek()
        term: Term
        if kind in ("number", "name"):
            if text in _KEYWORDS:
                raise Unreadable(text)
            self.take()
            term = _name(text)
        elif text == "(":
            self.take()
            term = self.expression(0)
            self.take(")")
        elif text == "[":
            self.take()
            items = []
            while self.peek()[1] != "]":
                items.append(self.expression(0))
                if self.peek()[1] != "]":
                    self.take(",")
            self.take("]")
            term = ListOf(tuple(items))
        else:
            raise Unreadable(text)
        while self.peek()[1].startswith(".") and len(self.peek()[1]) > 1:
            term = Field(term, self.take()[1:])
        return term

    def binder(self) -> Term:
        kind = {"λ": "fun"}.get(self.peek()[1], self.peek()[1])
        self.take()
        groups: list[tuple[tuple[str, ...], Term | None]] = []
        bare: list[str] = []
        while True:
            token, text = self.peek()
            if token == "name" and text not in _KEYWORDS:
                bare.append(self.take())
            elif text in ("(", "{") and not bare:
                closing = {"(": ")", "{": "}"}[self.take()]
                names = []
                while self.peek()[0] == "name":
                    names.append(self.take())
                self.take(":")
                groups.append((tuple(names), self.expression(0)))
                self.take(closing)
            else:
                break
        if bare:
            type_ = None
            if self.peek()[1] == ":":
                self.take()
                type_ = self.expression(0)
            groups.append((tuple(bare), type_))
        self.take("=>" if kind == "fun" else ",")
        if not groups or not all(names for names, _ in groups):
            raise Unreadable("binder without names")
        body = self.expression(0)
        for names_, type_ in reversed(groups):
            body = Binder(kind, names_, type_, body)
        return body


def _name(text: str) -> Term:
    """A dotted name: fields of a variable (`xs.length`) or a constant of a namespace (`List.length`)."""
    first, *fields = text.split(".")
    if first[:1].isupper() or text.startswith(("@", "?")):
        return Name(text)
    term: Term = Name(first)
    for field in fields:
        term = Field(term, field)
    return term
