"""What works on this machine, and for what doesn't, the line to type."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .requirements import install_line, installed, required, unmet

State = Literal["ok", "limited", "missing", "optional"]
_GIB = 1 << 30
_LITTLE_MEMORY = 2 * _GIB
_LITTLE_DISK = 2 * _GIB
_STYLES = {"ok": "green", "limited": "yellow", "missing": "bold red", "optional": "dim"}


@dataclass(frozen=True)
class Item:
    """One thing looked at. `fix` is the line to type where there is one.

    `limited`: the main job runs, with less. `missing`: it does not. `optional`: not here, and not needed
    for it.
    """

    name: str
    state: State
    detail: str
    fix: str = ""


def doctor(console: Console) -> dict[str, Any]:
    """Print what works here; returns it as `{"ok": …, "items": […]}`. `ok`: the main job can run."""
    items: list[Item] = []
    for look in _LOOKS:
        for item in look():
            items.append(item)
            line = Table.grid(padding=(0, 1, 0, 0))
            for width in (15, 8, None):
                line.add_column(width=width, overflow="fold")
            line.add_row(Text(item.name), Text(item.state, style=_STYLES[item.state]), Text(item.detail))
            console.print(line)
            if item.fix:
                console.print(Text(f"    {item.fix}", style="bold"), soft_wrap=True)
    ok = all(item.state != "missing" for item in items)
    console.print("\nThe main job can run here." if ok else "\nThe main job cannot run here yet.")
    return {"ok": ok, "items": [asdict(item) for item in items]}


def _python() -> Iterator[Item]:
    fine = sys.version_info >= (3, 11)
    detail = ".".join(map(str, sys.version_info[:3]))
    yield Item("Python", "ok" if fine else "missing", detail if fine else f"{detail}, cotmill needs 3.11")


def _packages() -> Iterator[Item]:
    absent = unmet()
    shown = ", ".join(
        f"{n} {installed(n) or 'absent'}"
        for n in ("transformers", "datasets", "dask", "pyarrow", "math-verify")
    )
    if not required():
        yield Item("packages", "limited", f"{shown}; cotmill itself is not installed", "pip install -e .")
    elif absent:
        named = ", ".join(f"{r.name} {installed(r.name) or 'absent'}" for r in absent)
        yield Item("packages", "missing", f"not as required: {named}", install_line(absent))
    else:
        yield Item("packages", "ok", shown)


def _torch() -> Iterator[Item]:
    if find_spec("torch") is None:
        yield Item("torch", "missing", "absent", install_line([r for r in unmet() if r.name == "torch"]))
        return
    import torch

    yield Item("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(i)
            memory = f"{found.total_memory / _GIB:.0f} GiB, compute capability {found.major}.{found.minor}"
            yield Item(f"GPU {i}", "ok", f"{found.name}, {memory}")
    elif shutil.which("nvidia-smi"):
        wanted = [r for r in required() if r.name == "torch"]
        yield Item(
            "GPU",
            "limited",
            "there is an NVIDIA driver, but this torch does not reach a GPU",
            f"{install_line(wanted)} --upgrade --force-reinstall" if not torch.version.cuda else "nvidia-smi",
        )
    else:
        yield Item("GPU", "optional", "none; the embedded policy and the demonstration need none")


def _sandbox() -> Iterator[Item]:
    from ..verifiers.sandbox import sandbox_available

    reason = sandbox_available()
    if reason is None:
        yield Item("sandbox", "ok", "bubblewrap runs untrusted programs")
        return
    what, _, line = reason.partition("; install it with: ")
    line = line.partition(" (")[0]
    yield Item("sandbox", "limited", f"{what}; rows whose programs must run are rejected", line)


def _lean() -> Iterator[Item]:
    from ..verifiers.lean import embedded_missing
    from ..verifiers.lean.location import build_folder, find_node

    tools = ", ".join(f"{t}: {'found' if shutil.which(t) else 'absent'}" for t in ("lake", "lean"))
    dojo = "absent" if find_spec("lean_dojo") is None else f"{installed('lean-dojo') or 'found'}"
    yield Item("Lean, native", "optional", f"{tools}, lean-dojo: {dojo}; for `verify lean --repository`")
    missing = embedded_missing()
    if missing is None:
        yield Item("Lean, embedded", "ok", f"checks core Lean without Mathlib: {build_folder()}")
    else:
        what, _, line = missing.partition("; install it with: ")
        yield Item("Lean, embedded", "optional", f"{what}; Lean proofs are not verified", line)
    node = find_node()
    version = _version(str(node)) if node else None
    yield Item("Node", "ok" if version else "optional", version or "absent; the embedded Lean needs it")


def _models() -> Iterator[Item]:
    from .policies import EMBEDDED, model_path, prm_path

    for name, folder in (
        ("embedded policy", Path(model_path(EMBEDDED, Path()))),
        ("shipped PRM", Path(prm_path(EMBEDDED))),
    ):
        weights = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
        if weights:
            yield Item(name, "ok", f"{weights / 1e6:.1f} MB of weights")
        else:
            detail = "no weights: the installation is incomplete, install cotmill again"
            yield Item(name, "missing" if name == "embedded policy" else "limited", detail)


def _extras() -> Iterator[Item]:
    for extra, purpose in (
        ("notebooks", "cotmill review"),
        ("train", "training on several devices"),
        ("dashboard", "Dask's dashboard"),
    ):
        if absent := unmet(extra):
            names = ", ".join(r.name for r in absent)
            yield Item(f"[{extra}]", "optional", f"absent: {names}; for {purpose}", install_line(absent))
        else:
            yield Item(f"[{extra}]", "ok", f"for {purpose}")


def _machine() -> Iterator[Item]:
    cores, memory = usable_cores(), available_memory()
    yield Item("processor", "ok", f"{cores:g} of {os.cpu_count()} cores usable")
    if memory is not None:
        little = memory < _LITTLE_MEMORY
        advice = "; use --workers 1" if little else ""
        yield Item("memory", "limited" if little else "ok", f"{memory / _GIB:.1f} GiB free{advice}")
    free = shutil.disk_usage(Path.cwd()).free
    detail = f"{free / _GIB:.1f} GiB free in the current folder"
    yield Item("disk", "ok" if free >= _LITTLE_DISK else "limited", detail)


_LOOKS: tuple[Callable[[], Iterator[Item]], ...] = (
    _python,
    _packages,
    _torch,
    _models,
    _sandbox,
    _lean,
    _extras,
    _machine,
)


def usable_cores() -> float:
    """Cores that this process may use: its affinity, and its control group's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = (_read("/sys/fs/cgroup/cpu.max") or "").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period else cores


def available_memory() -> int | None:
    """Bytes that can still be taken: the system's, and the control group's; None where nobody says."""
    free = [
        int(line.split()[1]) * 1024
        for line in (_read("/proc/meminfo") or "").splitlines()
        if line.startswith("MemAvailable:")
    ]
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    if limit and limit.isdigit() and used:
        free.append(max(0, int(limit) - int(used)))
    return min(free, default=None)


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _version(program: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
