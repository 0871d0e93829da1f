"""The wheel holds all that the line needs: installed elsewhere, it runs the tiny configuration."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment that holds the wheel, beside the dependencies of this one.

    A path in a `.pth` file brings the packages of this environment, but not its own `.pth` files: the
    checkout, which is installed here as editable, stays out of sight.
    """
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(clone)], check=True
    )
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_every_package_imports_from_it(python: Path, tmp_path: Path) -> None:
    code = """
import importlib, pkgutil, cotmill
assert "site-packages" in cotmill.__file__, cotmill.__file__
names = [m.name for m in pkgutil.walk_packages(cotmill.__path__, "cotmill.")]
for name in names:
    importlib.import_module(name)
print(*sorted({n.split(".")[1] for n in names}))
"""
    done = subprocess.run([str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folders = "benchmarks" not in done.stdout and "tests" not in done.stdout
    assert folders, "the wheel holds more than the product"
    expected = "data generators labelers models notebooks pipelines schemas training verifiers"
    assert done.stdout.split() == expected.split()


def test_it_runs_the_tiny_configuration(python: Path, tmp_path: Path) -> None:
    command = str(python.parent / "cotmill")
    where = [
        str(python),
        "-c",
        "from cotmill.pipelines.config import shipped_config as c; print(c('tiny.yaml'))",
    ]
    config = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    done = subprocess.run(
        [command, "run", config, "--out", "run"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    checked = subprocess.run([command, "check", "run"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
