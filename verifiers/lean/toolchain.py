"""A native toolchain in a repository: `lean` on single files, in the sandbox, because files may run code."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from secrets import token_hex

from ..process import Limits, Run, run_bounded
from ..sandbox import sandbox_available
from .backend import LeanLost, LeanUnavailable

_ASK_S = 600
_LINKS = ("/bin", "/sbin", "/lib", "/lib64")


@dataclass(frozen=True)
class Toolchain:
    """`lean` and what it needs to find a repository's modules, as `lake env` tells it."""

    prefix: Path
    search_path: tuple[Path, ...]

    @classmethod
    @lru_cache(maxsize=8)
    def of(cls, root: Path) -> "Toolchain":
        """Of a repository that is built. Raises LeanUnavailable where lake does not answer."""
        prefix, path = _lake(root, "lean", "--print-prefix"), _lake(root, "printenv", "LEAN_PATH")
        return cls(Path(prefix), tuple((root / part).resolve() for part in path.split(os.pathsep) if part))

    def run(
        self, folder: Path, arguments: Sequence[str], limits: Limits, readable: Sequence[Path] = ()
    ) -> Run:
        """`lean` without network; it can write `folder` and read that, its own files and `readable`.

        Raises LeanUnavailable where there is no sandbox, LeanLost at a limit.
        """
        if missing := sandbox_available():
            raise LeanUnavailable(f"native Lean runs a submission's code, so it needs the sandbox: {missing}")
        run = run_bounded(self._command(folder, arguments, readable), b"", limits)
        if run.status != "done":
            raise LeanLost(f"limit: {run.status}")
        if run.returncode not in (0, 1):
            raise LeanLost("Lean crashed")
        return run

    def _command(self, folder: Path, arguments: Sequence[str], readable: Sequence[Path]) -> list[str]:
        command = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
        command += ["--new-session", "--clearenv", "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]
        for link in _LINKS:
            if os.path.islink(link):
                command += ["--symlink", os.readlink(link), link]
            elif os.path.isdir(link):
                command += ["--ro-bind", link, link]
        command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        for path in dict.fromkeys([self.prefix, *self.search_path, *readable]):
            if path.exists():
                command += ["--ro-bind", str(path), str(path)]
        command += ["--bind", str(folder), str(folder), "--chdir", str(folder), "--remount-ro", "/"]
        modules = os.pathsep.join(map(str, self.search_path))
        return [
            *command,
            "--setenv",
            "LEAN_PATH",
            modules,
            "--",
            str(self.prefix / "bin" / "lean"),
            *arguments,
        ]


def audit_files(
    toolchain: Toolchain, statement: Path, submission: Path, target: str, limits: Limits
) -> tuple[str, list[str]]:
    """What `audit.lean` finds in two compiled files: `proved`, `refused` or `undecided`, and the words after.

    Raises LeanLost where it says nothing.
    """
    word = token_hex(8)
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch, "audit.lean")
        program.write_text(files(__package__).joinpath("audit.lean").read_text("utf-8"), "utf-8")
        arguments = ["--run", str(program), word, str(statement), str(submission), target]
        run = toolchain.run(Path(scratch), arguments, limits, [statement.parent, submission.parent])
    for line in run.stdout.decode("utf-8", "replace").splitlines():
        said = line.split(" ")
        if said[0] == word and said[1:2] in (["proved"], ["refused"], ["undecided"]):
            return said[1], said[2:]
    raise LeanLost("the audit ended without a verdict")


def _lake(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["lake", "env", *arguments],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise LeanUnavailable(f"lake does not work here: {e}") from e
    if done.returncode:
        raise LeanUnavailable(f"lake does not work in {root.name}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()
