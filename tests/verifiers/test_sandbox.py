"""The sandbox holds what runs in it: no network, no host files; processes, memory, output, time bounded."""

import os
import sys
import time

import pytest
from cotmill.verifiers.sandbox import Limits, Run, run_in_sandbox, sandbox_available

_missing = sandbox_available()
pytestmark = pytest.mark.skipif(_missing is not None, reason=str(_missing))
# The wall clock is for what sleeps; a busy machine must not meet it.
QUICK = Limits(cpu_s=1, wall_s=60.0)
MANY_SMALL = """
import os, time
for _ in range(9):
    if os.fork() == 0:
        x = bytes(1) * (90 << 20)
        x = bytearray(x)
        time.sleep(60)
time.sleep(60)
"""


def out(run: Run) -> str:
    assert run.status == "done", run
    return run.stdout.decode().strip()


def test_runs_a_script_with_stdin_and_files() -> None:
    run = run_in_sandbox(
        "import helper; print(helper.twice(input()), open('d/f.txt').read())",
        b"ab\n",
        files={"helper.py": "def twice(x): return x * 2", "d/f.txt": "hello"},
    )
    assert out(run) == "abab hello"


def test_exit_status_and_traceback_come_back() -> None:
    run = run_in_sandbox("import sys; sys.stderr.write('e'); sys.exit(3)")
    assert (run.status, run.returncode, run.stderr) == ("done", 3, b"e")


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", ""])
def test_files_cannot_be_laid_outside(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        run_in_sandbox("", files={name: ""})


def test_host_files_and_environment_are_not_there(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "secret").write_text("s")
    monkeypatch.setenv("SECRET_TOKEN", "s")
    script = f"""
import os
print(os.path.exists({str(tmp_path)!r}), os.path.exists({os.path.abspath(__file__)!r}),
      os.path.exists('/etc/passwd'), 'SECRET_TOKEN' in os.environ, os.getuid())
"""
    assert out(run_in_sandbox(script)) == "False False False False 65534"


@pytest.mark.parametrize("where", ["/x", "/usr/x", "/dev/x", sys.prefix + "/x", "/py/x"])
def test_nothing_outside_tmp_is_writable(where: str) -> None:
    script = f"try:\n    open({where!r}, 'w')\nexcept OSError:\n    print('refused')"
    assert out(run_in_sandbox(script)) == "refused"


def test_nothing_stays_for_the_next_run() -> None:
    assert out(run_in_sandbox("open('/tmp/left', 'w').write('x'); print('ok')")) == "ok"
    assert out(run_in_sandbox("import os; print(os.listdir('/tmp'))")) == "['main.py']"


def test_no_network() -> None:
    script = """
import socket
for address in (("127.0.0.1", 22), ("192.0.2.1", 80)):
    try:
        socket.create_connection(address, 1)
        print("connected")
    except OSError:
        print("refused")
print(len(socket.if_nameindex()))
"""
    assert out(run_in_sandbox(script, limits=QUICK)).split() == ["refused", "refused", "1"]


def test_a_fork_bomb_is_bounded() -> None:
    script = """
import os, time
n = 0
try:
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(60)
        n += 1
except OSError:
    pass
print(n, flush=True)
os.kill(0, 9)
"""
    run = run_in_sandbox(script, limits=QUICK)
    assert 1 <= int(run.stdout) <= 16


def test_killing_its_group_and_everyone_kills_only_itself() -> None:
    for script in ("import os; os.killpg(0, 9)", "import os\ntry:\n    os.kill(-1, 9)\nexcept OSError: pass"):
        assert run_in_sandbox(script, limits=QUICK).status in ("killed", "done")
    assert out(run_in_sandbox("print('alive')")) == "alive"


def test_no_process_outlives_its_run() -> None:
    script = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(1); os.close(2)
        time.sleep(12345)
    os._exit(0)
print('left')
"""
    assert run_in_sandbox(script, limits=QUICK).stdout == b"left\n"
    left = {pid for pid in os.listdir("/proc") if pid.isdigit() and _is_script(pid)}
    for _ in range(100):
        # The kernel ends the rest of a namespace right after its first process; others may be testing too.
        left = {pid for pid in left if _is_script(pid)}
        time.sleep(0.05 if left else 0)
    assert not left


def _is_script(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"/tmp/main.py" in file.read()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("script", "statuses"),
    [
        ("while True: pass", {"cpu"}),
        ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", {"killed"}),
        ("print('x' * 10_000_000)", {"output"}),
        ("import sys\nwhile True: sys.stderr.write('x' * 65536)", {"output"}),
        ("x = [bytearray(1 << 20) for _ in range(4000)]", {"done", "cpu"}),
        (MANY_SMALL, {"memory"}),
    ],
)
def test_limits(script: str, statuses: set[str]) -> None:
    run = run_in_sandbox(script, limits=QUICK)
    assert run.status in statuses, run
    assert run.returncode != 0
    assert len(run.stdout) <= 1 << 20
    assert len(run.stderr) <= 1 << 20


def test_a_sleeping_program_meets_the_wall_clock() -> None:
    run = run_in_sandbox("import time; time.sleep(600)", limits=Limits(wall_s=1.0))
    assert (run.status, run.returncode) == ("wall", -9)


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_writable_folders_are_small(folder: str) -> None:
    script = f"""
total = 0
try:
    for i in range(100):
        with open('{folder}/' + str(i), 'wb') as f:
            total += f.write(b'x' * (1 << 20))
except OSError:
    print(total >> 20)
"""
    assert int(out(run_in_sandbox(script))) <= 16


@pytest.mark.parametrize(
    "call", ["unshare(0x10000000)", "ptrace(0, 0, 0, 0)", "shmget(0, 4096, 0o1600)", "keyctl(0, -3, 0)"]
)
def test_calls_that_nobody_needs_are_refused(call: str) -> None:
    script = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
try:
    print(libc.{call})
except AttributeError:
    print(-1)
"""
    assert out(run_in_sandbox(script)) == "-1"


def test_packages_of_the_host_are_not_there() -> None:
    script = "import sys\ntry:\n    import pip\nexcept ImportError:\n    print('none')"
    assert out(run_in_sandbox(script)) == "none"


def test_hash_seed_is_fixed() -> None:
    script = "print(list({'a', 'b', 'c', 'd', 'e'}))"
    assert out(run_in_sandbox(script)) == out(run_in_sandbox(script))
