"""Training speed on a GPU: SFT and PRM of randomly initialised decoders, from shards, packed.

    python benchmarks/train_gpu.py

Decoders of 0.5B and 1.5B parameters (Qwen2's shapes) are trained through `cotmill train`'s own functions on
the shards of long chains of thought: several problems of the seed families behind one another. Each training
runs twice, for N and for 3N steps, and the difference counts, so that loading and compiling cancel out. MFU
is the share of the device's dense bfloat16 peak that the model's own products take (Chowdhery et al. 2022,
arXiv 2204.02311, appendix B): 6 per token and weight, and attention within each text; what gradient
checkpointing computes again is not counted. The peak is the vendor's where it is known, and beside it stands
what a large product reaches on the device.

Without a CUDA device small decoders are trained on the CPU, and the result is empty.
"""

import json
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from cotmill.generators.families import seed_at
from cotmill.models.folder import load_tokenizer, save_model
from cotmill.pipelines.policies import EMBEDDED, model_path
from cotmill.schemas import Domain, Generator, Method, Origin, Outcome, Step, Trace, content_hash
from cotmill.schemas.ids import generator, rng_key
from cotmill.schemas.records import ActSpan
from cotmill.schemas.tables import Row, step_rows, table, trace_row
from cotmill.training.prm import PRMSettings, train_prm
from cotmill.training.progress import Progress
from cotmill.training.sft import SFTSettings, train_sft
from transformers import Qwen2Config, Qwen2ForCausalLM

CUDA = torch.cuda.is_available()
TRACES, PROBLEMS, STEPS = (3000, 32, 10) if CUDA else (60, 6, 2)
PACK, TOKENS = (4096, 16384) if CUDA else (1024, 2048)
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bfloat16, FLOP/s, by the vendor
SHAPES: dict[str, dict[str, int]] = {
    "0.5B": {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
             "intermediate_size": 4864, "vocab_size": 151936},
    "1.5B": {"hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12,
             "num_key_value_heads": 2, "intermediate_size": 8960, "vocab_size": 151936},
}  # fmt: skip
SMALL: dict[str, dict[str, int]] = {
    "small": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1,
              "intermediate_size": 176, "vocab_size": 512},
}  # fmt: skip


class Measured(Progress):
    """A training's tokens, seconds, and seconds of waiting for data."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.figures = (0, 0.0, 0.0)

    def finished(self, steps: int, tokens: int, seconds: float, waited: float) -> None:
        self.figures = (tokens, seconds, waited)


@dataclass(frozen=True)
class Speed:
    """Unpadded tokens per second, the share of the peak, and of the time that passed waiting for data."""

    tokens_per_s: float
    mfu: float
    waits: float


def long_trace(i: int) -> Trace:
    """Problems of the families and their thoughts, behind one another; the last answer is the trace's."""
    draw = generator(rng_key(0, f"trace {i}", "length"))
    text, acts, steps = "", list[ActSpan](), list[Step]()
    for seed in (seed_at(0, 40 * i + k) for k in range(int(draw.integers(2, PROBLEMS)))):
        at = len(text)
        text += seed.text + "\n"
        acts += [a.model_copy(update={"start": a.start + at, "end": a.end + at}) for a in seed.acts]
        steps.append(
            Step(start=at, end=len(text) - 1, origin=Origin.PROGRAM, n_rollouts=8,
                 n_correct=int(draw.integers(0, 9)), method=Method.ROLLOUTS)
        )  # fmt: skip
    return Trace(
        seed_id=content_hash(text), domain=Domain.MATH, question=seed.question, text=text[:-1],
        generator=Generator.FAMILY, steps=tuple(steps), acts=tuple(acts), answer=seed.answer,
        reference=seed.answer, outcome=Outcome.CORRECT, source=seed.source,
    )  # fmt: skip


