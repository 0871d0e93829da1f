"""Key/value memory for rows of ragged lengths, under any transformers causal LM.

Each row of a batch has a slot: its tokens lie at the cache positions 0, 1, 2, … without padding, so a prefix
is copied into a slot as it is, a finished row's slot is given to another, and no row waits for the longest.

Shapes: R rows, Q new tokens a row, T cached positions, H heads, K key/value heads, D head size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ..schemas import BadInput
from .kernels import TILE
from .work import Work

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ATTENTION = "cotmill_slots"
_KINDS = {"full_attention", "sliding_attention"}
GROW = 2 * TILE
"""Positions by which the memory of keys and values grows."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys (K, D, T or more, in whole tiles) and values (K, T, D) of T tokens; None for a layer without."""

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor] | None, ...]

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for layer in self.layers if layer for t in layer)


Beginning = tuple[Prefix | None, int]
"""A prefix, and how many of its tokens a row begins with."""


class RowLengths:
    """The rows of one batch. Rows 0 to `rows` - 1 are in use; `lengths` (R,) are their tokens."""

    lengths: Tensor

    @property
    def rows(self) -> int:
        return len(self.lengths)

    def keep(self, rows: int) -> None:
        """Give up the slots from `rows` on."""
        self.lengths = self.lengths[:rows]

    def _seat(self, rows: Sequence[int], begun: Sequence[Beginning]) -> tuple[Tensor, int]:
        """Let rows, in use or next in line, have so many tokens; returns them, and how many came into use."""
        more = max(max(rows) + 1 - self.rows, 0)
        self.lengths = torch.cat([self.lengths, self.lengths.new_zeros(more)])
        at = torch.tensor(rows, device=self.lengths.device)
        self.lengths[at] = torch.tensor([length for _, length in begun], device=at.device)
        return at, more


