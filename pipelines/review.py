"""Opens the reviewers' notebook on a run, in JupyterLab."""

import hashlib
import os
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from ..schemas import CotmillError
from .files import atomic
from .manifest import read_manifest
from .requirements import install_line, unmet

RUN_VARIABLE = "COTMILL_RUN"
_NOTEBOOK = "review.ipynb"
# Nothing is fetched: neither news nor updates nor extensions.
_OPTIONS = (
    f"--LabApp.default_url=/lab/tree/{_NOTEBOOK}",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
    "--ServerApp.log_level=WARN",
    "-y",
)


def review(folder: Path, *, browser: bool = True, port: int | None = None) -> None:
    """Serve the notebook on this machine until Ctrl-C; `browser=False` only prints its address.

    Raises BadInput for a folder that holds no run, CotmillError where JupyterLab is missing or fails.
    """
    read_manifest(folder)
    if absent := unmet("notebooks"):
        names = ", ".join(r.name for r in absent)
        raise CotmillError(f"the notebook needs {names}; type: {install_line(absent)}")
    root = f"--ServerApp.root_dir={own_copy(folder).parent}"
    command = [sys.executable, "-m", "jupyterlab", root, *_OPTIONS]
    command += [] if browser else ["--no-browser"]
    command += [f"--port={port}", "--ServerApp.port_retries=0"] if port else []
    # Jupyter refuses to serve root; in a container there is often nobody else.
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    _serve(command, os.environ | {RUN_VARIABLE: str(folder.resolve())})


def _serve(command: list[str], environment: dict[str, str]) -> None:
    """Run the server until it ends, and never leave it behind."""
    previous = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    server = subprocess.Popen(command, env=environment)
    try:
        status = server.wait()
    finally:
        server.terminate()
        server.wait()
        signal.signal(signal.SIGTERM, previous)
    if status:
        raise CotmillError(f"JupyterLab ended with status {status}")


def own_copy(folder: Path) -> Path:
    """The reviewer's own copy of the notebook for this run, kept between sessions with what they wrote in it.

    It lies in the user's data folder, one per run's folder and version of the packaged notebook.
    """
    packaged = (files("cotmill.notebooks") / _NOTEBOOK).read_bytes()
    key = hashlib.sha256(os.fsencode(folder.resolve()) + b"\0" + packaged).hexdigest()[:12]
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    notebook = base / "cotmill" / "review" / f"{folder.resolve().name}-{key}" / _NOTEBOOK
    if not notebook.exists():
        with atomic(notebook) as file:
            file.write(packaged)
    return notebook
