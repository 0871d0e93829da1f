"""The final answer inside a chain of thought, as its author wrote it."""

import re

from ..schemas.markup import strip_tags
from .sentences import FORMULA_WORDS, PROSE, WORD, concluded, is_labelled, last_value, sentences

_MARKERS = re.compile(r"<\|[\w ]{1,40}\|>(?:(?:user|assistant|system)\b)?|</?(?:think|answer|s)>")
_BOX = re.compile(r"\\?\\(?:boxed|fbox)\s*(?=\{|\s)")
# What may stand between boxes that belong to one answer.
_BETWEEN = re.compile(
    r"(?:\s|[,;$.:&]|\\[,;:!() ]|\\(?:quad|qquad|\[|\])"
    r"|(?:\\(?:text|mathrm)\s*\{\s*)?\b(?:and|or)\b(?:\s*\})?)*"
)
_HASHES = re.compile(r"####[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_SAYS = re.compile(
    r"(?:final\s+answer|correct\s+answer|correct\s+(?:option|choice)|answer|result)"
    r"(?:\s+(?:is|are|will\s+be|should\s+be|would\s+be|must\s+be|equals)(?:\s*:)?|\s*:|\*\*\s*:?)\s*"
    r"(?:\*\*\s*)?(?=\S)",
    re.IGNORECASE,
)
_MATH = re.compile(
    r"\$\$(.{1,2000}?)\$\$|\\\[(.{1,2000}?)\\\]|\\\((.{1,2000}?)\\\)|(?<!\\)\$(?=\S)([^$\n]+?)(?<![\\\s])\$(?!\d)"
    r"|(?<!\\)\$\s?([^$\n]*\\[^$\n]*?)(?<!\\)\$(?!\d)",
    re.DOTALL,
)
_SENTENCE = re.compile(
    r"(?<=[^\s.])\.(?=\s|$)|\n|[!?](?=\s)|,\s+(?=(?:so|as|it|which|but)\b)|,?\s+(?=(?:because|since)\b)"
)
_NUMBER = re.compile(
    r"[$€£]?\s?(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+)(?:\s*/\s*\d+)?(?:\s?(?:\\?%|°))?"
)
_CHOICE = re.compile(
    r"(?:\b(?:option|choice|it's|it\s+is|think|choose|therefore|thus|so)\s*(?:is\s+)?:?\s*"
    r"\(?([A-J])\)?(?=[\s.,;:)]|$))"
    r"|\(([A-J])\)",
)
_LONGEST_BARE = 4000
_LONGEST_GAP = 200
_TAIL = 20_000


def extract_answer(text: str) -> str | None:
    """The final answer in a CoT or bare answer; None where nothing in it looks like one.

    In order: the last box (boxes joined by "and" or commas are one answer), `#### answer`, "the answer
    is", a bare answer taken as it is, the last formula, a choice letter, the last number.
    """
    if "<ACT_" in text or "<Think_" in text:
        text = strip_tags(text)
    if "<" in text:
        text = _MARKERS.sub(" ", text)
    if ("boxed" in text or "fbox" in text) and (boxed := _boxes(text)) is not None:
        return boxed
    if "####" in text:
        for found in reversed(_HASHES.findall(text)):
            return str(found)
    # An answer stands at the end; what comes before is not searched, so that no text takes long.
    text = text[-_TAIL:].strip().strip("*").strip()
    if not text:
        return None
    says = _last(_SAYS, text)
    if says is not None and (said := _statement(text[says.end() :])):
        return said
    if _is_bare(text) and not is_labelled(text):
        said = concluded(text) if ": " in text else None
        return said or _unwrap(text)
    return _last_resort(text)


