"""The summary a user is shown instead of the hidden CoT: sentences taken from it, chosen by act and value.

Extractive and without a model, so it says nothing that the trace does not hold.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ..schemas import Trace
from ..schemas.labels import hard, soft
from .tagger import Tagger, tag_trace
from .tagger_segments import Boundary, units

SHARE = 0.15

# What a reader of the summary wants first; acts not named here never enter it.
_WORTH = {
    "Correct": 3.0,
    "Decompose": 2.5,
    "Summarize": 2.5,
    "Plan": 2.0,
    "Deduce": 2.0,
    "CaseSplit": 1.5,
    "Substitute": 1.5,
    "Transform": 1.5,
    "Calculate": 1.5,
    "RunCode": 1.5,
    "Check": 1.2,
    "Recall": 1.0,
    "CheckRule": 1.0,
    "Compare": 1.0,
    "WriteCode": 0.5,
}
_REFUTED_BY = ("DetectError", "Backtrack")
_OPENINGS = ("Plan", "Decompose")
_RESULTS = (
    "Propose",
    "Calculate",
    "Transform",
    "Substitute",
    "Deduce",
    "Enumerate",
    "RunCode",
    "WriteCode",
    "Summarize",
)
_MAY_ANSWER = ("Answer", "Summarize", "Deduce", "Check", "Calculate")
_FORMULAS = ("\\[", "$$", "\\begin{", "```")
_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{2,}")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LABEL = re.compile(r"(?:[-*#>]+\s+|\**step\s+\d+\**[.:)]\s*|\d{1,3}[.)]\s+)+", re.IGNORECASE)


@dataclass(frozen=True)
class _Sentence:
    start: int
    end: int
    act: str
    step: int


def summarise(trace: Trace) -> str:
    """Plan, decisive steps, correction and answer of a trace, in its order and its own words.

    At most 15% of the trace's length, and always the answer: in its sentence, or bare where the sentence is
    longer than that. Where nobody knows the bare answer, its sentence stands whatever its length. A trace
    without acts is tagged first; one without text has an empty summary. Sentences of a step labelled wrong,
    and those that a DetectError or Backtrack takes back, stay out.
    """
    text = trace.text
    found = _sentences(trace)
    if not found:
        return ""
    answer = _answer(trace, found)
    chosen, budget = {answer}, SHARE * len(text) - len(_shown(text, found[answer]))
    bare = (trace.answer or "").strip()
    if budget < 0 and bare and bare in text:
        return bare
    # Of equally worthy sentences the later one stands nearer to the answer.
    for worth, i in sorted(_ranked(trace, found, answer), reverse=True):
        cost = len(_shown(text, found[i])) + 1
        if worth and cost <= budget:
            chosen.add(i)
            budget -= cost
    return " ".join(_shown(text, found[i]) for i in sorted(chosen))


def _sentences(trace: Trace) -> list[_Sentence]:
    """Whole sentences; one that announces a displayed formula holds it."""
    text = trace.text
    acts = tag_trace(trace, Tagger.load()).acts
    starts = [a.start for a in acts]
    out: list[_Sentence] = []
    for unit in units(text, [(s.start, s.end) for s in trace.steps] or None):
        act = acts[max(0, bisect_right(starts, unit.start) - 1)].act
        announced = out and text[out[-1].end - 1] == ":" and text.startswith(_FORMULAS, unit.start)
        if announced or (out and unit.boundary is Boundary.CLAUSE):
            kept = act if announced else out[-1].act
            out[-1] = _Sentence(out[-1].start, unit.end, kept, unit.step)
        else:
            out.append(_Sentence(unit.start, unit.end, act, unit.step))
    return out


def _answer(trace: Trace, found: Sequence[_Sentence]) -> int:
    """The last sentence that gives the answer in words, else the last Answer, else the last sentence."""
    text, wanted = trace.text, (trace.answer or "").strip()
    names_it = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
    answers = [i for i, s in enumerate(found) if s.act == "Answer" and not _heading(text, s)]
    telling = [
        i
        for i, s in enumerate(found)
        if wanted and s.act in _MAY_ANSWER and names_it.search(text, s.start, s.end)
    ]
    spoken = [i for i in telling if len(_WORD.findall(text, found[i].start, found[i].end)) > 2]
    by_act = [i for i in spoken if found[i].act == "Answer"]
    return (by_act or spoken[-1:] or telling or answers or [len(found) - 1])[-1]


def _heading(text: str, sentence: _Sentence) -> bool:
    piece = text[sentence.start : sentence.end]
    return piece.startswith("#") and "\n" not in piece


def _ranked(trace: Trace, found: Sequence[_Sentence], answer: int) -> list[tuple[float, int]]:
    """Every sentence before the answer that may enter, with its worth."""
    text = trace.text
    good = hard(trace) if trace.steps else []
    values = [soft(s) for s in trace.steps]
    refuted = _refuted(found)
    numbers = [set(_NUMBER.findall(text, s.start, s.end)) for s in found]
    first = {n: i for i in reversed(range(len(found))) for n in numbers[i]}
    last = {n: i for i in range(len(found)) for n in numbers[i]}
    opening = next((i for i, s in enumerate(found) if s.act in _OPENINGS), None)
    out = []
    for i, s in enumerate(found[:answer]):
        if i in refuted or (s.step < len(good) and good[s.step] is False):
            continue
        worth = _WORTH.get(s.act, 0.0) + (2.0 if i == opening else 0.0)
        if 0 < s.step < len(values) and (here := values[s.step]) is not None:
            worth += 3.0 * max(0.0, here - (values[s.step - 1] or 0.0))
        worth += 0.5 * min(2, sum(first[n] == i < last[n] for n in numbers[i]))
        if text[s.end - 1] in ":?" or text.startswith(_FORMULAS, s.start):
            worth *= 0.3
        out.append((worth if s.act in _WORTH else 0.0, i))
    return out


def _refuted(found: Sequence[_Sentence]) -> set[int]:
    """Notices of errors, and what each takes back: the last result before it, to its step's beginning."""
    out: set[int] = set()
    for i, s in enumerate(found):
        if s.act not in _REFUTED_BY:
            continue
        out.add(i)
        back = i - 1
        while back >= 0 and found[back].act not in _RESULTS:
            back -= 1
        step = found[back].step if back >= 0 else -1
        while back >= 0 and found[back].step == step and found[back].act in _RESULTS:
            out.add(back)
            back -= 1
    return out


def _shown(text: str, sentence: _Sentence) -> str:
    """White space collapsed, without its list mark or step number."""
    line = " ".join(text[sentence.start : sentence.end].split())
    label = _LABEL.match(line)
    return line[label.end() :] if label and label.end() < len(line) else line
