# ruff: noqa: E501
"""Programs are judged by tests that really ran, and no program can make itself pass."""

import json
from pathlib import Path

import pytest
from cotmill.schemas import Outcome, Verdict
from cotmill.verifiers.code import CodeVerifier
from cotmill.verifiers.sandbox import Limits, sandbox_available

_missing = sandbox_available()
pytestmark = pytest.mark.skipif(_missing is not None, reason=str(_missing))
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
ADD = "assert add(1, 2) == 3\nassert add(-1, 1) == 0\nassert add(41, 5000) == 5041\n"


@pytest.fixture(scope="module")
def verifier() -> CodeVerifier:
    return CodeVerifier(Limits(cpu_s=2, wall_s=60.0))


def shared(name: str) -> list[dict[str, str]]:
    path = SHARED / name
    if not path.exists():
        pytest.skip("the shared data does not lie beside the project")
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def test_hostile_examples_come_out_as_expected(verifier: CodeVerifier) -> None:
    rows = shared("hostile_programs_examples_8.jsonl")
    verdicts = verifier.verify_many((row["code"], row["tests"]) for row in rows)
    assert [v.outcome is Outcome.CORRECT for v in verdicts] == [r["expected"] == "verified" for r in rows]


def test_canonical_solutions_are_correct(verifier: CodeVerifier) -> None:
    rows = shared("mbpp_dev_170.jsonl")[::4]
    verdicts = verifier.verify_many((row["solution"], row["tests"]) for row in rows)
    assert [v for v in verdicts if v.outcome is not Outcome.CORRECT] == []


def test_mutants_are_wrong_and_hanging_ones_undecided(verifier: CodeVerifier) -> None:
    rows = shared("code_mutants_dev_269.jsonl")
    hanging = [row for row in rows if row["observed"] == "timeout"][:1]
    rows = [row for row in rows if row["observed"] != "timeout"][::8] + hanging
    verdicts = verifier.verify_many((row["code"], row["tests"]) for row in rows)
    assert {v.outcome for v in verdicts[:-1]} == {Outcome.WRONG}
    assert (verdicts[-1].outcome, verdicts[-1].reason) == (Outcome.UNDECIDED, "time limit")


