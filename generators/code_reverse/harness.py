"""Runs inside the sandbox, alone: a program and its mutants on its examples, and what happened, as JSON.

Standard library only; nothing of this project can be imported there. Reads one job from stdin: `{"program",
"setup", "calls": [expression], "asserts": [statement], "tests": [int], "mutants": [source], "recorded":
int}`.
Each program runs in a fork of its own, so that none can disturb the next. Long loops are cut by a count of
executed lines, never by the clock, so that equal jobs give equal results.
"""

import contextlib
import io
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

FILE = "<program>"
MAX_LINES = 1_000_000
PATIENCE = 10, 2_000  # a draft may run ten times as many lines as the program, and these
MAX_EVENTS = 300
MAX_REPR = 160
CPU_SECONDS = 2

Job = dict[str, Any]


class Endless(BaseException):
    """More lines ran than any example should need."""


class Tracer:
    """Counts lines; with `record`, notes for one call which line set which variables, calls and returns.

    Events: `["call", frame, parent, {name: repr}]`, `["line", frame, line, {name: repr}]` with what the line
    changed, `["return", frame, line, repr]`, `["raise", frame, line, message]`.
    """

    def __init__(self, record: bool, limit: int = MAX_LINES) -> None:
        self.record, self.limit, self.lines, self.cut = record, limit, 0, False
        self.events: list[list[Any]] = []
        self.frames: dict[int, list[Any]] = {}
        self.born = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if frame.f_code.co_filename != FILE:
            return None
        if not self.record or frame.f_code.co_name.startswith("<"):
            return self.count
        parent = self.frames.get(id(frame.f_back), [None])[0]
        seen = shown(frame.f_locals)
        self.frames[id(frame)] = [self.born, None, seen]
        self.add(["call", self.born, parent, seen])
        self.born += 1
        return self.local

    def count(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        if event == "line":
            self.lines += 1
            if self.lines > self.limit:
                raise Endless
        return self.count

    def local(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        state = self.frames.get(id(frame))
        if state is None:
            return self.count
        if event in ("line", "return"):
            self.settle(frame, state)
        if event == "line":
            state[1] = frame.f_lineno
            self.count(frame, event, argument)
        elif event == "return":
            self.add(["return", state[0], frame.f_lineno, text_of(argument)])
            del self.frames[id(frame)]
        elif event == "exception" and isinstance(argument[1], Exception):
            self.add(["raise", state[0], frame.f_lineno, message(argument[1])])
        return self.local

    def settle(self, frame: FrameType, state: list[Any]) -> None:
        """Puts what changed since the last line down to that line."""
        now = shown(frame.f_locals)
        if state[1] is not None:
            self.add(["line", state[0], state[1], {k: v for k, v in now.items() if state[2].get(k) != v}])
        state[2] = now

    def add(self, event: list[Any]) -> None:
        if len(self.events) < MAX_EVENTS:
            self.events.append(event)
        else:
            self.cut = True


def text_of(value: object) -> str | None:
    """A value's repr; None where it is too long, no expression, or cannot be shown."""
    try:
        text = repr(value)
    except Exception:
        return None
    plain = " at 0x" not in text and "`" not in text and not text.startswith("<")
    return text if plain and len(text) <= MAX_REPR else None


def shown(variables: dict[str, Any]) -> dict[str, str]:
    pairs = [(k, text_of(v)) for k, v in variables.items() if k.isidentifier() and not callable(v)]
    return {k: v for k, v in pairs if v is not None}


def message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_REPR].removesuffix(": ")


@contextlib.contextmanager
def traced(tracer: Tracer) -> Iterator[None]:
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(None)


def evaluate(
    source: str, space: dict[str, Any], record: bool, limit: int = MAX_LINES, mode: str = "eval"
) -> dict[str, Any]:
    """One call or assertion: its value or its error, its lines, and with `record` the events on the way."""
    tracer = Tracer(record, limit)
    out: dict[str, Any] = {}
    try:
        code = compile(source, "<call>", mode)
        with traced(tracer):
            value = eval(code, space)
        out["value"] = text_of(value)
    except (Exception, SystemExit, KeyboardInterrupt) as e:
        out["error"] = message(e)
    except Endless:
        out["endless"] = True
    out["lines"] = tracer.lines
    if record:
        out["events"], out["cut"] = tracer.events, tracer.cut
    return out


def run(program: str, job: Job, own: dict[str, Any] | None) -> dict[str, Any]:
    """One program on a job's calls and assertions; `own` is what the right program came to, for a draft.

    Records every call of the right program, and the first call of a draft that comes to something else and
    fails the assertion it stands in (`tests` gives its number).
    """
    space: dict[str, Any] = {"__name__": "program"}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            with traced(Tracer(False)):
                exec(compile(job["setup"], "<setup>", "exec"), space)
                exec(compile(program, FILE, "exec"), space)
        except (Exception, SystemExit, KeyboardInterrupt) as e:
            return {"error": message(e)}
        except Endless:
            return {"error": "endless"}
        if own is None:
            calls = [evaluate(c, space, n < job["recorded"]) for n, c in enumerate(job["calls"])]
            tested = [evaluate(t, space, False, mode="exec") for t in job["asserts"]]
            lines = max(c["lines"] for c in [*calls, *tested])
            return {"calls": calls, "passed": [ended_well(t) for t in tested], "lines": lines}
        limit = PATIENCE[0] * own["lines"] + PATIENCE[1]
        for number, right in enumerate(own["calls"][: job["recorded"]]):
            outcome = evaluate(job["calls"][number], space, False, limit)
            if any(outcome.get(k) != right.get(k) for k in ("value", "error", "endless")):
                test = job["asserts"][job["tests"][number]]
                if ended_well(evaluate(test, space, False, limit, "exec")):
                    continue
                return {"call": number, "outcome": evaluate(job["calls"][number], space, True, limit)}
    return {}


def ended_well(outcome: dict[str, Any]) -> bool:
    return "error" not in outcome and "endless" not in outcome


def in_child(program: str, job: Job, own: dict[str, Any] | None) -> dict[str, Any]:
    """`run` in a fork; a child that dies or says nothing readable is a result too."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        quiet = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(quiet, fd)
        data = json.dumps(run(program, job, own)).encode()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(data)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read(4 << 20)
    _, status = os.waitpid(child, 0)
    try:
        result = json.loads(data) if os.waitstatus_to_exitcode(status) == 0 else None
    except ValueError:
        result = None
    return result if isinstance(result, dict) else {"error": "killed"}


def main() -> None:
    job = json.loads(sys.stdin.buffer.read())
    sys.setrecursionlimit(400)
    own = in_child(job["program"], job, None)
    mutants = []
    if "error" not in own and in_child(job["program"], job, None) != own:
        own = {"error": "another result on a second run"}
    if "error" not in own:
        mutants = [in_child(source, job, own) for source in job["mutants"]]
    sys.stdout.write(json.dumps({"program": own, "mutants": mutants}))


if __name__ == "__main__":
    main()
