"""The algebra's process: it compares answers, and may be killed at any moment.

It runs as `python -m cotmill.verifiers.algebra`: a length (4 bytes) and a JSON pair in, the same out. A
process instead of signals, so that the limit holds in a main thread, a thread and a Dask worker alike.
"""

import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from typing import IO, cast

_LENGTH = struct.Struct("<I")
_MEMORY_BYTES = 1 << 30
_WALL_FACTOR = 15.0


class Algebra:
    """Owns one warm process. `restarts` counts how often it had to be started again.

    `ask` may be called from any thread, one call at a time; after a fork the child starts its own process.
    """

    def __init__(self, cpu_s: float = 2.0) -> None:
        self.cpu_s = cpu_s
        self.restarts = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def ask(self, a: str, b: str) -> tuple[str, str]:
        """("same" | "different" | "unknown", reason) on two answers; "unknown" where the process was lost."""
        request = json.dumps([a, b]).encode()
        with self._lock:
            for _ in range(2):
                process = self._running()
                try:
                    _write(process, request)
                    reply = self._receive(process)
                except (BrokenPipeError, EOFError):
                    # Someone may have ended it from outside; an answer that ends it does so twice.
                    self._stop()
                    continue
                if reply is None:
                    self._stop()
                    return "unknown", f"time limit ({self.cpu_s:g} s of CPU time)"
                finding, reason = json.loads(reply)
                return finding, reason
        return "unknown", "the algebra's process ended (memory limit or crash)"

    def close(self) -> None:
        with self._lock:
            self._stop()

    def __getstate__(self) -> dict[str, float]:
        return {"cpu_s": self.cpu_s}

    def __setstate__(self, state: dict[str, float]) -> None:
        self.__init__(state["cpu_s"])  # type: ignore[misc]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cotmill.verifiers.algebra"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._owner = os.getpid()
        self.restarts += 1
        # The first reply says that everything is loaded: loading is not part of anybody's limit.
        with contextlib.suppress(EOFError):
            self._receive(self._process, cpu_s=60.0)
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _receive(self, process: subprocess.Popen[bytes], cpu_s: float | None = None) -> bytes | None:
        """One message; None at the limit of CPU time (or of wall time, where nothing else tells)."""
        cpu_s = self.cpu_s if cpu_s is None else cpu_s
        started_cpu, started = _cpu_time(process.pid), time.monotonic()
        pipe = cast(IO[bytes], process.stdout)
        while not select.select([pipe], [], [], 0.05)[0]:
            used = _cpu_time(process.pid) - started_cpu
            if used > cpu_s or time.monotonic() - started > cpu_s * _WALL_FACTOR:
                return None
        return _read_message(pipe)


def _cpu_time(pid: int) -> float:
    """CPU seconds of a process: its clock's id is made of its number (clock_getcpuclockid on Linux)."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except (OSError, AttributeError, OverflowError):
        return 0.0


def _write(process: subprocess.Popen[bytes], data: bytes) -> None:
    pipe = cast(IO[bytes], process.stdin)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def _read_message(pipe: IO[bytes]) -> bytes:
    header = pipe.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(header)
    message = pipe.read(length)
    if len(message) < length:
        raise EOFError
    return message


def main() -> None:
    """Serve until standard input ends."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    from .equivalence import compare

    out = sys.stdout.buffer

    def send(message: object) -> None:
        data = json.dumps(message).encode()
        out.write(_LENGTH.pack(len(data)) + data)
        out.flush()

    send("ready")
    while True:
        try:
            a, b = json.loads(_read_message(sys.stdin.buffer))
        except EOFError:
            return
        try:
            send(compare(a, b))
        except MemoryError:
            send(("unknown", "memory limit"))


if __name__ == "__main__":
    main()
