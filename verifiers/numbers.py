"""The fast path: answers that are numbers in common spelling, compared without any parser."""

import re
from fractions import Fraction

_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?:\\?\$)?(?:(?P<whole>\d{1,60}|\d{1,3}(?:,\d{3}){1,9})?(?P<part>\.\d{1,60})?)(?P<percent>\\?%)?\.?"
)
_FRACTION = re.compile(
    r"(?P<sign>[-+]?)(?:\\[dt]?frac(?:\{(?P<top>[-+]?\d{1,60})\}\{(?P<bottom>\d{1,60})\}|(?P<t>\d)(?P<b>\d))"
    r"|(?P<n>\d{1,60})/(?P<d>\d{1,60}))"
)
_WORD = re.compile(r"[A-Za-z]{4,40}")
_LOOSE = re.compile(r"\s*(/|\\?%)\s*")


def same_number(a: str, b: str) -> bool | None:
    """Whether two plainly written numbers are equal; None where either is not plainly a number.

    Money and its absence are not told apart; `20%` equals both 20 and 0.2.
    """
    left, right = _read(a), _read(b)
    if left is None or right is None:
        return None
    (x, x_percent), (y, y_percent) = left, right
    if x == y:
        return True
    if x_percent != y_percent:
        return x == y * 100 if x_percent else y == x * 100
    return False


def same_word(a: str, b: str) -> bool | None:
    """Whether two single words are the same but for case; None where either is not one word."""
    if _WORD.fullmatch(a) and _WORD.fullmatch(b):
        return a.lower() == b.lower()
    return None


def _read(text: str) -> tuple[Fraction | int, bool] | None:
    if text.isdigit() and text.isascii() and len(text) <= 60:
        return int(text), False
    if len(text) > 150 or ", " in text:
        return None
    text = text.strip().replace("−", "-").replace("\\!", "").replace("{,}", ",")
    if " " in text:
        text = _LOOSE.sub(r"\1", text)
    if len(text) > 2 and text[0] == "$" == text[-1]:
        text = text[1:-1]
    if match := _NUMBER.fullmatch(text):
        whole, part = match["whole"], match["part"]
        if not whole and not part:
            return None
        digits = (whole or "0").replace(",", "")
        value: Fraction | int = int(digits)
        if part and part.strip(".0"):
            value = Fraction(int(digits + part[1:]), 10 ** (len(part) - 1))
        return (-value if match["sign"] == "-" else value), bool(match["percent"])
    if match := _FRACTION.fullmatch(text):
        bottom = int(match["bottom"] or match["b"] or match["d"])
        if bottom == 0:
            return None
        value = Fraction(int(match["top"] or match["t"] or match["n"]), bottom)
        return (-value if match["sign"] == "-" else value), False
    return None
