"""The judge's view of the program: stand-ins for its objects, and the conversation behind them.

Stand-ins are never compared with values: what an object's own class makes of `==` proves nothing.
"""

import builtins
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .wire import Channel, Closed, Decoder, Encoder, Unsendable

# Standard objects without values of their own: equal to themselves alone.
_NEVER_EQUAL = frozenset(
    {"generator", "map", "filter", "zip", "enumerate", "reversed", "function", "dict_values", "list_iterator"}
)


class Unsupported(BaseException):
    """The tests need something of the program's objects that cannot be trusted or transported."""


class Lost(BaseException):
    """The program's process is gone; `how` is its wait status."""


class Remote:
    """An object that stays with the program: called, iterated and indexed there, never compared here."""

    def __init__(self, session: "Session", number: int, kind: str) -> None:
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_kind", kind)

    def _ask(self, operation: str, *args: Any) -> Any:
        return self._session.ask(operation, self._number, *args)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._session.call(self._number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        return self._ask("attribute", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("set_attribute", name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._ask("item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._ask("set_item", key, value)

    def __len__(self) -> int:
        length = self._ask("length")
        if type(length) is not int:
            raise TypeError("length is not an integer")
        return length

    def __bool__(self) -> bool:
        return self._ask("truth") is True

    def __iter__(self) -> Iterator[Any]:
        iterator = Remote(self._session, self._ask("iterate"), "iterator")
        while True:
            try:
                yield iterator._ask("next")
            except StopIteration:
                return

    def __next__(self) -> Any:
        return self._ask("next")

    def __str__(self) -> str:
        return str(self._ask("text", "str"))

    def __repr__(self) -> str:
        return str(self._ask("text", "repr"))

    def __instancecheck__(self, value: Any) -> bool:
        return self._ask("isinstance", value) is True

    def __hash__(self) -> int:
        return hash(self._number)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Remote) and other._number == self._number:
            return True
        if self._kind in ("dict_keys", "dict_items") and isinstance(other, (set, frozenset)):
            return set(self) == other
        if self._kind in _NEVER_EQUAL or other is None:
            return False
        raise Unsupported(f"the tests compare an object of the program's own class {self._kind}")

    def _ordered(self, other: object) -> bool:
        raise Unsupported(f"the tests compare an object of the program's own class {self._kind}")

    __lt__ = __le__ = __gt__ = __ge__ = _ordered


def _forward(name: str) -> Callable[..., Any]:
    def operate(self: Remote, *others: Any) -> Any:
        # `abs(f(x) - 3.5) < 1e-6` must not be decided by what f's own class makes of a minus.
        if not all(isinstance(other, Remote) for other in others):
            raise Unsupported(f"the tests calculate with an object of the program's own class {self._kind}")
        return self._ask("operate", name, *others)

    return operate


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "matmul"):
    setattr(Remote, f"__{_name}__", _forward(f"__{_name}__"))
    setattr(Remote, f"__r{_name}__", _forward(f"__r{_name}__"))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Remote, f"__{_name}__", _forward(f"__{_name}__"))


class Session:
    """One run of the program, as the tests see it."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid, self.channel = pid, channel
        self.callbacks: list[Callable[..., Any]] = []
        self.exceptions: dict[str, type[BaseException]] = {}
        self.raised: BaseException | None = None

    def load(self) -> None:
        """Start the program and wait until its top level has run; raises what it raises."""
        if self.channel.receive() != "ready":
            raise Closed
        self._exchange("start")

    def name(self, name: str) -> Any:
        return self._exchange(["name", name])

    def ask(self, operation: str, number: int, *args: Any) -> Any:
        encode = Encoder(self._handle, {}, grow=False)
        return self._exchange([operation, number, *(self._encode(encode, arg) for arg in args)])

    def call(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        encode = Encoder(self._handle, {}, grow=True)
        data = self._encode(encode, (args, kwargs))
        return self._exchange(["call", number, data], dict(enumerate(encode.kept)))

    def _encode(self, encode: Encoder, value: Any) -> Any:
        try:
            return encode(value)
        except Unsendable as e:
            raise Unsupported(f"the tests pass an object of type {e}") from None

    def _exchange(self, request: Any, objects: dict[int, Any] | None = None) -> Any:
        try:
            self.channel.send(request)
            while True:
                reply = self.channel.receive()
                sys.stdout.write(reply[-1])
                if reply[0] != "callback":
                    break
                self._call_back(reply[1], reply[2])
            decode = Decoder(self._decode_handle, objects or {})
            if reply[0] == "value":
                if reply[2] is not None:
                    decode(reply[2])
                return decode(reply[1])
            error = self._exception(str(reply[1]), reply[2])(str(reply[3]))
        except (Closed, TypeError, LookupError) as e:
            raise Lost(self.pid) from e
        self.raised = error
        raise error

    def _call_back(self, number: int, data: Any) -> None:
        encode = Encoder(self._handle, {}, grow=False)
        args, kwargs = Decoder(self._decode_handle, {})(data)
        try:
            reply = ["value", self._encode(encode, self.callbacks[number](*args, **kwargs))]
        except Exception as e:
            reply = ["error", [type(e).__name__, str(e)]]
        self.channel.send(reply)

    def _handle(self, value: Any) -> Any:
        if isinstance(value, Remote):
            return ["handle", value._number]
        if callable(value) and not isinstance(value, type):
            self.callbacks.append(value)
            return ["callback", len(self.callbacks) - 1]
        raise Unsendable(type(value).__name__)

    def _decode_handle(self, data: list[Any]) -> Any:
        if data[0] == "handle":
            return Remote(self, int(data[1]), str(data[2]))
        if data[0] == "exception":
            return self._exception(str(data[2]), data[3])
        if data[0] == "module":
            if str(data[1]).partition(".")[0] not in sys.stdlib_module_names:
                raise Closed
            return __import__(str(data[1]), fromlist=["_"])
        raise Closed

    def _exception(self, name: str, bases: list[str]) -> type[BaseException]:
        """A builtin exception by name, or a stand-in for one that the program defines."""
        known = [getattr(builtins, str(base), None) for base in bases]
        base = next((k for k in known if isinstance(k, type) and issubclass(k, BaseException)), Exception)
        if base.__name__ == name or name in self.exceptions:
            return self.exceptions.get(name, base)
        self.exceptions[name] = type(name, (base,), {})
        return self.exceptions[name]
