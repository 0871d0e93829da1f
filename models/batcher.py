"""Many searches, one batch: requests are gathered until every search waits, then answered together.

A search is written sequentially (`await batcher.sample(request)`; two requests filed before the first is
awaited are answered together). All searches of a shard run on one
thread; whenever none of them can go on, the requests that have piled up are sorted by key, answered by one
call per kind, and the searches resumed. So the batches depend on the searches alone, never on the order in
which these were started or in which their requests arrived.

A policy that streams is not waited for as a whole: its samples are put under way, and once nothing else is
left to answer it goes on until some are done. The searches that wanted these then go on, and their next
requests join the rows still under way.
"""

import asyncio
import gc
import selectors
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from .policy import Policy, Requests, Sample, SampleRequest, Streaming

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class CallStats:
    """What one kind of request cost: calls made, requests in them, rows (samples or continuations), tokens.

    `failures` counts requests whose own call raised.
    """

    calls: int = 0
    requests: int = 0
    rows: int = 0
    tokens: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Waiting:
    key: tuple[Any, ...]
    item: Any
    future: asyncio.Future[Any]


class Batcher:
    """Answers the requests of many concurrent searches by few calls of one policy.

    `sample`, `logprobs` and `submit` work only inside coroutines that `run` drives, and tasks these start.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.stats: dict[str, CallStats] = {"sample": CallStats(), "logprobs": CallStats()}
        self._waiting: dict[str, list[_Waiting]] = {}
        self._handlers: dict[str, Callable[[list[Any]], Sequence[Any]]] = {}
        self._streams: dict[str, _Stream] = {}
        self._running = False

    def sample(
        self, request: SampleRequest, writer: Policy | None = None, kind: str = "sample"
    ) -> "asyncio.Future[list[Sample]]":
        """To be awaited: the `n` samples of one request, which is filed at once.

        Another `writer` than the batcher's own policy has a `kind` of its own.
        """
        key = (request.key, request.prompt, request.n, request.max_tokens, request.temperature, request.stop)
        writer = writer or self.policy
        if self._running and kind not in self._streams and isinstance(writer, Streaming):
            self._streams[kind] = _Stream(writer.stream())
        return self.submit(kind, key, request, partial(self._sample, kind, writer))

    def logprobs(self, prompt: str, continuations: Sequence[str]) -> "asyncio.Future[list[float]]":
        """To be awaited: the log-probability of each continuation of one prompt, summed over its tokens."""
        item = (prompt, tuple(continuations))
        return self.submit("logprobs", item, item, self._logprobs)

    def submit(
        self, kind: str, key: tuple[Any, ...], item: Item, handler: Callable[[list[Item]], Sequence[Answer]]
    ) -> "asyncio.Future[Answer]":
        """To be awaited: one item of any batched work (verification, scoring), answered by `handler`.

        All requests of one `kind` share the first one's handler and have comparable keys; equal keys mean
        equal items. Awaiting raises what the handler raises for this item alone.
        """
        if not self._running:
            raise RuntimeError("a batcher answers only inside Batcher.run")
        self._handlers.setdefault(kind, handler)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(kind, []).append(_Waiting(key, item, future))
        return future

    def run(self, coroutines: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer | Exception]:
        """Drives all coroutines to their ends; results in the order given, an exception in a failure's place.

        Raises RuntimeError when called from a running event loop, or when searches wait for one another.
        """

        async def gather() -> list[Answer | BaseException]:
            return await asyncio.gather(*coroutines, return_exceptions=True)

        self._running = True
        try:
            with _older_objects_left_alone(), asyncio.Runner(loop_factory=self._loop) as runner:
                results = runner.run(gather())
        finally:
            self._running = False
            self._waiting.clear()
            self._handlers.clear()
            self._streams.clear()
        return [_as_data(r) for r in results]

    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(_IdleSelector(self._flush))

    def _flush(self) -> bool:
        """Answers all that waits, or what a stream has done first; False where nothing was to be done."""
        batches, self._waiting = self._waiting, {}
        answered = False
        for kind in sorted(batches):
            batch = sorted((w for w in batches[kind] if not w.future.done()), key=lambda w: w.key)
            if batch and not self._enter(kind, batch):
                answered = True
                self._answer(kind, batch)
        if answered:
            return True
        went_on = [self._advance(kind) for kind in sorted(self._streams)]
        return any(went_on)

    def _enter(self, kind: str, batch: list[_Waiting]) -> bool:
        """Put requests under way; False where there is no stream, or it refuses one of them."""
        stream = self._streams.get(kind)
        if stream is None:
            return False
        try:
            numbers = stream.requests.enter([w.item for w in batch])
        except Exception:
            return False
        stream.waiting |= zip(numbers, batch, strict=True)
        return True

    def _advance(self, kind: str) -> bool:
        """Let a stream go on until something is done; where it fails, each request is asked alone."""
        stream = self._streams[kind]
        if not stream.requests.busy:
            return False
        stats = self.stats.setdefault(kind, CallStats())
        try:
            done = stream.requests.advance()
        except Exception:
            del self._streams[kind]
            for waiting in stream.waiting.values():
                self._answer(kind, [waiting])
            return True
        stats.calls += 1
        stats.requests += len(done)
        for number, samples in done:
            stats.rows += len(samples)
            stats.tokens += sum(s.tokens for s in samples)
            stream.waiting.pop(number).future.set_result(samples)
        return True

    def _answer(self, kind: str, batch: list[_Waiting]) -> None:
        stats = self.stats.setdefault(kind, CallStats())
        stats.calls += 1
        try:
            answers = self._handlers[kind]([w.item for w in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{kind}: {len(answers)} answers to {len(batch)} requests")
        except Exception as e:
            if len(batch) > 1:  # so that only the searches whose own requests fail are harmed
                for one in batch:
                    self._answer(kind, [one])
                return
            stats.requests += 1
            stats.failures += 1
            batch[0].future.set_exception(e)
            return
        stats.requests += len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.future.set_result(answer)

    def _sample(self, kind: str, writer: Policy, requests: list[SampleRequest]) -> list[list[Sample]]:
        samples = writer.sample(requests)
        stats = self.stats[kind]
        stats.rows += sum(map(len, samples))
        stats.tokens += sum(s.tokens for row in samples for s in row)
        return samples

    def _logprobs(self, items: list[tuple[str, tuple[str, ...]]]) -> list[list[float]]:
        stream = self._streams.get("sample")
        asked = self.policy if stream is None else stream.requests
        answers = asked.logprobs([prompt for prompt, _ in items], [c for _, c in items])
        self.stats["logprobs"].rows += sum(map(len, answers))
        return answers


@dataclass(slots=True)
class _Stream:
    """A policy's requests under way, and who waits for them."""

    requests: Requests
    waiting: dict[int, _Waiting] = field(default_factory=dict)


class _IdleSelector(selectors.DefaultSelector):
    """Tells when an event loop is idle: it asks to wait only while no task can go on."""

    def __init__(self, on_idle: Callable[[], bool]) -> None:
        super().__init__()
        self._on_idle = on_idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            if self._on_idle():
                timeout = 0
            elif timeout is None:
                raise RuntimeError("every search waits, and none of them for the batcher")
        return super().select(timeout)


@contextmanager
def _older_objects_left_alone() -> Iterator[None]:
    """Without the garbage collector looking again and again at what was there before: libraries, a model."""
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _as_data(result: Answer | BaseException) -> Answer | Exception:
    if isinstance(result, BaseException) and not isinstance(result, Exception):
        return RuntimeError(f"the search was abandoned: {type(result).__name__}")
    return result
