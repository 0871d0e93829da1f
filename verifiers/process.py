"""One child process, bounded from outside: wall time, the memory of its whole group, its output."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["done", "cpu", "wall", "memory", "output", "killed"]

_POLL_S = 0.05
_CPU_EXIT = 128 + signal.SIGXCPU


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. CPU seconds and memory count per process; memory also for the whole group.

    `files_bytes` bounds each of its writable folders and each file; `output_bytes` stdout and stderr each.
    """

    cpu_s: int = 5
    wall_s: float = 15.0
    memory_bytes: int = 512 << 20
    processes: int = 16
    files_bytes: int = 16 << 20
    output_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """What a process left behind. `status` is "done" where it ended by itself, else what ended it.

    `returncode` is the program's own exit status where `status` is "done" (128 + n after signal n).
    """

    stdout: bytes
    stderr: bytes
    returncode: int
    status: Status


def run_bounded(command: Sequence[str], stdin: bytes, limits: Limits, pass_fds: Sequence[int] = ()) -> Run:
    """Run `command` in a session of its own, feed it `stdin`, and kill its whole group at a limit."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        bufsize=0,
    )
    try:
        chunks, status = _attend(process, stdin, limits)
    finally:
        _kill_group(process)
        returncode = process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
    if status == "done":
        if returncode == _CPU_EXIT:
            status = "cpu"
        elif returncode in (128 + signal.SIGKILL, -signal.SIGKILL):
            status = "killed"
    return Run(b"".join(chunks[0]), b"".join(chunks[1]), returncode, status)


def _attend(
    process: subprocess.Popen[bytes], stdin: bytes, limits: Limits
) -> tuple[tuple[list[bytes], list[bytes]], Status]:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    out: tuple[list[bytes], list[bytes]] = ([], [])
    left = [limits.output_bytes, limits.output_bytes]
    pending = memoryview(stdin)
    start = time.monotonic()
    deadline, next_look = start + limits.wall_s, start + _POLL_S
    with selectors.DefaultSelector() as selector:
        for index, pipe in enumerate((process.stdout, process.stderr)):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, index)
        os.set_blocking(process.stdin.fileno(), False)
        if pending:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while selector.get_map():
            now = time.monotonic()
            if now >= deadline:
                return out, "wall"
            if now >= next_look:
                next_look = now + _POLL_S
                if _group_memory(process.pid) > limits.memory_bytes:
                    return out, "memory"
            for key, _ in selector.select(max(0.0, min(deadline, next_look) - now)):
                if key.fileobj is process.stdin:
                    try:
                        pending = pending[os.write(key.fd, pending[:65536]) :]
                    except BrokenPipeError:
                        pending = pending[:0]
                    if not pending:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                out[key.data].append(data[: left[key.data]])
                left[key.data] -= len(data)
                if left[key.data] < 0:
                    return out, "output"
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return out, "wall"
    return out, "done"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _group_memory(pid: int) -> int:
    """Resident bytes of a process and all its descendants (shared pages counted once per process)."""
    total, todo, page = 0, [pid], os.sysconf("SC_PAGE_SIZE")
    while todo:
        at = todo.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{at}/statm", "rb") as statm:
                fields = statm.read().split()
            total += (int(fields[1]) - int(fields[2])) * page
            for task in os.listdir(f"/proc/{at}/task"):
                with open(f"/proc/{at}/task/{task}/children", "rb") as children:
                    todo += [int(child) for child in children.read().split()]
    return total
