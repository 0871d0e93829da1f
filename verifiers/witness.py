"""A verdict and what a witness saw, from one sandbox: the judge first, then code that watches the program.

The judge runs in a fork and ends before the witness reads its job, so that no tested program meets it.
"""

import json
import marshal
from dataclasses import replace
from functools import lru_cache

from ..schemas import Verdict
from .code import LOAD, framed, judge_modules, judge_run, read_verdict
from .process import Limits, Run
from .programs import Task
from .sandbox import SandboxMissing, run_python, sandbox_available

_BOOT = (
    LOAD
    + """
judged = b'[{"outcome": "correct", "passed": 0}]'
if sys.argv[2] == "judge":
    sys.modules["inside.judge"]._harden()
    end, report = os.pipe()
    judge = os.fork()
    if judge == 0:
        os.dup2(report, 1)
        os.close(end)
        sys.modules["inside.judge"].main()
    os.close(report)
    judged = b"".join(iter(lambda: os.read(end, 65536), b""))
    os.waitpid(judge, 0)
    os.close(end)
    os.write(1, judged)
if b'"outcome": "correct"' in judged:
    os.write(1, b"\\n")
    sys.modules["inside.witness"].main()
"""
)


def judge_and_watch(
    program: str, task: Task, witness: str, job: bytes, limits: Limits
) -> tuple[Verdict | None, Run]:
    """The verdict on `program` (None for `cases`, whose outputs the witness reports), and the witness's run.

    `witness` is the source of a module whose `main()` reads `job` (framed: four bytes of length, little
    endian, then the bytes) from descriptor 0 and writes its report to descriptor 1; it runs only where the
    judge found the program right. What meets the wall clock is tried once more with three times as much.
    Raises SandboxMissing.
    """
    if missing := sandbox_available():
        raise SandboxMissing(missing)
    code = _modules(witness)
    judged = "none" if task.cases else "judge"
    data = code + (b"" if task.cases else judge_run(program, task)) + framed(job)
    arguments = ["-S", "-P", "-c", _BOOT, str(len(code)), judged]
    run = run_python(arguments, data, limits, proc=False)
    if run.status == "wall":
        run = run_python(arguments, data, replace(limits, wall_s=3 * limits.wall_s), proc=False)
    if task.cases:
        return None, run
    said, _, report = run.stdout.partition(b"\n")
    verdict = read_verdict(replace(run, stdout=said, status="done" if _whole(said) else run.status))
    return verdict, replace(run, stdout=report)


def _whole(said: bytes) -> bool:
    """Whether the judge had spoken before a limit ended the run."""
    try:
        return bool(json.loads(said))
    except ValueError:
        return False


@lru_cache(maxsize=4)
def _modules(witness: str) -> bytes:
    return marshal.dumps([*judge_modules(), ("witness", compile(witness, "witness.py", "exec"))])
