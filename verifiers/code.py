"""Programs against their tests, in the sandbox. The tests decide, and only if they ran."""

import json
import marshal
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

from ..schemas import Outcome, Verdict
from .base import Closing, Pair, correct, undecided, wrong
from .process import Limits, Run, run_bounded
from .programs import Case, Task, assemble, extract_program
from .sandbox import run_python, sandbox_available, unsafe_command

_MODULES = ("wire", "subject", "remote", "judge")
# What a sandboxed interpreter runs first: the modules that it is sent become the package `inside`.
LOAD = """
import os, sys, marshal
def read(n):
    data = b""
    while len(data) < n:
        data += os.read(0, n - len(data)) or sys.exit(3)
    return data
module = type(sys)
package = module("inside")
package.__path__ = []
sys.modules["inside"] = package
for name, code in marshal.loads(read(int(sys.argv[1]))):
    sys.modules["inside." + name] = made = module("inside." + name)
    made.__package__ = "inside"
    exec(code, made.__dict__)
"""
_BOOT = LOAD + 'sys.modules["inside.judge"].main()\n'
# CPU and wall clock share a reason: which of the two ends a hanging program depends on the machine's load.
_LIMIT_REASONS = {
    "cpu": "time limit",
    "wall": "time limit",
    "memory": "memory limit",
    "killed": "killed in the sandbox",
    "output": "output limit",
}


class _WallLimit(Exception):
    """The wall clock ended a run: to be tried once more, alone."""


class CodeVerifier(Closing):
    """Verdicts on programs. Each is run in a fresh sandbox, and a pass is repeated before it counts.

    A reference is what `Task.read` takes: the tests' source, or JSON with `tests` (assertions, HumanEval's
    `check`, doctests) or `cases` (stdin and stdout). Where there is no sandbox every verdict is undecided
    and says so, unless `unsafe_no_sandbox` (for containers that are sandboxes themselves).
    """

    def __init__(
        self, limits: Limits | None = None, *, jobs: int | None = None, unsafe_no_sandbox: bool = False
    ) -> None:
        self.limits = limits or Limits(cpu_s=4, wall_s=20.0)
        self.jobs = jobs or min(4, os.cpu_count() or 1)
        self.unsafe = unsafe_no_sandbox

    @property
    def name(self) -> str:
        return "code"

    def verify(self, prediction: str, reference: str) -> Verdict:
        return self.verify_many([(prediction, reference)])[0]

    def verify_many(self, pairs: Iterable[Pair]) -> list[Verdict]:
        """In order; a program that meets the wall limit is tried once more when no other runs."""
        jobs = [partial(self._read, prediction, reference) for prediction, reference in pairs]
        return [verdict for verdict, _ in self._all(jobs)]

    def verify_tasks(self, jobs: Iterable[tuple[str, Task]]) -> list[tuple[Verdict, float]]:
        """Verdicts on (program or completion, task) and the seconds that each took."""
        return self._all([partial(lambda job: job, job) for job in jobs])

    def close(self) -> None: ...

    def _read(self, prediction: str, reference: str) -> tuple[str, Task]:
        return extract_program(prediction), Task.read(reference)

    def _all(self, jobs: Sequence[Callable[[], tuple[str, Task]]]) -> list[tuple[Verdict, float]]:
        if not self.unsafe and (missing := sandbox_available()):
            return [(undecided(missing), 0.0) for _ in jobs]
        with ThreadPoolExecutor(self.jobs) as pool:
            tried = list(pool.map(self._try, jobs))
        for number, (verdict, seconds) in enumerate(tried):
            if verdict is None:
                verdict, more = self._try(jobs[number])
                tried[number] = verdict or _TOO_LONG, seconds + more
        return [(verdict or _TOO_LONG, seconds) for verdict, seconds in tried]

    def _try(self, job: Callable[[], tuple[str, Task]]) -> tuple[Verdict | None, float]:
        """The verdict (None where the wall clock ended it) and the seconds it took."""
        start = time.perf_counter()
        try:
            verdict = self._one(job)
        except _WallLimit:
            verdict = None
        return verdict, time.perf_counter() - start

    def _one(self, job: Callable[[], tuple[str, Task]]) -> Verdict:
        try:
            completion, task = job()
        except ValueError as e:
            return undecided(f"unreadable tests: {e}")
        if task.cases:
            return self._cases(assemble(task, completion)[0], task.cases)
        if not task.tests.strip():
            return undecided("no tests")
        judge = _judge_code()
        data = judge + judge_run(completion, task)
        return read_verdict(self._run(["-S", "-P", "-c", _BOOT, str(len(judge))], data))

    def _cases(self, program: str, cases: tuple[Case, ...]) -> Verdict:
        for repetition in range(2):
            for number, case in enumerate(cases, 1):
                run = self._run(
                    ["/tmp/main.py"], case.stdin.encode("utf-8", "surrogatepass"), {"main.py": program}
                )
                where = f"case {number} of {len(cases)}"
                if run.status != "done":
                    return undecided(_LIMIT_REASONS[run.status], where)
                fault = _fault(run, case)
                if fault and repetition:
                    return undecided("a repetition did not confirm the pass", where)
                if fault:
                    return wrong(fault, where)
        return correct("every case printed what it should", f"{len(cases)} cases, run twice")

    def _run(self, arguments: list[str], stdin: bytes, contents: dict[str, str] | None = None) -> Run:
        if self.unsafe:
            with unsafe_command(self.limits, arguments, contents or {}) as command:
                run = run_bounded(command, stdin, self.limits)
        else:
            run = run_python(arguments, stdin, self.limits, contents, proc=contents is not None)
        if run.status == "wall":
            raise _WallLimit
        return run


