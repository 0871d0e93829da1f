"""Run by `torchrun`: a step of a sharded model, then whole weights in the first process, ties kept."""

import sys

import torch
import torch.distributed as dist
from cotmill.training.loop import gather
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM

dist.init_process_group("gloo")
torch.manual_seed(0)
config = LlamaConfig(
    vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, tie_word_embeddings=True,
)  # fmt: skip
model = LlamaForCausalLM(config)
before = {name: weight.clone() for name, weight in model.state_dict().items()}
for layer in model.model.layers:
    fully_shard(layer)
fully_shard(model)
assert all(isinstance(p, DTensor) for p in model.parameters())
ids = torch.arange(10)[None]
model(input_ids=ids, labels=ids).loss.backward()
gather(model)
if dist.get_rank() == 0:
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    model.save_pretrained(sys.argv[1])
dist.barrier()
dist.destroy_process_group()
