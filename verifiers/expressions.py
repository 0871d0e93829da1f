"""Answers as trees: a bounded recursive-descent parser for LaTeX and plain notation. It evaluates nothing."""

from fractions import Fraction

from .atoms import Atoms
from .nodes import Node, neg, num
from .reader import JOINERS, MAX_DEPTH, SEPARATORS
from .tokens import Token, Unreadable, clean, tokenize

__all__ = ["Node", "Unreadable", "parse"]

_RELATIONS = {
    "=": "=", "==": "=", "\\equiv": "=", "<": "<", "\\lt": "<", ">": ">", "\\gt": ">", "<=": "<=",
    "\\le": "<=", "\\leq": "<=", "\\leqslant": "<=", ">=": ">=", "\\ge": ">=", "\\geq": ">=",
    "\\geqslant": ">=", "!=": "!=", "\\ne": "!=", "\\neq": "!=", "\\approx": "~", "\\sim": "~",
    "\\simeq": "~", "\\in": "in", ":": ":", "\\Rightarrow": "=>", "\\to": "=>", "=>": "=>",
    "\\implies": "=>",
}  # fmt: skip
_ENDS = frozenset(
    {")", "]", "}", "\\}", "\\rangle", "\\rvert", "\\rceil", "\\rfloor", "|", "\\mid", "&", "\\\\", "\\end"}
)


def parse(text: str, grouping: bool = True) -> Node:
    """The tree of an answer. Raises Unreadable for what the grammar does not cover or the bounds exclude."""
    try:
        return _Parser(tokenize(clean(text), grouping)).answer()
    except RecursionError as e:
        raise Unreadable("nested too deeply") from e


class _Parser(Atoms):
    """Answers: lists of relations of sums of products."""

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
        while self.next_is("\\cup", "\\cap", "\\setminus", "\\bigcup") or self.word_is("U"):
            op = {"\\cap": "inter", "\\setminus": "minus"}.get(self.take().text, "union")
            result = self.make(op, (result, self.term()))
        self.depth -= 1
        return result

    def term(self) -> Node:
        factors: list[Node] = [self.factor()]
        while (token := self.peek()) is not None:
            if token.kind == "text":
                if token.text.strip(" ,;").lower() in JOINERS or token.text.strip() in SEPARATORS:
                    break
                return self.with_unit(factors)
            if token.text in ("\\times", "\\cdot", "*", "\\ast"):
                self.at += 1
                if self.next_is("*"):
                    raise Unreadable("unexpected '*'")
                factors.append(self.signed())
            elif token.text in ("/", "\\div"):
                self.at += 1
                if self.unit_ahead() and self.previous() == "/" and factors:
                    self.at -= 1
                    return self.with_unit(factors)
                factors.append(self.make("pow", (self.signed(), num(-1))))
            elif token.text in ("\\bmod", "\\mod", "\\pmod"):
                raise Unreadable("modulus")
            elif token.kind == "word":
                if token.text.lower() in JOINERS:
                    break
                if token.text == "U" and token.space:
                    break
                if token.text.startswith("or") and "=" in {t.text for t in self.tokens[self.at :]}:
                    self.tokens[self.at : self.at + 1] = [Token("word", "or"), Token("word", token.text[2:])]
                    break
                if self.unit_ahead():
                    return self.with_unit(factors)
                factors.append(self.factor())
            elif (
                token.text in _ENDS
                or token.text in _RELATIONS
                or token.text in ("+", "-", "\\pm", "\\mp")
                or token.text in SEPARATORS
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
            plain = slash.text == "/" and top.space and bottom.text.isdigit() and top.text.isdigit()
            if plain and whole.denominator == 1 and int(bottom.text):
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
        if whole.op != "num" or Fraction(whole.value).denominator != 1 or self.previous() in ("}", ")"):
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
            return neg(self.factor())
        if self.next_is("+"):
            self.at += 1
        return self.factor()
