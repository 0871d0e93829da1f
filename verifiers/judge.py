"""The judge: runs the tests inside the sandbox, in another process than the program that they test.

The tests see the program's functions as stand-ins that ask its process; only plain values come back, so each
comparison happens here, between values that carry no code of the program. What is reported is counted here
and written to a descriptor that the program never had.
"""

import ast
import builtins
import contextlib
import io
import json
import os
import re
import signal
import sys
import time
from typing import Any

from .remote import Lost, Remote, Session, Unsupported
from .subject import start
from .wire import Channel, Closed, read_exactly

MAX_EVIDENCE = 400
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


class _Counting(ast.NodeTransformer):
    """Counts each assertion that passes and keeps the two sides of the last comparison."""

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        self.generic_visit(node)
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            test.left = _call("__seen__", ast.Constant(0), test.left)
            test.comparators = [_call("__seen__", ast.Constant(1), test.comparators[0])]
        counted: list[ast.stmt] = [node, ast.Expr(_call("__counted__"))]
        return [ast.fix_missing_locations(ast.copy_location(statement, node)) for statement in counted]


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


class Tests:
    """The tests of one job: source with assertions or doctests, and what may be taken from the program."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.source, self.helpers = str(job["tests"]), str(job.get("helpers") or "")
        self.entry_point: str | None = job.get("entry_point")
        self.is_doctest = bool(re.search(r"^\s*>>> ", self.source, re.MULTILINE))
        self.passed = 0
        self.sides: list[Any] = [None, None]
        self.failed = ""
        if self.is_doctest:
            import doctest

            self.examples = doctest.DocTestParser().get_examples(self.source)
            tree = ast.parse("\n".join(example.source for example in self.examples))
        else:
            tree = ast.parse(self.source)
        self.wanted = self._wanted(tree)
        if not self.is_doctest:
            self.code = compile(_Counting().visit(tree), "tests.py", "exec")

    def _wanted(self, tree: ast.AST) -> list[str]:
        """The names to take from the program. A builtin only where the tests use nothing else of it."""
        used: set[str] = {self.entry_point} if self.entry_point else set()
        own: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                (used if isinstance(node.ctx, ast.Load) else own).add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                own.add(node.name)
            elif isinstance(node, ast.arg):
                own.add(node.arg)
            elif isinstance(node, ast.alias):
                own.add((node.asname or node.name).partition(".")[0])
        free = {name for name in used - own if not hasattr(builtins, name)}
        return sorted(free or used - own)

    def run(self, session: Session) -> None:
        """Raises what goes wrong; `passed` counts assertions that held."""
        self.passed = 0
        namespace: dict[str, Any] = {"__name__": "tests", "__counted__": self._count, "__seen__": self._see}
        if self.helpers:
            exec(compile(self.helpers, "helpers.py", "exec"), namespace)
        session.load()
        for name in self.wanted:
            if name in namespace and name != self.entry_point:
                continue
            try:
                namespace[name] = session.name(name)
            except NameError:
                session.raised = None
        if self.entry_point and not self.is_doctest and self.entry_point not in namespace:
            raise NameError(f"name {self.entry_point!r} is not defined")
        if self.is_doctest:
            self._doctests(namespace)
            return
        exec(self.code, namespace)
        check = namespace.get("check")
        if self.entry_point and callable(check) and not isinstance(check, Remote) and self.passed == 0:
            check(namespace[self.entry_point])

    def _count(self) -> None:
        self.passed += 1

    def _see(self, side: int, value: Any) -> Any:
        self.sides[side] = value
        return value

    def _doctests(self, namespace: dict[str, Any]) -> None:
        import doctest

        checker = doctest.OutputChecker()
        for example in self.examples:
            sys.stdout = captured = io.StringIO()
            try:
                exec(compile(example.source, "tests.py", "single"), namespace)
            except Exception as e:
                if example.exc_msg is None or not example.exc_msg.startswith(type(e).__name__):
                    raise
                self.passed += 1
                continue
            flags = sum(flag for flag, on in example.options.items() if on)
            if example.exc_msg is not None or not checker.check_output(
                example.want, captured.getvalue(), flags
            ):
                self.failed = f">>> {example.source.strip()} printed {captured.getvalue().strip()!r}"
                raise AssertionError
            self.passed += bool(example.want)

    def describe_failure(self, error: BaseException) -> str:
        """The assertion that failed, with both sides where it compares."""
        if self.failed:
            return _short(self.failed)
        line, at = 0, error.__traceback__
        while at is not None:
            if at.tb_frame.f_code.co_filename == "tests.py":
                line = at.tb_lineno
            at = at.tb_next
        lines = self.source.split("\n")
        text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        if isinstance(error, AssertionError) and text.startswith("assert") and "==" in text:
            with contextlib.suppress(BaseException):
                text += f"  # {self.sides[0]!r} == {self.sides[1]!r}"
        return _short(text)


def _short(text: str) -> str:
    text = _ADDRESS.sub("0x…", text)
    return text if len(text) <= MAX_EVIDENCE else text[: MAX_EVIDENCE - 1] + "…"


def _judge(tests: Tests, pid: int, channel: Channel) -> dict[str, Any]:
    """One run: {"outcome", "reason", "evidence", "passed"}."""
    session = Session(pid, channel)
    sys.stdout = io.StringIO()

    def say(outcome: str, reason: str, evidence: str = "") -> dict[str, Any]:
        return {"outcome": outcome, "reason": _short(reason), "evidence": evidence, "passed": tests.passed}

    try:
        tests.run(session)
    except Closed:
        return say("undecided", "the program's process was lost before it began")
    except Lost:
        return say(*_ending(pid))
    except Unsupported as e:
        return say("undecided", str(e))
    except AssertionError as e:
        own = session.raised is e
        reason = "the program raised AssertionError" if own else "an assertion failed"
        return say("wrong", reason, tests.describe_failure(e))
    except MemoryError:
        return say("undecided", "memory limit")
    except ImportError as e:
        if session.raised is not e:
            return say("undecided", f"the tests need what the sandbox lacks: {e}")
        return say("wrong", f"the program raised {type(e).__name__}", _short(str(e)))
    except Exception as e:
        who = "the program" if session.raised is e else "a test"
        detail = _short(f"{tests.describe_failure(e)}: {e}")
        return say("wrong", f"{who} raised {type(e).__name__}", detail)
    except BaseException as e:
        outcome = "wrong" if session.raised is e else "undecided"
        return say(outcome, f"{'the program' if outcome == 'wrong' else 'a test'} raised {type(e).__name__}")
    if not tests.passed:
        return say("undecided", "the tests executed no assertion")
    return say("correct", "the tests passed")


def _ending(pid: int) -> tuple[str, str]:
    """How a program's process ended that should have answered."""
    ended, status = 0, 0
    for _ in range(200):
        with contextlib.suppress(ChildProcessError):
            ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.01)
    else:
        return "wrong", "the program cut itself off from the tests"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in (signal.SIGXCPU, signal.SIGKILL):
            return "undecided", "time limit"
        return "wrong", f"the program died of {signal.Signals(number).name}"
    return "wrong", "the program exited before the tests were done"


def _harden() -> None:
    """Make this process unreadable to others of its user, the forked program included (PR_SET_DUMPABLE)."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


def main() -> None:
    """Program first, then forks, then tests: in this order no program can read its tests."""
    _harden()
    sys.set_int_max_str_digits(0)
    report = os.dup(1)
    length = int.from_bytes(read_exactly(0, 4), "little")
    program = read_exactly(0, length).decode("utf-8", "surrogatepass")
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    subjects = [start(program) for _ in range(2)]
    length = int.from_bytes(read_exactly(0, 4), "little")
    job = json.loads(read_exactly(0, length))
    try:
        tests = Tests(job)
    except (SyntaxError, ValueError, RecursionError) as e:
        results = [
            {"outcome": "undecided", "reason": f"the tests do not parse: {e}", "evidence": "", "passed": 0}
        ]
    else:
        results = []
        for pid, channel in subjects:
            results.append(_judge(tests, pid, channel))
            if results[-1]["outcome"] != "correct":
                break
    data = json.dumps(results).encode()
    while data:
        data = data[os.write(report, data) :]
    os._exit(0)
