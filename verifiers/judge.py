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
from collections.abc import Callable, Iterator
from typing import Any

from .subject import start
from .wire import Channel, Closed, Decoder, Encoder, Unsendable, read_exactly

MAX_EVIDENCE = 400
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


# Standard objects without values of their own: equal to themselves alone.
_NEVER_EQUAL = frozenset(
    {"generator", "map", "filter", "zip", "enumerate", "reversed", "function", "dict_values", "list_iterator"}
)


class Unsupported(BaseException):
    """The tests need something of the program's objects that cannot be trusted or transported."""


class Lost(BaseException):
    """The program's process is gone; `how` is its wait status."""


class Remote:
    """An object that stays with the program: called, iterated and indexed there, never compared here."""

    def __init__(self, session: "Session", number: int, kind: str) -> None:
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_kind", kind)

    def _ask(self, operation: str, *args: Any) -> Any:
        return self._session.ask(operation, self._number, *args)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._session.call(self._number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        return self._ask("attribute", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("set_attribute", name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._ask("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("set_item", key, value)

    def __len__(self) -> int:
        length = self._ask("length")
        if type(length) is not int:
            raise TypeError("length is not an integer")
        return length

    def __bool__(self) -> bool:
        return self._ask("truth") is True

    def __iter__(self) -> Iterator[Any]:
        iterator = Remote(self._session, self._ask("iterate"), "iterator")
        while True:
            try:
                yield iterator._ask("next")
            except StopIteration:
                return

    def __next__(self) -> Any:
        return self._ask("next")

    def __str__(self) -> str:
        return str(self._ask("text", "str"))

    def __repr__(self) -> str:
        return str(self._ask("text", "repr"))

    def __instancecheck__(self, value: Any) -> bool:
        return self._ask("isinstance", value) is True

    def __hash__(self) -> int:
        return hash(self._number)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Remote) and other._number == self._number:
            return True
        if self._kind in ("dict_keys", "dict_items") and isinstance(other, (set, frozenset)):
            return set(self) == other
        if self._kind in _NEVER_EQUAL or other is None:
            return False
        raise Unsupported(f"the tests compare an object of the program's own class {self._kind}")

    def _ordered(self, other: object) -> bool:
        raise Unsupported(f"the tests compare an object of the program's own class {self._kind}")

    __lt__ = __le__ = __gt__ = __ge__ = _ordered


def _forward(name: str) -> Callable[..., Any]:
    def operate(self: Remote, *others: Any) -> Any:
        # `abs(f(x) - 3.5) < 1e-6` must not be decided by what f's own class makes of a minus.
        if not all(isinstance(other, Remote) for other in others):
            raise Unsupported(f"the tests calculate with an object of the program's own class {self._kind}")
        return self._ask("operate", name, *others)

    return operate


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "matmul"):
    setattr(Remote, f"__{_name}__", _forward(f"__{_name}__"))
    setattr(Remote, f"__r{_name}__", _forward(f"__r{_name}__"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Remote, f"__{_name}__", _forward(f"__{_name}__"))


class Session:
    """One run of the program, as the tests see it."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid, self.channel = pid, channel
        self.callbacks: list[Callable[..., Any]] = []
        self.exceptions: dict[str, type[BaseException]] = {}
        self.raised: BaseException | None = None

    def load(self) -> None:
        """Start the program and wait until its top level has run; raises what it raises."""
        if self.channel.receive() != "ready":
            raise Closed
        self._exchange("start")

    def name(self, name: str) -> Any:
        return self._exchange(["name", name])

    def ask(self, operation: str, number: int, *args: Any) -> Any:
        encode = Encoder(self._handle, {}, grow=False)
        return self._exchange([operation, number, *(self._encode(encode, arg) for arg in args)])

    def call(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        encode = Encoder(self._handle, {}, grow=True)
        data = self._encode(encode, (args, kwargs))
        return self._exchange(["call", number, data], dict(enumerate(encode.kept)))

    def _encode(self, encode: Encoder, value: Any) -> Any:
        try:
            return encode(value)
        except Unsendable as e:
            raise Unsupported(f"the tests pass an object of type {e}") from None

    def _exchange(self, request: Any, objects: dict[int, Any] | None = None) -> Any:
        try:
            self.channel.send(request)
            while True:
                reply = self.channel.receive()
                sys.stdout.write(reply[-1])
                if reply[0] != "callback":
                    break
                self._call_back(reply[1], reply[2])
            decode = Decoder(self._decode_handle, objects or {})
            if reply[0] == "value":
                if reply[2] is not None:
                    decode(reply[2])
                return decode(reply[1])
            error = self._exception(str(reply[1]), reply[2])(str(reply[3]))
        except (Closed, TypeError, LookupError) as e:
            raise Lost(self.pid) from e
        self.raised = error
        raise error

    def _call_back(self, number: int, data: Any) -> None:
        encode = Encoder(self._handle, {}, grow=False)
        args, kwargs = Decoder(self._decode_handle, {})(data)
        try:
            reply = ["value", self._encode(encode, self.callbacks[number](*args, **kwargs))]
        except Exception as e:
            reply = ["error", [type(e).__name__, str(e)]]
        self.channel.send(reply)

    def _handle(self, value: Any) -> Any:
        if isinstance(value, Remote):
            return ["handle", value._number]
        if callable(value) and not isinstance(value, type):
            self.callbacks.append(value)
            return ["callback", len(self.callbacks) - 1]
        raise Unsendable(type(value).__name__)

    def _decode_handle(self, data: list[Any]) -> Any:
        if data[0] == "handle":
            return Remote(self, int(data[1]), str(data[2]))
        if data[0] == "exception":
            return self._exception(str(data[2]), data[3])
        if data[0] == "module":
            if str(data[1]).partition(".")[0] not in sys.stdlib_module_names:
                raise Closed
            return __import__(str(data[1]), fromlist=["_"])
        raise Closed

    def _exception(self, name: str, bases: list[str]) -> type[BaseException]:
        """A builtin exception by name, or a stand-in for one that the program defines."""
        known = [getattr(builtins, str(base), None) for base in bases]
        base = next((k for k in known if isinstance(k, type) and issubclass(k, BaseException)), Exception)
        if base.__name__ == name or name in self.exceptions:
            return self.exceptions.get(name, base)
        self.exceptions[name] = type(name, (base,), {})
        return self.exceptions[name]


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
