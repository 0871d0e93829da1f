"""A policy on this machine: any causal LM that transformers opens, sampled in batches.

A sample depends on its request and key alone, up to the last bits of its logits: those vary with the batch
it sits in, so batches are formed from requests sorted by prompt length and key, never by arrival.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..schemas import generator
from . import prompts as prompting
from .folder import content_hash_of, load_model, load_tokenizer, local_folder, model_name
from .policy import Finish, Sample, SampleRequest
from .sampling import Drawn, Engine, Row
from .tokenizer import knows_tags

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")


class LocalPolicy:
    """A causal LM as a policy (see `models.policy.Policy`). One thread, one process."""

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
        self.batch_rows = batch_rows
        ends = model.generation_config.eos_token_id if model.generation_config else None
        self._ends = sorted({*_ids(ends), *_ids(tokenizer.eos_token_id)})
        pad = tokenizer.pad_token_id
        self._hidden = {*self._ends, *_ids(tokenizer.bos_token_id), *_ids(pad)}
        self._engine = Engine(model, pad if pad is not None else 0)
        self._context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30

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

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        """`n` samples per request, in the order of the requests.

        A prompt that leaves no room in the model's context, or a batch that leaves none in its memory,
        gives samples whose `finish` is "error". `tokens` and `logprob` count the end-of-sequence token.
        """
        ids, _ = prompting.encode(self.tokenizer, [r.prompt for r in requests])
        out: list[list[Sample]] = [[] for _ in requests]
        rows: list[tuple[int, int]] = []
        order = sorted(range(len(requests)), key=lambda i: (len(ids[i]), requests[i].key, requests[i].prompt))
        for i in order:
            room = self._context - len(ids[i])
            if not ids[i] or room <= 0:
                why = f"a prompt of {len(ids[i])} tokens in a context of {self._context}"
                out[i] = [Sample("", 0, "error", error=why)] * requests[i].n
            else:
                rows += [(i, k) for k in range(requests[i].n)]
        for batch in _chunks(rows, self.batch_rows):
            samples = self._sample_batch(requests, ids, batch)
            for (i, _), sample in zip(batch, samples, strict=True):
                out[i].append(sample)
        return out

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        """For each prompt the log-probability of each of its continuations, summed over tokens.

        Each prompt is prefilled once. -inf where prompt and continuation exceed the model's context.
        """
        ids, _ = prompting.encode(self.tokenizer, prompts)
        tails = [self._continue(p, row, c) for p, row, c in zip(prompts, ids, continuations, strict=True)]
        out = [[float("-inf")] * len(c) for c in continuations]
        order = sorted(range(len(prompts)), key=lambda i: (len(ids[i]), prompts[i]))
        rows = [
            (i, j)
            for i in order
            for j, tail in enumerate(tails[i])
            if ids[i] and len(ids[i]) + len(tail) <= self._context
        ]
        for batch in _chunks(rows, self.batch_rows):
            local = {i: p for p, i in enumerate(dict.fromkeys(i for i, _ in batch))}
            scores = self._engine.score([ids[i] for i in local], [(local[i], tails[i][j]) for i, j in batch])
            for (i, j), score in zip(batch, scores, strict=True):
                out[i][j] = score
        return out

    def _sample_batch(
        self, requests: Sequence[SampleRequest], ids: list[list[int]], batch: list[tuple[int, int]]
    ) -> list[Sample]:
        local = {i: p for p, i in enumerate(dict.fromkeys(i for i, _ in batch))}
        stop_sets = sorted({requests[i].stop for i in local if requests[i].stop})
        rows = []
        for i, k in batch:
            r = requests[i]
            length = min(r.max_tokens, self._context - len(ids[i]))
            uniforms = generator(f"{r.key}/{k}").random(length).tolist()
            rows.append(Row(local[i], uniforms, r.temperature, stop_sets.index(r.stop) if r.stop else -1))

        def text(i: int, tokens: list[int]) -> str:
            return self._text(ids[i], tokens)

        try:
            drawn = self._engine.draw(
                [ids[i] for i in local],
                rows,
                self._ends,
                self._may_stop(stop_sets),
                lambda r, tokens: _stop_end(text(batch[r][0], tokens), requests[batch[r][0]].stop) >= 0,
            )
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                return [Sample("", 0, "error", error="out of memory")]
            half = len(batch) // 2
            return [
                s for part in (batch[:half], batch[half:]) for s in self._sample_batch(requests, ids, part)
            ]
        return [
            _sample(text(i, d.tokens), d, requests[i].stop) for (i, _), d in zip(batch, drawn, strict=True)
        ]

    def _text(self, prompt: list[int], tokens: list[int]) -> str:
        """The tokens' text as it reads after the prompt: some decoders drop a space at a text's start."""
        anchor = prompt[-1:]
        before = self._decode(anchor)
        return self._decode([*anchor, *(t for t in tokens if t not in self._hidden)])[len(before) :]

    def _decode(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))

    def _continue(self, prompt: str, ids: list[int], continuations: Sequence[str]) -> list[list[int]]:
        """Tokens of each continuation as the tokenizer cuts them after this prompt."""
        joint, _ = prompting.encode(self.tokenizer, [prompt + c for c in continuations])
        return [
            row[len(ids) :]
            if row[: len(ids)] == ids
            else self.tokenizer(c, add_special_tokens=False).input_ids
            for row, c in zip(joint, continuations, strict=True)
        ]

    @cached_property
    def _pieces(self) -> list[str]:
        return [self._decode([i]) for i in range(self._engine.vocabulary)]

    def _may_stop(self, stop_sets: Sequence[tuple[str, ...]]) -> torch.Tensor:
        """(S, V): tokens after which a text may end in one of the stop strings.

        Those that hold a stop's last character, and those whose own text says too little: a piece of a
        character, or a space that the decoder drops.
        """
        marks = [
            [not p or "\ufffd" in p or any(s[-1] in p for s in stops) for p in self._pieces]
            for stops in stop_sets
        ]
        return torch.tensor(marks or [[False]], dtype=torch.bool)


def _sample(text: str, drawn: Drawn, stops: tuple[str, ...]) -> Sample:
    end = _stop_end(text, stops)
    finish: Finish = "stop" if drawn.stopped else "length"
    return Sample(text[:end] if end >= 0 else text, len(drawn.tokens), finish, drawn.logprob)


def _stop_end(text: str, stops: tuple[str, ...]) -> int:
    """Where the first stop string ends in the text; -1 where there is none."""
    return min((at + len(s) for s in stops if (at := text.find(s)) >= 0), default=-1)


def _chunks(items: list[T], size: int) -> list[list[T]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _ids(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)
