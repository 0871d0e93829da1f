"""Answers as trees: a bounded recursive-descent parser for LaTeX and plain notation. It evaluates nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from .tokens import MAX_DIGITS, Token, Unreadable, clean, names, tokenize
from .units import UNITS

MAX_DEPTH = 60
MAX_NODES = 1500


@dataclass(frozen=True, slots=True)
class Node:
    """`op` with its arguments; `value` is a number's value, a symbol's or function's name, a bracket pair.

    Scalars: num, sym, const, add, mul, pow, fn, pm (±), mp (∓), percent, degree, based.
    Answers: unit, text, list, tuple, set, union, inter, minus, matrix, chain (relations), in.
    """

    op: str
    args: tuple["Node", ...] = ()
    value: str | Fraction = ""

    def walk(self) -> Iterator["Node"]:
        todo = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(node.args)


FUNCTIONS = names(
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth asin acos atan exp ln log lg sqrt "
    "cbrt abs floor ceil gcd lcm max min binom det sgn arcsinh arccosh arctanh"
)
_UNARY = FUNCTIONS - {"sqrt", "cbrt", "abs", "floor", "ceil", "gcd", "lcm", "max", "min", "binom", "log"}
_RELATIONS = {
    "=": "=", "==": "=", "\\equiv": "=", "<": "<", "\\lt": "<", ">": ">", "\\gt": ">", "<=": "<=", "\\le": "<=",
    "\\leq": "<=", "\\leqslant": "<=", ">=": ">=", "\\ge": ">=", "\\geq": ">=", "\\geqslant": ">=", "!=": "!=",
    "\\ne": "!=", "\\neq": "!=", "\\approx": "~", "\\sim": "~", "\\simeq": "~", "\\in": "in", ":": ":",
    "\\Rightarrow": "=>", "\\to": "=>", "=>": "=>", "\\implies": "=>",
}  # fmt: skip
_GREEK_LETTERS = names(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell hbar"
)
_CLOSERS = {"(": ")", "[": "]", "\\{": "\\}", "\\langle": "\\rangle", "\\lvert": "\\rvert", "\\lceil": "\\rceil",
            "\\lfloor": "\\rfloor", "{": "}"}  # fmt: skip
_ENDS = frozenset(
    {")", "]", "}", "\\}", "\\rangle", "\\rvert", "\\rceil", "\\rfloor", "|", "\\mid", "&", "\\\\", "\\end"}
)
_IGNORED = frozenset({"\\therefore", "\\ldots", "\\angle", "\\triangle", "\\because", "\\overline", "\\vec", "\\hat",
                      "\\overrightarrow", "\\tilde", "\\bar", "\\underline", "\\boxed", "\\fbox", "\\mathring"})  # fmt: skip
_MONEY = {"€": "euro", "£": "sterling"}
_SEPARATORS = frozenset({",", ";"})
_JOINERS = frozenset({"and", "or"})


def parse(text: str, grouping: bool = True) -> Node:
    """The tree of an answer. Raises Unreadable for what the grammar does not cover or the bounds exclude."""
    try:
        return _Parser(tokenize(clean(text), grouping)).answer()
    except RecursionError as e:
        raise Unreadable("nested too deeply") from e


def num(value: int | Fraction) -> Node:
    return Node("num", value=Fraction(value))


def neg(node: Node) -> Node:
    return (
        num(-node.value)
        if isinstance(node.value, Fraction) and node.op == "num"
        else Node("mul", (num(-1), node))
    )


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        # A dollar sign without a partner, or escaped, is money; pairs delimit formulas.
        money = sum(t.text == "$" for t in tokens) % 2 or any(t.text == "\\$" for t in tokens)
        self.currency = "dollar" if money else next((_MONEY[t.text] for t in tokens if t.text in _MONEY), "")
        self.tokens = [t for t in tokens if t.text not in ("$", "\\$", *_MONEY)]
        if len(self.tokens) > MAX_NODES:
            raise Unreadable("too long")
        self.at, self.depth, self.nodes, self.bars = 0, 0, 0, 0

    def peek(self, ahead: int = 0) -> Token | None:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None

    def next_is(self, *texts: str) -> bool:
        token = self.peek()
        return token is not None and token.kind != "text" and token.text in texts

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise Unreadable("ends too early")
        self.at += 1
        return token

    def expect(self, text: str) -> None:
        if not self.next_is(text):
            raise Unreadable(f"expected {text}")
        self.at += 1

    def make(self, op: str, args: tuple[Node, ...] = (), value: str | Fraction = "") -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Unreadable("too many parts")
        return Node(op, args, value)

    def answer(self) -> Node:
        while self.tokens and self.tokens[-1].text in (".", ",", ";", "\\", "\\\\", "!" * 2, ":"):
            self.tokens.pop()
        if not self.tokens:
            raise Unreadable("empty")
        items = self.items()
        if self.at < len(self.tokens):
            raise Unreadable(f"unexpected {self.tokens[self.at].text!r}")
        return items[0] if len(items) == 1 else self.make("list", tuple(items))

    def items(self) -> list[Node]:
        out = [self.item()]
        while self.separator():
            if (token := self.peek()) is None or token.text in _ENDS:
                break
            out.append(self.item())
        return out

    def separator(self) -> bool:
        """Skip commas, semicolons, "and", "or" in any mixture; whether there were any."""
        start = self.at
        while token := self.peek():
            word = token.text.strip(" ,;\n").lower() if token.kind in ("text", "word") else ""
            if (
                token.text in _SEPARATORS
                or token.text.strip() in _SEPARATORS
                or word in _JOINERS
                or (token.kind != "word" and token.text in ("\\lor", "\\vee", "\\land", "\\wedge"))
            ):
                self.at += 1
            else:
                break
        return self.at > start

    def item(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        start = self.at
        try:
            first = self.sum()
        except Unreadable:
            if (words := self.words(start)) is None:
                raise
            first = words
        operands, relations = [first], []
        while (token := self.peek()) and token.kind != "text" and token.text in _RELATIONS:
            self.at += 1
            relations.append(_RELATIONS[token.text])
            operands.append(self.sum())
        self.depth -= 1
        if not relations:
            return first
        return self.make("chain", tuple(operands), " ".join(relations))

    def words(self, start: int) -> Node | None:
        """From `start` to the next separator as text, if words are all there is."""
        self.at, out = start, []
        while (token := self.peek()) and not (
            token.kind == "symbol" and token.text in (",", ";", ")", "]", "}")
        ):
            if token.kind not in ("text", "word") and token.text not in ("-", "'", ".", "(", ":", "/", "\\&"):
                return None
            out.append((" " if token.space else "") + token.text)
            self.at += 1
        text = "".join(out).strip()
        return self.make("text", value=text) if any(c.isalpha() for c in text) else None

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        terms: list[Node] = []
        while True:
            sign = self.sign()
            if not sign and terms:
                break
            term = self.term()
            if sign in ("\\pm", "\\mp"):
                terms = terms or [num(0)]
                term = self.make("pm" if sign == "\\pm" else "mp", (term,))
            terms.append(neg(term) if sign == "-" else term)
        result = terms[0] if len(terms) == 1 else self.make("add", tuple(terms))
        while self.next_is("\\cup", "\\cap", "\\setminus", "\\bigcup") or self._word_is("U"):
            op = {"\\cap": "inter", "\\setminus": "minus"}.get(self.take().text, "union")
            result = self.make(op, (result, self.term()))
        self.depth -= 1
        return result

    def sign(self) -> str:
        """The sign that the signs ahead make together; empty where there is none."""
        sign = ""
        while self.next_is("+", "-", "\\pm", "\\mp"):
            text = self.take().text
            if sign.startswith("\\") or text.startswith("\\"):
                sign = text if text.startswith("\\") else sign
            else:
                sign = "-" if (text == "-") != (sign == "-") else "+"
        return sign

    def _previous(self) -> str:
        return self.tokens[self.at - 1].text if self.at else ""

    def _word_is(self, word: str) -> bool:
        token = self.peek()
        return (
            token is not None and token.kind == "word" and token.text == word and token.space and self.at > 0
        )

    def term(self) -> Node:
        factors: list[Node] = [self.factor()]
        while (token := self.peek()) is not None:
            if token.kind == "text":
                if token.text.strip(" ,;").lower() in _JOINERS or token.text.strip() in _SEPARATORS:
                    break
                return self.with_unit(factors)
            if token.text in ("\\times", "\\cdot", "*", "\\ast"):
                self.at += 1
                if self.next_is("*"):
                    raise Unreadable("unexpected '*'")
                factors.append(self.signed())
            elif token.text in ("/", "\\div"):
                self.at += 1
                if self._unit_ahead() and self._previous() == "/" and factors:
                    self.at -= 1
                    return self.with_unit(factors)
                factors.append(self.make("pow", (self.signed(), num(-1))))
            elif token.text in ("\\bmod", "\\mod", "\\pmod"):
                raise Unreadable("modulus")
            elif token.kind == "word":
                if token.text.lower() in _JOINERS:
                    break
                if token.text == "U" and token.space:
                    break
                if token.text.startswith("or") and "=" in {t.text for t in self.tokens[self.at :]}:
                    self.tokens[self.at : self.at + 1] = [Token("word", "or"), Token("word", token.text[2:])]
                    break
                if self._unit_ahead():
                    return self.with_unit(factors)
                factors.append(self.factor())
            elif (
                token.text in _ENDS
                or token.text in _RELATIONS
                or token.text in ("+", "-", "\\pm", "\\mp")
                or token.text in _SEPARATORS
                or token.text
                in ("\\cup", "\\cap", "\\setminus", "\\lor", "\\vee", "\\land", "\\wedge", "\\bigcup")
            ):
                break
            elif token.kind == "number":
                factors = self.number_after(factors)
            elif token.text == "." or token.text == "\\$":
                raise Unreadable("unexpected '.'")
            else:
                factors.append(self._mixed(factors) or self.factor())
        product = factors[0] if len(factors) == 1 else self.make("mul", tuple(factors))
        return self.make("unit", (product,), self.currency) if self.currency and self.depth <= 2 else product

    def number_after(self, factors: list[Node]) -> list[Node]:
        """A number right behind a factor: `1 1/2` is mixed, `x2` a product; two bare numbers are neither."""
        last = factors[-1]
        top, slash, bottom = self.peek(), self.peek(1), self.peek(2)
        if last.op == "num" and top and slash and bottom:
            whole = Fraction(last.value)
            if slash.text == "/" and top.space and bottom.text.isdigit() and top.text.isdigit():
                if whole.denominator == 1 and len(bottom.text) < MAX_DIGITS and int(bottom.text):
                    self.at += 3
                    return [*factors[:-1], num(whole + Fraction(int(top.text), int(bottom.text)))]
        if last.op == "num" or (last.op == "pow" and last.args[0].op == "num"):
            raise Unreadable("two numbers side by side")
        return [*factors, self.factor()]

    def _mixed(self, factors: list[Node]) -> Node | None:
        """`2\\frac{1}{2}` is two and a half: the sum replaces the number before."""
        if not self.next_is("\\frac", "\\dfrac", "\\tfrac", "\\cfrac") or len(factors) != 1:
            return None
        whole = factors[0]
        if whole.op != "num" or Fraction(whole.value).denominator != 1 or self._previous() in ("}", ")"):
            return None
        start = self.at
        fraction = self.factor()
        if fraction.op == "mul" and len(fraction.args) == 2 and fraction.args[0].op == "num":
            bottom = fraction.args[1]
            if bottom.op == "pow" and bottom.args[0].op == "num" and bottom.args[0].value:
                top = Fraction(fraction.args[0].value)
                if 0 < top < Fraction(bottom.args[0].value):
                    del factors[0]
                    return num(Fraction(whole.value) + top / Fraction(bottom.args[0].value))
        self.at = start
        return None

    def signed(self) -> Node:
        if self.next_is("-"):
            self.at += 1
            return neg(self.signed_inner())
        if self.next_is("+"):
            self.at += 1
        return self.factor()

    def signed_inner(self) -> Node:
        return self.factor()

    def _unit_ahead(self) -> bool:
        token = self.peek()
        if token is None or token.kind not in ("word", "text"):
            return False
        if token.kind == "text":
            return True
        if (
            token.text in FUNCTIONS
            or token.text in _GREEK_LETTERS
            or token.text.lower() in ("pi", "infinity")
        ):
            return False
        rest = self.tokens[self.at :]
        closed = all(t.kind in ("word", "text", "number") or t.text in "^/.*" for t in rest)
        known = token.text in UNITS or token.text.lower() in UNITS
        return closed and ((known and (token.space or len(token.text) > 1)) or len(token.text) > 3)

    def with_unit(self, factors: list[Node]) -> Node:
        """What is left of the item names a unit."""
        words: list[str] = []
        while (token := self.peek()) is not None:
            name = token.text.strip()
            if token.kind in ("text", "word"):
                if name.lower() in _JOINERS or name in _SEPARATORS:
                    break
                words.append(name)
            elif name in ("^", "/", "\\cdot", "(", ")", "{", "}", "-", "²") or token.kind == "number":
                if name == ")" and "(" not in words:
                    break
                words.append(name)
            elif name == ".":
                pass
            else:
                break
            self.at += 1
        product = factors[0] if len(factors) == 1 else self.make("mul", tuple(factors))
        unit = " ".join(words)
        return self.make("unit", (product,), unit if not self.currency else f"{self.currency} {unit}")

    def factor(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
        node = self.postfix(self.base())
        self.depth -= 1
        return node

    def postfix(self, node: Node) -> Node:
        while (token := self.peek()) is not None and token.kind != "text":
            if token.text in ("^", "**"):
                self.at += 1
                if self._degree():
                    node = self.make("degree", (node,))
                elif self.next_is("\\prime", "'"):
                    self.at += 1
                    node = self.make("sym", value=f"{node.value}'")
                else:
                    node = self.make("pow", (node, self.script()))
            elif token.text == "!":
                if (after := self.peek(1)) and after.text == "=":
                    break
                self.at += 1
                node = self.make("fn", (node,), "factorial")
            elif token.text in ("\\%", "%"):
                self.at += 1
                node = self.make("percent", (node,))
            elif token.text in ("\\degree", "\\circ"):
                self.at += 1
                node = self.make("degree", (node,))
            elif token.text == "_" and node.op == "num":
                self.at += 1
                node = self.based(node)
            elif token.text == "_" and node.op == "pow" and node.args[0].op == "sym":
                node = self.make("pow", (self.symbol(str(node.args[0].value)), node.args[1]))
            elif token.text == "'" and node.op == "sym":
                self.at += 1
                node = self.make("sym", value=f"{node.value}'")
            else:
                break
        return node

    def _degree(self) -> bool:
        for length, pattern in ((1, ("\\circ",)), (3, ("{", "\\circ", "}")), (1, ("\\degree",)), (1, ("o",))):
            if tuple(t.text for t in self.tokens[self.at : self.at + length]) == pattern:
                self.at += length
                return True
        return False

    def based(self, digits: Node) -> Node:
        """`1011_2`: a number in another base; its digits must be digits there."""
        base = self.script()
        if base.op != "num" or not 2 <= Fraction(base.value) <= 36 or Fraction(base.value).denominator != 1:
            raise Unreadable("subscript of a number that is no base")
        written = self._digits(digits)
        try:
            return self.make("based", (num(int(written, int(Fraction(base.value)))),), str(base.value))
        except ValueError as e:
            raise Unreadable("not a number in that base") from e

    def _digits(self, node: Node) -> str:
        value = Fraction(node.value)
        if value.denominator != 1 or value < 0:
            raise Unreadable("not a whole number in a base")
        return str(value)

    def script(self) -> Node:
        """What `^` or `_` applies to: a group, or one token (one digit of a number)."""
        token = self.peek()
        if token is None:
            raise Unreadable("ends too early")
        if token.text == "{":
            return self.base()
        if token.kind == "word" and len(token.text) > 1 and token.text not in FUNCTIONS:
            self.tokens[self.at : self.at + 1] = [Token("word", c) for c in token.text]
        if token.text in ("-", "+"):
            self.at += 1
            inner = self.script()
            return neg(inner) if token.text == "-" else inner
        node = self.base()
        while self.next_is("!"):
            self.at += 1
            node = self.make("fn", (node,), "factorial")
        return node

    def base(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return self.make("num", value=_number(token.text))
        if token.kind == "text":
            return self.texted(token)
        if token.kind == "word":
            return self.word(token)
        text = token.text
        if text in ("(", "[", "\\{", "\\langle", "{"):
            return self.bracketed(text)
        if text in ("|", "\\lvert", "\\mid", "\\vert"):
            return self.absolute(text)
        if text in ("\\lfloor", "\\lceil"):
            inner = self.sum()
            self.expect(_CLOSERS[text])
            return self.make("fn", (inner,), "floor" if text == "\\lfloor" else "ceil")
        if text == "\\begin":
            return self.matrix()
        if text in _IGNORED:
            return self.factor()
        if text.startswith("\\"):
            return self.command(text[1:])
        raise Unreadable(f"unexpected {text!r}")

    def texted(self, token: Token) -> Node:
        name = token.text.strip()
        if name in FUNCTIONS:
            return self.function(name)
        if len(name) == 1 and name.isalpha():
            return self.symbol(name)
        if name.isdigit() and len(name) < MAX_DIGITS:
            return num(int(name))
        self.at -= 1
        if (words := self.words(self.at)) is None:
            raise Unreadable("words inside a formula")
        return words

    def word(self, token: Token) -> Node:
        name = token.text
        if name in FUNCTIONS:
            return self.function(name)
        if name.lower() in ("pi", "infinity", "inf", "oo"):
            return self.make("const", value="pi" if name.lower() == "pi" else "infinity")
        if name in _GREEK_LETTERS:
            return self.symbol(name)
        if len(name) == 1:
            return self.symbol(name)
        for known in ("sqrt", "sin", "cos", "tan", "log", "ln", "pi"):
            if (name.startswith(known) and len(name) > len(known)) or (
                name.endswith(known) and len(name) <= len(known) + 2
            ):
                cut = len(known) if name.startswith(known) else len(name) - len(known)
                pieces = [Token("word", name[:cut]), Token("word", name[cut:])]
                self.at -= 1
                self.tokens[self.at : self.at + 1] = pieces
                return self.base()
        if len(name) > 3:
            raise Unreadable("words inside a formula")
        self.at -= 1
        self.tokens[self.at : self.at + 1] = [Token("word", c) for c in name]
        return self.word(self.take())

    def symbol(self, name: str) -> Node:
        if name in ("e", "i") and not self.next_is("_"):
            return self.make("const", value=name)
        if self.next_is("_"):
            self.at += 1
            start = self.at
            self.script()
            name += "_" + "".join(t.text.strip() for t in self.tokens[start : self.at] if t.text not in "{}")
        return self.make("sym", value=name)

    def bracketed(self, opener: str) -> Node:
        closers = {"(": (")", "]"), "[": ("]", ")"), "\\{": ("\\}",), "\\langle": ("\\rangle",), "{": ("}",)}[
            opener
        ]
        if self.next_is(*closers):
            closer = self.take().text
            if opener == "{":
                raise Unreadable("empty group")
            return self.make("set" if opener == "\\{" else "tuple", (), opener + closer)
        depth, self.depth = self.depth, max(self.depth, 3)
        items = self.items()
        self.depth = depth
        if opener == "\\{" and self.next_is("|", "\\mid", ":"):
            raise Unreadable("a set given by a condition")
        if not self.next_is(*closers):
            raise Unreadable(f"no end to {opener}")
        closer = self.take().text
        if opener == "\\{":
            return self.make("set", tuple(items))
        if len(items) == 1 and (opener, closer) in (("(", ")"), ("{", "}"), ("[", "]")):
            return items[0] if opener != "[" else self.make("tuple", tuple(items), "[]")
        if opener == "{":
            return self.make("list", tuple(items))
        brackets = "()" if opener == "\\langle" else opener + closer
        return self.make("tuple", tuple(items), brackets)

    def absolute(self, opener: str) -> Node:
        inner = self.sum()
        self.expect({"\\lvert": "\\rvert"}.get(opener, opener))
        return self.make("fn", (inner,), "abs")

    def group(self) -> Node:
        """A braced argument, or the single token that stands for one (`\\frac34`)."""
        token = self.peek()
        if token is None:
            raise Unreadable("ends too early")
        if token.text == "{":
            return self.base()
        if token.kind == "number" and len(token.text) > 1 and token.text.isdigit():
            self.tokens[self.at : self.at + 1] = [
                Token("number", token.text[0]),
                Token("number", token.text[1:], space=False),
            ]
        elif token.kind == "word" and len(token.text) > 1:
            self.tokens[self.at : self.at + 1] = [Token("word", token.text[0]), Token("word", token.text[1:])]
        return self.base()

    def command(self, name: str) -> Node:
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            top, bottom = self.group(), self.group()
            return self.make("mul", (top, self.make("pow", (bottom, num(-1)))))
        if name in ("binom", "dbinom", "tbinom"):
            return self.make("fn", (self.group(), self.group()), "binom")
        if name in FUNCTIONS:
            return self.function(name)
        if name == "pi":
            return self.make("const", value="pi")
        if name in ("infty", "infinity"):
            return self.make("const", value="infinity")
        if name in ("emptyset", "varnothing"):
            return self.make("set")
        if name == "mathbb":
            inside = self.group()
            return self.make("text", value=f"set {inside.value}")
        if name in _GREEK_LETTERS:
            return self.symbol(name)
        if name in ("lbrace", "lbrack"):
            return self.bracketed("\\{" if name == "lbrace" else "[")
        raise Unreadable(f"unknown command \\{name}")

    def function(self, name: str) -> Node:
        if name == "sqrt":
            order: Node = num(2)
            if self.next_is("["):
                self.at += 1
                order = self.sum()
                self.expect("]")
            return self.make("fn", (self.group(), order), "root")
        if name == "cbrt":
            return self.make("fn", (self.group(), num(3)), "root")
        base: Node | None = None
        power: Node | None = None
        while self.next_is("_", "^"):
            if self.take().text == "_":
                base = self.script()
            else:
                power = self.script()
        if name in ("max", "min", "gcd", "lcm", "abs", "floor", "ceil", "binom", "det") and not self.next_is(
            "("
        ):
            raise Unreadable(f"{name} without brackets")
        argument = self.argument()
        args = (
            argument.args
            if argument.op == "tuple" and name in ("max", "min", "gcd", "lcm", "binom")
            else (argument,)
        )
        if (
            power is not None
            and power.op == "num"
            and power.value == -1
            and name in ("sin", "cos", "tan", "cot")
        ):
            name, power = f"arc{name}", None
        if name == "log" and base is not None:
            args = (argument, base)
        node = self.make("fn", args, {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name))
        return self.make("pow", (node, power)) if power is not None else node

    def argument(self) -> Node:
        """A function's argument: brackets, or the product that follows up to a sign or another function."""
        if self.next_is("(", "{", "[", "\\{"):
            return self.factor()
        if self.next_is("-"):
            self.at += 1
            return neg(self.argument())
        factors = [self.factor()]
        while (token := self.peek()) is not None and token.kind != "text":
            name = token.text.lstrip("\\")
            plain = token.kind == "number" or (
                token.kind == "word" and token.text not in FUNCTIONS and len(name) == 1
            )
            if not (
                plain or (token.kind == "command" and (name in _GREEK_LETTERS or name in ("pi", "frac")))
            ):
                break
            factors.append(self.factor())
        return factors[0] if len(factors) == 1 else self.make("mul", tuple(factors))

    def matrix(self) -> Node:
        self.expect("{")
        kind = self.take().text
        self.expect("}")
        if kind == "array" and self.next_is("{"):
            while self.take().text != "}":
                pass
        if not (kind.endswith("matrix") or kind in ("array", "cases", "aligned")) or kind == "cases":
            raise Unreadable(f"unknown environment {kind}")
        rows: list[Node] = []
        while True:
            cells: list[Node] = []
            while not self.next_is("\\\\", "\\end"):
                cells.append(self.item())
                if not self.next_is("&"):
                    break
                self.at += 1
            if cells:
                rows.append(self.make("row", tuple(cells)))
            if not self.next_is("\\\\"):
                break
            self.at += 1
        for text in ("\\end", "{", kind, "}"):
            self.expect(text)
        if kind == "vmatrix":
            return self.make("fn", (self.make("matrix", tuple(rows)),), "det")
        return self.make("matrix", tuple(rows))


def _number(text: str) -> Fraction:
    _mantissa, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent[:8])) > MAX_DIGITS:
        raise Unreadable("too large an exponent")
    return Fraction(text)
