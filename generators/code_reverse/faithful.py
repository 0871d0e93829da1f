"""The faithfulness checker: everything that a code CoT states is derived again from the observed run.

Two checks. The *text* must be a wording of the story, act for act. And, whatever the story says, a lexical
audit: each piece of code and each value in the text must stand in the program, in a draft that was run, in
the tests, or among the values that the run produced.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from ...schemas import Trace
from ..phrasing import PhraseBook
from ..wording import misworded
from .claims import PHRASES, read
from .observe import Facts, Outcome
from .rows import CodeSeed
from .said import quoted
from .shape import signature, unit_of
from .story import choose, tell
from .syntax import parse

_FENCED = re.compile(r"```python\n(.*?)\n```", re.DOTALL)
_QUOTED = re.compile(r"`([^`]+)`")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def unfaithful(trace: Trace, seed: CodeSeed, facts: Facts) -> list[str]:
    """What the trace says that the observed run does not bear out; empty where all holds.

    What the grammar wrote is held against the story of its own key; what a policy wrote, whatever its words,
    against everything that can be said truly (`claims`).
    """
    if trace.provenance.policy:
        reading = read(seed, facts, trace.text, trace.acts)
        found = [*_frame(trace, seed, reading.right), *reading.complaints]
        return found or list(_lexical(trace, seed, facts, range(len(facts.drafts))))
    choices = choose(seed, facts, trace.provenance.rng_key)
    story = tell(seed, facts, choices)
    return [
        *_frame(trace, seed, [p.right for p in story]),
        *misworded(trace, story, PhraseBook.load(PHRASES), "the run"),
        *_lexical(trace, seed, facts, choices.drafts),
    ]


def _frame(trace: Trace, seed: CodeSeed, right: Sequence[bool]) -> Iterator[str]:
    if (trace.question, trace.reference, trace.answer) != (seed.question, seed.reference, seed.code):
        yield "the question, the reference or the answer is another one"
    if [s.n_correct for s in trace.steps] != list(map(int, right)):
        yield "the steps' marks are not those of the observed run"
    blocks = _FENCED.findall(trace.text)
    if not blocks or blocks[-1] != seed.code:
        yield "the last block of code is not the program"


def _lexical(trace: Trace, seed: CodeSeed, facts: Facts, told: Iterable[int]) -> Iterator[str]:
    """Code and values of the text that stand in no program, no test and no recorded value."""
    drafts = [facts.drafts[i] for i in told]
    sources = [seed.code, *seed.tests, *(d.mutant.source for d in drafts)]
    outcomes = [*facts.outcomes, *(o for _, o in facts.edges), *(d.outcome for d in drafts)]
    values = {quoted(o.value)[1:-1] for o in outcomes} | {o.error.replace("`", "'") for o in outcomes}
    values |= {v for o in outcomes for e in o.events for v in (*e.values.values(), e.text)}
    known = {quoted(t)[1:-1] for e in facts.examples for t in (e.call, e.expected)} | {
        c for c, _ in facts.edges
    }
    known.add(signature(unit_of(seed.code, facts.entry)))
    known |= {ast.unparse(n) for n in ast.walk(parse(seed.code)) if isinstance(n, ast.expr)}
    variables = {v for o in outcomes for e in o.events for v in e.values}
    squashed = " ".join(" ".join(sources).split())
    for block in _FENCED.findall(trace.text):
        if not any(block in source for source in sources):
            yield f"a block of code that nobody ran: {block[:80]!r}"
    prose = _FENCED.sub("", trace.text)
    for piece in _QUOTED.findall(prose):
        if piece in values or piece in known or _bare(piece) in _bare(squashed):
            continue
        one, _, other = piece.partition(" <= ")
        if not {one, other} <= variables:
            yield f"`{piece}` stands in no program, test or value"
    pool = set(_NUMBER.findall(" ".join([squashed, seed.text, *values, *known])))
    pool |= {str(n) for n in range(facts.tests + 1)} | _counts(outcomes)
    for number in _NUMBER.findall(_QUOTED.sub("", prose)):
        if number not in pool:
            yield f"the number {number} stands in no program, test or value"


def _counts(outcomes: Sequence[Outcome]) -> set[str]:
    """How often one line ran, or one line led to another, or one function was called, in any run."""
    found: set[int] = set()
    for outcome in outcomes:
        lines = [(e.frame, e.line) for e in outcome.events if e.kind == "line"]
        found |= set(Counter(lines).values()) | set(Counter(pairwise(lines)).values())
        calls = Counter(e.text for e in outcome.events if e.kind == "call" and e.parent is not None)
        found |= set(calls.values())
    return {str(n) for count in found for n in (count, count - 1)}


def _bare(text: str) -> str:
    """Without white space, and with one kind of quote: how `ast` writes source differs in both."""
    return re.sub(r"\s+", "", text).replace('"', "'")
