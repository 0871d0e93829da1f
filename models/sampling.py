"""Batched sampling over a causal LM's forward pass and its key/value cache.

Shapes: P prompts, R rows (samples), T columns (left-padded), V vocabulary, S sets of stop strings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Finished rows leave a batch once they are this share of it: to leave costs a copy of the cache.
_LEAVE = 0.125


@dataclass(frozen=True, slots=True)
class Row:
    """One sample to draw: its prompt's index, and one uniform in [0, 1) for each token it may take.

    `stops` is its row of `may_stop`; -1 where it has no stop strings.
    """

    prompt: int
    uniforms: Sequence[float]
    temperature: float
    stops: int = -1


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sample's tokens (an end-of-sequence token included), and their log-probability."""

    tokens: list[int]
    logprob: float
    stopped: bool


class Engine:
    """A causal LM that prefills each prompt once and decodes many rows from it."""

    def __init__(self, model: "PreTrainedModel", pad: int) -> None:
        self.model, self.pad = model, pad
        accepted = signature(model.forward).parameters
        self._positions = "position_ids" in accepted
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    @property
    def vocabulary(self) -> int:
        """V: entries of the logits, some of which the tokenizer may not use."""
        model: Any = self.model
        return int(model.get_output_embeddings().weight.shape[0])

    @property
    def device(self) -> torch.device:
        return self.model.device

    def forward(self, ids: Tensor, mask: Tensor, cache: DynamicCache, *, last: bool = True) -> Tensor:
        """Float logits of the last column (R, V), or of every new one (R, T, V); the cache grows.

        `ids`: (R, T) new tokens; `mask`: (R, T_cached + T), 1 where there is a token.
        """
        extra: dict[str, object] = dict(self._last_only) if last else {}
        if self._positions:
            extra["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **extra)
        logits: Tensor = out.logits
        return (logits[:, -1] if last else logits).float()

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, DynamicCache]:
        """Last logits (P, V), mask (P, T) and cache of left-padded prompts (none of them empty)."""
        width = max(map(len, prompts))
        ids = torch.tensor([[self.pad] * (width - len(p)) + list(p) for p in prompts], device=self.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.device)
        cache = DynamicCache(config=self.model.config)
        return self.forward(ids, mask, cache), mask, cache

    @torch.inference_mode()
    def draw(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Row],
        ends: Sequence[int],
        may_stop: Tensor,
        stops_at: Callable[[int, list[int]], bool],
    ) -> list[Drawn]:
        """One sample per row, in order.

        A row ends at a token of `ends`, when its uniforms are used up, or when `stops_at(row, tokens)`: asked
        only after tokens which `may_stop` (S, V) marks for the row's stop strings.
        """
        logits, mask, cache = self.prefill(prompts)
        owner = torch.tensor([row.prompt for row in rows], device=self.device)
        logits, mask = logits[owner], mask[owner]
        cache.batch_select_indices(owner)
        samples = _Samples(rows, self.pad, self.device)
        may_stop, end_ids = may_stop.to(self.device), torch.tensor(list(ends), device=self.device)
        while True:
            tokens = samples.draw(logits)
            ended = torch.isin(tokens, end_ids)
            for r in samples.to_ask(tokens, may_stop, ended):
                ended[r] = stops_at(*samples.so_far(r))
            going = samples.advance(ended)
            n = int(going.sum())
            if n == 0:
                return samples.results()
            if n <= (1 - _LEAVE) * len(going):
                keep = going.nonzero()[:, 0]
                tokens, mask, going = tokens[keep], mask[keep], going[keep]
                cache.batch_select_indices(keep)
                samples.keep(keep)
            # A finished row takes no more positions: it may stand at the end of the model's context.
            mask = torch.cat([mask, going[:, None].to(mask.dtype)], dim=-1)
            logits = self.forward(tokens[:, None], mask, cache)

    @torch.inference_mode()
    def score(
        self, prompts: Sequence[Sequence[int]], rows: Sequence[tuple[int, Sequence[int]]]
    ) -> list[float]:
        """Log-probability of each (prompt's index, tokens), summed over tokens; 0 for no tokens."""
        width = max(len(tokens) for _, tokens in rows)
        if width == 0:
            return [0.0] * len(rows)
        logits, mask, cache = self.prefill(prompts)
        owner = torch.tensor([p for p, _ in rows], device=self.device)
        ids = torch.tensor([[*t, *[self.pad] * (width - len(t))] for _, t in rows], device=self.device)
        real = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for _, t in rows], device=self.device)
        scores = token_scores(logits[owner][:, None], ids[:, :1])
        if width > 1:
            cache.batch_select_indices(owner)
            seen = torch.cat([mask[owner], real[:, :-1]], dim=-1)
            following = self.forward(ids[:, :-1], seen, cache, last=False)
            scores = torch.cat([scores, token_scores(following, ids[:, 1:])], dim=-1)
        total: list[float] = torch.where(real > 0, scores, 0.0).double().sum(-1).tolist()
        return total


