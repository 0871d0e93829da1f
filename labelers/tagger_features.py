"""What the tagger sees of a unit: cues, words, signs, numbers, position, neighbours."""

import re
from collections.abc import Sequence
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
    ("boxed", re.compile(r"\\boxed")),
    ("heading", re.compile(r"^#+ ?")),
    ("fence", re.compile(r"```")),
    ("tick", re.compile(r"`[^`]+`")),
    ("call", re.compile(r"\w\([\w\[\]\"', ]*\)")),
    ("index", re.compile(r"\w\[[^\]]+\]")),
    ("quote", re.compile(r"[\"“”]")),
    ("bracket", re.compile(r"\(.{12,}\)")),
    ("inequality", re.compile(r"[<>≤≥]|\\[lg]eq?\b")),
    ("approx", re.compile(r"[≈~]|\\approx")),
    ("modulo", re.compile(r"≡|\\equiv|\\pmod|\bmod\b")),
    ("operator", re.compile(r"[-+*/·×÷^]|\\times|\\cdot|\\frac|\\div")),
    ("formula", re.compile(r"\\[\[(]|\$")),
    ("list", re.compile(r"(?:\S{1,12}, ){3,}")),
    ("check", re.compile(r"[✓✔]")),
    ("dash", re.compile(r" [—–-] ")),
    ("not", re.compile(r"\b(?:not|no|never|nothing|none)\b|n['’]t\b")),
    ("i", re.compile(r"\bi\b")),
    ("we", re.compile(r"\bwe\b")),
)


_HEAD, _TAIL = 800, 200


class Cues:
    """An inventory's cues, compiled: which acts does a span's text hint at?

    Raises BadInput for a cue that is not a regular expression.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._anchored: list[tuple[str, re.Pattern[str]]] = []
        self._free: list[tuple[str, re.Pattern[str]]] = []
        for factor in inventory.factors:
            for into, cues in (
                (self._anchored, [c for c in factor.cues if c.startswith("^")]),
                (self._free, [c for c in factor.cues if not c.startswith("^")]),
            ):
                into += [(factor.name, _compiled(factor.name, c)) for c in cues]

    def acts(self, text: str) -> dict[str, int]:
        """How many cues of each act match a lower-case text."""
        found: dict[str, int] = {}
        for act, cue in self._free:
            if cue.search(text):
                found[act] = found.get(act, 0) + 1
        opening = _FILLERS.match(text)
        rest = text[opening.end() :] if opening else None
        for act, cue in self._anchored:
            if cue.match(text) or (rest and cue.match(rest)):
                found[act] = found.get(act, 0) + 1
        return found


def _compiled(act: str, cue: str) -> re.Pattern[str]:
    try:
        # Without IGNORECASE a search is several times faster; the text is in lower case anyway.
        return re.compile(cue, 0 if cue == cue.lower() else re.IGNORECASE)
    except re.error as e:
        raise BadInput(f"cue {cue!r} is not a regular expression: {e}", field=act) from e


def plain(piece: str) -> str:
    """A span as cues see it: lower case, white space collapsed, its list mark or step number taken off.

    Of a long span only the head and the tail are looked at, which bounds what a cue can cost.
    """
    if len(piece) > _HEAD + _TAIL:
        piece = f"{piece[:_HEAD]} … {piece[-_TAIL:]}"
    text = " ".join(piece.split())
    label = _LABEL.match(text)
    return (text[label.end() :] if label and label.end() < len(text) else text).lower()


def features(text: str, units: Sequence[Unit], cues: Cues) -> tuple[list[list[str]], list[dict[str, int]]]:
    """The feature names of every unit (each at most once), and the acts its cues hint at."""
    texts = [plain(text[u.start : u.end]) for u in units]
    hints = [cues.acts(t) for t in texts]
    out: list[list[str]] = []
    heads: list[str] = []
    seen: set[str] = set()
    for i, (unit, lowered) in enumerate(zip(units, texts, strict=True)):
        own, head = _own(text[unit.start : unit.end], lowered, seen)
        own += [f"c={act}" for act in hints[i]]
        own += [f"cc={act}" for act, n in hints[i].items() if n > 1]
        own += _position(units, i)
        own.append(f"hp={head}|{'start' if i < 3 else 'end' if len(units) - i < 4 else 'inside'}")
        heads.append(head)
        out.append(own)
    for i, own in enumerate(out):
        if i:
            own += [f"-h={heads[i - 1]}", f"-e={texts[i - 1][-1:]}"]
            own += [f"-c={act}" for act in hints[i - 1]]
        if i + 1 < len(out):
            own += [f"+h={heads[i + 1]}", f"+b={units[i + 1].boundary.name}"]
            own += [f"+c={act}" for act in hints[i + 1]]
    return out, hints


def _own(piece: str, lowered: str, seen: set[str]) -> tuple[list[str], str]:
    """Features of the unit's text alone, and its first two words."""
    prose = _CODE.sub(" §c ", lowered) if "`" in lowered else lowered
    prose = _MATH.sub(" §m ", prose) if "\\" in prose or "$" in prose else prose
    tokens = _tokens(prose)
    opening = _FILLERS.match(prose)
    head = _tokens(prose[opening.end() : opening.end() + 60]) if opening else tokens
    out = [f"w={t}" for t in dict.fromkeys([*tokens, *(f"{a} {b}" for a, b in pairwise(tokens))])]
    out += [f"f={' '.join(tokens[:n])}" for n in (1, 2, 3, 4)]
    out += [f"h={' '.join(head[:n])}" for n in (1, 2, 3, 4)]
    out += [f"e={lowered[-1:]}", f"l={' '.join(tokens[-2:])}"]
    classes = [c for t in tokens for c in word_classes(t)[:1]]
    out += [f"k={c}" for c in dict.fromkeys(c for t in tokens for c in word_classes(t))]
    out += [f"kb={a} {b}" for a, b in dict.fromkeys(pairwise(classes))]
    kinds = [(*word_classes(t), t)[0] for t in head[:4]]
    out += [f"kh={' '.join(kinds[:n])}" for n in range(1, len(kinds) + 1)]
    out += [f"m={name}" for name, mark in _MARKS if mark.search(lowered)]
    out += _numbers(lowered, seen)
    words = sum(t.isalpha() and len(t) > 1 for t in tokens)
    opener, shape = " ".join(head[:2]), _equation(lowered)
    out += [f"n={min(words, 24) if words < 6 else words // 4 * 4}", f"t={min(len(piece) // 40, 8)}"]
    out += [
        f"E={shape}",
        f"En={shape}|{min(words, 6)}",
        f"hE={opener}|{shape != ''}",
        f"he={opener}|{lowered[-1:]}",
    ]
    return out, opener


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
