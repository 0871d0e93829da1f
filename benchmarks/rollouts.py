"""A labelling job: 24 solutions of the embedded policy, K rollouts from every step prefix.

    python benchmarks/rollouts.py

Beside the engine: transformers' own `generate`, one call per prefix with `num_return_sequences`, on the same
model, temperature and prompts (on a part of them that gives a rate); and the machine's own bound, the time of
the job's matrix products if nothing else is done, those of the attention, which read the keys and values,
among them. One torch thread per process; the best of three rounds of each, interleaved. On a CUDA device,
where there is one, the engine runs there once more.
"""

import argparse
import json
import multiprocessing as mp
import os
import platform
import re
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import torch
from cotmill.generators.families import seed_at
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import SampleRequest
from cotmill.models.work import Work
from cotmill.schemas.markup import THINK_START
from transformers import AutoModelForCausalLM

SOLUTIONS, ROUNDS, LIMIT, TEMPERATURE = 24, 3, 256, 0.7
PEER_ROLLOUTS = 1000
MODEL = str(files("cotmill.models") / "embedded")


def job(policy: LocalPolicy, k: int) -> list[SampleRequest]:
    """K rollouts from every step's end of 24 solutions, the last one's excepted."""
    seeds = [seed_at(11, i, levels=(2, 3), heldout=True) for i in range(SOLUTIONS)]
    asked = [
        SampleRequest(policy.prompt(s.question), f"solution {i}", max_tokens=LIMIT, temperature=TEMPERATURE)
        for i, s in enumerate(seeds)
    ]
    requests = []
    for i, (seed, [solution]) in enumerate(zip(seeds, policy.sample(asked), strict=True)):
        ends = [m.end() for m in re.finditer(r"<ACT_\w+_End>", solution.text)][:-1]
        for end in ends:
            prompt = policy.prompt(seed.question, THINK_START + solution.text[:end])
            requests.append(SampleRequest(prompt, f"{i}/{end}", k, LIMIT, TEMPERATURE))
    return requests


def generate(model: Any, policy: LocalPolicy, requests: list[SampleRequest]) -> int:
    """transformers' way; returns the tokens drawn."""
    tokens, pad = 0, policy.tokenizer.pad_token_id
    for request in requests:
        ids = policy.tokenizer(request.prompt, return_tensors="pt").input_ids
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=request.temperature,
            top_k=0,
            num_return_sequences=request.n,
            max_new_tokens=request.max_tokens,
            pad_token_id=pad,
        )
        tokens += int((out[:, ids.shape[1] :] != pad).sum())
    return tokens


