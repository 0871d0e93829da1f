"""One Lean under Node, bounded from outside: CPU time, wall time, memory; replaced before it leaks."""

import json
import os
import resource
import selectors
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .backend import LeanLost, LeanUnavailable, Theorem
from .location import build_folder, code_file, embedded_missing, find_node

_STACK = 256 << 20
_POLL_S = 0.1
# A working Lean is nearly always on a processor or waits for one. One whose threads wait for each other wakes
# a thousand times a second to look, which is little CPU time but some.
_HUNG_S = 5.0
_HUNG_SHARE = 0.2
# Threads that Lean finds ready: one that must be made would wait for the event loop, which Lean blocks.
_THREADS = "8"
# V8's optimizing compiler pays where its code was kept (`compiled.js`); else it takes longer than it saves.
# The budget is what a function executes before, in bytes of code.
_BASELINE = ("--liftoff-only",)
_OPTIMIZED = ("--wasm-lazy-compilation", "--wasm-tiering-budget=100000", "--allow-natives-syntax")
_REPL = Path(__file__).with_name("repl.js")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class LeanLimits:
    """`cpu_s` bounds one request; `wall_s` too, and beyond it the request is tried once more, alone.

    A process is replaced after `requests`, or where its heap, which never shrinks, exceeds `heap_mb`.
    `memory_bytes` bounds its resident memory. `start_s` is the wall time until Lean is ready.
    """

    cpu_s: float = 30.0
    wall_s: float = 120.0
    start_s: float = 600.0
    memory_bytes: int = 3 << 30
    heap_mb: int = 1200
    requests: int = 2000


class LeanProcess:
    """A Lean that answers one request at a time. Starts at the first one.

    `restored`: the running process has machine code that was kept.
    `compiles`: the optimizing compiler is at work even where nothing was kept of what it made (`keep_code`).
    """

    def __init__(self, limits: LeanLimits, header: str = "", compiles: bool = False) -> None:
        self.limits, self.header, self.compiles = limits, header, compiles
        self.starts = 0
        self.retries = 0
        self.restored = False
        self._process: subprocess.Popen[bytes] | None = None
        self._served = 0
        self._buffer = b""
        self._window = _Window(0.0, 0.0)

    def request(self, **fields: Any) -> dict[str, Any]:
        """The reply. Raises LeanLost at a limit or after a crash, LeanUnavailable without a Lean."""
        try:
            return self._ask(fields)
        except _Wall:
            self.retries += 1
            self.close()
            try:
                return self._ask(fields)
            except _Wall as e:
                raise LeanLost("limit: wall time, twice") from e

    def start(self) -> None:
        """Start now rather than at the first request."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        if missing := embedded_missing():
            raise LeanUnavailable(missing)
        hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
        deep = hard == resource.RLIM_INFINITY or hard >= _STACK
        node = str(find_node())
        code = code_file()
        optimized = code is not None and (self.compiles or code.is_file())
        flags = [*(_OPTIMIZED if optimized else _BASELINE), "--wasm-lazy-validation"]
        flags.append(f"--stack-size={60000 if deep else 7000}")
        command = [node, *flags, str(_REPL), str(build_folder()), self.header]
        command += [str(code)] if optimized else []
        if deep:
            # The limit is raised by a shell: a Python function between fork and exec is unsafe with threads.
            command = ["/bin/sh", "-c", f'ulimit -S -s {_STACK >> 10}; exec "$0" "$@"', *command]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath), "LEAN_WASM_POOL": _THREADS},
            start_new_session=True,
        )
        self.starts += 1
        self._served, self._buffer = 0, b""
        try:
            said = self._receive(self.limits.start_s, self.limits.start_s)
            self.restored = bool(said.get("restored"))
        except _Wall as e:
            self.close()
            raise LeanLost("Lean did not start in time") from e

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()

    def _ask(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.start()
        assert self._process
        assert self._process.stdin
        self._served += 1
        try:
            self._process.stdin.write(json.dumps({"id": self._served, **fields}).encode() + b"\n")
            self._process.stdin.flush()
            reply = self._receive(self.limits.cpu_s, self.limits.wall_s)
        except BrokenPipeError as e:
            self.close()
            raise LeanLost("Lean crashed") from e
        if self._served >= self.limits.requests or reply.get("heap_mb", 0) > self.limits.heap_mb:
            self.close()
        if "error" in reply:
            raise LeanLost(str(reply["error"]))
        return reply

    def _receive(self, cpu_s: float, wall_s: float) -> dict[str, Any]:
        process = self._process
        assert process
        assert process.stdout
        begin, cpu = time.monotonic(), self.cpu_seconds()
        self._window = _Window(begin, cpu)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(_POLL_S):
                    self._look(cpu + cpu_s, begin + wall_s)
                    continue
                data = os.read(process.stdout.fileno(), 1 << 20)
                if not data:
                    self.close()
                    raise LeanLost("Lean crashed")
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply = json.loads(line)
        assert isinstance(reply, dict)
        return reply

    def _look(self, cpu_end: float, wall_end: float) -> None:
        cpu, now = self.cpu_seconds(), time.monotonic()
        if cpu > cpu_end:
            self.close()
            raise LeanLost("limit: CPU time")
        if self._memory() > self.limits.memory_bytes:
            self.close()
            raise LeanLost("limit: memory")
        if now > wall_end or self._hung(now, cpu):
            self.close()
            raise _Wall

    def _hung(self, now: float, cpu: float) -> bool:
        """Whether nothing went on for a while."""
        window = self._window
        window.looks += 1
        window.runnable += self._runnable()
        if now < window.begin + _HUNG_S:
            return False
        self._window = _Window(now, cpu)
        little = cpu - window.cpu < _HUNG_SHARE * (now - window.begin)
        return little and window.runnable < _HUNG_SHARE * window.looks

    def cpu_seconds(self) -> float:
        """Used so far by the process at work; 0 without one, or where the system does not say."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0

    def _runnable(self) -> bool:
        """Whether a thread runs, or waits for a processor or the disk; else all wait for ever."""
        assert self._process
        states = []
        for stat in Path(f"/proc/{self._process.pid}/task").glob("*/stat"):
            with suppress(OSError):
                states.append(stat.read_text().rpartition(")")[2].split()[0])
        return not states or not {"R", "D"}.isdisjoint(states)

    def _memory(self) -> int:
        fields = self._proc("statm").split()
        return int(fields[1]) * _PAGE if fields else 0

    def _proc(self, file: str) -> str:
        if self._process is None:
            return ""
        try:
            return Path(f"/proc/{self._process.pid}/{file}").read_text()
        except OSError:
            return ""


def keep_code(proofs: Sequence[tuple[Theorem, str]], rounds: int = 5) -> None:
    """Elaborate and judge `proofs` (files) again and again, and keep the machine code for later processes.

    Raises LeanLost where this Node does not give it out, LeanUnavailable without a Lean.
    """
    lean = LeanProcess(LeanLimits(requests=2 * rounds * len(proofs) + 1), compiles=True)
    try:
        for _ in range(rounds):
            for theorem, file in proofs:
                target = theorem.full_name
                made = lean.request(op="elaborate", code=file, target=target)
                lean.request(op="judge", statement=theorem.statement, target=target, proof=made["proof"])
        lean.request(op="keep")
    finally:
        lean.close()


@dataclass(slots=True)
class _Window:
    """What was seen since `begin`: how often the process was looked at, and how often it could run."""

    begin: float
    cpu: float
    looks: int = 0
    runnable: int = 0


class _Wall(Exception):
    """The wall limit was reached, or nothing in the process runs any more."""
