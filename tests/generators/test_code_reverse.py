"""Programs reversed: faithful traces with real values, wrong turns that the tests catch, and refusals."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from cotmill.generators.code_reverse import (
    CodeSeed,
    Facts,
    Unusable,
    observe,
    read_code_row,
    reverse,
    unfaithful,
    write,
)
from cotmill.generators.code_reverse.mutate import mutants
from cotmill.generators.code_reverse.shape import parts
from cotmill.generators.rejected import Rejected
from cotmill.schemas import BadInput, Inventory, Method, Outcome, Source, Trace, Verdict, markup
from cotmill.verifiers.sandbox import sandbox_available

LINES = (files("cotmill.data") / "code" / "programs.jsonl").read_text(encoding="utf-8").split("\n")
ROWS = [json.loads(line) for line in LINES if line]
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
PASSED = Verdict(outcome=Outcome.CORRECT, reason="the tests passed")

needs_sandbox = pytest.mark.skipif(
    sandbox_available() is not None, reason=f"programs run only in a sandbox: {sandbox_available()}"
)
pytestmark = needs_sandbox


def seed_of(row: dict, number: int = 1) -> CodeSeed:
    return read_code_row(row, Source(name="programs.jsonl", row=number, licence="Apache-2.0"))


def program(code: str, *tests: str) -> CodeSeed:
    return seed_of({"text": "Write a function to do it.", "code": code, "test_list": list(tests)})


@pytest.fixture(scope="module")
def observed() -> list[tuple[CodeSeed, Facts]]:
    """A fifth of the shipped programs with what they did."""
    return [(seed, observe(seed)) for seed in map(seed_of, ROWS[::5])]


def written(seed: CodeSeed, facts: Facts, run_seed: int = 0) -> Trace:
    trace = write(seed, facts, run_seed=run_seed)
    assert isinstance(trace, Trace), trace
    return trace


@pytest.mark.slow
def test_every_shipped_program_gives_a_faithful_trace():
    for row in ROWS:
        trace = reverse(seed_of(row), run_seed=0)
        assert isinstance(trace, Trace), trace
        assert trace.outcome is Outcome.CORRECT


def test_shipped_programs_are_short_and_have_three_tests():
    assert len(ROWS) >= 40
    assert all(4 <= len(r["code"].split("\n")) <= 25 and len(r["test_list"]) >= 3 for r in ROWS)
    assert len({r["task_id"] for r in ROWS}) == len({r["code"] for r in ROWS}) == len(ROWS)


def test_a_reversed_program_is_verified_and_is_its_own_seed():
    seed = seed_of(ROWS[0])
    trace = reverse(seed, run_seed=3)
    assert isinstance(trace, Trace)
    assert trace.outcome is Outcome.CORRECT
    assert trace.seed_id == trace.trace_id
    assert trace.answer == seed.code
    assert json.loads(trace.reference or "") == {"tests": ROWS[0]["test_list"]}
    assert trace.provenance.verifier == "code"
    assert trace == reverse(seed, run_seed=3)


def test_traces_are_faithful_and_well_formed_under_many_keys(observed):
    names = set(Inventory.load().names)
    for seed, facts in observed:
        for run_seed in range(8):
            trace = written(seed, facts, run_seed)
            assert unfaithful(trace, seed, facts) == []
            assert {a.act for a in trace.acts} <= names
            assert markup.parse(markup.render(trace.text, trace.acts)) == (trace.text, trace.acts)
            prose = re.sub(r"```.*?```|`[^`]*`", "X", trace.text, flags=re.DOTALL)
            assert not re.search(
                r"^ |\S  | $| [.,;:](?!:)|\.\. |[.?] (?:with|then|it|the|by|and)\b", prose, re.MULTILINE
            ), prose


def test_texts_of_one_program_differ(observed):
    seed, facts = observed[0]
    assert len({written(seed, facts, n).text for n in range(30)}) == 30


def test_a_third_of_the_traces_hold_a_wrong_turn_and_at_least_eight_acts_occur(observed):
    traces = [written(seed, facts, n) for seed, facts in observed for n in range(20)]
    assert sum(any(not s.n_correct for s in t.steps) for t in traces) >= 0.3 * len(traces)
    assert len({a.act for t in traces for a in t.acts}) >= 8


def test_steps_are_wrong_from_the_slip_until_it_is_mended(observed):
    found = 0
    for seed, facts in observed:
        for n in range(6):
            trace = written(seed, facts, n)
            marks = [s.n_correct for s in trace.steps]
            assert all(s.method is Method.EXECUTION and s.n_rollouts == 1 for s in trace.steps)
            if 0 in marks:
                found += 1
                first, last = marks.index(0), len(marks) - 1 - marks[::-1].index(0)
                assert set(marks[first : last + 1]) == {0}
                acts = [[a.act for a in trace.acts if s.start <= a.start < s.end] for s in trace.steps]
                assert acts[first] == ["WriteCode"]
                assert set(acts[last]) == {"DetectError"}
                assert acts[last + 1] == ["Correct"]
    assert found > 5


def test_a_draft_is_told_only_where_the_tests_catch_it(observed):
    for seed, facts in observed:
        for draft in facts.drafts:
            space: dict = {}
            example = facts.examples[draft.example]
            if draft.outcome.endless or draft.outcome.error:
                continue
            exec(draft.mutant.source, space)
            assert repr(eval(example.call, space)) == draft.outcome.value
            assert eval(example.call, space) != eval(example.expected)
            assert draft.mutant.source != seed.code


def plant(trace: Trace) -> list[Trace]:
    """Falsehoods in the prose: each number, truth value, comparison and variable changed by itself."""
    fences = [m.span() for m in re.finditer(r"```.*?```", trace.text, re.DOTALL)]
    swaps = {"True": "False", "False": "True", "None": "0", "<": "<=", "+": "-", "is": "isn't"}
    planted = []
    for match in re.finditer(r"\d+|\b(?:True|False|None)\b|[<+]|\b[a-z]\b(?= =)|(?<=')\w", trace.text):
        if any(a <= match.start() < b for a, b in fences):
            continue
        old = match.group()
        new = str(int(old) + 1) if old.isdigit() else swaps.get(old, "z" if old != "z" else "y")
        planted.append(_replaced(trace, match.start(), match.end(), new))
    return planted


def _replaced(trace: Trace, start: int, end: int, new: str) -> Trace:
    moved = len(new) - (end - start)

    def shift(span):
        first = span.start + (moved if span.start >= end else 0)
        last = span.end + (moved if span.end >= end else 0)
        return span.model_copy(update={"start": first, "end": last})

    spans = {"acts": tuple(map(shift, trace.acts)), "steps": tuple(map(shift, trace.steps))}
    return trace.model_copy(update={"text": trace.text[:start] + new + trace.text[end:], **spans})


def test_planted_falsehoods_are_caught(observed):
    caught = total = 0
    for seed, facts in observed:
        for false in plant(written(seed, facts))[::2]:
            total += 1
            caught += bool(unfaithful(false, seed, facts))
    assert total > 150
    assert caught / total > 0.98


def test_swapped_code_is_caught(observed):
    seed, facts = observed[0]
    trace = written(seed, facts)
    false = trace.model_copy(update={"text": trace.text.replace("return total", "return totaL")})
    assert unfaithful(false, seed, facts)


def test_the_lexical_audit_stands_alone(observed):
    """A value that no run produced is named even where the story would not notice."""
    seed, facts = observed[0]
    trace = written(seed, facts)
    false = _replaced(trace, trace.acts[0].end, trace.acts[0].end, " It is `987654`.")
    assert any("`987654` stands in no program" in c for c in unfaithful(false, seed, facts))


def test_parts_are_the_program():
    for row in ROWS:
        entry = re.search(r"def (\w+)", row["code"]).group(1)
        assert "\n".join(p.code for p in parts(row["code"], entry)) == row["code"]


def test_mutants_differ_from_the_program_where_they_say():
    for row in ROWS:
        for mutant in mutants(row["code"]):
            own, other = row["code"].split("\n"), mutant.source.split("\n")
            if mutant.kind != "guard":
                places = sum(a != b for a, b in zip(own, other, strict=True))
                assert places == {"pair": 2, "swapped": 2}.get(mutant.kind, 1)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f(x:\n    return x", "not Python"),
        ("while True:\n    pass\n\ndef f(x):\n    return x", "limit|pass its tests"),
        ("import sys\ndef f(x):\n    return x\nsys.exit(0)", "pass its tests"),
        ("def f(x):\n    while True:\n        print('x' * 1000)", "limit|pass its tests"),
        ("def f(x):\n    return x + 1", "pass its tests"),
        ("x = 3", "pass its tests|call no function"),
    ],
)
def test_programs_that_hang_flood_or_fail_are_rejected_with_a_reason(code, reason):
    rejected = reverse(program(code, "assert f(1) == 1"), run_seed=0)
    assert isinstance(rejected, Rejected)
    assert re.search(reason, rejected.reason), rejected.reason


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os\ndef f(x):\n    os._exit(0)", "exited before"),
        (
            "import random\ndef f(x):\n    return random.random() * 0 + x if x else random.random()",
            "second run",
        ),
        ("def f(x):\n    return g(x)", "NameError"),
    ],
)
def test_programs_without_steady_facts_are_unusable(code, reason):
    with pytest.raises(Unusable, match=reason):
        observe(program(code, "assert f(2) == 2"))


def test_a_draft_that_never_ends_is_a_fact_and_no_hang():
    code = (
        "def f(n):\n    steps = 0\n    while n != 0:\n        n = n - 1\n        steps += 1\n    return steps"
    )
    facts = observe(program(code, "assert f(3) == 3", "assert f(0) == 0", "assert f(1) == 1"))
    assert any(d.outcome.endless for d in facts.drafts)


def test_humaneval_rows_are_read():
    row = {
        "task_id": "HumanEval/x",
        "prompt": 'def double(n: int) -> int:\n    """Return twice n.\n    >>> double(2)\n    4\n    """\n',
        "canonical_solution": "    total = n\n    total += n\n    return total\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
        "entry_point": "double",
    }
    seed = seed_of(row)
    assert seed.text == "Return twice n."
    assert seed.code == "def double(n: int) -> int:\n    total = n\n    total += n\n    return total"
    assert seed.tests == ("assert double(2) == 4", "assert double(0) == 0")
    trace = reverse(seed, run_seed=1)
    assert isinstance(trace, Trace), trace


def test_mbpp_rows_with_carriage_returns_give_traces():
    path = SHARED / "mbpp_dev_170_original.jsonl"
    if not path.exists():
        pytest.skip("needs ../shared/data beside the project")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line][::17]
    made = []
    for number, row in enumerate(rows, 1):
        seed = seed_of(row, number)
        try:
            made.append(written(seed, observe(seed)))
        except Unusable as e:
            made.append(e)
    assert sum(isinstance(t, Trace) for t in made) >= len(rows) - 1


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"text": "t", "code": "x"}, "test_list"),
        ({"text": "t", "code": 3, "test_list": ["assert 1"]}, "code"),
        ({"text": "", "code": "x", "test_list": ["assert 1"]}, "text"),
        ({"text": "t", "code": "x", "test_list": [1]}, "test_list"),
        ({"canonical_solution": "x", "prompt": "def f():", "entry_point": "f"}, "test"),
        ({"canonical_solution": "x", "prompt": "def f():", "entry_point": "f", "test": "x ="}, "test"),
    ],
)
def test_a_bad_row_is_named_by_line_and_field(row, field):
    with pytest.raises(BadInput) as e:
        read_code_row(row, Source(name="x.jsonl", row=5))
    assert (e.value.line, e.value.field) == (5, field)