def bound(policy: LocalPolicy, work: Work, mean_length: int) -> float:
    """Seconds that the job's matrix products take by themselves, at the batch that the engine decodes with.

    Each weight matrix by each computed token; and, for each token sampled, the products that read the keys
    and values of a mean context, of all layers in turn, so that they come from where they would come from.
    """
    rows, model = policy.batch_rows, policy.model
    config: Any = model.config
    head: Any = model.get_output_embeddings()
    matrices = [p.detach() for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    like: Any = {"device": model.device, "dtype": model.dtype}
    inputs = [(torch.randn(rows, w.shape[1], **like), w) for w in (*matrices, head.weight.detach())]
    groups, size = rows * config.num_key_value_heads, config.head_dim
    each = config.num_attention_heads // config.num_key_value_heads
    query = torch.randn(groups, each, size, **like)
    weights = torch.rand(groups, each, mean_length, **like)
    layers = range(config.num_hidden_layers)
    keys = [torch.randn(groups, size, mean_length, **like) for _ in layers]
    values = [torch.randn(groups, mean_length, size, **like) for _ in layers]

    def products() -> None:
        for x, w in inputs:
            torch.nn.functional.linear(x, w)

    def attention() -> None:
        for k, v in zip(keys, values, strict=True):
            torch.bmm(query, k)
            torch.bmm(weights, v)

    with torch.inference_mode():
        product, read = best_of(20, products), best_of(20, attention)
    return (work.prefilled + work.sampled + work.scored) / rows * product + work.sampled / rows * read


def best_of(n: int, call: Callable[[], Any]) -> float:
    times = []
    for _ in range(n):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def half(part: int, k: int, barrier: Any, times: Any) -> None:
    """One of two processes: every second prefix."""
    torch.set_num_threads(1)
    policy = LocalPolicy.load(MODEL, device="cpu")
    requests = job(policy, k)[part::2]
    policy.sample(requests[:4])
    for _ in range(ROUNDS):
        barrier.wait()
        start = time.perf_counter()
        policy.sample(requests)
        times.put(time.perf_counter() - start)
        barrier.wait()


def two_processes(k: int) -> float:
    """Seconds until the slower of two processes has done its half."""
    context = mp.get_context("spawn")
    barrier, times = context.Barrier(2), context.Queue()
    both = [context.Process(target=half, args=(part, k, barrier, times)) for part in range(2)]
    for process in both:
        process.start()
    took = [times.get() for _ in range(2 * ROUNDS)]
    for process in both:
        process.join()
    return min(max(took[i : i + 2]) for i in range(0, len(took), 2))


def measure(policy: LocalPolicy, k: int, peer: Any = None) -> tuple[float, float, float]:
    """Engine, peer (a model of transformers') and bound, on one job.

    Returns rollouts per second, their share of the bound, and how many times the peer's they are.
    """
    requests = job(policy, k)
    n = sum(r.n for r in requests)
    some = requests[:: -(-n // PEER_ROLLOUTS)]  # enough of them for a rate
    policy.sample(requests[:4])
    engine, theirs, generated = [], [], 0
    for _ in range(ROUNDS):
        before = policy.work + Work()
        start = time.perf_counter()
        samples = policy.sample(requests)
        engine.append(time.perf_counter() - start)
        if peer is not None:
            torch.manual_seed(0)
            start = time.perf_counter()
            generated = generate(peer, policy, some)
            theirs.append(time.perf_counter() - start)
    work = policy.work - before
    lengths = [
        (len(policy.tokenizer(r.prompt).input_ids) + s.tokens / 2, s.tokens)
        for r, row in zip(requests, samples, strict=True)
        for s in row
    ]
    mean = sum(length * tokens for length, tokens in lengths) / sum(tokens for _, tokens in lengths)
    seconds, limit = min(engine), bound(policy, work, round(mean))
    print(f"\nK = {k}: {len(requests)} prefixes, {n} rollouts of {work.sampled / n:.1f} tokens")
    print(f"{'engine':>12} {n / seconds:>9.1f} rollouts/s {work.sampled / seconds:>9.0f} tokens/s")
    times = 0.0
    if peer is not None:
        slow = sum(r.n for r in some) / min(theirs)
        print(f"{'generate':>12} {slow:>9.1f} rollouts/s {generated / min(theirs):>9.0f} tokens/s")
        times = n / seconds / slow
    print(f"{'bound':>12} {n / limit:>9.1f} rollouts/s; the engine is at {limit / seconds:.1%} of it")
    print(f"occupancy {work.occupancy:.1%}, prefix reuse {work.reuse:.1%}, wasted {work.waste:.1%}")
    return n / seconds, limit / seconds, times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--k", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--no-peer", action="store_true", help="without transformers' generate")
    parser.add_argument("--no-pair", action="store_true", help="without the two processes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}")
    policy = LocalPolicy.load(MODEL, device="cpu")
    peer = None if args.no_peer else AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    results: dict[str, float] = {}
    rates = {}
    for k in args.k:
        rates[k], share, times = measure(policy, k, peer)
        results |= {f"speedup_k{k}": round(times, 2)} if peer is not None else {}
        results |= {"bound_fraction" if k == args.k[0] else f"bound_fraction_k{k}": round(share, 3)}
    if not args.no_pair:
        k = args.k[0]
        n = sum(r.n for r in job(policy, k))
        results["two_processes"] = round(n / two_processes(k) / rates[k], 2)
        print(f"\ntwo processes: {results['two_processes']:.2f} times one")
    if torch.cuda.is_available():
        print(f"\n{torch.cuda.get_device_name()}")
        on_gpu = LocalPolicy.load(MODEL, device="cuda")
        measure(on_gpu, args.k[-1])
    print("RESULT", json.dumps(results))


if __name__ == "__main__":
    main()
