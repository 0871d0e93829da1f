"""The tested program's process: it executes the program, then does what the judge asks of its objects.

Nothing here is trusted once the program runs. It was forked before the tests were read, so they are nowhere
in its memory.
"""

import builtins
import io
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .wire import Channel, Closed, Decoder, Encoder

MAX_PRINTED = 64 << 10


class _Printed(io.RawIOBase):
    """Standard output as the judge will see it, cut at a limit."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._data += bytes(data)[: MAX_PRINTED - len(self._data)]
        return len(data)

    def take(self) -> str:
        text = self._data.decode("utf-8", "replace")
        self._data.clear()
        return text


class Subject:
    """Serves one program over one channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.printed = _Printed()
        self.handles: dict[int, Any] = {}
        self.namespace: dict[str, Any] = {}

    def serve(self, program: str) -> None:
        """Wait for the word to start, run the program, answer until the judge is done."""
        self.channel.send("ready")
        if self.channel.receive() != "start":
            return
        sys.stdout = io.TextIOWrapper(self.printed, "utf-8", "backslashreplace", write_through=True)
        sys.argv = ["solution.py"]
        module = ModuleType("solution")
        sys.modules["solution"] = module
        self.namespace = module.__dict__
        self._answer(lambda: exec(compile(program, "solution.py", "exec"), self.namespace))
        while True:
            request = self.channel.receive()
            self._handle_request(request)

    def _handle_request(self, request: list[Any]) -> None:
        operation, rest = request[0], request[1:]
        objects: dict[int, Any] = {}
        decode = Decoder(self._decode_handle, objects)
        before = rest[-1] if operation == "call" else None
        arguments: Any = decode(before) if before is not None else ((), {})

        def act() -> Any:
            if operation == "name":
                if rest[0] not in self.namespace:
                    raise NameError(f"name {rest[0]!r} is not defined")
                return self.namespace[rest[0]]
            if operation == "call":
                positional, named = arguments
                return self.handles[rest[0]](*positional, **named)
            return getattr(self, f"_do_{operation}")(self.handles[rest[0]], *map(decode, rest[1:]))

        self._answer(act, objects, arguments, before)

    def _answer(
        self,
        act: Callable[[], Any],
        objects: dict[int, Any] | None = None,
        arguments: Any = (),
        before: Any = None,
    ) -> None:
        objects = objects or {}
        shared = {id(value): number for number, value in objects.items()}
        encode = Encoder(self._handle, shared, grow=False)
        try:
            result = act()
            after = encode(arguments) if before is not None else None
            reply = ["value", encode(result), None if after == before else after]
        except BaseException as error:
            reply = self._error(error)
        self.channel.send([*reply, self.printed.take()])

    def _error(self, error: BaseException) -> list[Any]:
        """The exception's class, its standard bases, and its arguments where they are plain."""
        kind = type(error)
        bases = [base.__name__ for base in kind.__mro__ if getattr(builtins, base.__name__, None) is base]
        try:
            text = str(error)
        except Exception:
            text = ""
        return ["error", kind.__name__, bases, text[:2000]]

    def _handle(self, value: Any) -> Any:
        number = id(value)
        self.handles[number] = value
        if isinstance(value, ModuleType):
            return ["module", value.__name__]
        if isinstance(value, type) and issubclass(value, BaseException):
            bases = [
                base.__name__ for base in value.__mro__ if getattr(builtins, base.__name__, None) is base
            ]
            return ["exception", number, value.__name__, bases]
        return ["handle", number, type(value).__name__]

    def _decode_handle(self, data: list[Any]) -> Any:
        if data[0] == "handle":
            return self.handles[data[1]]
        if data[0] == "callback":
            return self._callback(data[1])
        raise LookupError(data[0])

    def _callback(self, number: int) -> Callable[..., Any]:
        """A function of the tests, as the program may call it."""

        def call(*args: Any, **kwargs: Any) -> Any:
            encode = Encoder(self._handle, {}, grow=False)
            self.channel.send(["callback", number, encode((args, kwargs)), self.printed.take()])
            status, value = self.channel.receive()
            if status == "error":
                raise getattr(builtins, value[0], Exception)(value[1])
            return Decoder(self._decode_handle, {})(value)

        return call

    def _do_attribute(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def _do_set_attribute(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    def _do_item(self, target: Any, key: Any) -> Any:
        return target[key]

    def _do_set_item(self, target: Any, key: Any, value: Any) -> None:
        target[key] = value

    def _do_length(self, target: Any) -> int:
        return len(target)

    def _do_truth(self, target: Any) -> bool:
        return bool(target)

    def _do_text(self, target: Any, how: str) -> str:
        return str(target) if how == "str" else repr(target)

    def _do_iterate(self, target: Any) -> Any:
        iterator = iter(target)
        self.handles[id(iterator)] = iterator
        return id(iterator)

    def _do_next(self, target: Any) -> Any:
        return next(target)

    def _do_isinstance(self, target: Any, value: Any) -> bool:
        return isinstance(value, target)

    def _do_operate(self, target: Any, name: str, *others: Any) -> Any:
        import operator

        if name.startswith("__r"):
            return getattr(operator, f"__{name[3:]}")(others[0], target)
        return getattr(operator, name)(target, *others)


def start(program: str) -> tuple[int, Channel]:
    """Fork a subject that waits to be started; its process id and the judge's end of the channel."""
    to_subject, to_judge = os.pipe(), os.pipe()
    pid = os.fork()
    if pid:
        os.close(to_subject[0])
        os.close(to_judge[1])
        return pid, Channel(to_judge[0], to_subject[1])
    status = 1
    try:
        os.dup2(to_subject[0], 100)
        os.dup2(to_judge[1], 101)
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        os.closerange(3, 100)
        os.closerange(102, 1024)
        Subject(Channel(100, 101)).serve(program)
    except Closed:
        status = 0
    finally:
        os._exit(status)