# Each of these returns 0 for everything, and tries to pass nevertheless.
ATTACKS = {
    "exit": "import sys\nsys.exit(0)",
    "hard exit": "import os\nos._exit(0)",
    "exit when called": "import os\ndef add(a, b): os._exit(0)",
    "equal to everything": "class E:\n  def __eq__(s, o): return True\n  def __ne__(s, o): return False\n"
    "  __hash__ = None\ndef add(a, b): return E()",
    "an int equal to everything": "class E(int):\n  def __eq__(s, o): return True\ndef add(a, b): return E(0)",
    "a str subclass": "class E(str):\n  def __eq__(s, o): return True\n  __hash__ = str.__hash__\n"
    "def add(a, b): return E('x')",
    "patched builtins": "import builtins\nbuiltins.AssertionError = ValueError\nbuiltins.isinstance = lambda *a: True\n"
    "builtins.__build_class__ = None\ndef add(a, b): return 0",
    "the test's own hooks": "def __counted__(): pass\n__seen__ = lambda *a: 3\ndef add(a, b): return 0",
    "a check of its own": "def check(f): pass\ndef add(a, b): return 0",
    "forged report": "import os, json\nr = json.dumps([{'outcome': 'correct', 'reason': '', 'evidence': '', "
    "'passed': 3}] * 2).encode()\nfor fd in range(300):\n  try: os.write(fd, r)\n  except OSError: pass\n"
    "def add(a, b): return 0",
    "forged report through proc": "import os, json\nr = json.dumps([{'outcome': 'correct', 'reason': '', "
    "'evidence': '', 'passed': 3}] * 2)\nfor p in (1, 2, 3, os.getppid()):\n  for fd in range(10):\n    try:\n"
    "      open(f'/proc/{p}/fd/{fd}', 'w').write(r)\n    except OSError: pass\ndef add(a, b): return 0",
    "killing the judge": "import os\nos.kill(os.getppid(), 9)\ndef add(a, b): return 0",
    "stopping the judge": "import os\nos.kill(os.getppid(), 19)\nos._exit(0)",
    "killing everyone": "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\ndef add(a, b): return 0",
    "killing its group": "import os\nos.killpg(0, 9)\ndef add(a, b): return 0",
    "a flood of replies": "import sys\ns = sys.modules['inside.subject']\nimport gc\n"
    "c = [o for o in gc.get_objects() if type(o).__name__ == 'Channel'][0]\n"
    "for _ in range(100): c.send(['value', True, None, ''])\ndef add(a, b): return 0",
    "a reply that is no message": "import gc, os\n"
    "c = [o for o in gc.get_objects() if type(o).__name__ == 'Channel'][0]\nos.write(c.write_fd, b'\\xff' * 99)\n"
    "def add(a, b): return 0",
    "a rigged encoder": "import sys\nsys.modules['inside.wire'].json.dumps = lambda m: '[\"value\", true, null, \"\"]'\n"
    "def add(a, b): return 0",
    "swallowed errors": "import sys\nsys.excepthook = lambda *a: None\ndef add(a, b): raise AssertionError",
    "a module for an answer": "import math\ndef add(a, b): return math",
    "an exception class for an answer": "def add(a, b): return AssertionError",
    "overloaded minus": "class E:\n  def __sub__(s, o): return 0\n  __radd__ = __add__ = __rsub__ = __sub__\n"
    "  def __abs__(s): return 0\ndef add(a, b): return E()",
}
TESTS = {"equal": ADD, "close": "assert abs(add(1, 2) - 3) < 1e-6\nassert abs(add(5, 7) - 12) < 1e-6\n"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_do_not_pass(verifier: CodeVerifier, attack: str) -> None:
    quick = CodeVerifier(Limits(cpu_s=2, wall_s=2.0))
    verdicts = quick.verify_many((ATTACKS[attack], tests) for tests in TESTS.values())
    assert all(v.outcome is not Outcome.CORRECT for v in verdicts), verdicts


def test_a_program_cannot_find_its_tests(verifier: CodeVerifier) -> None:
    """It searches its memory, frames and descriptors for the number that only the tests hold."""
    program = """
import gc, os, sys
seen = []
def look(o, depth=0):
    if isinstance(o, (str, bytes)):
        seen.append(str(o))
    elif isinstance(o, (list, tuple, set, frozenset)) and depth < 3:
        for x in list(o): look(x, depth + 1)
    elif isinstance(o, dict) and depth < 3:
        for x in list(o.values()): look(x, depth + 1)
for o in gc.get_objects(): look(o)
f = sys._getframe()
while f: look(dict(f.f_locals)); look(f.f_code.co_consts); f = f.f_back
for fd in (0, *range(3, 100), *range(102, 256)):
    try:
        os.set_blocking(fd, False)
        seen.append(repr(os.read(fd, 1 << 20)))
    except OSError: pass
for root, dirs, files in os.walk('/tmp'):
    seen += files
def find(): return any('6' + '7280421310721' in s for s in seen), os.path.exists('/proc/self')
"""
    assert _outcome(verifier, program, "x = 67280421310721\nassert find() == (False, False)") == "correct"


def _outcome(verifier: CodeVerifier, program: str, tests: str, **more: object) -> str:
    return str(verifier.verify(program, json.dumps({"tests": tests, **more})).outcome.value)


@pytest.mark.parametrize(
    ("program", "tests", "outcome"),
    [
        ("def f(x): return [x]", "assert f(1) == [1]", "correct"),
        ("def f(x): return (x,)", "assert f(1) == [1]", "wrong"),
        ("def f(x): return {x: {1, 2}, 'k': None}", "assert f(b'a') == {b'a': {2, 1}, 'k': None}", "correct"),
        ("def f(n): return n ** 3000", "assert f(10) == 10 ** 3000 and f(2) % 7 >= 0", "correct"),
        ("def f(): return float('nan')", "assert f() != f()", "correct"),
        ("def f(x): x.sort(); return None", "a = [3, 1]\nf(a)\nassert a == [1, 3]", "correct"),
        (
            "def f(x): x[0].append(9); return x",
            "a = [[1]]\nb = f(a)\nassert b is a and a == [[1, 9]]",
            "correct",
        ),
        ("def f(x):\n  yield x\n  yield x + 1", "assert list(f(1)) == [1, 2]", "correct"),
        ("def f(x):\n  yield x", "assert f(1) == [1]", "wrong"),
        ("def f(d): return d.keys()", "assert f({1: 2}) == {1}", "correct"),
        ("def f(g, x): return g(x) + 1", "assert f(lambda v: v * 10, 4) == 41", "correct"),
        (
            "def f(x):\n  raise KeyError(x)",
            "try:\n  f(1)\n  r = 0\nexcept KeyError:\n  r = 1\nassert r",
            "correct",
        ),
        (
            "class Odd(ValueError): pass\ndef f(x):\n  raise Odd('no')",
            "try:\n  f(1)\n  assert False\nexcept Odd as e:\n  assert str(e) == 'no' and isinstance(e, ValueError)",
            "correct",
        ),
        (
            "class P:\n  def __init__(s, a): s.a = a\n  def twice(s): return s.a * 2\ndef f(ps): return max(p.a for p in ps)",
            "ps = [P(3), P(8)]\nassert f(ps) == 8\nassert ps[0].twice() == 6\nps[0].a = 50\nassert f(ps) == 50",
            "correct",
        ),
        (
            "class V:\n  def __init__(s, a): s.a = a\n  def __eq__(s, o): return s.a == o.a",
            "assert V(1) == V(1)",
            "undecided",
        ),
        (
            "from collections import *\ndef f(): return Counter('aab'), deque([1])",
            "assert f()[0]['a'] == 2",
            "correct",
        ),
        ("def sum(a, b): return a * b", "assert sum(3, 4) == 12", "correct"),
        ("def f(x): return 0\ndef len(x): return 3", "assert len(f([1])) == 3", "wrong"),
        ("import math\ndef f(x): return math.sqrt(x)", "assert math.isclose(f(4), 2)", "correct"),
        ("def f(): print('hi'); return 1", ">>> f()\nhi\n1\n", "correct"),
        ("def f(): return 2", ">>> f()\n1\n", "wrong"),
        (
            "def f(): return 1 / 0",
            ">>> f()\nTraceback (most recent call last):\nZeroDivisionError: x\n",
            "correct",
        ),
        ("def f(): return 1 / 0", "assert f() == 1", "wrong"),
        ("def f(:", "assert f() == 1", "wrong"),
        ("x = 1", "assert f() == 1", "wrong"),
        ("def f(): return 1", "", "undecided"),
        ("def f(): return 1", "f()", "undecided"),
        ("def f(): return 1", "if False:\n  assert f() == 1", "undecided"),
        ("def f(): return 1", "assert (f() ==", "undecided"),
        ("def f(): return 1", "import numpy\nassert f() == 1", "undecided"),
        ("def f(): return bytearray(1 << 31)", "assert f() == 1", "undecided"),
        (
            "import random\ndef f(): return random.SystemRandom().random() < 1",
            "assert f() is True",
            "correct",
        ),
        (
            "import os, sys\ndef f(): sys.stdout.buffer.write(b'x'); return os.write(1, b'y')",
            "assert f() == 1",
            "correct",
        ),
        ("def f():\n  f()", "assert f() == 1", "wrong"),
        ("import ctypes\ndef f(): ctypes.string_at(0)", "assert f() == 1", "wrong"),
    ],
)
def test_what_tests_see(verifier: CodeVerifier, program: str, tests: str, outcome: str) -> None:
    assert _outcome(verifier, program, tests) == outcome


def test_a_pass_that_is_not_repeated_is_undecided(verifier: CodeVerifier) -> None:
    program = (
        "import os\ndef f():\n  try:\n    os.mkdir('/tmp/once'); return 1\n  except OSError:\n    return 2"
    )
    verdict = verifier.verify(program, "assert f() == 1")
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "a repetition did not confirm the pass")


