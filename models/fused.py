"""A small Llama-type model on a CPU, without the overhead of its modules.

Decoding a small model row by row is bound by what happens between the matrix products, and by the reading of
keys and values. Here the projections that read the same input are one product each, the rest is compiled
(`decode.c`), a row looks at as many positions as it has, and rows that begin alike read one beginning, which
nobody copies. The numbers are the model's own up to rounding (tests/models/test_engine.py).

Shapes: N new tokens of R rows, H heads, K key/value heads, D head size, C context, W width of the tails,
V vocabulary.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .kernels import TILE, WIDE, Kernels, kernels
from .slots import GROW, Beginning, Prefix, RowLengths
from .work import Work

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ARCHITECTURES = {"llama", "mistral", "qwen2"}
_ROPE = {"default", "linear", "llama3"}  # their angles do not depend on how long a sequence has become
_LARGEST = 1 << 26  # parameters: above it, products alone count, and a copy of the weights is dear


class FusedDecoder:
    """A model's weights as they are read here. Holds copies of some: make a new one when these change."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self.model: Any = model
        config: Any = model.config
        self.heads, self.shared, self.size = _shape(config)
        self.eps: float = config.rms_norm_eps
        self.layers = [_weights(layer) for layer in self.model.model.layers]
        compiled = kernels(self.heads, self.shared, self.size)
        if compiled is None:
            raise RuntimeError("no compiled kernels: ask FusedDecoder.fits first")
        self.kernels: Kernels = compiled
        self._angles = torch.empty(2, 0, self.size // 2)

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether this model is one whose step is written here, and this machine can compile it."""
        config: Any = model.config
        rope = getattr(config, "rope_parameters", None) or {}
        return (
            config.model_type in _ARCHITECTURES
            and model.device.type == "cpu"
            and model.dtype == torch.float32
            and config.hidden_act == "silu"
            and not getattr(config, "mlp_bias", False)
            and model.model.layers[0].self_attn.o_proj.bias is None
            and rope.get("rope_type", "default") in _ROPE
            and "partial_rotary_factor" not in rope
            and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
            and getattr(config, "sliding_window", None) is None
            and config.hidden_size % WIDE == 0
            and config.intermediate_size % WIDE == 0
            and sum(p.numel() for p in model.parameters()) <= _LARGEST
            and kernels(*_shape(config)) is not None
        )

    def angles(self, reach: int) -> Tensor:
        """Cosines and sines (2, at least `reach`, D/2) of the positions."""
        if self._angles.shape[1] < reach:
            cos, sin = self.model.model.rotary_emb(self._angles, torch.arange(2 * reach)[None])
            self._angles = torch.stack([cos[0], sin[0]])[..., : self.size // 2].contiguous()
        return self._angles


class FusedSlots(RowLengths):
    """Memory for the rows of one batch: a beginning that rows may share, and a tail of each row's own.

    As `slots.Slots`; each new token looks back by itself.
    """

    def __init__(self, decoder: FusedDecoder, work: Work | None = None) -> None:
        self.decoder, self.work = decoder, work or Work()
        self.lengths = torch.zeros(0, dtype=torch.long)
        self._begun: list[Prefix | None] = []  # keeps alive what the addresses below point to
        self._beginnings = torch.zeros(len(decoder.layers), 0, 5, dtype=torch.long)
        shared, size = decoder.shared, decoder.size
        empty = torch.zeros(0, shared, size, 0), torch.zeros(0, shared, 0, size)
        self._tails = [empty for _ in decoder.layers]

    def fill(self, rows: Sequence[int], begun: Sequence[Beginning]) -> None:
        """Give each of these slots, in use or next in line, what it begins with."""
        at, more = self._seat(rows, begun)
        self._beginnings = F.pad(self._beginnings, (0, 0, 0, more))
        self._begun += [None] * more
        where = [self._addresses(prefix, length) for prefix, length in begun]
        self._beginnings[:, at] = torch.tensor(where).transpose(0, 1)
        for row, (prefix, _) in zip(rows, begun, strict=True):
            self._begun[row] = prefix

    def _addresses(self, prefix: Prefix | None, length: int) -> list[list[int]]:
        """What the kernel is told of a beginning, by layer."""
        layers = prefix.layers if prefix is not None and length else (None,) * len(self.decoder.layers)
        return [
            [layer[0].data_ptr(), layer[1].data_ptr(), layer[0].shape[2], layer[1].shape[1], length]
            if layer
            else [0] * 5
            for layer in layers
        ]

    def move(self, to: Sequence[int], source: Sequence[int]) -> None:
        """Copy rows into other slots."""
        a, b = torch.tensor(to), torch.tensor(source)
        grown = int((self.lengths - self._beginnings[0, :, 4])[b].max())
        self.lengths[a] = self.lengths[b]
        self._beginnings[:, a] = self._beginnings[:, b]
        for keys, values in self._tails:
            keys[a, :, :, :grown] = keys[b, :, :, :grown]
            values[a, :, :grown] = values[b, :, :grown]
        for i, j in zip(to, source, strict=True):
            self._begun[i] = self._begun[j]

    def keep(self, rows: int) -> None:
        """Give up the slots from `rows` on."""
        super().keep(rows)
        self._beginnings = self._beginnings[:, :rows]
        del self._begun[rows:]

    def take(self, row: int, ids: tuple[int, ...]) -> Prefix:
        """The keys and values of a row's first tokens, which are `ids`."""
        begun, used, n = self._begun[row], int(self._beginnings[0, row, 4]), len(ids)
        layers = []
        for index, (keys, values) in enumerate(self._tails):
            k = keys.new_zeros(*keys.shape[1:3], -(-n // TILE) * TILE)
            v = values.new_empty(values.shape[1], n, values.shape[3])
            if begun is not None and (first := begun.layers[index]) is not None:
                k[:, :, :used], v[:, :used] = first[0][:, :, :used], first[1][:, :used]
            k[:, :, used:n], v[:, used:] = keys[row, :, :, : n - used], values[row, :, : n - used]
            layers.append((k, v))
        return Prefix(ids, tuple(layers))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (R, V) after one new token a row, `ids` (R, 1); `lengths` are left as they are."""
        return self._logits(self._hidden(ids[:, 0], torch.arange(len(ids)), self.lengths))

    def read(self, rows: Sequence[Sequence[int]]) -> None:
        """Compute keys and values of each row's new tokens; `lengths` are left as they are."""
        self._hidden(*self._flat(rows))

    def score(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Logits (N, V) after each of the N new tokens, row by row."""
        return self._logits(self._hidden(*self._flat(rows)))

    def _flat(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
        """The new tokens of all rows, with the row and the position of each, (N,) all three."""
        sizes = torch.tensor([len(row) for row in rows])
        row = torch.arange(len(rows)).repeat_interleave(sizes)
        first = (sizes.cumsum(0) - sizes - self.lengths).repeat_interleave(sizes)
        return torch.tensor([i for ids in rows for i in ids]), row, torch.arange(len(row)) - first

    def _hidden(self, ids: Tensor, row: Tensor, position: Tensor) -> Tensor:
        """What the layers make (N, hidden size) of tokens (N,) in these rows, at these positions."""
        decoder, new = self.decoder, len(ids)
        run, eps = decoder.kernels, decoder.eps
        heads, size = decoder.heads, decoder.size
        self.work.computed += new
        self._make_room(self.rows, int((position - self._beginnings[0, row, 4]).max()) + 1)
        reach = int(position.max()) + 1
        angles = decoder.angles(reach)
        scratch = torch.empty(heads // decoder.shared, reach + 3 * TILE)
        seen = torch.empty(new, heads * size)
        h: Tensor = F.embedding(ids, decoder.model.model.embed_tokens.weight)
        x = torch.empty_like(h)
        for index, (qkv, bias, o, gate_up, down, before, after) in enumerate(decoder.layers):
            projected = F.linear(run.norm(h, before, eps, x), qkv, bias)
            keys, values = self._tails[index]
            run.attend(projected, row, position, angles, self._beginnings[index], keys, values, scratch, seen)
            h = torch.addmm(h, seen, o.t())
            gates = F.linear(run.norm(h, after, eps, x), gate_up)
            h = torch.addmm(h, run.gate(gates, torch.empty(new, gates.shape[1] // 2)), down.t())
        return h

    def _logits(self, h: Tensor) -> Tensor:
        model = self.decoder.model
        logits: Tensor = model.lm_head(
            self.decoder.kernels.norm(h, model.model.norm.weight, self.decoder.eps, torch.empty_like(h))
        )
        return logits

    def _make_room(self, rows: int, grown: int) -> None:
        had, _, width, _ = self._tails[0][1].shape
        if rows > had or grown > width:
            more, wider = max(rows - had, 0), max(-(-grown // GROW) * GROW - width, 0)
            self._tails = [
                (F.pad(keys, (0, wider, *[0] * 5, more)), F.pad(values, (0, 0, 0, wider, *[0] * 3, more)))
                for keys, values in self._tails
            ]


def _shape(config: Any) -> tuple[int, int, int]:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_attention_heads, config.num_key_value_heads, size


def _weights(layer: Any) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor, Tensor]:
    attention, mlp = layer.self_attn, layer.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    biases = [p.bias for p in projections if p.bias is not None]
    return (
        torch.cat([p.weight for p in projections]),
        torch.cat(biases) if biases else None,
        attention.o_proj.weight,
        torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]),
        mlp.down_proj.weight,
        layer.input_layernorm.weight,
        layer.post_attention_layernorm.weight,
    )
