"""A policy behind an OpenAI-compatible server: many requests in flight, every answer kept in a journal."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..schemas import CotmillError, content_hash
from . import prompts as prompting
from .dialect import COMPLETIONS, Answer, pack, read_answer, read_scores, scoring_payload
from .endpoint import Endpoint, Fault
from .journal import Journal
from .policy import Sample, SampleRequest
from .probe import Server, probe
from .server_settings import ServerSettings
from .tokenizer import knows_tags

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")


@dataclass(slots=True)
class Usage:
    """What a served policy asked and got: answers from the server and from the journal, attempts made
    again, requests without an answer, and tokens as the server counts them, replayed answers included."""

    answered: int = 0
    replayed: int = 0
    retried: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Ask:
    """One HTTP request: its key in the journal, what is sent, and what reads the answer."""

    id: str
    path: str
    payload: bytes
    stop: tuple[str, ...] = ()
    scores: bool = False


class ServedPolicy:
    """A model server as a policy (see `models.policy.Policy`). One process; not thread-safe.

    An answer is kept in the journal under a hash of the server's model identity, all that was sent, the
    request's key and the sample's index: what is known is not asked again. A request that the server refuses
    as such (a prompt too long) is an answer too; after a passing fault (busy, timed out, cut off, garbled)
    nothing is kept, and a later run asks again. Either way the sample's `finish` is "error". Where the
    server is gone altogether, `lost` says so, and nothing more is asked until `journal_to`.
    """

    def __init__(self, settings: ServerSettings, server: Server, journal: Path | None = None) -> None:
        self.settings, self.server, self.usage = settings, server, Usage()
        self.lost: str | None = None
        self._endpoint = Endpoint(settings)
        self._loop = _Loop()
        self._loop.run(self._endpoint.open())
        self._journal = Journal(journal) if journal is not None else None

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def hash(self) -> str:
        return self.server.hash

    @property
    def writes_tags(self) -> bool:
        return self._tokenizer is not None and knows_tags(self._tokenizer)

    def journal_to(self, path: Path) -> None:
        """Keep answers in another file from now on, and forget that the server was lost."""
        if self._journal is None or self._journal.path != path:
            if self._journal is not None:
                self._journal.close()
            self._journal = Journal(path)
        self.lost = None

    def prompt(self, question: str, prefix: str = "") -> str:
        """The prompt's text for `/v1/completions`; for chat prefill question and prefix, packed."""
        if self._tokenizer is None:
            return pack(question, prefix)
        return prompting.prompt(self._tokenizer, question, prefix).removeprefix(self._added_bos)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        """`n` samples per request, in the order of the requests.

        `logprob` is 0 where the server gives no log-probabilities; `tokens` is the server's count.
        """
        asks = [[self._ask_for(r, i) for i in range(r.n)] for r in requests]
        answers = self._answers([a for row in asks for a in row])
        return [[_sample(answers[a.id]) for a in row] for row in asks]

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """For each prompt the log-probability of each of its continuations, summed over tokens.

        Needs a server that echoes log-probabilities of given text over `/v1/completions` (vLLM, SGLang).
        Where it does not, or one of a prompt's continuations finds no answer, that prompt's are uniform.
        """
        asks = [[self._score_of(p + c) for c in row] for p, row in zip(prompts, continuations, strict=True)]
        answers = self._answers([a for row in asks for a in row]) if self.server.dialect.echo else {}
        out = []
        for prompt, row, texts in zip(prompts, asks, continuations, strict=True):
            scores = [self._tail(answers.get(a.id), prompt, c) for a, c in zip(row, texts, strict=True)]
            known = [s for s in scores if s is not None]
            out.append(known if len(known) == len(scores) else [-log(len(scores))] * len(scores))
        return out

    def close(self) -> None:
        """Close the connections and the journal."""
        self._loop.run(self._endpoint.close())
        self._loop.stop()
        if self._journal is not None:
            self._journal.close()

    @cached_property
    def _tokenizer(self) -> "PreTrainedTokenizerBase | None":
        if self.server.dialect.route == "chat" or self.settings.tokenizer is None:
            return None
        from .folder import load_tokenizer

        return load_tokenizer(Path(self.settings.tokenizer))

    @cached_property
    def _added_bos(self) -> str:
        """The beginning-of-sequence token's text, where the server's tokenizer adds the token by itself."""
        tokenizer = self._tokenizer
        if tokenizer is None or tokenizer.bos_token_id is None:
            return ""
        added = tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]
        return str(tokenizer.bos_token) if added else ""

    def _ask_for(self, request: SampleRequest, index: int) -> _Ask:
        dialect = self.server.dialect
        payload = dialect.payload(self.server.model, request, index)
        return self._ask(dialect.path, payload, request.key, index, stop=request.stop)

    def _score_of(self, text: str) -> _Ask:
        return self._ask(COMPLETIONS, scoring_payload(self.server.model, text), "", 0, scores=True)

    def _ask(self, path: str, payload: bytes, key: str, index: int, **rest: Any) -> _Ask:
        return _Ask(content_hash(self.hash, path, payload.decode(), key, index), path, payload, **rest)

    def _answers(self, asks: Sequence[_Ask]) -> dict[str, Any]:
        """An answer for every request, each distinct one asked once: from the journal, else the server."""
        todo = {a.id: a for a in asks}
        found = self._journal.get(todo) if self._journal is not None else {}
        self.usage.replayed += len(found)
        missing = [a for id, a in todo.items() if id not in found]
        if missing:
            self._loop.run(self._ask_all(missing, found))
        self.usage.prompt_tokens += sum(a.get("prompt_tokens") or 0 for a in found.values())
        self.usage.completion_tokens += sum(a.get("tokens") or 0 for a in found.values())
        return found

    async def _ask_all(self, asks: Sequence[_Ask], found: dict[str, Any]) -> None:
        queue = iter(asks)

        async def ask_on() -> None:
            for ask in queue:
                found[ask.id] = await self._answer(ask)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.settings.in_flight, len(asks))):
                    group.create_task(ask_on())
        except* CotmillError as failed:
            raise failed.exceptions[0] from None
        finally:
            self.usage.retried = self._endpoint.retried
            if self._journal is not None:
                self._journal.flush()

    async def _answer(self, ask: _Ask) -> dict[str, Any]:
        """What the journal keeps of one answer, as JSON; an error under the name `error`."""
        if self.lost is not None:
            return {"error": self.lost}

        def read(data: Any) -> dict[str, Any]:
            if ask.scores:
                return {"scores": read_scores(data)}
            return asdict(read_answer(data, ask.stop))

        answer = await self._endpoint.ask(ask.path, ask.payload, read, key=ask.id)
        if isinstance(answer, Fault):
            self.usage.failed += 1
            if answer.kind == "lost":
                self.lost = str(answer)
            kept, answer = answer.kind == "refused", {"error": str(answer)}
        else:
            kept = True
            self.usage.answered += 1
        if kept and self._journal is not None:
            self._journal.put(ask.id, answer)
        return answer

    def _tail(self, answer: dict[str, Any] | None, prompt: str, continuation: str) -> float | None:
        """The summed log-probability of the continuation's tokens, which are an echoed text's last ones."""
        tokenizer = self._tokenizer
        if answer is None or "error" in answer or tokenizer is None:
            return None
        (before, whole), _ = prompting.encode(tokenizer, [prompt, prompt + continuation])
        same = next((i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(before))
        scores = answer["scores"][same - len(whole) :] if same < len(whole) else []
        if len(answer["scores"]) != len(whole) or None in scores:
            return None
        return float(sum(scores))


def find_server(settings: ServerSettings) -> Server:
    """Probe the server that the settings name; raises BadInput (see `models.probe.probe`)."""

    async def ask() -> Server:
        endpoint = Endpoint(settings)
        await endpoint.open()
        try:
            return await probe(endpoint)
        finally:
            await endpoint.close()

    return asyncio.run(ask())


def _sample(answer: dict[str, Any]) -> Sample:
    if "error" in answer:
        return Sample("", 0, "error", error=answer["error"])
    known = Answer(**answer)
    return Sample(known.text, known.tokens or 0, known.finish, known.logprob)


class _Loop:
    """An event loop in a thread of its own: a policy is called from inside the batcher's loop too."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served-policy", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C: what is in flight is abandoned, what was answered is kept
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
