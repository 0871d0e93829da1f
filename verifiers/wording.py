"""Answers that are words."""

import re

_TEXT_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mbox|textnormal|operatorname)(?![A-Za-z])|\\[ ,]"
)
_WORDS = re.compile(r"[\s({]*[A-Za-z][A-Za-z0-9\s'.:{}()-]*")


def plain_words(text: str) -> str:
    """The words of an answer that is nothing but words; a letter alone keeps its case. Else empty."""
    text = _TEXT_COMMAND.sub(" ", text)
    if not _WORDS.fullmatch(text):
        return ""
    words = " ".join("".join(c if c.isalnum() else " " for c in text).split())
    return words if len(words) < 4 else normal_text(words)


def normal_text(text: str) -> str:
    """Words without case, punctuation and articles."""
    words = "".join(c.lower() if c.isalnum() else " " for c in text).split()
    return " ".join(w for w in words if w not in ("the", "a", "an")) or " ".join(words)
