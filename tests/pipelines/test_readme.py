"""Every command in README is run, as it stands there."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = [
    line.split("  #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [line for line in LINES if line.startswith("cotmill ")]
# `make run` is what test_demo runs, `make test` what runs this.
ELSEWHERE = [line for line in LINES if not line.startswith("cotmill ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path, configs: Path) -> Path:
    """A folder in which README's file names stand for something small."""
    here = tmp_path_factory.mktemp("readme")
    shutil.copytree(tiny_run, here / "out" / "demo")
    (here / "data").symlink_to(ROOT / "data")
    config = (configs / "tiny.yaml").read_text()
    (here / "my.yaml").write_text(config)
    rows = [{"question": "Compute 2+3.", "answer": "2+3=5\n#### 5"}]
    _jsonl(here / "gsm8k.jsonl", rows)
    _jsonl(here / "pairs.jsonl", [{"gold": "1/2", "pred": "So the answer is 0.5."}])
    _jsonl(
        here / "programs.jsonl",
        [{"completion": "def f(x):\n    return x + 1\n", "tests": "assert f(1) == 2\nassert f(0) == 1\n"}],
    )
    _jsonl(here / "cots.jsonl", [{"text": "First, 2 + 2 = 4. Wait, that is for two.\n\nSo the answer is 4."}])
    return here


def _jsonl(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_nothing_but_set_up_stands_beside_the_commands() -> None:
    assert len(COMMANDS) >= 12
    assert ELSEWHERE == ["git clone <this repository> cotmill && cd cotmill", "make run", "make test"]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.split()[1])
def test_program_runs(program: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if " review " not in c])
def test_command_runs(command: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cotmill.pipelines.cli", *shlex.split(command)[1:]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_review_serves_the_notebook(folder: Path) -> None:
    command = next(c for c in COMMANDS if " review " in c)
    run = subprocess.Popen(
        [sys.executable, "-m", "cotmill.pipelines.cli", *shlex.split(command)[1:], "--no-browser"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert run.stdout is not None
    os.set_blocking(run.stdout.fileno(), False)
    seen = b""
    for _ in range(600):
        seen += run.stdout.read() or b""
        if run.poll() is not None or b"http://" in seen:
            break
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert b"http://" in seen, seen.decode(errors="replace")