class Slots(RowLengths):
    """Slots for the rows of one batch, for any causal LM; `work` counts what goes through it."""

    def __init__(self, model: "PreTrainedModel", work: Work | None = None) -> None:
        self.model, self.work = model, work or Work()
        config = model.config.get_text_config()
        accepted = signature(model.forward).parameters
        window = getattr(config, "sliding_window", None)
        usual = "sliding_attention" if window else "full_attention"
        kinds = set(getattr(config, "layer_types", None) or [usual])
        if "position_ids" not in accepted or kinds - _KINDS:
            raise BadInput(
                f"'{config.model_type}' keeps more than keys and values by position, which the local engine "
                "cannot fork; put it behind a model server and use `policy.server`"
            )
        self._kinds, self._window = kinds, window or 1 << 30
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._context = getattr(config, "max_position_embeddings", None) or 1 << 30
        if config._attn_implementation == "sdpa":
            model.set_attn_implementation(_ATTENTION)
        self._additive = config._attn_implementation == "eager"
        self._layers = [_Layer(self) for _ in range(config.num_hidden_layers)]
        self._cache = Cache(layers=list(self._layers))
        self.lengths = torch.zeros(0, dtype=torch.long, device=model.device)
        self.at = torch.zeros(0, 1, dtype=torch.long, device=model.device)
        self.reach = 0

    def fill(self, rows: Sequence[int], begun: Sequence[Beginning]) -> None:
        """Give each of these slots, in use or next in line, what it begins with."""
        at, _ = self._seat(rows, begun)
        same: dict[tuple[int, int], tuple[Prefix, list[int]]] = {}
        for i, (prefix, length) in enumerate(begun):
            if prefix is not None and length:
                same.setdefault((id(prefix), length), (prefix, []))[1].append(i)
        for (_, length), (prefix, indices) in same.items():
            for mine, theirs in zip(self._layers, prefix.layers, strict=True):
                if theirs is not None:
                    mine.fill(at[indices], theirs, length)

    def move(self, to: Sequence[int], source: Sequence[int]) -> None:
        """Copy rows into other slots."""
        a, b = (torch.tensor(x, device=self.lengths.device) for x in (to, source))
        reach = int(self.lengths[b].max())
        self.lengths[a] = self.lengths[b]
        for layer in self._layers:
            layer.move(a, b, reach)

    def take(self, row: int, ids: tuple[int, ...]) -> Prefix:
        """The keys and values of a row's first tokens, which are `ids`."""
        return Prefix(ids, tuple(layer.take(row, len(ids)) for layer in self._layers))

    def forward(self, ids: Tensor, *, last: bool = True) -> Tensor:
        """Float logits after the last new token (R, V), or after each of them (R, Q, V).

        `ids` (R, Q): a row's new tokens, at the positions after its own `lengths`. These are left as they
        are: a caller adds what was new, which is less than Q where a row was padded at its end.
        """
        new = ids.shape[1]
        logits: Tensor
        self.work.computed += ids.numel()
        self.at = self.lengths[:, None] + torch.arange(new, device=ids.device)
        self.reach = int(self.at.max()) + 1
        out = self.model(
            input_ids=ids,
            attention_mask=self._mask(),
            position_ids=self.at.clamp(max=self._context - 1),
            past_key_values=self._cache,
            use_cache=True,
            **(self._last_only if last else {}),
        )
        logits = out.logits
        return (logits[:, -1] if last else logits).float()

    def read(self, rows: Sequence[Sequence[int]]) -> None:
        """Compute keys and values of each row's new tokens; `lengths` are left as they are."""
        self.forward(self._padded(rows))

    def score(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Float logits (N, V) after each of the N new tokens, row by row."""
        logits = self.forward(self._padded(rows), last=False)
        return torch.cat([row[: len(ids)] for row, ids in zip(logits, rows, strict=True)])

    def _padded(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """(R, Q), with any token behind a row's end: nobody looks at it."""
        width = max(map(len, rows))
        ids = [[*row, *[0] * (width - len(row))] for row in rows]
        return torch.tensor(ids, device=self.lengths.device)

    def _mask(self) -> Any:
        """(R, 1, Q, T) per kind of layer: a token sees itself and what stands before it."""
        ago = self.at[:, None, :, None] - torch.arange(self.reach, device=self.at.device)
        seen = ago >= 0
        masks = {
            kind: self._as_mask(seen & (ago < self._window) if kind.startswith("sliding") else seen)
            for kind in self._kinds
        }
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _as_mask(self, seen: Tensor) -> Tensor:
        if not self._additive and seen.shape[2] > 1:
            return seen
        dtype = self.model.dtype
        zeros = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return zeros.masked_fill_(~seen, torch.finfo(dtype).min)


class _Layer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys (rows, K, D, T) and values (rows, K, T, D), both growing as needed.

    Keys lie as the product with one query wants them: along the positions.
    """

    def __init__(self, slots: Slots) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.slots = slots

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Put the new tokens where they belong, and return what all rows may look at."""
        at, reach, rows = self.slots.at, self.slots.reach, self.slots.rows
        keys, values = self._held(key_states, value_states, rows, reach)
        each = torch.arange(rows, device=at.device)
        if at.shape[1] == 1:
            keys[each, :, :, at[:, 0]] = key_states[:, :, 0]
            values[each, :, at[:, 0]] = value_states[:, :, 0]
        else:
            keys[each[:, None], :, :, at] = key_states.transpose(1, 2)
            values[each[:, None], :, at] = value_states.transpose(1, 2)
        return keys[:rows, :, :, :reach].transpose(2, 3), values[:rows, :, :reach]

    def fill(self, rows: Tensor, prefix: tuple[Tensor, Tensor], length: int) -> None:
        keys, values = self._held(prefix[0].mT[None], prefix[1][None], self.slots.rows, length)
        keys[rows, :, :, :length] = prefix[0][:, :, :length]
        values[rows, :, :length] = prefix[1][:, :length]

    def move(self, to: Tensor, source: Tensor, reach: int) -> None:
        if self.keys is not None and self.values is not None:
            self.keys[to, :, :, :reach] = self.keys[source, :, :, :reach]
            self.values[to, :, :reach] = self.values[source, :, :reach]

    def take(self, row: int, length: int) -> tuple[Tensor, Tensor] | None:
        if self.keys is None or self.values is None:
            return None
        keys = self.keys[row, :, :, : -(-length // TILE) * TILE]
        return keys.clone(), self.values[row, :, :length].clone()

    def _held(self, keys: Tensor, values: Tensor, rows: int, reach: int) -> tuple[Tensor, Tensor]:
        """Memory for so many rows and positions, each (K, D) as in these (R, K, T, D)."""
        had = (0, 0) if self.values is None else (self.values.shape[0], self.values.shape[2])
        if self.keys is None or self.values is None or rows > had[0] or reach > had[1]:
            most, width = max(rows, had[0]), max(-(-reach // GROW) * GROW, had[1])
            new_keys = keys.new_zeros(most, keys.shape[1], keys.shape[3], width)
            new_values = values.new_zeros(most, values.shape[1], width, values.shape[3])
            if self.keys is not None and self.values is not None:
                new_keys[: had[0], :, :, : had[1]] = self.keys
                new_values[: had[0], :, : had[1]] = self.values
            self.keys, self.values = new_keys, new_values
        return self.keys, self.values

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: `update` makes room."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.slots.reach, 0

    def get_seq_length(self) -> int:
        return self.slots.reach - self.slots.at.shape[1]

    def get_max_length(self) -> int:
        return -1


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **other: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention of one new token a row, (R, H, 1, D) to (R, 1, H, D); anything else is torch's own.

    The heads that share keys and values are one small matrix product, so these are read once.
    """
    rows, heads, new, size = query.shape
    if new != 1 or attention_mask is None or attention_mask.dtype == torch.bool or dropout:
        attended: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **other
        )
        return attended
    shared, reach = key.shape[1], key.shape[2]
    scale = 1 / math.sqrt(size) if scaling is None else scaling
    grouped = (query * scale).reshape(rows * shared, heads // shared, size)
    mask = attention_mask.expand(rows, shared, 1, reach).reshape(rows * shared, 1, reach)
    scores = torch.baddbmm(mask, grouped, key.flatten(0, 1).transpose(1, 2))
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return torch.bmm(weights, value.flatten(0, 1)).view(rows, 1, heads, value.shape[-1]), None


AttentionInterface.register(_ATTENTION, _attend)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