HUMAN_EVAL = {
    "prompt": "import math\n\ndef helper(x):\n    return x * 2\n\ndef f(x: int) -> int:\n    '''Twice the helper.'''\n",
    "tests": "METADATA = {}\n\ndef check(candidate):\n    assert candidate(2) == 8\n    assert candidate(3) == helper(6)\n",
    "entry_point": "f",
}


@pytest.mark.parametrize(
    ("completion", "outcome"),
    [
        ("    return helper(x) * 2\n", "correct"),
        ("    return helper(x)\n", "wrong"),
        ("def f(x):\n    return helper(helper(x))\n", "correct"),
        ("```python\ndef f(x):\n    return 4 * x\n```\n", "correct"),
        ("    return 8\n\ndef helper(x):\n    return 8\n", "wrong"),
        ("", "wrong"),
    ],
)
def test_human_eval_form(verifier: CodeVerifier, completion: str, outcome: str) -> None:
    assert verifier.verify(completion, json.dumps(HUMAN_EVAL)).outcome == outcome


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("print(int(input()) * 2)", "correct"),
        ("print(int(input()) * 2, end='')", "correct"),
        ("print(8)", "wrong"),
        ("print(int(input()) * 2); raise SystemExit(3)", "wrong"),
        ("print(int(input()) / 0)", "wrong"),
        ("while True: pass", "undecided"),
        ("n = int(input())\nprint(n * 2)\nexit()", "correct"),
    ],
)
def test_stdin_stdout_cases(verifier: CodeVerifier, program: str, outcome: str) -> None:
    cases = [{"stdin": "4\n", "stdout": "8\n"}, {"stdin": "5\n", "stdout": "10"}]
    assert verifier.verify(program, json.dumps({"cases": cases})).outcome == outcome


