"""The compiled part of the fused model: `decode.c`, built by this machine's C compiler when first needed.

Kept in the user's cache under a hash of the source, the compiler and the processor. `CC` names the compiler
(`cc` otherwise). Where there is none, callers use the model's own modules.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from torch import Tensor

_FLAGS = ("-O3", "-shared", "-fPIC", "-fno-math-errno", "-ffp-contract=fast")
_NATIVE = (("-march=native",), ("-mcpu=native",), ())
_COMPILER_S = 60
_LONG, _FLOAT, _POINTER = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p

WIDE = 16
"""Numbers in a vector: heads and layers are multiples of it."""
TILE = 2 * WIDE
"""Positions are read in tiles: keys need memory up to the next multiple."""


class Kernels:
    """What stands between a model's matrix products, for one shape of heads.

    All tensors are contiguous float32 on the CPU, but for `row`, `position` and `beginnings` (int64).
    Shapes: N tokens of R rows, H heads, K key/value heads, D head size, C context, W width of the tails.
    """

    def __init__(self, library: Path) -> None:
        lib = ctypes.CDLL(str(library))
        self._attend, self._norm, self._gate = lib.attend, lib.norm, lib.gate
        pointers = [_POINTER] * 3
        self._attend.argtypes = [
            _LONG,
            *pointers,
            _POINTER,
            _LONG,
            *pointers,
            _LONG,
            _POINTER,
            _LONG,
            _POINTER,
        ]
        self._norm.argtypes = [_LONG, _LONG, _FLOAT, *pointers]
        self._gate.argtypes = [_LONG, _LONG, _POINTER, _POINTER]
        for function in (self._attend, self._norm, self._gate):
            function.restype = None

    def attend(
        self,
        projected: Tensor,
        row: Tensor,
        position: Tensor,
        angles: Tensor,
        beginnings: Tensor,
        keys: Tensor,
        values: Tensor,
        scratch: Tensor,
        out: Tensor,
    ) -> None:
        """Fill `out` (N, H * D) from `projected` (N, (H + 2K) * D), tokens of `row` (N,) at `position` (N,).

        A row's tokens follow each other. `angles` (2, C, D/2) are cosines and sines. `beginnings` (R, 5):
        addresses of keys (K, D, width) and values (K, length, D) that a row begins with, their width and
        length, and how many it uses. What is new is added to the tails `keys` (at least R, K, D, W) and
        `values` (at least R, K, W, D). `scratch` (H/K, all positions, each part in whole tiles).
        """
        self._attend(
            len(projected),
            projected.data_ptr(),
            row.data_ptr(),
            position.data_ptr(),
            angles.data_ptr(),
            angles.shape[1],
            beginnings.data_ptr(),
            keys.data_ptr(),
            values.data_ptr(),
            values.shape[2],
            scratch.data_ptr(),
            scratch.shape[1],
            out.data_ptr(),
        )

    def norm(self, x: Tensor, weight: Tensor, eps: float, out: Tensor) -> Tensor:
        """RMSNorm of rows `x` (N, W) into `out`, which is returned."""
        self._norm(len(x), x.shape[1], eps, x.data_ptr(), weight.data_ptr(), out.data_ptr())
        return out

    def gate(self, x: Tensor, out: Tensor) -> Tensor:
        """silu(gate) * up of rows `x` (N, 2W), a gate and what it lets through, into `out`, returned."""
        self._gate(len(x), out.shape[1], x.data_ptr(), out.data_ptr())
        return out


@lru_cache
def kernels(heads: int, shared: int, size: int) -> Kernels | None:
    """For so many heads, `shared` of keys and values, of `size` numbers; None if not to be had."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if size % WIDE or (version := _run([*compiler, "--version"])) is None:
        return None
    source = files(__package__).joinpath("decode.c").read_bytes()
    sizes = {"WIDE": WIDE, "TILE": TILE, "HEADS": heads, "GROUP": heads // shared, "SIZE": size}
    shape = tuple(f"-D{name}={value}" for name, value in sizes.items())
    parts = (source, version, _processor().encode(), " ".join((*compiler, *_FLAGS, *shape)).encode())
    library = _folder() / f"decode-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:24]}.so"
    if not library.exists() and not _compile(compiler, shape, source, library):
        return None
    try:
        return Kernels(library)
    except (OSError, AttributeError):
        return None


def _compile(compiler: list[str], shape: tuple[str, ...], source: bytes, library: Path) -> bool:
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
            code, built = Path(scratch) / "decode.c", Path(scratch) / "decode.so"
            code.write_bytes(source)
            for native in _NATIVE:
                command = [*compiler, *_FLAGS, *native, *shape, str(code), "-o", str(built), "-lm"]
                if _run(command) is not None and built.exists():
                    built.replace(library)
                    return True
    except OSError:
        pass
    return False


def _run(command: list[str]) -> bytes | None:
    try:
        return subprocess.run(command, capture_output=True, check=True, timeout=_COMPILER_S).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "cotmill" / "kernels"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "|".join(
            sorted({x for x in lines if x.startswith(("model name", "flags", "Features", "CPU"))})
        )
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