def shards(folder: Path) -> tuple[Path, float]:
    """A run's folder of long traces; and the mean square of their lengths over the mean, in tokens."""
    traces = [long_trace(i) for i in range(TRACES)]
    tables: dict[str, list[Row]] = {
        "traces": [trace_row(t) for t in traces],
        "steps": [row for t in traces for row in step_rows(t)],
    }
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(table(name, rows), folder / name / "train-00000.parquet", row_group_size=512)
    (folder / "manifest.json").write_text("{}\n")
    tokenizer = load_tokenizer(Path(model_path(EMBEDDED, Path())))
    lengths = torch.tensor([len(tokenizer(str(r["markup"]))["input_ids"]) for r in tables["traces"]]).float()
    return folder, float(lengths.square().mean() / lengths.mean())


def decoder(folder: Path, shape: dict[str, int]) -> tuple[Path, Qwen2Config, int]:
    """A model folder with random weights, its configuration, and its weights that multiply, head included."""
    tokenizer = load_tokenizer(Path(model_path(EMBEDDED, Path())))
    config = Qwen2Config(**shape, max_position_embeddings=8192, tie_word_embeddings=True)
    model: Any = Qwen2ForCausalLM(config)
    weights = sum(p.numel() for p in model.parameters() if p.ndim == 2)  # tied: the embedding is the head
    save_model(model, tokenizer, folder, torch.bfloat16)
    return folder, config, weights


def flop_per_token(config: Qwen2Config, weights: int, span: float) -> float:
    """Forward and backward; attention sees half of a text on average, its length weighted by tokens."""
    width: int = config.num_hidden_layers * config.hidden_size
    return 6 * weights + 6 * width * span


def train(objective: str, init: Path, data: Path, out: Path, steps: int) -> tuple[int, float, float]:
    measured = Measured()
    given: dict[str, Any] = {
        "init": str(init), "max_steps": steps, "warmup_steps": 1, "pack": PACK, "tokens_per_batch": TOKENS,
        "recompute": CUDA, "compile": CUDA, "workers": 2 if CUDA else 0, "lr": 1e-5,
        "checkpoint_every": 10_000,
    }  # fmt: skip
    if objective == "sft":
        train_sft(data, out, SFTSettings.model_validate(given), progress=measured, fresh=True)
    else:
        train_prm(data, out, PRMSettings.model_validate(given), progress=measured, fresh=True)
    return measured.figures


def speed(objective: str, init: Path, data: Path, out: Path, flop: float, peak: float) -> Speed:
    few, many = (train(objective, init, data, out, n * STEPS) for n in (1, 3))
    tokens, seconds, waited = (b - a for a, b in zip(few, many, strict=True))
    rate = tokens / seconds
    return Speed(rate, rate * flop / peak, max(0.0, waited / seconds))


def product_peak(device: str) -> float:
    """FLOP/s of a large product on the device, as measured now; the best of five."""
    n, dtype = (8192, torch.bfloat16) if CUDA else (1024, torch.float32)
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        if CUDA:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 10 * 2 * n**3 / best


def main() -> None:
    device = "cuda" if CUDA else "cpu"
    name = torch.cuda.get_device_name() if CUDA else platform.machine()
    reached = product_peak(device)
    peak = next((p for known, p in PEAKS.items() if known in name), reached)
    print(f"{name}, torch {torch.__version__}; peak {peak / 1e12:,.3g} TFLOP/s,", end=" ")
    print(f"a product reaches {reached / peak:.0%} of it")
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        data, span = shards(Path(scratch) / "run")
        print(f"{TRACES:,} traces; {TOKENS:,} tokens a batch in rows of {PACK:,}")
        print(f"{'':<12}{'tokens/s':>10}{'MFU':>8}{'of a product':>14}{'waits for data':>16}")
        for size, shape in (SHAPES if CUDA else SMALL).items():
            init, config, weights = decoder(Path(scratch) / size, shape)
            for objective in ("sft", "prm"):
                flop = flop_per_token(config, weights, span)
                s = speed(objective, init, data, Path(scratch) / f"{size}-{objective}", flop, peak)
                shares = f"{s.mfu:>8.1%}{s.mfu * peak / reached:>14.1%}{s.waits:>16.2%}"
                print(f"{size:<6}{objective:<6}{s.tokens_per_s:>10,.0f}{shares}", flush=True)
                result |= {f"mfu_{objective}": round(s.mfu, 4), "data_wait": round(s.waits, 5)}
    print("RESULT", json.dumps(result if CUDA else {}))


if __name__ == "__main__":
    main()