def test_evidence_names_the_failing_assertion(verifier: CodeVerifier) -> None:
    verdict = verifier.verify("def add(a, b):\n    return a - b", ADD)
    assert verdict == Verdict(
        outcome=Outcome.WRONG, reason="an assertion failed", evidence="assert add(1, 2) == 3  # -1 == 3"
    )


def test_evidence_holds_no_address(verifier: CodeVerifier) -> None:
    verdicts = verifier.verify_many([("def f(): raise ValueError(object())", "assert f()")] * 3)
    assert len(set(verdicts)) == 1
    assert "0x…" in verdicts[0].evidence


@pytest.mark.parametrize(
    "reference", ["[1]", "3", '{"cases": 5}', '{"tests": 5}', '{"cases": [{"stdin": ""}]}']
)
def test_unreadable_tests_are_undecided(verifier: CodeVerifier, reference: str) -> None:
    assert verifier.verify("x = 1", reference).outcome is Outcome.UNDECIDED


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotmill.verifiers.code.sandbox_available", lambda: "no sandbox here")
    verdict = CodeVerifier().verify("def add(a, b): return a + b", ADD)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "no sandbox here")


def test_the_unsafe_way_judges_alike() -> None:
    unsafe = CodeVerifier(unsafe_no_sandbox=True)
    programs = ["def add(a, b): return a + b", "def add(a, b): return a", "import os\nos._exit(0)"]
    verdicts = unsafe.verify_many((program, ADD) for program in programs)
    assert [v.outcome.value for v in verdicts] == ["correct", "wrong", "wrong"]
    cases = json.dumps({"cases": [{"stdin": "4\n", "stdout": "8\n"}]})
    assert unsafe.verify("print(int(input()) * 2)", cases).outcome is Outcome.CORRECT
