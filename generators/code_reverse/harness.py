"""Runs inside the sandbox as its witness: a program and its drafts on their examples, and what happened.

Standard library only; nothing of this project can be imported there. Reads one framed JSON job from
descriptor 0: `{"program", "setup", "calls": [source whose last statement is an expression], "asserts":
[source], "tests": [int], "recorded": int, "derived": bool, "mutants": [source], "stdins": [text]}`; writes
one JSON report to descriptor 1. Where there are `stdins` the program is run whole on each, and a call's value
is what it prints.

Each program runs in a fork of its own, each call in a fresh namespace. Loops are cut by a count of executed
lines, never by the clock, so that equal jobs give equal reports.
"""

import ast
import io
import json
import opcode
import os
import resource
import signal
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

FILE = "<program>"
MAX_LINES = 500_000
PATIENCE = 10, 2_000  # a draft may run ten times as many lines as the program, and these, up to MAX_LINES
MAX_EVENTS = 300
MAX_REPR = 160
MAX_PRINTED = 1 << 20
CPU_SECONDS = 2
DRAFT_SECONDS = 0.5
_YIELD = opcode.opmap["YIELD_VALUE"]
_REACHING = {"socket", "subprocess", "shutil", "tempfile", "ctypes", "urllib", "http", "ftplib", "mmap"}
_HARMLESS = {"os.listdir", "os.scandir", "os.putenv", "os.unsetenv"}

Job = dict[str, Any]


class Refused(BaseException):
    """What no example should need: running on, flooding, reaching for files or the network."""


