"""`cotmill doctor`: it tells the truth about this machine, and how to get what is missing."""

import io
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cotmill.pipelines.doctor import available_memory, doctor, usable_cores
from cotmill.pipelines.requirements import install_line, installed, required, unmet
from cotmill.verifiers.lean import embedded_missing
from cotmill.verifiers.sandbox import sandbox_available
from packaging.requirements import Requirement
from rich.console import Console


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which no program is found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox_available.cache_clear()
    yield
    sandbox_available.cache_clear()


def examine() -> tuple[dict[str, Any], str]:
    file = io.StringIO()
    report = doctor(Console(file=file, width=80))
    return report, file.getvalue()


def item(report: dict[str, Any], name: str) -> dict[str, str]:
    return next(i for i in report["items"] if i["name"] == name)


def test_the_printed_page_says_what_the_report_says() -> None:
    report, text = examine()
    for found in report["items"]:
        assert found["name"] in text
        assert found["state"] in ("ok", "limited", "missing", "optional")
    assert ("cannot run here yet" in text) is not report["ok"]
    assert report["ok"] == all(i["state"] != "missing" for i in report["items"])
    json.dumps(report)


def test_it_names_versions_and_devices_as_they_are() -> None:
    import torch

    report, _ = examine()
    assert torch.__version__ in item(report, "torch")["detail"]
    assert item(report, "Python")["detail"] == ".".join(map(str, sys.version_info[:3]))
    gpus = [i for i in report["items"] if i["name"].startswith("GPU ")]
    assert len(gpus) == torch.cuda.device_count()


def test_it_says_whether_the_embedded_lean_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = item(examine()[0], "Lean, embedded")
    assert (found["state"] == "ok") is (embedded_missing() is None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = item(examine()[0], "Lean, embedded")
    assert (found["state"], found["fix"]) == ("optional", "cotmill lean setup")
    assert "lean_dojo" not in sys.modules


@pytest.mark.usefixtures("no_programs")
def test_without_a_sandbox_it_gives_the_line_to_type() -> None:
    report, text = examine()
    sandbox = item(report, "sandbox")
    assert sandbox["state"] == "limited"
    assert "bwrap" in sandbox["detail"]
    assert "apt-get install bubblewrap" in sandbox["fix"]
    assert any(line.strip() == sandbox["fix"] for line in text.splitlines())
    shlex.split(sandbox["fix"])


@pytest.mark.usefixtures("no_programs")
def test_absent_programs_are_absent() -> None:
    report, _ = examine()
    assert item(report, "Node")["state"] == "optional"
    assert "lake: absent, lean: absent" in item(report, "Lean, native")["detail"]


def test_requirements_are_those_of_the_installed_package() -> None:
    names = {r.name for r in required()}
    assert {"torch", "pyarrow", "rich"} <= names
    assert "jupyterlab" not in names
    assert {r.name for r in required("notebooks")} >= {"jupyterlab", "matplotlib"}
    assert not {r.name for r in required("notebooks")} & {"torch", "pytest"}
    assert {r.name for r in unmet()} <= names


def test_another_version_than_required_is_unmet(monkeypatch: pytest.MonkeyPatch) -> None:
    future = [Requirement("rich>=999"), Requirement("rich>=1"), Requirement("no-such-thing-at-all")]
    monkeypatch.setattr("cotmill.pipelines.requirements.required", lambda extra="": future)
    assert [str(r) for r in unmet()] == ["rich>=999", "no-such-thing-at-all"]


def test_the_install_line_is_one_that_a_shell_understands() -> None:
    line = install_line([Requirement("torch>=2.6,<2.14"), Requirement("rich")])
    assert shlex.split(line) == [sys.executable, "-m", "pip", "install", "torch<2.14,>=2.6", "rich"]


def test_an_absent_distribution_has_no_version() -> None:
    assert installed("no-such-thing-at-all") is None
    assert installed("rich")


def test_what_the_machine_has_is_within_what_it_has() -> None:
    assert 0 < usable_cores() <= (os.cpu_count() or 1)
    memory = available_memory()
    assert memory is None or 0 < memory < 1 << 50
    disk = shutil.disk_usage(Path.cwd()).free / (1 << 30)
    shown = float(item(examine()[0], "disk")["detail"].split()[0])
    assert shown == pytest.approx(disk, rel=0.2)
