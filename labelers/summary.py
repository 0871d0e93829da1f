"""The summary a user is shown instead of the hidden CoT: sentences taken from it, chosen by act and value.

Extractive and without a model, so it says nothing that the trace does not hold.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..schemas import ActSpan, Trace
from ..schemas.labels import hard, soft
from .tagger import Tagger, tag_trace
from .tagger_features import plain
from .tagger_segments import units

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

    At most 15% of the trace's length, but always the sentence with the answer. A trace without acts is
    tagged first; one without text has an empty summary. Sentences of a step labelled wrong, and those that
    a DetectError or Backtrack takes back, stay out.
    """
    text = trace.text
    found = _sentences(trace)
    if not found:
        return ""
    answer = _answer(trace, found)
    chosen, budget = {answer}, SHARE * len(text) - len(_shown(text, found[answer]))
    for i in sorted(_ranked(trace, found, answer), key=lambda pair: (-pair[1], pair[0])):
        cost = len(_shown(text, found[i[0]])) + 1
        if cost <= budget:
            chosen.add(i[0])
            budget -= cost
    return " ".join(_shown(text, found[i]) for i in sorted(chosen))


def _sentences(trace: Trace) -> list[_Sentence]:
    acts = tag_trace(trace, Tagger.load()).acts
    steps = [(s.start, s.end) for s in trace.steps] or None
    return [
        _Sentence(u.start, u.end, _act_at(acts, u.start, u.end), u.step) for u in units(trace.text, steps)
    ]


def _act_at(acts: Sequence[ActSpan], start: int, end: int) -> str:
    best = max(acts, key=lambda a: min(a.end, end) - max(a.start, start), default=None)
    return best.act if best and best.start < end and start < best.end else ""


def _answer(trace: Trace, found: Sequence[_Sentence]) -> int:
    """The last sentence that gives the answer in words, else the last Answer, else the last sentence."""
    answers = [i for i, s in enumerate(found) if s.act == "Answer" and not _heading(trace.text, s)]
    wanted = (trace.answer or "").strip()
    telling = [i for i in answers if wanted and wanted in trace.text[found[i].start : found[i].end]]
    spoken = [i for i in telling if len(plain(trace.text[found[i].start : found[i].end]).split()) > 2]
    return (spoken or telling or answers or [len(found) - 1])[-1]


def _heading(text: str, sentence: _Sentence) -> bool:
    return (
        text[sentence.start : sentence.end].startswith("#")
        and "\n" not in text[sentence.start : sentence.end]
    )


def _ranked(trace: Trace, found: Sequence[_Sentence], answer: int) -> list[tuple[int, float]]:
    """Every other sentence that may enter, with its worth."""
    good = hard(trace) if trace.steps else []
    values = [soft(s) for s in trace.steps]
    refuted = _refuted(found)
    numbers = [set(_NUMBER.findall(trace.text[s.start : s.end])) for s in found]
    opening = next((i for i, s in enumerate(found) if s.act in _OPENINGS), None)
    out = []
    for i, s in enumerate(found[:answer]):
        worth = _WORTH.get(s.act, 0.0)
        if not worth or i in refuted or (s.step < len(good) and good[s.step] is False):
            continue
        if i == opening:
            worth += 2.0
        if s.step < len(values) and (here := values[s.step]) is not None and s.step:
            worth += 3.0 * max(0.0, here - (values[s.step - 1] or 0.0))
        fresh = numbers[i].difference(*numbers[:i])
        worth += min(2, sum(any(n in later for later in numbers[i + 1 :]) for n in fresh)) * 0.5
        if trace.text[s.start : s.end].rstrip().endswith((":", "?")):
            worth *= 0.3
        out.append((i, worth))
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
