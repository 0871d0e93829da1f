"""What the tagger sees of a unit: cues, words, signs, numbers, position, neighbours."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from ..schemas import BadInput, Inventory
from .tagger_lexicon import word_classes
from .tagger_segments import Boundary, Unit

_LABEL = re.compile(
    r"(?:(?:[-*•+#>|]+|\(?(?:\d{1,3}|[a-z]|[ivx]{1,4})[.)](?=\s)|\**step\s+\d+\**[.:)]?)\s*)+", re.IGNORECASE
)
_FILLERS = re.compile(
    r"(?:(?:so|okay|ok|alright|right|well|now|then|and|also|but|oh|ah|hmm+|hm|yes|yeah|no|wait|actually|next|finally|first|"
    r"again|anyway|similarly|furthermore|moreover|however|still|just)\b[\s,.:;!…—-]*)+"
)
_ITEM = re.compile(r"(?:[-*•+]|\(?(?:\d{1,3}|[a-z])[.)])\s", re.IGNORECASE)
_LEAD = re.compile(r"[^.:]{1,30}:\s")
_MATH = re.compile(r"\\\(.*?\\\)|\\\[.*?\\\]|\$\$.*?\$\$|\$(?![\s$])[^$]*?(?<!\s)\$(?!\d)", re.DOTALL)
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`]+`", re.DOTALL)
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][a-z]+)?|\d+(?:[.,]\d+)*|\S")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_RESULT = re.compile(r"(?:=|≈|≡|\bis|\bequals|\bgives|\bare)[\s$\\({\[]*-?(\d+(?:[.,]\d+)*)")
_NAME = re.compile(r"(?<![a-z\\])[a-z](?![a-z'’])")
_EQUALS = re.compile(r"(?<![<>=!:])=(?!=)|≈|≡|\\equiv\b|\\approx\b")
_TEXT = re.compile(r"\\(?:text|mathrm|operatorname)\s*\{[^}]*\}")
_OPERATOR = re.compile(r"[-+*/·×÷^!√]|\\times|\\cdot|\\d?frac|\\div|\\sqrt|\\d?binom")
_WORD = re.compile(r"[a-z]{3,}")
_ONE = frozenset("ai!\"#%&'()*+,-./:;<=>?[]^_{|}~×·÷≤≥≈≡√°…—–→✓")
_COMMAND = re.compile(r"\\[a-z]+")
_MARKS = (
    ("call", re.compile(r"\w\([\w\[\]\"', ]*\)")),
    ("index", re.compile(r"\w\[[^\]]+\]")),
    ("quote", re.compile(r"[\"“”]")),
    ("bracket", re.compile(r"\(.{12,}\)")),
    ("inequality", re.compile(r"[<>≤≥]|\\[lg]eq?\b")),
    ("approx", re.compile(r"[≈~]|\\approx")),
    ("modulo", re.compile(r"≡|\\equiv|\\pmod|\bmod\b")),
    ("operator", re.compile(r"[-+*/·×÷^]|\\times|\\cdot|\\frac|\\div")),
    ("list", re.compile(r"(?:[^ ]{1,12}, ){3,}")),
)
_SIGNS = {
    "boxed": "\\boxed",
    "heading": "# ",
    "fence": "```",
    "tick": "`",
    "formula": "\\[",
    "inline": "\\(",
    "ok": "✓",
}


LISTED = len(Boundary)
_HEAD, _TAIL = 800, 200
_GROUP = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
_FLAGS = re.compile(r"\(\?[a-zA-Z]+\)")
_AT_WORD = re.compile(r"\\b(?:\(\?:)?\w")


class Cues:
    """An inventory's cues, compiled: which acts does a span's text hint at?

    Raises BadInput for a cue that is not a regular expression.
    """

    def __init__(self, inventory: Inventory) -> None:
        words: dict[str, list[str]] = {}
        others: dict[str, list[str]] = {}
        starts: dict[str, list[str]] = {}
        self._loose: list[tuple[str, re.Pattern[str]]] = []
        self._loose_starts: list[tuple[str, re.Pattern[str]]] = []
        for factor in inventory.factors:
            for cue in factor.cues:
                pattern = _compiled(factor.name, cue)
                flags = _FLAGS.match(cue)
                at_start = cue.startswith("^", flags.end() if flags else 0)
                # The text is in lower case: without IGNORECASE a search is several times faster.
                if flags or cue != cue.lower() or pattern.groups:
                    (self._loose_starts if at_start else self._loose).append((factor.name, pattern))
                elif at_start:
                    starts.setdefault(factor.name, []).append(cue)
                elif _AT_WORD.match(cue) and "|" not in _GROUP.sub("", cue):
                    words.setdefault(factor.name, []).append(cue[2:])
                else:
                    others.setdefault(factor.name, []).append(cue)
        # Before a word \b finds what \W finds in padded text, and leaves far fewer places to try.
        self._place = re.compile(rf"\W(?={_any(c for found in words.values() for c in found)})")
        self._at_word, self._at_start = _Each(words), _Each(starts)
        self._loose += [(act, re.compile(_any(found))) for act, found in others.items()]

    def acts(self, text: str) -> list[str]:
        """The acts with a cue that matches a lower-case text, each once."""
        padded = f" {text}"
        found: dict[str, None] = {}
        for place in self._place.finditer(padded):
            found |= dict.fromkeys(self._at_word.acts(padded, place.end()))
        found |= {act: None for act, cue in self._loose if act not in found and cue.search(padded)}
        opening = _FILLERS.match(text)
        for start in (text, text[opening.end() :]) if opening else (text,):
            found |= dict.fromkeys(self._at_start.acts(start, 0))
            found |= {act: None for act, cue in self._loose_starts if cue.match(start)}
        return list(found)


class _Each:
    """Which of several acts' cues match at a place, told by one pattern: a group that matched for each."""

    def __init__(self, cues: Mapping[str, Sequence[str]]) -> None:
        self._acts = list(cues)
        self._pattern = re.compile("".join(f"(?:(?={_any(found)})()|)" for found in cues.values()))

    def acts(self, text: str, at: int) -> list[str]:
        match = self._pattern.match(text, at)
        return [a for a, g in zip(self._acts, match.groups(), strict=True) if g is not None] if match else []


