"""Programs nobody trusts, run in a bubblewrap sandbox: no network, no files of the host, all use bounded.

Inside are a read-only system, the base Python with its standard library alone (no packages), a small writable
`/tmp`, an unprivileged user, process, network and IPC namespaces of its own, and a fixed hash seed.
"""

import os
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

from ..schemas import CotmillError
from .process import Limits, Run, run_bounded
from .seccomp import seccomp_filter

__all__ = ["Limits", "Run", "SandboxMissing", "run_in_sandbox", "sandbox_available"]

_NOBODY = 65534
_INSTALL = "install it with: sudo apt-get install bubblewrap util-linux (on Fedora: sudo dnf install …)"
_ISOLATED = [
    "--unshare-all", "--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534",
    "--hostname", "sandbox", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
    "--ro-bind", "/usr", "/usr",
]  # fmt: skip
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


class SandboxMissing(CotmillError):
    """This machine has no working sandbox; the message says why and what to type."""


def run_in_sandbox(
    script: str,
    stdin: bytes = b"",
    limits: Limits | None = None,
    files: Mapping[str, str | bytes] | None = None,
) -> Run:
    """Run a Python script in a fresh sandbox, as `/tmp/main.py` with `/tmp` as its folder.

    `files` maps names (relative, below `/tmp`) to contents; modules among them can be imported. Whatever the
    script does is data in `Run`; raises SandboxMissing where there is no sandbox, ValueError for a bad name.
    """
    if reason := sandbox_available():
        raise SandboxMissing(reason)
    contents = {"main.py": script, **(files or {})}
    return run_python(["/tmp/main.py"], stdin, limits or Limits(), contents)


@lru_cache(maxsize=1)
def sandbox_available() -> str | None:
    """None where the sandbox works (one trial run per process), else the reason and how to get it."""
    if not sys.platform.startswith("linux"):
        return "the sandbox needs Linux (bubblewrap)"
    needed = ["bwrap", "prlimit", *(["setpriv", "unshare"] if os.geteuid() == 0 else [])]
    if missing := [tool for tool in needed if shutil.which(tool) is None]:
        return f"the sandbox needs {', '.join(missing)}; {_INSTALL}"
    trial = run_python(["-c", "print(6 * 7)"], b"", Limits())
    if trial.stdout == b"42\n":
        return None
    why = trial.stderr.decode(errors="replace").strip().splitlines()
    return f"bubblewrap does not work here ({why[-1] if why else trial.status}): user namespaces may be off"


def run_python(
    arguments: Sequence[str],
    stdin: bytes,
    limits: Limits,
    files: Mapping[str, str | bytes] | None = None,
    *,
    proc: bool = True,
) -> Run:
    """Run the sandbox's Python with `arguments`; `files` are laid down in `/tmp`.

    Without `proc` there is no `/proc`, so that no process inside can look into another.
    """
    with ExitStack() as stack:
        descriptors: list[int] = []

        def hand_over(data: bytes) -> str:
            fd = os.memfd_create("sandbox")
            stack.callback(os.close, fd)
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            os.lseek(fd, 0, os.SEEK_SET)
            descriptors.append(fd)
            return str(fd)

        options: list[str] = ["--proc", "/proc"] if proc else []
        for name, content in (files or {}).items():
            if name.startswith("/") or ".." in Path(name).parts or "\0" in name or not Path(name).parts:
                raise ValueError(f"not a name below the sandbox's folder: {name!r}")
            data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            options += ["--file", hand_over(data), f"/tmp/{name}"]
        if (program := seccomp_filter()) is not None:
            options += ["--seccomp", hand_over(program)]
        return run_bounded(_command(limits, options, arguments), stdin, limits, descriptors)


