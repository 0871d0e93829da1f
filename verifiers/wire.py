"""Values between the judge and a tested program: a pipe, and a codec that only ever makes plain values.

What decodes is built from None, booleans, numbers, strings and the standard containers, so that comparing it
runs nobody's code. Everything else stays where it is and is named by a handle. This module, `subject` and
`judge` run inside the sandbox and use the standard library alone.
"""

import json
import os
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_MESSAGE = 32 << 20

_LISTS: dict[str, type] = {"list": list, "set": set, "deque": deque, "bytearray": bytearray, "dict": dict}
_FIXED: dict[str, type] = {"tuple": tuple, "frozenset": frozenset}
_DICTS: dict[str, type] = {"Counter": Counter, "OrderedDict": OrderedDict}


class Closed(Exception):
    """The other side is gone."""


class Unsendable(Exception):
    """A value that has no plain form and may not be named by a handle here."""


class Channel:
    """Length-prefixed JSON messages over two file descriptors."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd, self.write_fd = read_fd, write_fd

    def send(self, message: Any) -> None:
        data = json.dumps(message).encode()
        view = memoryview(len(data).to_bytes(4, "little") + data)
        try:
            while view:
                view = view[os.write(self.write_fd, view) :]
        except OSError as e:
            raise Closed from e

    def receive(self) -> Any:
        length = int.from_bytes(read_exactly(self.read_fd, 4), "little")
        if length > MAX_MESSAGE:
            raise Closed
        try:
            return json.loads(read_exactly(self.read_fd, length))
        except (ValueError, RecursionError) as e:
            raise Closed from e


def read_exactly(fd: int, count: int) -> bytes:
    chunks = []
    while count:
        try:
            chunk = os.read(fd, min(count, 1 << 20))
        except OSError as e:
            raise Closed from e
        if not chunk:
            raise Closed
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


class Encoder:
    """Turns values into JSON. `handle` names what has no plain form (or raises Unsendable).

    Mutable containers get numbers in `shared` (by identity), so that the other side's changes can come back
    and an argument that is returned stays the same object.
    """

    def __init__(self, handle: Callable[[Any], Any], shared: dict[int, int], grow: bool) -> None:
        self.handle, self.shared, self.grow = handle, shared, grow
        self.kept: list[Any] = []
        self._written: set[int] = set()

    def __call__(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind is bool or kind is str or kind is int or kind is float:
            return value
        if value is Ellipsis:
            return ["..."]
        if kind is tuple or kind is frozenset:
            return [kind.__name__, [self(item) for item in value]]
        if kind is list or kind is dict or kind is set or kind is deque or kind is bytearray:
            return self._container(value, kind.__name__)
        if kind is bytes:
            return ["bytes", value.hex()]
        if kind is complex:
            return ["complex", value.real, value.imag]
        if kind is range:
            return ["range", value.start, value.stop, value.step]
        if kind is Fraction:
            return ["Fraction", value.numerator, value.denominator]
        if kind is Decimal:
            return ["Decimal", str(value)]
        if kind is Counter or kind is OrderedDict:
            return [kind.__name__, [[self(k), self(v)] for k, v in value.items()]]
        if kind is defaultdict:
            return ["dict", None, [[self(k), self(v)] for k, v in value.items()]]
        return self._subclass(value)

    def _subclass(self, value: Any) -> Any:
        """Instances of a subclass of a plain type are sent as that type: nobody's `__eq__` goes along."""
        if isinstance(value, type):
            return self.handle(value)
        if isinstance(value, str):
            return str.__new__(str, value)
        if isinstance(value, float):
            return float.__new__(float, value)
        if isinstance(value, int):
            return int.__new__(int, value)
        if isinstance(value, tuple):
            return ["tuple", [self(item) for item in tuple.__iter__(value)]]
        if isinstance(value, list):
            return ["list", None, [self(item) for item in list.__iter__(value)]]
        if isinstance(value, dict):
            return ["dict", None, [[self(k), self(v)] for k, v in dict.items(value)]]
        if isinstance(value, set):
            return ["set", None, [self(item) for item in set.__iter__(value)]]
        if isinstance(value, frozenset):
            return ["frozenset", [self(item) for item in frozenset.__iter__(value)]]
        return self.handle(value)

    def _container(self, value: Any, name: str) -> Any:
        number = self.shared.get(id(value))
        if number is None and self.grow:
            number = len(self.shared)
            self.shared[id(value)] = number
            self.kept.append(value)
        if number is not None:
            if number in self._written:
                return ["same", number]
            self._written.add(number)
        if name == "bytearray":
            return [name, number, value.hex()]
        if name == "dict":
            return [name, number, [[self(k), self(v)] for k, v in value.items()]]
        return [name, number, [self(item) for item in value]]


class Decoder:
    """Turns JSON into values. `objects` holds numbered containers: known ones are changed in place."""

    def __init__(self, handle: Callable[[list[Any]], Any], objects: dict[int, Any]) -> None:
        self.handle, self.objects = handle, objects

    def __call__(self, data: Any) -> Any:
        """Raises Closed for what no Encoder wrote."""
        try:
            return self._decode(data)
        except (TypeError, ValueError, LookupError, ArithmeticError) as e:
            raise Closed from e

    def _decode(self, data: Any) -> Any:
        if not isinstance(data, list):
            if isinstance(data, dict):
                raise Closed
            return data
        name = data[0]
        if name in _LISTS:
            return self._container(name, data[1], data[2])
        if name in _FIXED:
            return _FIXED[name](self._decode(item) for item in data[1])
        if name in _DICTS:
            pairs = [(self._decode(k), self._decode(v)) for k, v in data[1]]
            made = _DICTS[name]()
            for key, value in pairs:
                made[key] = value
            return made
        if name == "same":
            return self.objects[data[1]]
        if name == "bytes":
            return bytes.fromhex(data[1])
        if name == "complex":
            return complex(float(data[1]), float(data[2]))
        if name == "range":
            return range(*map(int, data[1:4]))
        if name == "Fraction":
            return Fraction(int(data[1]), int(data[2]))
        if name == "Decimal":
            return Decimal(str(data[1]))
        if name == "...":
            return Ellipsis
        return self.handle(data)

    def _container(self, name: str, number: int | None, items: Any) -> Any:
        value: Any = self.objects.get(number) if number is not None else None
        if value is None or type(value) is not _LISTS[name]:
            value = _LISTS[name]()
        if number is not None:
            self.objects[number] = value
        if name == "bytearray":
            new: Any = bytearray.fromhex(items)
        elif name == "dict":
            new = {self._decode(k): self._decode(v) for k, v in items}
        else:
            new = [self._decode(item) for item in items]
        value.clear()
        if name in ("list", "bytearray", "deque"):
            value.extend(new)
        else:
            value.update(new)
        return value
