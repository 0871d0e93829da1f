"""What several test folders share: the command line as a user calls it, and one tiny run."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

Cotmill = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "cotmill.pipelines.cli"]

# A busy machine is no failure.
hypothesis.settings.register_profile(
    "cotmill", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("cotmill")


@pytest.fixture(scope="session", autouse=True)
def _tokens_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["COTMILL_TOKENS"] = str(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="session")
def cotmill() -> Cotmill:
    """Call the command line: `cotmill("check", folder)`; standard output and error as text."""

    def call(*args: object, cwd: Path | None = None, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*COMMAND, *map(str, args)],
            cwd=cwd,
            env=os.environ | {"COLUMNS": "100"} | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
        )

    return call


@pytest.fixture(scope="session")
def configs() -> Path:
    return Path(__file__).parents[1] / "pipelines" / "configs"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, cotmill: Cotmill, configs: Path) -> Path:
    """The finished folder of the tiny configuration. Read it, do not write into it."""
    out = tmp_path_factory.mktemp("tiny") / "run"
    done = cotmill("run", configs / "tiny.yaml", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def synthetic_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder made by hand (`synthetic_run.py`). Read it, do not write into it."""
    folder = tmp_path_factory.mktemp("synthetic") / "run"
    runpy.run_path(str(Path(__file__).with_name("synthetic_run.py")))["build"](folder)
    return folder