def _any(cues: Iterable[str]) -> str:
    """A pattern that matches where one of the cues does; without cues, nowhere."""
    return "|".join(f"(?:{c})" for c in cues) or "(?!)"


def _compiled(act: str, cue: str) -> re.Pattern[str]:
    try:
        return re.compile(cue, re.IGNORECASE)
    except re.error as e:
        raise BadInput(f"not a regular expression: {e}", field=act) from e


def plain(piece: str) -> str:
    """A span as cues see it: lower case, white space collapsed, its list mark or step number taken off.

    Of a long span only the head and the tail are looked at, which bounds what a cue can cost.
    """
    if len(piece) > _HEAD + _TAIL:
        piece = f"{piece[:_HEAD]} … {piece[-_TAIL:]}"
    text = " ".join(piece.split())
    label = _LABEL.match(text)
    return (text[label.end() :] if label and label.end() < len(text) else text).lower()


def features(text: str, units: Sequence[Unit], cues: Cues) -> tuple[list[list[str]], list[list[str]]]:
    """The feature names of every unit (each at most once), and the acts its cues hint at."""
    texts = [plain(text[u.start : u.end]) for u in units]
    hints = [cues.acts(t) for t in texts]
    out: list[list[str]] = []
    heads: list[str] = []
    openings: list[list[str]] = []
    seen: set[str] = set()
    for i, (unit, lowered) in enumerate(zip(units, texts, strict=True)):
        own, head, opening = _own(text[unit.start : unit.end], lowered, seen)
        own += [f"c={act}" for act in hints[i]]
        own += _position(units, i)
        own.append(f"hp={head}|{'start' if i < 3 else 'end' if len(units) - i < 4 else 'inside'}")
        heads.append(head)
        openings.append(opening)
        out.append(own)
    for i, own in enumerate(out):
        if i:
            own += [f"-h={heads[i - 1]}", f"-e={texts[i - 1][-1:]}"]
            own.append(f"-s={_alike(openings[i - 1], openings[i])}")
            own += [f"-c={act}" for act in hints[i - 1]]
        if i + 1 < len(out):
            own += [f"+h={heads[i + 1]}", f"+b={units[i + 1].boundary.name}"]
            own.append(f"+s={_alike(openings[i], openings[i + 1])}")
            own += [f"+c={act}" for act in hints[i + 1]]
    return out, hints


