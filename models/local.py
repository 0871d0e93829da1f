"""A policy on this machine: any causal LM that transformers opens, sampled in batches.

A sample depends on its request and key alone, up to the last bits of its logits: those vary with the batch
it sits in, so batches are formed from requests sorted by prompt length and key, never by arrival.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from ..schemas import generator
from . import prompts as prompting
from .cutting import Cutter
from .folder import content_hash_of, load_model, load_tokenizer, local_folder, model_name
from .policy import Finish, Sample, SampleRequest
from .sampling import Drawn, Engine, Row, StopSet
from .tokenizer import knows_tags
from .work import Work

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class LocalPolicy:
    """A causal LM as a policy (see `models.policy.Policy`). One thread, one process.

    `work` counts what all its sampling has cost.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        name: str,
        hash: Callable[[], str],
        batch_rows: int = 256,
    ) -> None:
        self.model, self.tokenizer, self._name, self._hash = model, tokenizer, name, hash
        self.cutter = Cutter(tokenizer)
        self.batch_rows = batch_rows
        self.work = Work()
        ends = model.generation_config.eos_token_id if model.generation_config else None
        self.ends = sorted({*_ids(ends), *_ids(tokenizer.eos_token_id)})
        pad = tokenizer.pad_token_id
        config = model.config.get_text_config()
        self.context = getattr(config, "max_position_embeddings", None) or 1 << 30
        self._hidden = {*self.ends, *_ids(tokenizer.bos_token_id), *_ids(pad)}
        self._stop_sets: dict[tuple[str, ...], StopSet] = {}
        self._anchors: dict[int, int] = {}

    @classmethod
    def load(cls, path_or_name: str, device: str = "auto", batch_rows: int = 256) -> "LocalPolicy":
        """Open a model folder or a hub name on `device` (auto, cpu, cuda): float32 on CPU, bfloat16 on CUDA.

        At most `batch_rows` samples are drawn at once. Raises BadInput naming a folder that holds no causal
        LM, a hub name that cannot be had, or a device that is not there.
        """
        folder = local_folder(path_or_name)
        return cls(
            load_model(folder, device),
            load_tokenizer(folder),
            name=model_name(path_or_name),
            hash=lambda: content_hash_of(folder),
            batch_rows=batch_rows,
        )

    @property
    def name(self) -> str:
        return self._name

    @cached_property
    def hash(self) -> str:
        return self._hash()

    @cached_property
    def writes_tags(self) -> bool:
        return knows_tags(self.tokenizer)

    def prompt(self, question: str, prefix: str = "") -> str:
        return prompting.prompt(self.tokenizer, question, prefix)

    def stream(self) -> "Stream":
        """Requests under way, which share what they begin with for as long as the stream lasts."""
        return Stream(self)

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        """`n` samples per request, in the order of the requests.

        A prompt that leaves no room in the model's context, or a row that leaves none in its memory,
        gives samples whose `finish` is "error". `tokens` and `logprob` count the end-of-sequence token.
        """
        return self.stream().sample(requests)

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """For each prompt the log-probability of each of its continuations, summed over tokens.

        Each prompt is prefilled once. -inf where prompt and continuation exceed the model's context.
        """
        return self.stream().logprobs(prompts, continuations)

    def text(self, prompt: Sequence[int], tokens: Sequence[int]) -> str:
        """The tokens' text as it reads after the prompt: some decoders drop a space at a text's start."""
        anchor = prompt[-1]
        if anchor not in self._anchors:
            self._anchors[anchor] = len(self._decode([anchor]))
        return self._decode([anchor, *(t for t in tokens if t not in self._hidden)])[self._anchors[anchor] :]

    def as_sample(self, prompt: Sequence[int], drawn: Drawn, stops: tuple[str, ...]) -> Sample:
        """What was drawn after a prompt, as text that ends where it should."""
        if drawn.error is not None:
            return Sample("", 0, "error", error=drawn.error)
        text = self.text(prompt, drawn.tokens)
        end = stop_end(text, stops)
        finish: Finish = "stop" if drawn.stopped else "length"
        return Sample(text[:end] if end >= 0 else text, len(drawn.tokens), finish, drawn.logprob)

    def stop_set(self, stops: tuple[str, ...]) -> StopSet:
        """These stop strings as the engine takes them."""

        def sign(piece: str) -> int:
            if any(stop in piece for stop in stops):
                return 2
            ends = any(stop.endswith(piece[:k]) for stop in stops for k in range(1, len(piece) + 1))
            return int(ends or "\ufffd" in piece)  # the latter is a piece of a character

        if stops not in self._stop_sets:
            signs = torch.tensor([sign(piece) for piece in self._pieces], dtype=torch.int8)
            self._stop_sets[stops] = StopSet(
                signs, lambda prompt, tokens: stop_end(self.text(prompt, tokens), stops) >= 0
            )
        return self._stop_sets[stops]

    @cached_property
    def _pieces(self) -> list[str]:
        """Each token's text inside a text: after the token of a letter."""
        [anchor] = self.cutter.cut(["a"])
        before = len(self._decode(anchor))
        vocabulary = int(self.model.config.get_text_config().vocab_size)
        return ["" if i in self._hidden else self._decode([*anchor, i])[before:] for i in range(vocabulary)]

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))