class Tracer:
    """Counts lines; with `record`, notes for one call which line set which variables, calls and returns.

    Events: `["call", frame, parent, {name: repr}, function]`, `["line", frame, line, {name: repr}]` with what
    the line changed or printed (`print()`), `["return" or "yield", frame, line, repr]`, `["raise", frame,
    line, message]`.
    """

    def __init__(self, record: bool, limit: int = MAX_LINES, printed: "Printed | None" = None) -> None:
        self.record, self.limit, self.lines, self.cut = record, limit, 0, False
        self.printed, self.told = printed, 0
        self.events: list[list[Any]] = []
        self.frames: dict[int, list[Any]] = {}
        self.born = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if frame.f_code.co_filename != FILE:
            return None
        name = frame.f_code.co_name
        if not self.record or self.cut or (name.startswith("<") and name != "<module>"):
            return self.count
        if id(frame) in self.frames:  # a generator that goes on
            return self.local
        parent = self.frames.get(id(frame.f_back), [None])[0]
        seen = shown(frame.f_locals)
        self.frames[id(frame)] = [self.born, None, seen, frame]
        self.add(["call", self.born, parent, seen, name])
        self.born += 1
        return self.local

    def count(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        if event == "line":
            self.lines += 1
            if self.lines > self.limit:
                raise Refused("endless")
        return self.count

    def local(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        state = self.frames.get(id(frame))
        if state is None or self.cut:
            return self.count(frame, event, argument)
        if event in ("line", "return"):
            self.settle(frame, state)
        if event == "line":
            state[1] = frame.f_lineno
            self.count(frame, event, argument)
        elif event == "return":
            kind = "yield" if frame.f_code.co_code[frame.f_lasti] == _YIELD else "return"
            self.add([kind, state[0], frame.f_lineno, text_of(argument)])
            if kind == "return":
                del self.frames[id(frame)]
        elif event == "exception" and _noteworthy(argument[0]):
            self.add(["raise", state[0], frame.f_lineno, message(argument[1])])
        return self.local

    def settle(self, frame: FrameType, state: list[Any]) -> None:
        """Puts what changed since the last line down to that line."""
        now = shown(frame.f_locals)
        if state[1] is not None:
            changed = {k: v for k, v in now.items() if state[2].get(k) != v}
            self.add(["line", state[0], state[1], changed | self.news()])
        state[2] = now

    def news(self) -> dict[str, str]:
        """What was printed since the last look, under a name that no variable has."""
        if self.printed is None or len(self.printed.data) == self.told:
            return {}
        new = bytes(self.printed.data[self.told :]).decode("utf-8", "replace")
        self.told = len(self.printed.data)
        text = text_of(new.removesuffix("\n"))
        return {} if text is None else {"print()": text}

    def add(self, event: list[Any]) -> None:
        if len(self.events) < MAX_EVENTS:
            self.events.append(event)
        else:
            self.cut = True


def _noteworthy(kind: type[BaseException]) -> bool:
    return issubclass(kind, Exception) and kind is not StopIteration


class Printed(io.RawIOBase):
    """Standard output as far as an example may print."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        if len(self.data) > MAX_PRINTED:
            refuse("prints megabytes")
        return len(data)


_refused: list[str] = []
_watching = False
_library = os.path.dirname(os.__file__)


def refuse(why: str) -> None:
    """Ends the program, which cannot take it back: `_refused` remembers."""
    _refused.append(why)
    raise Refused(why)


def watch(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: files and the network are out of bounds, reading the standard library apart."""
    if not _watching:
        return
    group = event.partition(".")[0]
    if event == "open":
        if not isinstance(args[0], str) or not args[0].startswith(_library):
            refuse("touches files")
    elif group in _REACHING or (group == "os" and event not in _HARMLESS):
        refuse("touches the network" if group == "socket" else f"reaches out of its process: {event}")


def text_of(value: object) -> str | None:
    """A value's repr; None where it is too long, no expression, or cannot be shown."""
    if isinstance(value, (str, bytes, list, tuple, dict, set, frozenset)) and len(value) > MAX_REPR:
        return None
    try:
        text = repr(value)
    except Exception:
        return None
    if len(text) > MAX_REPR or " at 0x" in text or "`" in text or text.startswith("<") or "\n" in text:
        return None
    return text


def shown(variables: dict[str, Any]) -> dict[str, str]:
    pairs = [
        (k, text_of(v))
        for k, v in variables.items()
        if k.isidentifier() and k[:2] != "__" and not callable(v)
    ]
    return {k: v for k, v in pairs if v is not None}


def message(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REPR].removesuffix(":")


def split_call(source: str) -> tuple[CodeType, CodeType]:
    """What is done first, and the expression asked for at the end."""
    tree = ast.parse(source)
    last = tree.body[-1]
    assert isinstance(last, ast.Expr)
    first = ast.Module(tree.body[:-1], [])
    return compile(first, "<call>", "exec"), compile(ast.Expression(last.value), "<call>", "eval")


class Program:
    """A program, compiled, that can be called in a fresh namespace as often as is asked."""

    def __init__(self, source: str, job: Job) -> None:
        self.job = job
        self.code = compile(source, FILE, "exec")
        self.setup = compile(job["setup"], "<setup>", "exec")

    def call(self, number: int, record: bool, limit: int = MAX_LINES) -> dict[str, Any]:
        """The job's call of that number."""
        if self.job["stdins"]:
            return self._whole(self.job["stdins"][number], record, limit)
        before, asked = split_call(self.job["calls"][number])

        def run(space: dict[str, Any]) -> str | None:
            exec(before, space)
            return text_of(eval(asked, space))

        return self._traced(run, Tracer(record, limit), self._space)

    def holds(self, number: int, limit: int = MAX_LINES) -> bool:
        """Whether the job's assertion of that number passes."""
        test = compile(self.job["asserts"][number], "<call>", "exec")
        outcome = self._traced(lambda space: exec(test, space), Tracer(False, limit), self._space)
        return "error" not in outcome and "endless" not in outcome

    def _space(self) -> dict[str, Any]:
        space: dict[str, Any] = {"__name__": "program"}
        exec(self.setup, space)
        exec(self.code, space)
        return space

    def _whole(self, stdin: str, record: bool, limit: int) -> dict[str, Any]:
        printed = Printed()
        own = sys.stdin, sys.stdout
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogatepass")), "utf-8")
        sys.stdout = io.TextIOWrapper(printed, "utf-8", "backslashreplace", write_through=True)

        def run(space: dict[str, Any]) -> str:
            try:
                exec(self.code, space)
            except SystemExit as e:
                if e.code not in (None, 0):
                    raise
            return printed.data.decode("utf-8", "replace")

        try:
            tracer = Tracer(record, limit, printed)
            return self._traced(run, tracer, lambda: {"__name__": "__main__"})
        finally:
            sys.stdin, sys.stdout = own

    def _traced(
        self,
        run: Callable[[dict[str, Any]], str | None],
        tracer: Tracer,
        space: Callable[[], dict[str, Any]],
    ) -> dict[str, Any]:
        """What `run` comes to: its value or its error, its lines, and what the tracer records."""
        global _watching
        loading = Tracer(False)
        out: dict[str, Any] = {}
        _watching = True
        try:
            sys.settrace(loading)
            made = space()
            sys.settrace(tracer)
            out["value"] = run(made)
        except (Exception, SystemExit, KeyboardInterrupt) as e:
            out["error"] = message(e)
        except Refused:
            out["endless"] = True
        finally:
            sys.settrace(None)
            _watching = False
        out["lines"] = tracer.lines
        if tracer.record:
            out["events"], out["cut"] = tracer.events, tracer.cut
        return out


def run(source: str, job: Job, own: dict[str, Any] | None) -> dict[str, Any]:
    """One program on a job's calls and assertions; `own` is what the right program came to, for a draft.

    Records every call of the right program, and the first call of a draft that comes to something else and
    fails the assertion it stands in (`tests` gives its number).
    """
    try:
        program = Program(source, job)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        return {"error": message(e)}
    recorded: int = job["recorded"]
    if own is None:
        calls = [program.call(n, n < recorded) for n in range(len(job["stdins"] or job["calls"]))]
        passed = [program.holds(n) for n in range(len(job["asserts"]))]
        if _refused:
            return {"error": _refused[0]}
        if any("endless" in c for c in calls[:recorded]) and not job["derived"]:
            return {"error": "runs on without an end in sight"}
        return {"calls": calls, "passed": passed, "lines": max((c["lines"] for c in calls), default=0)}
    limit = min(PATIENCE[0] * own["lines"] + PATIENCE[1], MAX_LINES)
    for number, right in enumerate(own["calls"][:recorded]):
        outcome = program.call(number, False, limit)
        if _refused:
            return {"error": _refused[0]}
        if any(outcome.get(k) != right.get(k) for k in ("value", "error", "endless")):
            if job["asserts"] and program.holds(job["tests"][number], limit):
                continue
            return {"call": number, "outcome": program.call(number, True, limit)}
    return {}


def in_child(source: str, job: Job, own: dict[str, Any] | None) -> dict[str, Any]:
    """`run` in a fork; a child that dies or says nothing readable is a result too."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        if own is not None:
            signal.setitimer(signal.ITIMER_PROF, DRAFT_SECONDS)
        quiet = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(quiet, fd)
        sys.stdin, sys.stderr = io.StringIO(), io.StringIO()
        sys.stdout = io.TextIOWrapper(Printed(), "utf-8", "backslashreplace", write_through=True)
        sys.addaudithook(watch)
        data = json.dumps(run(source, job, own)).encode()
        while data:
            data = data[os.write(writer, data) :]
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read(8 << 20)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    try:
        result = json.loads(data) if code == 0 else None
    except ValueError:
        result = None
    if isinstance(result, dict):
        return result
    slow = code in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGPROF)
    return {"error": "runs on without an end in sight" if slow else "its process ended early"}


def receive(length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += os.read(0, length - len(data)) or sys.exit(3)
    return data


def main() -> None:
    job = json.loads(receive(int.from_bytes(receive(4), "little")))
    sys.setrecursionlimit(1050)
    own = in_child(job["program"], job, None)
    mutants = []
    if "error" not in own and in_child(job["program"], job, None) != own:
        own = {"error": "comes to something else on a second run"}
    if "error" not in own:
        mutants = [in_child(source, job, own) for source in job["mutants"]]
    data = json.dumps({"program": own, "mutants": mutants}).encode()
    while data:
        data = data[os.write(1, data) :]