def _boxes(text: str) -> str | None:
    """The contents of the last run of boxes, joined by commas."""
    found: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        if match.start() < (found[-1][1] if found else 0):
            continue
        start = match.end()
        if text[start : start + 1] == "{":
            end = _closing(text, start)
            content = text[start + 1 : end].strip()
            end += 1
        else:
            word = re.compile(r"\s*([^\s$,.]+)").match(text, start)
            content, end = (word.group(1), word.end()) if word else ("", start)
        if content:
            found.append((match.start(), end, content))
    if not found:
        return None
    run = [found[-1]]
    for box in reversed(found[:-1]):
        if run[0][0] - box[1] > _LONGEST_GAP or not _BETWEEN.fullmatch(text, box[1], run[0][0]):
            break
        run.insert(0, box)
    parts = [content for _, _, content in run]
    return _unwrap(parts[0]) if len(parts) == 1 else ", ".join(dict.fromkeys(parts))


def _closing(text: str, start: int) -> int:
    """The index of the brace that closes the one at `start`; the text's end where none does."""
    depth, i = 0, start
    while i < len(text):
        char = text[i]
        if char == "\\":
            i += 1
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    return len(text)


def _statement(rest: str) -> str | None:
    """What follows "the answer is": a formula where it begins with one, else up to the sentence's end."""
    rest = rest.lstrip(" :*")
    formula = _MATH.match(rest)
    if formula:
        after = rest[formula.end() :]
        tail = re.match(r"(?:\s*(?:,|and|or|,\s*and)\s*\$[^$\n]+\$)+", after)
        if tail:
            return rest[: formula.end() + tail.end()].replace("$", "")
        return _content(formula)
    end = _SENTENCE.search(rest)
    said = rest[: end.start()] if end else rest
    said = said.strip().strip("*").rstrip(".").strip()
    choice = re.match(r"\(?([A-J])\)?(?:[.:)]\s|\s*$|,\s)", said)
    if choice:
        return choice.group(1)
    if not said:
        return None
    if not _is_bare(said):
        if (inner := _last(_MATH, said)) is not None:
            return _content(inner)
        number = _last(_NUMBER, said)
        if number is not None and len(WORD.findall(said)) > 4:
            return number.group().strip()
    return _unwrap(said)


def _is_bare(text: str) -> bool:
    """Whether a text is an answer alone, without prose around it."""
    if len(text) > _LONGEST_BARE or "\n\n" in text:
        return False
    if _MATH.fullmatch(text):
        return True
    outside = re.sub(r"\\(?:text|textbf|mathrm|mbox|operatorname|textnormal)\s*\{[^{}]*\}", " ", text)
    inside_math = _MATH.sub(" ", outside)
    words = [w for w in WORD.findall(inside_math) if w.lower() not in FORMULA_WORDS]
    if inside_math != outside and (len(words) > 2 or re.match(r"[A-Za-z]{2}", text)):
        return False
    if any(w.lower() in PROSE for w in words):
        return False
    prose = [w for w in words if len(w) > 2]
    return len(prose) <= 4 and len(words) <= 6 and not re.search(r"[a-z]\.\s+[A-Z]", text)


def _last_resort(text: str) -> str | None:
    """What the last sentence concludes, else the last formula, choice letter or number."""
    last = _last(_MATH, text)
    parts = sentences(text)
    line = text[text.rstrip().rfind("\n") + 1 :]
    if last is not None and (last.start() >= len(text) - len(line) or not _NUMBER.search(line)):
        return _content(last)
    if parts and (said := concluded(parts[0])):
        return said
    choice = _last(_CHOICE, text)
    if choice is not None and not _NUMBER.search(text, choice.end()):
        return str(choice.group(1) or choice.group(2))
    return next((value for part in parts if (value := last_value(part))), None)


def _unwrap(text: str) -> str:
    """A text without the delimiters of one formula around it."""
    text = text.strip()
    whole = _MATH.fullmatch(text)
    if whole:
        return _content(whole)
    return text


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for match in pattern.finditer(text):
        found = match
    return found


def _content(formula: re.Match[str]) -> str:
    return str(next(group for group in formula.groups() if group is not None)).strip()
