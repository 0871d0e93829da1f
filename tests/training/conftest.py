"""A small run's folder, written by hand: sums, some of them wrong, with labelled steps."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from cotmill.schemas import (
    ActSpan,
    Domain,
    Generator,
    Method,
    Origin,
    Outcome,
    Source,
    Step,
    Trace,
    content_hash,
)
from cotmill.schemas.tables import Row, step_rows, table, trace_row

N_TRACES = 60


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def trace(i: int) -> Trace:
    """`a + b = c.` and `The answer is c.`; every third sum is 0, and its steps are labelled wrong."""
    a, b = 10 + i % 37, 20 + i % 23
    right = i % 3 != 2
    c = a + b if right else 0
    lines = (f"{a} + {b} = {c}.", f"The answer is {c}.")
    text = "\n".join(lines)
    spans = ((0, len(lines[0])), (len(lines[0]) + 1, len(text)))
    n_correct = (8 - i % 3, 8) if right else (0, 0)
    question = f"Compute {a} + {b}."
    return Trace(
        seed_id=content_hash(question),
        domain=Domain.MATH,
        question=question,
        text=text,
        generator=Generator.FAMILY if i % 2 else Generator.COMPLETION,
        steps=tuple(
            Step(
                start=start, end=end, origin=Origin.PROGRAM, n_rollouts=8, n_correct=n, method=Method.ROLLOUTS
            )
            for (start, end), n in zip(spans, n_correct, strict=True)
        ),
        acts=tuple(
            ActSpan(start=start, end=end, act=act)
            for (start, end), act in zip(spans, ("Calculate", "Answer"), strict=True)
        ),
        answer=str(c),
        reference=str(a + b),
        outcome=Outcome.CORRECT if right else Outcome.WRONG,
        source=Source(name="sums", row=i, licence="Apache-2.0"),
    )


@pytest.fixture(scope="session")
def make_trace() -> Callable[[int], Trace]:
    return trace


def write_run(folder: Path, traces: list[Trace]) -> Path:
    tables: dict[str, list[Row]] = {
        "traces": [trace_row(t) for t in traces],
        "steps": [row for t in traces for row in step_rows(t)],
    }
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True)
        half = len(rows) // 2
        for i, part in enumerate((rows[:half], rows[half:])):
            pq.write_table(table(name, part), folder / name / f"train-{i:05d}.parquet", row_group_size=16)
        pq.write_table(table(name, rows[:2]), folder / name / "validation-00000.parquet")
    (folder / "manifest.json").write_text(f'{{"traces": {len(traces)}}}\n')
    return folder


@pytest.fixture(scope="session")
def make_run() -> Callable[[Path, list[Trace]], Path]:
    return write_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read it, do not write into it."""
    return write_run(tmp_path_factory.mktemp("data") / "sums", [trace(i) for i in range(N_TRACES)])


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory, run_folder: Path) -> Path:
    """A decoder trained on the sums for a moment. Read it, do not write into it."""
    from cotmill.training.progress import Progress
    from cotmill.training.sft import SFTSettings, train_sft

    out = tmp_path_factory.mktemp("ckpt") / "policy"
    settings = SFTSettings(width=32, layers=2, context=128, epochs=12, device="cpu", tokens_per_batch=512)
    train_sft(run_folder, out, settings, progress=Progress(quiet=True))
    return out