def _command(limits: Limits, options: Sequence[str], arguments: Sequence[str]) -> list[str]:
    launcher, source, prefix = _interpreter()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    out = [*launcher, "bwrap", *_ISOLATED]
    for link in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.islink(link):
            out += ["--symlink", os.readlink(link), link]
        elif os.path.isdir(link):
            out += ["--ro-bind", link, link]
    if source:
        out += ["--ro-bind", source, prefix]
    for packages in _package_folders(version):
        out += ["--tmpfs", packages]
    size = ["--size", str(limits.files_bytes)]
    out += ["--dev", "/dev", *size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    out += [*size, "--tmpfs", "/tmp", *options, "--remount-ro", "/", "--chdir", "/tmp"]
    for name, value in (_ENVIRONMENT | {"LD_LIBRARY_PATH": f"{prefix}/lib"}).items():
        out += ["--setenv", name, value]
    out += ["--", "prlimit", *_rlimits(limits), "--"]
    return [*out, f"{prefix}/bin/{version}", "-s", "-B", *arguments]


def _rlimits(limits: Limits) -> list[str]:
    return [
        f"--cpu={limits.cpu_s}:{limits.cpu_s + 1}",
        f"--as={limits.memory_bytes}",
        f"--nproc={limits.processes + (0 if _counts_per_namespace() else 1000)}",
        f"--fsize={limits.files_bytes}",
        "--nofile=256",
        "--core=0",
        "--memlock=0",
        "--msgqueue=0",
    ]


def _counts_per_namespace() -> bool:
    """Since Linux 5.14 a user namespace counts its own processes; before, all of the user's count."""
    major, minor = platform.release().split(".")[:2]
    return (int(major), int("".join(c for c in minor if c.isdigit()) or 0)) >= (5, 14)


@lru_cache(maxsize=1)
def _interpreter() -> tuple[list[str], str, str]:
    """What goes before bwrap, the host's folder to bind (empty: it lies in /usr), and Python's prefix inside.

    A root user becomes nobody first: root's processes are not counted by any limit. Where nobody cannot reach
    the interpreter (it lies in root's home), it is bound to /mnt in a mount namespace of the sandbox's own.
    """
    base = Path(sys.base_prefix).resolve()
    in_usr = base.is_relative_to("/usr")
    source, prefix = ("", str(base)) if in_usr else (str(base), "/py")
    if os.geteuid() != 0:
        return [], source, prefix
    launcher = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--no-new-privs"]
    if not in_usr and not all(folder.stat().st_mode & stat.S_IXOTH for folder in (base, *base.parents)):
        bind = ["/bin/sh", "-c", 'mount --bind "$1" /mnt && shift && exec "$@"', "sh", str(base)]
        outer = ["unshare", "--mount", "--propagation", "private", "--", *bind]
        return [*outer, *launcher], "/mnt", prefix
    return launcher, source, prefix


@lru_cache(maxsize=1)
def _package_folders(version: str) -> list[str]:
    """The interpreter's package folders as the sandbox sees them, to be covered by empty ones."""
    _, source, prefix = _interpreter()
    host = sys.base_prefix if source else prefix
    inside = {f"{prefix}/lib/{version}/site-packages": f"{host}/lib/{version}/site-packages"}
    for folder in ("/usr/lib/python3/dist-packages", f"/usr/local/lib/{version}/dist-packages"):
        inside[folder] = folder
    return [folder for folder, real in inside.items() if os.path.isdir(real)]


@contextmanager
def unsafe_command(
    limits: Limits, arguments: Sequence[str], files: Mapping[str, str | bytes]
) -> Iterator[list[str]]:
    """The same run without a sandbox: resource limits and a folder of its own are all that holds it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(
                content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
            )
        moved = [argument.replace("/tmp/", f"{folder}/", 1) for argument in arguments]
        limited = ["prlimit", *(limit for limit in _rlimits(limits) if "nproc" not in limit), "--"]
        environment = ["env", "-i", f"--chdir={folder}", *(f"{k}={v}" for k, v in _ENVIRONMENT.items())]
        yield [*limited, *environment, os.path.realpath(sys.executable), "-s", "-B", *moved]
