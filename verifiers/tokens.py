"""Answers as tokens: LaTeX, ASCII and Unicode spellings brought to one alphabet."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "command", "word", "symbol", "text"]

MAX_LENGTH = 2000
MAX_DIGITS = 400


class Unreadable(ValueError):
    """A text that the grammar of answers does not cover; the message says why."""


@dataclass(frozen=True, slots=True)
class Token:
    """`space` tells whether white space stands before it."""

    kind: Kind
    text: str
    space: bool = False


def names(text: str) -> frozenset[str]:
    """The words of a list written as a text."""
    return frozenset(text.split())


_UNICODE = {
    "−": "-", "–": "-", "—": "-", "﹣": "-", "×": r"\times ", "✕": r"\times ", "÷": "/", "∕": "/", "⁄": "/",
    "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "∗": "*", "√": r"\sqrt ", "∛": r"\sqrt[3]",
    "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "⩽": r"\le ", "⩾": r"\ge ",
    "°": r"^\circ ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ",
    "∅": r"\emptyset ", "′": "'", "π": r"\pi ", "∠": r"\angle ", "∖": r"\setminus ", "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "⟨": r"\langle ",
    "⟩": r"\rangle ", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "\ufeff": "", "\u00ad": "",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPT = str.maketrans("₀₁₂₃₄₅₆₇₈₉ₙ", "0123456789n")
_SUPER_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUB_RUN = re.compile("[₀₁₂₃₄₅₆₇₈₉ₙ]+")
_FRACTION = re.compile("(\\d?)([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])")

_DROPPED = re.compile(
    r"\\(?:left|right|bigl|bigr|Bigl|Bigr|biggl|biggr|big|Big|bigg|Bigg|displaystyle|textstyle|limits|nolimits|"
    r"quad|qquad|hfill|newline|boldsymbol|bm|mathbf|mathcal|mathsf|mathit|rm|bf|it)"
    r"(?![A-Za-z])\.?|\\[!,;: >]|~|&(?=[=<>])|\\nonumber"
)
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|textsf|textnormal|mathrm|mbox|hbox|operatorname\*?)\s*\{")
_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+(?![A-Za-z\d]))?)|"
    r"(?P<command>\\(?:[A-Za-z]+|.))|(?P<word>[A-Za-z]+)|(?P<two><=|>=|!=|==|=>|\*\*|\.\.\.)|(?P<symbol>.)",
    re.DOTALL,
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:,|\{,\}|,\\!|\\!,|\\,|\{\s)\d{3})+(?![\d])")
_LATEX_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:\{,\}|,\\!|\\!,|\\,|\\ )\d{3})+(?!\d)")
_REPEATING = re.compile(r"(\d*\.\d*)(?:\\(?:overline|bar|dot)\s*\{\s*(\d+)\s*\}|\((\d+)\))(?!\d)")


def clean(text: str) -> str:
    """One spelling for what Unicode and LaTeX write in several; raises Unreadable."""
    if len(text) > MAX_LENGTH:
        raise Unreadable("longer than an answer")
    if not text.isascii():
        text = "".join(_UNICODE.get(c, c) for c in text)
        text = "".join("\\" + _GREEK[c] + " " if c in _GREEK else c for c in text)
        text = _SUPER_RUN.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPT) + "}", text)
        text = _SUB_RUN.sub(lambda m: "_{" + m.group().translate(_SUBSCRIPT) + "}", text)
        text = _FRACTION.sub(_vulgar, text)
        text = unicodedata.normalize("NFKC", text)
        if any(unicodedata.category(c) in ("Cf", "Cc", "Co", "Cn") for c in text if c not in "\n\t"):
            raise Unreadable("control characters")
    if r"\begin" not in text and "\\\\" in text:
        text = re.sub(r"\\\\(?=[A-Za-z({\[)}\]])", r"\\", text)
    return text


def _vulgar(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match.group(2)).partition("⁄")
    return f"{match.group(1)}\\frac{{{top}}}{{{bottom}}}"


def tokenize(text: str, grouping: bool = True) -> list[Token]:
    """The tokens of a cleaned answer. With `grouping`, `1,234` outside brackets is one number."""
    text = _REPEATING.sub(_repeat, text)
    text = (_GROUPED if grouping else _LATEX_GROUPED).sub(lambda m: re.sub(r"\D", "", m.group()), text)
    tokens: list[Token] = []
    at, space = 0, False
    while at < len(text):
        if drop := _DROPPED.match(text, at):
            space = space or drop.group() in (r"\ ", r"\,", r"\;", r"\:", "~", r"\quad", r"\qquad")
            at = drop.end()
            continue
        if opened := _TEXT.match(text, at):
            end = text.find("}", opened.end())
            content = text[opened.end() : end if end >= 0 else len(text)]
            if any(c.isdigit() for c in content):
                tokens += tokenize(content, grouping)
            else:
                tokens.append(Token("text", content, space))
            at, space = (end + 1 if end >= 0 else len(text)), False
            continue
        match = _TOKEN.match(text, at)
        assert match
        at = match.end()
        kind = match.lastgroup
        if kind == "space":
            space = True
            continue
        if kind == "number" and sum(c.isdigit() for c in match.group()) > MAX_DIGITS:
            raise Unreadable("too many digits")
        tokens.append(Token("symbol" if kind == "two" else kind, match.group(), space))  # type: ignore[arg-type]
        space = False
    return tokens


def _repeat(match: re.Match[str]) -> str:
    """A repeating decimal as a fraction: `0.1\\overline{6}` = (16 - 1) / 90."""
    whole, period = match.group(1), match.group(2) or match.group(3)
    head, _, tail = whole.partition(".")
    if len(whole) + len(period) > 60:
        raise Unreadable("too many digits")
    fixed = int((head or "0") + tail)
    top = int(str(fixed) + period) - fixed
    bottom = (10 ** len(period) - 1) * 10 ** len(tail)
    return f"\\frac{{{top}}}{{{bottom}}}" if not head.strip("0") else f"(\\frac{{{top}}}{{{bottom}}})"
