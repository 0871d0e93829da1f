"""Texts that share a row see themselves alone: packed and padded, a model reads the same."""

from typing import Any

import pytest
import torch
from cotmill.models.packing import bins, pack, require_packing
from cotmill.schemas import BadInput
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
)

SIZES = st.lists(st.integers(1, 24), min_size=1, max_size=60)


@given(SIZES)
def test_bins_hold_every_text_once_and_none_overflows(lengths: list[int]) -> None:
    found = bins(lengths, 24)
    assert sorted(i for row in found for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 24 for row in found)
    filled = sorted(sum(lengths[i] for i in row) for row in found)
    assert len(filled) < 2 or filled[0] + filled[1] > 24  # else they would share a row


@given(SIZES, st.randoms())
def test_rows_in_any_order_fit_the_shape_of_their_bins(lengths: list[int], random: Any) -> None:
    rows = bins(lengths, 24)
    random.shuffle(rows)
    texts = [[i + 1] * lengths[i] for row in rows for i in row]
    packed = pack(texts, (len(rows), 24), 0)
    ids, positions = packed["input_ids"].flatten(), packed["position_ids"].flatten()
    for text, at in zip(texts, packed["at"], strict=True):
        assert ids[at[: len(text)]].tolist() == text
        assert positions[at[: len(text)]].tolist() == list(range(len(text)))
    assert int((ids != 0).sum()) == sum(lengths)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit a row of 8"):
        bins([9], 8)
    with pytest.raises(ValueError, match="do not fit 1 rows of 8"):
        pack([[1] * 5, [2] * 5], (1, 8), 0)


SMALL: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SMALL),
        Qwen2Config(**SMALL),
        MistralConfig(**SMALL, sliding_window=5),
        GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=64),
    ],
    ids=lambda c: c.model_type,
)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_text_is_read_as_if_it_were_alone(config: PreTrainedConfig, attention: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    require_packing(model)
    texts = [[(7 * i + j) % 50 for j in range(3 + 2 * i)] for i in range(6)]
    packed = pack(texts, (2, 30), 0)
    at = packed.pop("at")
    model.eval()
    logits = model(**packed, use_cache=False).logits.flatten(0, 1)
    for text, places in zip(texts, at, strict=True):
        alone = model(input_ids=torch.tensor([text]), use_cache=False).logits[0]
        assert torch.allclose(logits[places[: len(text)]], alone, atol=1e-5)


def test_a_model_that_reads_on_across_the_boundary_is_refused() -> None:
    torch.manual_seed(0)
    config = MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, state_size=4)
    with pytest.raises(BadInput, match="as one text"):
        require_packing(AutoModelForCausalLM.from_config(config))
