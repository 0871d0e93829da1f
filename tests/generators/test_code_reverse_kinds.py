"""Programs of every build reversed: classes, generators, closures, scripts, modules; and what is refused."""

import json
import re

import pytest
from cotmill.generators.code_reverse import CodeSeed, observe, read_code_row, reverse, write
from cotmill.generators.code_reverse.claims import read
from cotmill.generators.code_reverse.examples import derived, examples
from cotmill.generators.code_reverse.modules import doctest_assertions, module_rows
from cotmill.generators.rejected import Rejected
from cotmill.schemas import Outcome, Source, Trace
from cotmill.verifiers.sandbox import sandbox_available

pytestmark = pytest.mark.skipif(
    sandbox_available() is not None, reason=f"programs run only in a sandbox: {sandbox_available()}"
)
STACK = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)
        return len(self.items)

    def pop(self):
        return self.items.pop()"""
PROGRAMS = {
    "class": (STACK, ["s = Stack()\ns.push(4)\nassert s.pop() == 4", "assert Stack().push('a') == 1"]),
    "generator": (
        "def evens(n):\n    for i in range(n):\n        if i % 2 == 0:\n            yield i",
        ["assert list(evens(5)) == [0, 2, 4]", "assert list(evens(0)) == []"],
    ),
    "closure": (
        "def count_up(k):\n    count = 0\n    def step():\n        nonlocal count\n        count += 1\n"
        "        return count\n    last = 0\n    for _ in range(k):\n        last = step()\n    return last",
        ["assert count_up(3) == 3", "assert count_up(0) == 0"],
    ),
    "exceptions": (
        "def to_int(text):\n    try:\n        return int(text)\n    except ValueError:\n        return None",
        ["assert to_int('12') == 12", "assert to_int('x') is None"],
    ),
    "floats": (
        "def newton(x):\n    guess = x / 2\n    for _ in range(20):\n"
        "        guess = (guess + x / guess) / 2\n    return guess",
        ["assert abs(newton(2.0) - 1.41421356) < 1e-6"],
    ),
    "helpers": (
        "def square(x):\n    return x * x\n\n\ndef total(xs):\n    out = 0\n    for x in xs:\n"
        "        out += square(x)\n    return out",
        ["assert total([1, 2]) == 5", "assert total([]) == 0"],
    ),
    "recursion": (
        "def flatten(xs):\n    out = []\n    for x in xs:\n        if isinstance(x, list):\n"
        "            out.extend(flatten(x))\n        else:\n            out.append(x)\n    return out",
        ["assert flatten([1, [2, [3]]]) == [1, 2, 3]", "assert flatten([]) == []"],
    ),
    "no example": (
        "def double(n: int) -> int:\n    result = n\n    result += n\n    return result",
        ["for i in range(5):\n    assert double(i) == 2 * i"],
    ),
}


def program(code: str, tests: list[str]) -> CodeSeed:
    return read_code_row({"text": "Do it.", "code": code, "test_list": tests}, Source(name="x", row=1))


@pytest.mark.parametrize("kind", PROGRAMS)
def test_every_build_of_program_gives_a_faithful_trace(kind):
    seed = program(*PROGRAMS[kind])
    facts = observe(seed)
    for run_seed in range(6):
        trace = write(seed, facts, run_seed=run_seed)
        assert isinstance(trace, Trace), trace
        reading = read(seed, facts, trace.text, trace.acts)
        assert reading.complaints == []
        assert [int(good) for good in reading.right] == [s.n_correct for s in trace.steps]


def test_a_program_that_reads_stdin_is_told_with_what_it_prints():
    code = "n = int(input())\nfor i in range(1, n + 1):\n    print(i * i)"
    row = {"question": "Print the squares up to n.", "solution": code}
    row["cases"] = [{"stdin": "2\n", "stdout": "1\n4\n"}, {"stdin": "1\n", "stdout": "1"}]
    seed = read_code_row(row, Source(name="x", row=1))
    trace = reverse(seed, run_seed=2)
    assert isinstance(trace, Trace), trace
    assert trace.outcome is Outcome.CORRECT
    assert "it prints '4'" in trace.text
    assert json.loads(trace.reference or "") == {"cases": row["cases"]}


def test_every_case_counts_though_few_are_told():
    cases = [{"stdin": str(n), "stdout": str(n)} for n in range(9)]
    row = {"question": "Print the number.", "cases": cases}
    right = reverse(read_code_row(row | {"solution": "print(int(input()))"}, Source(name="x")), run_seed=0)
    assert isinstance(right, Trace)
    assert "9 cases" in right.evidence
    late = "n = int(input())\nprint(n if n < 8 else 0)"
    wrong = reverse(read_code_row(row | {"solution": late}, Source(name="x")), run_seed=0)
    assert isinstance(wrong, Rejected)
    assert "case 9 of 9" in wrong.reason


def test_a_program_with_another_output_is_rejected():
    row = {"question": "q", "solution": "print(input())", "cases": [{"stdin": "a", "stdout": "b"}]}
    made = reverse(read_code_row(row, Source(name="x", row=7)), run_seed=0)
    assert isinstance(made, Rejected)
    assert "another output, case 1 of 1" in made.reason
    assert made.row == 7


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f(x):\n    while True:\n        pass", "time limit"),
        ("while True:\n    pass\ndef f(x):\n    return x", "time limit"),
        ("def f(x):\n    print('x' * (2 << 20))\n    return x", "prints megabytes"),
        ("def f(x):\n    open('/tmp/f', 'w').close()\n    return x", "touches files"),
        (
            "def f(x):\n    try:\n        open('/etc/passwd')\n    except BaseException:\n"
            "        pass\n    return x",
            "touches files",
        ),
        (
            "import socket\ndef f(x):\n    try:\n        socket.create_connection(('localhost', 9))\n"
            "    except OSError:\n        pass\n    return x",
            "touches the network",
        ),
        ("import subprocess\ndef f(x):\n    subprocess.Popen(['ls'])\n    return x", "subprocess"),
        ("function f(x) { return x }", "not Python"),
        ("import time\ndef f(x):\n    t = time.time()\n    return x", "second run"),
    ],
)
def test_what_hangs_floods_or_reaches_out_is_rejected_with_a_reason(code, reason):
    made = reverse(program(code, ["assert f(1) == 1"]), run_seed=0)
    assert isinstance(made, Rejected), made.text
    assert reason in made.reason


def test_two_slips_are_found_one_after_the_other():
    loop = "    for x in xs:\n        if x > 1:\n            total += x\n"
    code = f"def f(xs):\n    total = 0\n{loop}    return total"
    seed = program(code, ["assert f([1, 2, 3]) == 5", "assert f([]) == 0", "assert f([1]) == 0"])
    facts = observe(seed)
    traces = [write(seed, facts, run_seed=n) for n in range(40)]
    twice = [t for t in traces if sum(a.act == "Correct" for a in t.acts) == 2]
    assert twice
    for trace in twice:
        marks = [s.n_correct for s in trace.steps]
        first, last = marks.index(0), len(marks) - 1 - marks[::-1].index(0)
        assert set(marks[first : last + 1]) == {0}
        mends = [
            n
            for n, s in enumerate(trace.steps)
            if any(a.act == "Correct" and s.start <= a.start < s.end for a in trace.acts)
        ]
        assert first < mends[0] <= last
        assert mends[1] == last + 1


def test_sanitized_mbpp_rows_are_read():
    row = {
        "source_file": "Benchmark Questions Verification V2.ipynb",
        "task_id": 2,
        "prompt": "Write a function to find the shared elements from the given two lists.",
        "code": "def shared(a, b):\n    return set(a) & set(b)",
        "test_imports": ["import math"],
        "test_list": ["assert shared([1, 2], [2]) == {2}", "assert shared([], [math.pi]) == set()"],
    }
    seed = read_code_row(row, Source(name="x", row=1))
    assert (seed.setup, seed.text) == ("import math", row["prompt"])
    assert isinstance(reverse(seed, run_seed=0), Trace)


def test_humaneval_checks_are_judged_whole_though_few_assertions_stand_alone():
    row = {
        "task_id": "HumanEval/x",
        "prompt": 'def double(n: int) -> int:\n    """Return twice n."""\n',
        "canonical_solution": "    return n + n\n",
        "test": "def check(candidate):\n    for n in range(9):\n        assert candidate(n) == n + n\n",
        "entry_point": "double",
    }
    trace = reverse(read_code_row(row, Source(name="x", row=1)), run_seed=0)
    assert isinstance(trace, Trace), trace
    assert trace.evidence.startswith("the tests passed: 9 assertions")
    assert "9 tests" in trace.text or re.search(r"all 9", trace.text)


MODULE = '''"""Helpers."""
import math

LIMIT = 3


def _kept(word):
    """Not public."""
    return len(word) > LIMIT


def long_words(words):
    """Return the words longer than the limit.

    >>> long_words(["a", "abcd"])
    ['abcd']
    >>> long_words([])
    []
    """
    return [w for w in words if _kept(w)]


class Tally:
    """Count things.

    >>> t = Tally()
    >>> t.add("x")
    >>> t.add("x")
    >>> t.count("x")
    2
    """

    def __init__(self):
        self.counts = {}

    def add(self, item):
        self.counts[item] = self.counts.get(item, 0) + 1

    def count(self, item):
        return self.counts.get(item, 0)
'''


def test_modules_give_a_row_for_each_documented_definition_with_what_it_needs():
    rows = [row for _, row in module_rows(MODULE, "m.py")]
    assert [row["id"] for row in rows] == ["m.py:long_words", "m.py:Tally"]
    assert "LIMIT = 3" in rows[0]["code"]
    assert "import math" not in rows[0]["code"]
    assert '"""' not in rows[0]["code"]
    for row in rows:
        trace = reverse(read_code_row(row, Source(name="m.py", row=1)), run_seed=0)
        assert isinstance(trace, Trace), trace