def _alike(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words two units begin with in common, as items of a list do."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def links(text: str, units: Sequence[Unit]) -> list[int]:
    """How each unit is tied to the one before it: its boundary, or `LISTED` for two items of a list."""
    item = [bool(_ITEM.match(text, u.start, u.end)) for u in units]
    return [LISTED if i and item[i - 1] and item[i] else int(u.boundary) for i, u in enumerate(units)]


def _own(piece: str, lowered: str, seen: set[str]) -> tuple[list[str], str, list[str]]:
    """Features of the unit's text alone, its first two words behind openers, and its first four with them."""
    prose = _CODE.sub(" §c ", lowered) if "`" in lowered else lowered
    prose = _MATH.sub(" §m ", prose) if "\\" in prose or "$" in prose else prose
    tokens = _tokens(prose)
    opening = _FILLERS.match(prose)
    head = _tokens(prose[opening.end() : opening.end() + 60]) if opening else tokens
    classes = [word_classes(t) for t in tokens]
    chain = [c[0] for c in classes if c]
    kinds = [(*word_classes(t), t)[0] for t in head[:4]]
    out = [f"w={t}" for t in dict.fromkeys([*tokens, *(f"{a} {b}" for a, b in pairwise(tokens))])]
    out += [f"k={c}" for c in dict.fromkeys(c for found in classes for c in found)]
    out += [f"kb={a} {b}" for a, b in dict.fromkeys(pairwise(chain))]
    for name, words in (("f", tokens[:2]), ("h", head), ("kh", kinds)):
        out += [f"{name}={' '.join(words[:n])}" for n in range(1, min(4, len(words)) + 1)]
    out += [f"m={name}" for name, mark in _MARKS if mark.search(lowered)]
    out += [f"m={name}" for name, sign in _SIGNS.items() if sign in lowered]
    if _ITEM.match(piece):
        out.append(f"item={_equation(lowered)}")
    if _LEAD.match(lowered):
        out.append(f"lead={_equation(lowered)}")
    out += _numbers(lowered, seen)
    count = sum(t.isalpha() and len(t) > 1 for t in tokens)
    opener, shape, end = " ".join(head[:2]), _equation(lowered), lowered[-1:]
    out += [f"n={min(count, 24) if count < 6 else count // 4 * 4}", f"t={min(len(piece) // 40, 8)}"]
    out += [f"e={end}", f"l={' '.join(tokens[-2:])}", f"he={opener}|{end}"]
    out += [f"E={shape}", f"En={shape}|{min(count, 6)}", f"hE={opener}|{shape != ''}"]
    return out, opener, tokens[:4]


def _equation(lowered: str) -> str:
    """What stands on the first and the last side of an equation: words, letters, numbers, or a mixture."""
    sides = _EQUALS.split(_TEXT.sub(" ", lowered))
    if len(sides) < 2:
        return ""
    return f"{_side(sides[0])}={_side(sides[-1])}" + ("=" if len(sides) > 2 else "")


def _side(side: str) -> str:
    bare = _COMMAND.sub(" ", side)
    letter, number = bool(_NAME.search(bare)), bool(_NUMBER.search(bare))
    sign = "o" if _OPERATOR.search(side) else ""
    return ("w" if _WORD.search(bare) else "") + ("v" if letter else "") + ("n" if number else "") + sign


def _tokens(prose: str) -> list[str]:
    """Words and signs; every number is "0", every letter that stands alone "§v"."""
    return ["0" if t[0].isdigit() else t if len(t) > 1 or t in _ONE else "§v" for t in _TOKEN.findall(prose)]


def _numbers(lowered: str, seen: set[str]) -> list[str]:
    """Equations, letters among the numbers, and whether the numbers, or the result, stood earlier."""
    numbers = _NUMBER.findall(lowered)
    bare = _COMMAND.sub(" ", lowered)
    letters = len(set(_NAME.findall(bare)) - {"a", "i", "s", "t"})
    equals = lowered.count("=") - lowered.count("==")
    out = [
        f"d={min(len(numbers), 6)}",
        f"v={min(letters, 4)}",
        f"q={min(equals, 4)}",
        f"qv={min(equals, 2)},{min(letters, 2)},{min(len(numbers), 3)}",
    ]
    if numbers:
        new = sum(n not in seen for n in numbers)
        out.append(f"new={min(new, 3)}" if new else "new=none")
        if result := _RESULT.findall(lowered):
            out.append(f"r={'old' if result[-1] in seen else 'new'}")
        seen.update(numbers)
    return out


def _position(units: Sequence[Unit], i: int) -> list[str]:
    unit, n = units[i], len(units)
    out = [f"p={i * 10 // n}", f"b={unit.boundary.name}"]
    if i < 3:
        out.append(f"first={i}")
    if n - i <= 4:
        out.append(f"last={n - 1 - i}")
    if unit.step == units[-1].step:
        out.append("laststep")
    if unit.boundary is not Boundary.STEP:
        out.append("inside")
    return out