class Stream:
    """Requests of one policy under way: what the earlier ones computed serves the later ones.

    Order matters only between calls: the requests of one call are sorted by key.
    """

    def __init__(self, policy: LocalPolicy) -> None:
        self.policy = policy
        self._engine = Engine(policy.model, ends=policy.ends, rows=policy.batch_rows, work=policy.work)
        self._stops: dict[tuple[str, ...], int] = {(): -1}
        self._open: dict[int, _Open] = {}
        self._of_row: dict[int, tuple[int, int]] = {}
        self._done: list[tuple[int, list[Sample]]] = []
        self._requests = 0

    @property
    def busy(self) -> bool:
        return bool(self._done or self._engine.busy)

    def enter(self, requests: Sequence[SampleRequest]) -> range:
        """Put requests under way; returns their numbers, in order."""
        numbers = range(self._requests, self._requests + len(requests))
        self._requests += len(requests)
        ids = self.policy.cutter.cut([r.prompt for r in requests])
        rows: list[Row] = []
        owners: list[tuple[int, int]] = []
        for i in sorted(range(len(requests)), key=lambda i: (requests[i].key, requests[i].prompt)):
            request, prompt, number = requests[i], tuple(ids[i]), numbers[i]
            room = self.policy.context - len(prompt)
            if not prompt or room <= 0 or not request.n:
                why = f"a prompt of {len(prompt)} tokens in a context of {self.policy.context}"
                self._done.append((number, [Sample("", 0, "error", error=why)] * request.n))
                continue
            self._open[number] = _Open(prompt, request.stop, request.n, {})
            length = min(request.max_tokens, room)
            stops = self._stop_set(request.stop)
            for k in range(request.n):
                uniforms = generator(f"{request.key}/{k}").random(length).tolist()
                rows.append(Row(prompt, uniforms, request.temperature, stops))
                owners.append((number, k))
        self._of_row |= zip(self._engine.enter(rows), owners, strict=True)
        return numbers

    def advance(self) -> list[tuple[int, list[Sample]]]:
        """Decode until requests are done; returns them with their samples. None where none is under way.

        It goes on until an eighth of the rows have ended, so that the next requests come in numbers.
        """
        done, self._done = self._done, []
        ended = 0
        while self._engine.busy and not (done and ended >= self.policy.batch_rows / 8):
            for ticket, drawn in self._engine.advance():
                ended += 1
                number, k = self._of_row.pop(ticket)
                request = self._open[number]
                request.samples[k] = self.policy.as_sample(request.prompt, drawn, request.stop)
                if len(request.samples) == request.n:
                    done.append((number, [request.samples[k] for k in range(request.n)]))
                    del self._open[number]
        return done

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        """As the policy's own, sharing what this stream has computed so far."""
        numbers = self.enter(requests)
        done = dict[int, list[Sample]]()
        while len(done) < len(requests):
            done |= self.advance()
        return [done[number] for number in numbers]

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """As the policy's own, sharing what this stream has computed so far."""
        ids = self.policy.cutter.cut(prompts)
        out = [[float("-inf")] * len(c) for c in continuations]
        places, rows = [], []
        for i, (prompt, head, texts) in enumerate(zip(prompts, ids, continuations, strict=True)):
            for j, tail in enumerate(self.policy.cutter.continued(prompt, head, texts)):
                if head and len(head) + len(tail) <= self.policy.context:
                    places.append((i, j))
                    rows.append((tuple(head), tuple(tail)))
        for (i, j), score in zip(places, self._engine.score(rows), strict=True):
            out[i][j] = score
        return out

    def _stop_set(self, stops: tuple[str, ...]) -> int:
        if stops not in self._stops:
            self._stops[stops] = len(self._engine.stop_sets)
            self._engine.stop_sets.append(self.policy.stop_set(stops))
        return self._stops[stops]


@dataclass(slots=True)
class _Open:
    """A request under way: its prompt's tokens, and its samples so far by index."""

    prompt: tuple[int, ...]
    stop: tuple[str, ...]
    n: int
    samples: dict[int, Sample]


def stop_end(text: str, stops: tuple[str, ...]) -> int:
    """Where the first stop string ends in the text; -1 where there is none."""
    return min((at + len(s) for s in stops if (at := text.find(s)) >= 0), default=-1)


def _ids(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)
