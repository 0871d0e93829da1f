"""Tiny, randomly initialised models, made once per test session."""

from pathlib import Path

import pytest
import torch
from cotmill.models.tokenizer import train_tokenizer
from cotmill.schemas import Inventory
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXTS = ["Compute 12 + 34.", "<Think_Start><ACT_Calculate_Start>12 + 34 = 46.<ACT_Calculate_End><Think_End>"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tag_tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS * 3, Inventory.load(), vocab_size=400)


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory, tag_tokenizer: PreTrainedTokenizerFast) -> Path:
    """A Llama-type decoder with the tag tokenizer; sharp enough that samples repeat now and then."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tag_tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=1,
        intermediate_size=48,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    tag_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 with absolute positions (a context of 48), and a byte tokenizer that knows no tags."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate(["<|end|>", *alphabet])}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=len(vocabulary),
        n_positions=48,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-gpt2"
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
