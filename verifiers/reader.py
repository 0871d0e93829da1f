"""The parser's hold on its tokens, and what it knows of words and units."""

from fractions import Fraction

from .nodes import Node
from .tokens import Token, Unreadable, names
from .units import UNITS

MAX_DEPTH = 120
MAX_NODES = 1500

FUNCTIONS = names(
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh coth asin acos atan exp ln log lg "
    "sqrt cbrt abs floor ceil gcd lcm max min binom det sgn arcsinh arccosh arctanh"
)
GREEK_LETTERS = names(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma "
    "tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell hbar"
)
_MONEY = {"€": "euro", "£": "sterling"}
SEPARATORS = frozenset({",", ";"})
JOINERS = frozenset({"and", "or"})


class Reader:
    """A position in a list of tokens; counts the nodes it makes and refuses too many."""

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

    def previous(self) -> str:
        return self.tokens[self.at - 1].text if self.at else ""

    def word_is(self, word: str) -> bool:
        token = self.peek()
        return (
            token is not None and token.kind == "word" and token.text == word and token.space and self.at > 0
        )

    def separator(self) -> bool:
        """Skip commas, semicolons, "and", "or" in any mixture; whether there were any."""
        start = self.at
        while token := self.peek():
            word = token.text.strip(" ,;\n").lower() if token.kind in ("text", "word") else ""
            if (
                token.text in SEPARATORS
                or token.text.strip() in SEPARATORS
                or word in JOINERS
                or (token.kind != "word" and token.text in ("\\lor", "\\vee", "\\land", "\\wedge"))
            ):
                self.at += 1
            else:
                break
        return self.at > start

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

    def unit_ahead(self) -> bool:
        token = self.peek()
        if token is None or token.kind not in ("word", "text"):
            return False
        if token.kind == "text":
            return True
        if token.text in FUNCTIONS and token.text in UNITS:  # minutes and seconds
            after = self.peek(1)
            return after is None or after.text in ("/", ".", *SEPARATORS, *JOINERS)
        if token.text in FUNCTIONS or token.text in GREEK_LETTERS or token.text.lower() in ("pi", "infinity"):
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
                if name.lower() in JOINERS or name in SEPARATORS:
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
