"""A run's folder made by hand: small, but with every kind of row that a reviewer may meet.

Right, wrong and undecided rollouts with measured steps, an inferred and an unlabelled one, a judge, code,
Lean, a searched game, a bare question, and texts that hold HTML, tags,
control characters, and characters beyond the first plane.
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from cotmill.generators import families
from cotmill.pipelines.card import write_card
from cotmill.pipelines.manifest import Manifest
from cotmill.pipelines.shards import write_shard
from cotmill.pipelines.totals import Totals
from cotmill.schemas import (
    SCHEMA_VERSION,
    ActSpan,
    Candidate,
    Domain,
    Generator,
    Judge,
    Method,
    Origin,
    Outcome,
    Provenance,
    SearchState,
    Seed,
    Source,
    Step,
    Trace,
    markup,
    split_steps,
    trace_id,
)
from cotmill.schemas.tables import search_row, step_rows, trace_row

Act = tuple[str, str]
Count = tuple[int, int] | None
CONFIG = {"shards.validation_share": "0.5", "labels.threshold": "0.0", "policy.model": "embedded 00"}

EGGS = "A farm packs 12 boxes of 30 eggs. 45 eggs break on the way. How many arrive whole?"
EGGS_COT: list[list[Act]] = [
    [
        ("NoteGiven", "12 boxes, 30 eggs in each, 45 broken."),
        ("Plan", "First all eggs, then the whole ones."),
    ],
    [("Calculate", "12 * 30 = 360.")],
    [("Calculate", "360 - 45 = 315."), ("Answer", "The answer is 315.")],
]
HOSTILE = "Is 1 < 2 & \"2 > 1\"? <script>document.title='owned'</script><img src=x onerror=alert(1)>"
HOSTILE_COT: list[list[Act]] = [
    [("NoteGiven", "The page holds <b>bold</b> & <Think_End> and <ACT_Check_Start>, as text.")],
    [("Uncertain", "Hmm 🤔𝔸, is <script>alert('trace')</script> \x1b[31mcode\x07 or \u202eprose?")],
    [("Answer", "Both hold, so yes: 1 < 2.")],
]
SORT = "Return the second smallest distinct number of a list, or None."
SORT_COT: list[list[Act]] = [
    [
        ("RephraseTarget", "Wanted: the second smallest distinct value."),
        ("Propose", "A set, sorted, gives it."),
    ],
    [("WriteCode", "def second(a):\n    s = sorted(set(a))\n    return s[1] if len(s) > 1 else None")],
    [
        ("RunCode", "second([3, 1, 1]): s = [1, 3], returns 3."),
        ("Check", "Right: 1 is the smallest, 3 next."),
    ],
    [("Answer", "second(a) as above.")],
]
LEAN = "theorem add_zero_twice (n : Nat) : n + 0 + 0 = n"
LEAN_COT: list[list[Act]] = [
    [("RephraseTarget", "The goal is ⊢ n + 0 + 0 = n."), ("Recall", "Nat.add_zero says n + 0 = n.")],
    [
        ("Transform", "rw [Nat.add_zero] leaves ⊢ n + 0 = n."),
        ("Deduce", "rfl closes it."),
        ("Answer", "Done."),
    ],
]


def build(folder: Path) -> Manifest:
    """Write the run; returns its manifest."""
    shards = [[*_eggs()], [*_hostile(), *_family(), _code(), _lean(), _bare()]]
    totals, files = Totals(seeds=6, search_states=2), []
    for index, traces in enumerate(shards):
        totals.count(traces)
        rows = {
            "traces": [trace_row(t) for t in traces],
            "steps": [row for t in traces for row in step_rows(t)],
            "search": [search_row(s) for s in (states(traces) if index == 0 else [])],
        }
        for name, table in rows.items():
            files += write_shard(folder, name, index, table, float(CONFIG["shards.validation_share"]))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        code_version="0.1.0",
        config=CONFIG,
        config_hash="c0ffee",
        policy="embedded",
        policy_hash="0123456789abcdef",
        shards=tuple(files),
        totals=totals,
    )
    write_card(folder, manifest)
    manifest.write(folder)
    return manifest


def trace(
    question: str,
    steps: Sequence[Sequence[Act]],
    counts: Sequence[Count],
    outcome: Outcome,
    *,
    generator: Generator = Generator.COMPLETION,
    origin: Origin = Origin.POLICY,
    seed: Trace | None = None,
    copied: int = 0,
    method: Method = Method.ROLLOUTS,
    **more: Any,
) -> Trace:
    """A trace from its acts, step by step; `counts` are (n_correct, n_rollouts), None: inferred."""
    text, acts = "", []
    for i, step in enumerate(steps):
        for j, (act, words) in enumerate(step):
            text += "\n\n" * (i > 0 and j == 0) + " " * (j > 0)
            acts.append(ActSpan(start=len(text), end=len(text) + len(words), act=act))
            text += words
    spans = split_steps(text, acts)
    parent = seed.trace_id if seed else ""
    provenance = Provenance(
        policy="embedded" if seed else "",
        policy_hash="0123456789abcdef" if seed else "",
        temperature=0.7 if seed else None,
        rng_key="ab" * 16 if seed else "",
        parent_id=parent,
        verifier="math",
        config_hash="c0ffee",
        code_version="0.1.0",
    )
    fields: dict[str, Any] = {
        "seed_id": parent or trace_id(question, text, generator),
        "domain": Domain.MATH,
        "source": Source(name="handmade", row=1, licence="Apache-2.0"),
        "provenance": provenance,
        "tokens": 4 * sum(map(len, steps)) if seed else 0,
    }
    return Trace(
        question=question,
        text=text,
        generator=generator,
        steps=tuple(
            Step(
                start=a,
                end=b,
                origin=seed.steps[0].origin if seed and i < copied else origin,
                n_correct=count[0] if count else 0,
                n_rollouts=count[1] if count else 0,
                method=method if count else Method.INFERRED,
            )
            for i, ((a, b), count) in enumerate(zip(spans, counts, strict=True))
        ),
        acts=tuple(acts),
        outcome=outcome,
        prefix_steps=copied,
        **(fields | more),
    )


def _eggs() -> list[Trace]:
    human = trace(
        EGGS,
        EGGS_COT,
        [(7, 8), (8, 8), None],
        Outcome.CORRECT,
        generator=Generator.HUMAN,
        origin=Origin.HUMAN,
        answer="315",
        reference="315",
        evidence="315 = 315",
        summary="All eggs, less the broken ones.",
    )
    said = {"seed": human, "reference": "315"}
    right = trace(
        EGGS,
        [
            *EGGS_COT[:2],
            [("Calculate", "360 - 45 = 315."), ("Check", "315 + 45 = 360, good."), ("Answer", "315")],
        ],
        [(7, 8), (8, 8), None],
        Outcome.CORRECT,
        copied=2,
        answer="315",
        evidence="315 = 315",
        count=3,
        **said,
    )
    wrong = trace(
        EGGS,
        [
            [("Calculate", "12 * 30 = 390.")],
            [("Calculate", "390 - 45 = 345.")],
            [("Answer", "The answer is 345.")],
        ],
        [(1, 8), (0, 8), None],
        Outcome.WRONG,
        answer="345",
        evidence="345 is not 315",
        **said,
    )
    mended = trace(
        EGGS,
        [
            [("Calculate", "12 * 30 = 350.")],
            [("DetectError", "Wait, 12 * 30 is not 350."), ("Correct", "12 * 30 = 360.")],
            [("Calculate", "360 - 45 = 315."), ("Answer", "315")],
        ],
        [(0, 8), (7, 8), None],
        Outcome.CORRECT,
        answer="315",
        evidence="315 = 315",
        **said,
    )
    judged = mended.steps[0].model_copy(update={"judge": Judge(label=-1, score=0.1, by="rubric")})
    mended = mended.model_copy(update={"steps": (judged, *mended.steps[1:])})
    cut = trace(
        EGGS,
        [EGGS_COT[0], [("Plan", "Let me count the boxes once more.")]],
        [(7, 8), (3, 8)],
        Outcome.WRONG,
        copied=1,
        error="cut off: max_tokens reached",
        evidence="the trace gives no final answer",
        **said,
    )
    weak = trace(EGGS, [[("Propose", "Maybe 300?")]], [None], Outcome.UNDECIDED, **said)
    weak = weak.model_copy(
        update={"steps": (weak.steps[0].model_copy(update={"method": None, "reason": "policy too weak"}),)}
    )
    return [human, right, wrong, mended, cut, weak]


def _hostile() -> list[Trace]:
    human = trace(
        HOSTILE,
        HOSTILE_COT,
        [(4, 8), (2, 8), None],
        Outcome.CORRECT,
        generator=Generator.HUMAN,
        origin=Origin.HUMAN,
        answer="<i>yes</i>",
        reference="yes",
        evidence="<u>yes</u> is yes",
        source=Source(name="<em>web</em>", row=7, licence="<a href=x>"),
        summary="<marquee>done</marquee>",
    )
    echo = trace(
        HOSTILE,
        [HOSTILE_COT[0], [("Answer", "</div></td></table><h1>no</h1>")]],
        [(4, 8), None],
        Outcome.WRONG,
        seed=human,
        copied=1,
        answer="no",
        reference="yes",
        evidence="no is not yes",
    )
    return [human, echo]


def _family() -> list[Trace]:
    """A seed of the families with an error that is mended, and the same with a wrong answer."""
    seed = next(s for s in (families.seed_at(0, i) for i in count()) if _errs(s))
    lines = [[(act.act, seed.text[act.start : act.end])] for act in seed.acts]
    whole = trace(
        seed.question,
        lines,
        [*[(8, 8)] * (len(lines) - 1), None],
        Outcome.CORRECT,
        generator=Generator.FAMILY,
        origin=Origin.PROGRAM,
        source=seed.source,
        answer=seed.answer,
        reference=seed.answer,
        evidence=f"{seed.answer} = {seed.answer}",
    )
    wrong = trace(
        seed.question,
        [*lines[:-1], [("Answer", "The answer is -77.")]],
        [*[(6, 8)] * (len(lines) - 2), (0, 8), None],
        Outcome.WRONG,
        seed=whole,
        copied=4,
        source=seed.source,
        answer="-77",
        reference=seed.answer,
        evidence=f"-77 is not {seed.answer}",
    )
    return [whole, wrong]


def _errs(seed: Seed) -> bool:
    truth = families.check(seed.question, seed.text)
    return truth is not None and len(truth.clean) > 6 and not all(truth.clean[4:-2])


def _code() -> Trace:
    return trace(
        SORT,
        SORT_COT,
        [(1, 1)] * 4,
        Outcome.CORRECT,
        generator=Generator.CODE_REVERSE,
        origin=Origin.PROGRAM,
        domain=Domain.CODE,
        method=Method.EXECUTION,
        evidence="4 of 4 tests pass",
        answer="second",
    )


def _lean() -> Trace:
    return trace(
        LEAN,
        LEAN_COT,
        [(1, 1)] * 2,
        Outcome.CORRECT,
        generator=Generator.LEAN_REVERSE,
        origin=Origin.PROOF,
        domain=Domain.LEAN,
        method=Method.PROOF,
        evidence="no goals",
    )


def _bare() -> Trace:
    return trace(
        "What is 2 + 2?",
        [],
        [],
        Outcome.UNDECIDED,
        generator=Generator.HUMAN,
        reference="4",
        source=Source(name="questions.jsonl", row=3),
    )


def states(traces: Sequence[Trace]) -> list[SearchState]:
    """Two searched states on the way to the first trace's end."""
    human = traces[0]
    opened = markup.render(human.text[: human.acts[0].end], human.acts[:1], closed=False)
    common = {"trace_id": human.trace_id, "seed_id": human.seed_id, "question": human.question}
    return [
        SearchState(
            **common,
            prefix=markup.THINK_START,
            action_kind="act",
            actions=("NoteGiven", "Calculate", "Propose"),
            prior=(0.6, 0.3, 0.1),
            visits=(20, 10, 2),
            pi=(0.625, 0.3125, 0.0625),
            q=(0.7, 0.4, -0.5),
            chosen="NoteGiven",
            value=1,
            depth=0,
            candidates=(
                Candidate(
                    action="NoteGiven", text="12 boxes, 30 eggs in each, 45 broken.", score=-0.1, chosen=True
                ),
                Candidate(action="NoteGiven", text="12 boxes & <b>45</b> broken.", score=-0.9),
            ),
        ),
        SearchState(
            **common,
            prefix=opened,
            action_kind="act",
            actions=("Plan", "Calculate"),
            prior=(0.5, 0.5),
            visits=(24, 8),
            pi=(0.75, 0.25),
            q=(0.8, 0.1),
            chosen="Plan",
            value=1,
            depth=1,
        ),
    ]