def test_doctests_become_assertions_with_what_was_done_before():
    text = ">>> t = Tally()\n>>> t.add('x')\n>>> t.count('x')\n1\n>>> print(3)\n3\n"
    assert next(doctest_assertions(text)) == "t = Tally()\nt.add('x')\nassert t.count('x') == 1"


@pytest.mark.parametrize(
    ("test", "call", "expected", "near"),
    [
        ("assert f(1) == [2]", "f(1)", "[2]", False),
        ("assert [2] == f(1)", "f(1)", "[2]", False),
        ("assert list(f(1)) == [2]", "list(f(1))", "[2]", False),
        ("assert not f(1)", "f(1)", "False", False),
        ("assert abs(f(1) - 0.5) < 1e-6", "f(1)", "0.5", True),
        ("assert math.isclose(f(1), 0.5)", "f(1)", "0.5", True),
        ("assert f(1) == set([1])", "f(1)", "set([1])", False),
        ("x = f(1)\nassert x == 3", "x = f(1); x", "3", False),
    ],
)
def test_assertions_are_read_as_calls_with_their_values(test, call, expected, near):
    (example,) = examples([test], "f")
    assert (example.call, example.expected, example.near) == (call, expected, near)


@pytest.mark.parametrize(
    "test", ["assert f(1) == f(2)", "assert f(1) > 3", "f(1)", "assert g(1) == 2", "assert ("]
)
def test_tests_of_another_form_are_left_out(test):
    assert examples([test], "f") == []


def test_inputs_are_derived_from_annotations():
    calls = [e.call for e in derived("def f(n: int, words: list[str], sep=''):\n    return n", "f")]
    assert calls[0] == "f(3, ['b', 'a', 'b'])"
    assert "f(0, [])" in calls


def test_each_step_carries_what_its_claims_rest_on():
    seed = program(*PROGRAMS["generator"])
    facts = observe(seed)
    for run_seed in range(6):
        trace = write(seed, facts, run_seed=run_seed)
        assert isinstance(trace, Trace), trace
        for step in trace.steps:
            acts = {a.act for a in trace.acts if step.start <= a.start < step.end}
            assert step.evidence or acts == {"Uncertain"}
            for value in re.findall(r"-> (`\S+`)", step.evidence or ""):
                assert value in trace.text[step.start : step.end]
        assert (trace.steps[-1].evidence or "").startswith("the judge")
