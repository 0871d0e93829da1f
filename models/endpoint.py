"""HTTP to a model server: one pooled client, retries with backoff and keyed jitter, faults as values."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..schemas import BadInput, unit_interval
from .server_settings import ServerSettings

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
_TRY_AGAIN = {408, 409, 425, 429}
_LOST = {401, 403, 404, 405}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request has no answer.

    `refused`: the server says that this very request cannot be answered, and would say so again. `lost`: it
    cannot be reached, or answers nobody any more (address, key or model are wrong). The others may pass:
    `busy` (429, 5xx), `timeout`, `broken` (the connection was cut),
    `malformed` (not JSON, or not what was asked for).
    """

    kind: Literal["refused", "lost", "busy", "timeout", "broken", "malformed"]
    message: str
    status: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class Malformed(ValueError):
    """An answer that is not what was asked for."""


class Endpoint:
    """A server's HTTP interface. It lives in the event loop in which `open` was awaited."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.retried = 0
        self._headers = {"content-type": "application/json"}
        if settings.api_key_env is not None:
            key = os.environ.get(settings.api_key_env)
            if not key:
                raise BadInput(
                    f"the environment variable {settings.api_key_env} is not set", field="api_key_env"
                )
            self._headers["authorization"] = f"Bearer {key}"
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.settings.in_flight),
            timeout=aiohttp.ClientTimeout(total=self.settings.timeout_s, connect=30),
            headers=self._headers,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, path: str, payload: bytes | None, read: Callable[[Any], T], *, key: str = ""
    ) -> T | Fault:
        """POST `payload` (GET where None) until `read` accepts the JSON that comes back.

        `read` raises Malformed for what it cannot take. After `retries` more attempts the last fault is
        returned. The waits double from half a second, with jitter drawn from `key`; a server's Retry-After
        counts where it is longer, up to a minute.
        """
        for attempt in range(self.settings.retries + 1):
            answer, asked_wait = await self._once(path, payload, read)
            final = attempt == self.settings.retries
            if final or not isinstance(answer, Fault) or answer.kind == "refused" or answer.status in _LOST:
                return answer
            self.retried += 1
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * (0.5 + unit_interval(key, attempt) / 2)
            await asyncio.sleep(max(wait, asked_wait))
        raise AssertionError("unreachable: the last attempt returns")

    async def _once(
        self, path: str, payload: bytes | None, read: Callable[[Any], T]
    ) -> tuple[T | Fault, float]:
        """One attempt: the answer or its fault, and the seconds that the server asks one to wait."""
        import aiohttp

        assert self._session is not None
        method = "GET" if payload is None else "POST"
        try:
            async with self._session.request(method, self.settings.url + path, data=payload) as response:
                raw = await response.read()
                status, wait = response.status, response.headers.get("retry-after")
        except aiohttp.ClientConnectorError as e:
            return Fault("lost", f"no server answers at {self.settings.url} ({e.strerror or e})"), 0.0
        except TimeoutError:
            return Fault("timeout", f"no answer within {self.settings.timeout_s:g} s"), 0.0
        except (aiohttp.ClientError, OSError, ValueError) as e:
            return Fault("broken", f"the connection was cut ({type(e).__name__})"), 0.0
        if status >= 400:
            return _fault(status, raw), _seconds(wait)
        try:
            return read(json.loads(raw)), 0.0
        except RecursionError:
            return Fault("malformed", "JSON nested too deep", status), 0.0
        except ValueError as e:
            what = str(e) if isinstance(e, Malformed) else "not JSON"
            return Fault("malformed", f"{what}: {_shown(raw)}", status), 0.0


def _fault(status: int, raw: bytes) -> Fault:
    said = f"HTTP {status}: {_shown(raw)}"
    if (status >= 500 and status != 501) or status in _TRY_AGAIN:
        return Fault("busy", said, status)
    return Fault("lost" if status in _LOST else "refused", said, status)


def _shown(raw: bytes) -> str:
    """The server's own words in one short line."""
    text = raw[:2000].decode("utf-8", "replace")
    try:
        said = json.loads(text)
        error = said.get("error") or said.get("detail") or said.get("message") or said
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, AttributeError, RecursionError):
        pass
    return " ".join(text.split())[:200] or "an empty answer"


def _seconds(retry_after: str | None) -> float:
    """A Retry-After header (seconds, or a date) as seconds, at most a minute."""
    if not retry_after:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else 0.0
