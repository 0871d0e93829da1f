"""What a sentence of prose concludes: "Order: D, S, W", "It is Monday.", "so 300 x 10 = 3000 in 10 days"."""

import re

from .tokens import names
from .units import UNITS

FORMULA_WORDS = names("and or sqrt sin cos tan cot sec csc ln log exp pi inf infinity in mod if")
PROSE = names(
    "is are was it its it's that this so then thus hence therefore because since we get have has which there "
    "not be can will answer equals equal gives makes means find"
)
WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z']{2,}")

_FUNCTIONS = FORMULA_WORDS - names("and or in mod if")
# Sentences that close a text without concluding anything.
_REMARKS = names(
    "correct right done complete clear obvious fine good consistent ok okay expected required wanted needed "
    "enough here all everything what how why possible easy simple"
)
# Labels of what stands beside an answer.
_ASIDE = re.compile(
    r"\W*(?:(?:double|quick)[ -]?)?"
    r"(?:check|note|verification|verified|remark|hint|reason|proof|source|confidence)s?\b",
    re.IGNORECASE,
)
_LONGEST = 15
# What "is" introduces no answer with: "all there is to say", "the point is on the line".
_LINKS = names("to on at from for with by of as than when in into between about like also still now")
_ENDS = re.compile(r"(?<=[.!?])\s+|\n+")
_LABEL = re.compile(r"\W*[A-Za-z](?:[\w' ()-]*[A-Za-z)]):\s+(?=\S)")
_TIGHT = re.compile(r"(?<=[A-Za-z]{2}):(?=[^\s:/])")
_COPULA = re.compile(
    r"\b(?:is|are|was|were|equals?|gives|makes|becomes|returns|prints)\s+(?=\S)", re.IGNORECASE
)
_LIST = re.compile(r"[A-Za-z][\w'-]*(?:(?:,\s+(?:and\s+)?|\s+and\s+)[A-Za-z][\w'-]*)*")
_LABELLED = re.compile(r"(?P<words>[A-Z][a-z]+(?:\s+[a-z]+){0,5})\s+[^\sA-Za-z]\S*\.")
_CHOICE = re.compile(r"\(([A-J])\)")
_MONTHS = names("January February March April May June July August September October November December")
_OPERATOR = re.compile(r"[-−+*/^×·÷=<>≤≥≠≈±∪∩]|\\(?:cdot|times|div|pm|le|ge|cup|cap)(?![A-Za-z])")
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+"
_MEASURE = re.compile(rf"[(\"'*]*([$€£]?[-−]?(?:{_NUMBER}))(?:[-/]?[A-Za-z]{{2}}|m[²³])")
_AREA = re.compile(r"\d[kcdm]?m[²³]")
_NAME = re.compile(r"[A-Za-z]+_?\d+\W*")
_MIXED = re.compile(r"\d+/\d+\W*")


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, the last one first, without notes and checks if others are left."""
    parts = [part for part in reversed(_ENDS.split(text)) if part.strip(" *_`")]
    return [part for part in parts if not (_ASIDE.match(part) and ":" in part)] or parts


def is_labelled(text: str) -> bool:
    """Whether a text is a sentence made of words and the value that they name: "Probability 61/216."."""
    match = _LABELLED.fullmatch(text)
    return match is not None and match["words"].split()[-1] not in _MONTHS


def concluded(sentence: str) -> str | None:
    """The answer that a short sentence introduces by a colon or by "is", or that is a list of names."""
    sentence = _spaced(sentence.strip(" *_`"))
    if len(sentence.split()) > _LONGEST:
        return None
    if (label := _LABEL.match(sentence)) is not None:
        rest = _result(_trimmed(sentence[label.end() :]))
        known = rest and ": " not in rest and _is_plain(rest)
        return rest if known and not _REMARKS & {word.lower() for word in WORD.findall(rest)} else None
    if sentence[-1] not in ".!?" and _LIST.fullmatch(sentence) and _is_plain(sentence):
        return sentence if "," in sentence or " " not in sentence else None
    said = list(_COPULA.finditer(sentence))
    rest = _result(_trimmed(sentence[said[-1].end() :])) if said else ""
    if not rest or sentence.endswith("?") or len(rest.split()) > 4 + rest.count(",") or not _is_plain(rest):
        return None
    if any(c.isdigit() for c in rest):
        if rest[0] in "[({" and rest[-1] in "])}" and not _open(rest):
            return rest
        groups = _groups(rest)
        left = rest.replace(groups[-1], " ", 1).split() if groups else [rest]
        return rest if all(word in UNITS for word in left) else None
    words = [word.lower() for word in WORD.findall(rest)]
    # Who counts in a sentence concludes a number: "66 squares are green".
    if any(c.isdigit() for c in sentence) or _REMARKS & set(words) or _LINKS & set(words[:1]):
        return None
    return choice.group(1) if (choice := _CHOICE.fullmatch(rest)) else rest


def last_value(sentence: str) -> str | None:
    """The result of the last equation in a sentence, else its last number or formula with a number."""
    groups = [group for group in _groups(sentence) if any(c.isdigit() for c in group)]
    for group in reversed(groups):
        left, sign, result = group.rpartition("=")
        if sign and any(c.isdigit() for c in result) and not left.endswith(("<", ">", "!")):
            return _balanced(result)
    return _balanced(groups[-1]) if groups else None


def _is_plain(text: str) -> bool:
    return not PROSE & {word.lower() for word in WORD.findall(text)}


def _spaced(text: str) -> str:
    return _TIGHT.sub(": ", text)


def _result(text: str) -> str:
    """What stands behind a computation: `30 minutes` of `20+10=30 minutes`; any other text as it is."""
    left, sign, right = text.rpartition("=")
    computed = (
        sign and right.strip() and any(c.isdigit() for c in left) and not re.search(r"[A-Za-z\\]", left)
    )
    return right.strip() if computed else text


def _trimmed(text: str) -> str:
    return text.strip(" *_`").rstrip(".!,;").strip(" *_`")


def _groups(sentence: str) -> list[str]:
    """The formulas of a sentence: words without prose, joined by operators and inside brackets."""
    groups: list[list[str]] = []
    depth, joins, behind_prose = 0, False, True
    for word in _spaced(sentence).split():
        word = word.strip('*`"')
        if not word:
            continue
        if not _is_formula(word):
            _, sign, value = word.rpartition("=")
            if measure := _MEASURE.match(value):
                groups.append([sign + measure.group(1)])
            depth, joins, behind_prose = 0, False, True
            continue
        operator = _OPERATOR.fullmatch(word) is not None
        mixed = bool(groups) and groups[-1][-1].isdigit() and _MIXED.fullmatch(word) is not None
        if not behind_prose and (joins or operator or mixed):
            groups[-1].append(word)
        else:
            groups.append([word])
            depth = 0
        depth, behind_prose = depth + _open(word), False
        joins = depth > 0 or _OPERATOR.search(word[-1]) is not None
    joined = (" ".join(group).rstrip(" .,;:!?=+*/") for group in groups)
    return [group for group in joined if group]


def _is_formula(word: str) -> bool:
    if word in ("a", "A", "I") or _NAME.fullmatch(word) or _AREA.search(word):
        return False
    return all(name.lower() in _FUNCTIONS for name in WORD.findall(word))


def _open(text: str) -> int:
    return sum(text.count(c) for c in "([{") - sum(text.count(c) for c in ")]}")


def _balanced(text: str) -> str:
    """Without brackets at its ends that nothing in it opens or closes."""
    text = text.strip()
    while text and text[-1] in ")]}" and _open(text) < 0:
        text = text[:-1].rstrip(" .,;:")
    while text and text[0] in "([{" and _open(text) > 0:
        text = text[1:].lstrip()
    return text
