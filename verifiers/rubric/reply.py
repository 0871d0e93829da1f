"""What a judge is asked, and what of its reply counts as a vote.

The judged text stands between marks, and the vote in a block, that carry a word which the text's author
cannot know: it is drawn from the text itself. So a block that a text brings along, or that a judge copies
from it, is no vote.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from string import Template

from .criteria import Criterion, Rubric

SHORTEST_QUOTATION = 12
_QUOTES = "\"'“”‘’«»„` \t"
_NONE = frozenset({"none", "-", "—", "n/a"})
_PLAIN = str.maketrans("“”„‘’‚–—−\u00a0", "\"\"\"'''--- ")
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_TO_THE_JUDGE = re.compile(
    r"</?\s*(?:verdict|judged)\b|<\|[\w ]{1,40}\|>|\[/?INST\]|<<SYS>>|^\W*(?:system|assistant)\s*:"
    r"|\b(?:ignore|disregard|forget|override|skip)\b[^.!?\n]{0,60}"
    r"\b(?:instructions?|criteri(?:a|on)|rubrics?|prompts?|anchors?)\b"
    r"|\b(?:give|award|assign|grant|rate|score|grade|mark|judge|evaluate)\b[^.!?\n]{0,60}"
    r"\b(?:(?:full|top|maximum|max|highest|perfect|best)\s+(?:scores?|marks?|points?|grades?|ratings?)"
    r"|(?:on|for|in)\s+(?:all|every|each)\s+criteri(?:a|on))"
    r"|\b(?:dear|attention|note\s+to(?:\s+the)?|message\s+(?:to|for)(?:\s+the)?|you\s+are\s+(?:now\s+)?(?:an?|the))"
    r"\s+(?:impartial\s+|strict\s+|fair\s+)?(?:judge|grader|evaluator|examiner|reviewer)s?\b",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What one vote says of one criterion: a score, or the text it prefers (0: neither), and its evidence."""

    criterion: str
    score: int
    quotation: str


@dataclass(frozen=True, slots=True)
class Vote:
    """One reply that was read: its marks, or why it does not count."""

    marks: tuple[Mark, ...] = ()
    fault: str = ""


def addresses_judge(text: str, rubric: Rubric) -> str:
    """The passage of a text that speaks to its judge or forges a vote; empty where none was found.

    It knows the usual forms alone. What it misses is left to the judge's own firmness.
    """
    text = _HIDDEN.sub("", unicodedata.normalize("NFKC", text))
    if found := _TO_THE_JUDGE.search(text):
        return found.group().strip()
    names = {c.name.lower() for c in rubric.criteria}
    for line in text.splitlines():
        name, bar, rest = line.partition("|")
        if bar and name.strip(" *_#-").lower() in names and rest.strip()[:1].isdigit():
            return line.strip()
    return ""


@lru_cache(maxsize=8)
def template(name: str) -> Template:
    """A prompt of this package, with its `$places`."""
    return Template((files("cotmill.data") / "prompts" / name).read_text("utf-8"))


def block_end(word: str) -> str:
    return f"</verdict {word}>"


def read_scores(reply: str, word: str, rubric: Rubric, text: str) -> Vote:
    """A vote on one text: each criterion once, with one of its scores and words that occur in the text.

    `none` in place of a quotation is taken with the lowest score alone: what is missing cannot be quoted.
    """
    shown = _flat(text)

    def mark(criterion: Criterion, says: str, quotation: str) -> Mark | str:
        if not re.fullmatch(r"[-+]?[0-9]{1,3}", says) or int(says) not in criterion.scores:
            return f"'{says[:40]}' is not a score of '{criterion.name}'"
        score = int(says)
        if not (occurs(quotation, shown) or (score == criterion.lowest and quotation.lower() in _NONE)):
            return f"the quotation for '{criterion.name}' is not in the text"
        return Mark(criterion.name, score, quotation)

    return _read(reply, word, rubric, mark)


def read_preferences(reply: str, word: str, rubric: Rubric, texts: tuple[str, str]) -> Vote:
    """A vote on two texts: per criterion 1, 2 or 0 (neither is better), with words of the better one."""
    shown = [_flat(text) for text in texts]

    def mark(criterion: Criterion, says: str, quotation: str) -> Mark | str:
        if says not in ("0", "1", "2"):
            return f"'{says[:40]}' is not 0, 1 or 2"
        if says != "0" and not occurs(quotation, shown[int(says) - 1]):
            return f"the quotation for '{criterion.name}' is not in the preferred text"
        return Mark(criterion.name, int(says), quotation)

    return _read(reply, word, rubric, mark)


def occurs(quotation: str, flat_text: str) -> bool:
    """Whether a quotation stands in a flattened text and is long enough to show something."""
    flat = _flat(quotation)
    return len(flat) >= min(SHORTEST_QUOTATION, len(flat_text)) > 0 and flat in flat_text


def _read(reply: str, word: str, rubric: Rubric, mark: Callable[[Criterion, str, str], Mark | str]) -> Vote:
    blocks = re.findall(rf"<verdict {word}>(.*?)</verdict {word}>", reply, re.DOTALL)
    if len(blocks) != 1:
        return Vote(fault="several verdicts" if blocks else "no verdict")
    by_name: Mapping[str, Criterion] = {c.name.lower(): c for c in rubric.criteria}
    marks: dict[str, Mark] = {}
    for line in blocks[0].splitlines():
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("|", 2)]
        criterion = by_name.get(parts[0].strip("*_#- ").lower())
        if criterion is None or len(parts) < 3:
            return Vote(fault=f"not a line of a verdict: '{line.strip()[:60]}'")
        if criterion.name in marks:
            return Vote(fault=f"'{criterion.name}' twice")
        made = mark(criterion, parts[1], parts[2].strip(_QUOTES))
        if isinstance(made, str):
            return Vote(fault=made)
        marks[criterion.name] = made
    missing = [c.name for c in rubric.criteria if c.name not in marks]
    if missing:
        return Vote(fault=f"nothing on '{missing[0]}'")
    return Vote(tuple(marks[c.name] for c in rubric.criteria))


def _flat(text: str) -> str:
    """White space and the shapes of quotation marks and dashes do not count."""
    return " ".join(text.translate(_PLAIN).split())
