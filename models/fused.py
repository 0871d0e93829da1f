"""The decode step of a small Llama-type model on a CPU, without the overhead of its modules.

Decoding a small model row by row is bound by what happens between the matrix products. Here the projections
that read the same input are one product each, and nothing else is done twice. The numbers are those of the
model's own forward pass up to rounding (tests/models/test_fused.py).

Shapes: R rows, H heads, K key/value heads, D head size, T cached positions.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .slots import Slots

_ARCHITECTURES = {"llama", "mistral", "qwen2"}
_ROPE = {"default", "linear", "llama3"}  # their angles do not depend on how long a sequence has become
_LARGEST = 1 << 26  # parameters: above it, products alone count, and a copy of the weights is dear


class FusedDecoder:
    """One decode step over slots. Holds its own copy of some weights: make a new one when these change."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self.model: Any = model
        config = model.config
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        self.eps = config.rms_norm_eps
        self.layers = [_weights(layer) for layer in self.model.model.layers]
        self.size = self.layers[0][0].shape[0] // (self.heads + 2 * self.shared)
        self.angles = torch.empty(2, 0, self.size)

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether this model is one whose step is written here."""
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
            and sum(p.numel() for p in model.parameters()) <= _LARGEST
        )

    def step(self, slots: "Slots", ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (R, V) after one new token a row: `ids` (R, 1) at `slots.at`, `mask` (R, 1, 1, T)."""
        rows, heads, shared, size = len(ids), self.heads, self.shared, self.size
        cos, sin = self._rotation(slots.at[:, 0], slots.reach)
        mask = mask[:, 0].expand(rows, shared, slots.reach).reshape(rows * shared, 1, slots.reach)
        half = size // 2
        h = F.embedding(ids[:, 0], self.model.model.embed_tokens.weight)
        for index, (qkv, qkv_bias, o, gate_up, down, before, after) in enumerate(self.layers):
            x = F.linear(F.rms_norm(h, before.shape, before, self.eps), qkv, qkv_bias)
            x = x.view(rows, heads + 2 * shared, size)
            turned, values = x[:, : heads + shared], x[:, heads + shared :]
            a, b = turned[..., :half], turned[..., half:]
            turned = torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
            keys, values = slots.put(index, turned[:, heads:, None], values[:, :, None])
            query = turned[:, :heads].reshape(rows * shared, heads // shared, size)
            scores = torch.baddbmm(mask, query, keys.flatten(0, 1).transpose(1, 2), alpha=size**-0.5)
            seen = torch.bmm(scores.softmax(-1), values.flatten(0, 1)).view(rows, heads * size)
            h = torch.addmm(h, seen, o.t())
            gate, up = F.linear(F.rms_norm(h, after.shape, after, self.eps), gate_up).chunk(2, -1)
            h = torch.addmm(h, F.silu(gate).mul_(up), down.t())
        norm = self.model.model.norm.weight
        logits: Tensor = self.model.lm_head(F.rms_norm(h, norm.shape, norm, self.eps))
        return logits

    def _rotation(self, at: Tensor, reach: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines (R, 1, D/2) of these positions."""
        if self.angles.shape[1] < reach:
            every = torch.arange(2 * reach)[None]
            self.angles = torch.stack(self.model.model.rotary_emb(self.angles, every))[:, 0]
        half = self.angles[:, at, : self.size // 2]
        return half[0, :, None], half[1, :, None]


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
