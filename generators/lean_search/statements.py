"""A formal statement as a policy writes it: read strictly, with its numbers, and made again with others."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...verifiers.lean import Theorem

NAME = "q"
_HEAD = re.compile(r"(?:theorem|lemma)\s+[^\s(){}\[\]:]+")
_FORBIDDEN = re.compile(
    r"\b(?:theorem|lemma|axiom|def|abbrev|instance|example|open|namespace|section|variable|universe|set_option|"
    r"macro|notation|syntax|elab|import|export|end|attribute|local|by|unsafe|opaque|deriving|admit)\b"
    r"|sorry|#|:=|@\[|--|/-|[«»]"
)
_PAIRS = {")": "(", "]": "[", "}": "{", "⟩": "⟨", "⦄": "⦃"}
# A number that is no part of a name, of a field or of a longer number; a factor before a letter (3x) is one.
_NUMBER = re.compile(r"(?<![\w.])\d+(?!\d|\.\d|st\b|nd\b|rd\b|th\b)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_WHOLE = re.compile(r"[-−]?\d{1,3}(?:,\d{3})+|[-−]?\d+")
_TRUTH = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True, slots=True)
class Statement:
    """`theorem q BINDERS : CONCLUSION`."""

    binders: str
    conclusion: str

    @property
    def theorem(self) -> Theorem:
        binders = f" {self.binders}" if self.binders else ""
        return Theorem(NAME, f"theorem {NAME}{binders} : {self.conclusion}")

    @property
    def numbers(self) -> set[int]:
        return numbers_in(f"{self.binders} {self.conclusion}")

    def negated(self) -> "Statement":
        return replace(self, conclusion=f"¬ ({self.conclusion})")

    def with_number(self, old: int, new: int, *, last: bool = False) -> "Statement | None":
        """With `new` for `old` everywhere, or at the conclusion's last place alone; None where it is not."""
        places = [m for m in _NUMBER.finditer(self.conclusion) if int(m[0]) == old]
        if last:
            if not places:
                return None
            start, end = places[-1].span()
            return replace(self, conclusion=f"{self.conclusion[:start]}{new}{self.conclusion[end:]}")
        binders, conclusion = (
            _NUMBER.sub(lambda m: str(new) if int(m[0]) == old else m[0], part)
            for part in (self.binders, self.conclusion)
        )
        changed = Statement(binders, conclusion)
        return None if changed == self else changed


def read_statement(text: str) -> Statement | str:
    """The one theorem in a policy's text; or why there is none."""
    lines = [line for line in text.strip().split("\n") if not line.strip().startswith("```")]
    text = " ".join(" ".join(lines).split()).strip("`")
    text = re.sub(r"\s*:=(\s*by)?(\s*sorry)?\Z", "", text)
    head = _HEAD.match(text)
    if head is None:
        return "a formal statement that is no theorem"
    rest = text[head.end() :]
    if found := _FORBIDDEN.search(rest):
        return f"a formal statement that holds more than a statement: {found[0]!r}"
    colon = next(_outer_colons(rest), None)
    if colon is None or not rest[colon + 1 :].strip():
        return "a formal statement that is no theorem"
    return Statement(rest[:colon].strip(), rest[colon + 1 :].strip())


def numbers_in(text: str) -> set[int]:
    """The whole numbers in a text, written with or without commas between thousands."""
    return {int(m[0]) for m in _NUMBER.finditer(_THOUSANDS.sub("", text))}


def known_answer(answer: str) -> int | bool | None:
    """A whole number, or yes or no; None for an answer of another kind."""
    text = answer.strip().rstrip(".").strip("$").strip()
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    return int(text.replace(",", "").replace("−", "-")) if _WHOLE.fullmatch(text) else None


def _outer_colons(text: str) -> Iterator[int]:
    """Colons outside all brackets."""
    depth: list[str] = []
    for at, char in enumerate(text):
        if char in _PAIRS.values():
            depth.append(char)
        elif char in _PAIRS:
            if not depth or depth.pop() != _PAIRS[char]:
                return
        elif char == ":" and not depth:
            yield at
