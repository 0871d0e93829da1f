"""What stands between the signs of a formula: numbers, symbols, brackets, functions, fractions, matrices."""

import re
from abc import abstractmethod
from fractions import Fraction

from .nodes import Node, neg, num
from .reader import FUNCTIONS, GREEK_LETTERS, MAX_DEPTH, Reader
from .tokens import MAX_DIGITS, Token, Unreadable

_CLOSERS = {"\\lfloor": "\\rfloor", "\\lceil": "\\rceil", "\\lvert": "\\rvert"}
# Decorations that change nothing about a value or a name.
_IGNORED = frozenset(
    "\\" + name
    for name in (
        "therefore", "because", "ldots", "angle", "triangle", "overline", "underline", "bar", "vec", "hat",
        "tilde", "mathring", "overrightarrow", "boxed", "fbox",
    )
)  # fmt: skip

_LETTERED = re.compile(r"[0-9A-Z]+")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASES = frozenset(map(str, range(11, 37)))
MAX_LETTERED = 60


class Atoms(Reader):
    """One factor of a product, with its powers, subscripts and signs of percent."""

    @abstractmethod
    def items(self) -> list[Node]: ...

    @abstractmethod
    def item(self) -> Node: ...

    @abstractmethod
    def sum(self) -> Node: ...

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

    def lettered(self) -> Node | None:
        """`1A_{16}`: a number whose digits are letters too; None where there is none."""
        end, written = self.at, ""
        while (token := self.peek(end - self.at)) and (end == self.at or not token.space):
            if token.kind not in ("number", "word") or not _LETTERED.fullmatch(token.text):
                break
            written += token.text
            end += 1
        after = [token.text for token in self.tokens[end : end + 4]]
        digits = after[1:2] if after[:1] == ["_"] and after[1:2] != ["{"] else after[2:3]
        if after[:1] != ["_"] or not 2 <= len(written) <= MAX_LETTERED or written.isdigit():
            return None
        if digits == after[2:3] and after[3:] != ["}"]:
            return None
        if not digits or digits[0] not in _BASES or max(written) > _DIGITS[int(digits[0]) - 1]:
            return None
        self.at = end + (2 if after[1] != "{" else 4)
        return self.make("based", (num(int(written, int(digits[0]))),), digits[0])

    def base(self) -> Node:
        if (node := self.lettered()) is not None:
            return node
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
        if name in GREEK_LETTERS:
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
        if name in GREEK_LETTERS:
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
        if self.next_is("("):  # `sin(x)^2` is the square of a sine, `sin(30)^\circ` the sine of an angle
            node, power = self.base(), self.at
            if self.next_is("^"):
                self.at += 1
                if self._degree():
                    return self.make("degree", (node,))
                self.at = power
            return node
        if self.next_is("{", "[", "\\{"):
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
            if not (plain or (token.kind == "command" and (name in GREEK_LETTERS or name in ("pi", "frac")))):
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