def read_verdict(run: Run) -> Verdict:
    """What the judge's run in the sandbox came to."""
    if run.status != "done":
        return undecided(_LIMIT_REASONS[run.status])
    try:
        results = json.loads(run.stdout)
        last, passed = results[-1], [int(result["passed"]) for result in results]
    except (ValueError, LookupError, TypeError):
        return undecided("the judge ended without a verdict")
    if last["outcome"] == Outcome.CORRECT:
        if len(results) < 2 or passed[0] != passed[1]:
            return undecided("a repetition did not confirm the pass")
        return correct("the tests passed", f"{passed[0]} assertions, run twice")
    if len(results) > 1:
        return undecided("a repetition did not confirm the pass", str(last["reason"]))
    return (wrong if last["outcome"] == Outcome.WRONG else undecided)(last["reason"], last["evidence"])


_TOO_LONG = undecided(_LIMIT_REASONS["wall"])


def _fault(run: Run, case: Case) -> str:
    """What is wrong with one run; empty where nothing is."""
    if run.returncode:
        lines = run.stderr.decode("utf-8", "replace").strip().split("\n")
        if lines[-1].startswith("MemoryError"):
            return ""
        return f"the program ended with status {run.returncode}: {lines[-1][:200]}".rstrip(": ")
    if lines_of(run.stdout.decode("utf-8", "replace")) != lines_of(case.stdout):
        return "another output"
    return ""


def lines_of(text: str) -> list[str]:
    """An output's lines without the white space at their ends and without empty lines at the end."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def judge_run(completion: str, task: Task) -> bytes:
    """What the judge reads: the program, then its tests."""
    program, helpers = assemble(task, completion)
    job = {"tests": task.tests, "helpers": helpers, "entry_point": task.entry_point}
    return framed(program.encode("utf-8", "surrogatepass")) + framed(json.dumps(job).encode())


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def judge_modules() -> list[tuple[str, Any]]:
    """The sandbox's side of the verifier: its modules' names and code objects, in the order of import."""
    folder = files(__package__)
    sources = {name: folder.joinpath(f"{name}.py").read_text("utf-8") for name in _MODULES}
    return [(name, compile(source, f"{name}.py", "exec")) for name, source in sources.items()]


@lru_cache(maxsize=1)
def _judge_code() -> bytes:
    return marshal.dumps(judge_modules())
