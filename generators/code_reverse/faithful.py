"""The faithfulness checker: everything that a code CoT states is derived again from the observed run.

Two checks. The *text* must be a wording of the story, act for act. And, whatever the story says, a lexical
audit: each piece of code and each value in the text must stand in the program, in a draft that was run, in
the tests, or among the values that the run produced.
"""

import re
from collections.abc import Iterator, Sequence

from ...schemas import Trace
from ..phrasing import PhraseBook
from ..wording import misworded
from .observe import Facts
from .rows import CodeSeed
from .story import Choices, Paragraph, choose, tell

PHRASES = "phrases_code.yaml"
_FENCED = re.compile(r"```python\n(.*?)\n```", re.DOTALL)
_QUOTED = re.compile(r"`([^`]+)`")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def unfaithful(trace: Trace, seed: CodeSeed, facts: Facts) -> list[str]:
    """What the trace says that the observed run does not bear out; empty where all holds."""
    choices = choose(seed, facts, trace.provenance.rng_key)
    story = tell(seed, facts, choices)
    return [
        *_frame(trace, seed, story),
        *misworded(trace, story, PhraseBook.load(PHRASES), "the run"),
        *_lexical(trace, seed, facts, choices),
    ]


def _frame(trace: Trace, seed: CodeSeed, story: Sequence[Paragraph]) -> Iterator[str]:
    if (trace.question, trace.reference, trace.answer) != (seed.question, seed.reference, seed.code):
        yield "the question, the reference or the answer is another one"
    if [s.n_correct for s in trace.steps] != [int(p.right) for p in story]:
        yield "the steps' marks are not those of the observed run"
    blocks = _FENCED.findall(trace.text)
    if not blocks or blocks[-1] != seed.code:
        yield "the last block of code is not the program"


def _lexical(trace: Trace, seed: CodeSeed, facts: Facts, choices: Choices) -> Iterator[str]:
    """Code and values of the text that stand in no program, no test and no recorded value."""
    draft = facts.drafts[choices.draft] if choices.draft is not None else None
    sources = [seed.code, *seed.tests, *([draft.mutant.source, draft.outcome.error] if draft else [])]
    outcomes = [*facts.outcomes, *(o for _, o in facts.edges), *([draft.outcome] if draft else [])]
    values = {o.value for o in outcomes} | {o.error.replace("`", "'") for o in outcomes}
    values |= {v for o in outcomes for e in o.events for v in (*e.values.values(), e.text)}
    known = (
        {e.call for e in facts.examples} | {e.expected for e in facts.examples} | {c for c, _ in facts.edges}
    )
    squashed = " ".join(" ".join(sources).split())
    for block in _FENCED.findall(trace.text):
        if not any(block in source for source in sources):
            yield f"a block of code that nobody ran: {block[:80]!r}"
    prose = _FENCED.sub("", trace.text)
    for piece in _QUOTED.findall(prose):
        if piece not in values and piece not in known and _bare(piece) not in _bare(squashed):
            yield f"`{piece}` stands in no program, test or value"
    pool = set(_NUMBER.findall(" ".join([squashed, seed.text, *values, *known])))
    turns = {str(n) for n in range(len(seed.tests) + 1)}
    for number in _NUMBER.findall(_QUOTED.sub("", prose)):
        if number not in pool and number not in turns:
            yield f"the number {number} stands in no program, test or value"


def _bare(text: str) -> str:
    """Without white space, and with one kind of quote: how `ast` writes source differs in both."""
    return re.sub(r"\s+", "", text).replace('"', "'")