class _Samples:
    """What has been drawn so far: `live[r]` is the sample that row r of the shrinking batch draws."""

    def __init__(self, rows: Sequence[Row], pad: int, device: torch.device) -> None:
        self.limit = torch.tensor([len(row.uniforms) for row in rows], device=device)
        longest = int(self.limit.max())
        uniforms = [[*row.uniforms, *[0.0] * (longest - len(row.uniforms))] for row in rows]
        self.uniforms = torch.tensor(uniforms, dtype=torch.float64, device=device)
        self.temperature = torch.tensor([row.temperature for row in rows], device=device)
        self.stops = torch.tensor([row.stops for row in rows], device=device)
        self.asks = any(row.stops >= 0 for row in rows)
        self.tokens = torch.full((len(rows), longest), pad, device=device)
        self.logprob = torch.zeros(len(rows), dtype=torch.float64, device=device)
        self.stopped = torch.zeros(len(rows), dtype=torch.bool, device=device)
        self.live = torch.arange(len(rows), device=device)
        self.going = torch.ones(len(rows), dtype=torch.bool, device=device)
        self.at = 0

    def draw(self, logits: Tensor) -> Tensor:
        """Each row's next token (R,), from logits (R, V)."""
        drawn = inverse_cdf(logits, self.temperature[self.live], self.uniforms[self.live, self.at])
        self.tokens[self.live, self.at] = drawn
        score = token_scores(logits[:, None], drawn[:, None])[:, 0]
        self.logprob[self.live] += torch.where(self.going, score, 0.0).double()
        return drawn

    def to_ask(self, tokens: Tensor, may_stop: Tensor, ended: Tensor) -> list[int]:
        """Rows whose text may now end in a stop string."""
        if not self.asks:
            return []
        stops = self.stops[self.live]
        asked: list[int] = (
            ((stops >= 0) & may_stop[stops, tokens] & self.going & ~ended).nonzero()[:, 0].tolist()
        )
        return asked

    def so_far(self, r: int) -> tuple[int, list[int]]:
        """The sample that row r draws, and its tokens."""
        sample = int(self.live[r])
        return sample, self.tokens[sample, : self.at + 1].tolist()

    def advance(self, ended: Tensor) -> Tensor:
        """Goes to the next token; returns the rows (R,) that want one."""
        self.at += 1
        now = self.live[ended & self.going]
        self.stopped[now], self.limit[now] = True, self.at
        self.going = self.limit[self.live] > self.at
        return self.going

    def keep(self, rows: Tensor) -> None:
        self.live, self.going = self.live[rows], self.going[rows]

    def results(self) -> list[Drawn]:
        columns = (self.tokens.tolist(), self.limit.tolist(), self.logprob.tolist(), self.stopped.tolist())
        return [Drawn(row[:n], lp, stopped) for row, n, lp, stopped in zip(*columns, strict=True)]


def token_scores(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities (R, T) of `ids` (R, T) under `logits` (R, T, V)."""
    return logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(-1)


def inverse_cdf(logits: Tensor, temperature: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens (R,) drawn from the softmax of logits (R, V) / temperature (R,) by uniforms (R,) in [0, 1).

    The most likely token where the temperature is 0.
    """
    greedy = temperature == 0
    if bool(greedy.all()):
        return logits.argmax(-1)
    scaled = logits / torch.where(greedy, 1.0, temperature)[:, None]
    cumulated = scaled.softmax(-1).cumsum(-1, dtype=torch.float64)
    at = uniforms[:, None] * cumulated[:, -1:]
    drawn = torch.searchsorted(cumulated, at, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
    return torch.where(greedy, logits.argmax(-1), drawn)
