"""Outcome reward model (ORM): whether a whole trace ends right, from the outcomes in the `traces` table.

The rewards +1 and -1 are the targets 1 and 0 of a cross-entropy at the trace's last token (Cobbe et al. 2021,
arXiv 2110.14168); a trace longer than the model's context is left out whole.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, field_validator

from ..models.headed import Input, StepsRow
from ..models.network import OutcomeModel
from ..schemas import BadInput, Generator
from .checkpoint import TrainResult
from .heads import HeadSettings, HeadTask, train_heads
from .prm import Example, ExampleCodec, LabelledRow, StepLoss, collate, encode
from .progress import Progress
from .settings import names
from .tokens import depends_on, tokenised

_COLUMNS = ["question", "markup", "text", "reward", "generator"]


class ORMSettings(HeadSettings):
    """Which traces, and what the head reads."""

    reads_state: bool = Field(False, description="the head reads the hidden state beside log-probabilities")
    generators: tuple[Generator, ...] = Field((), description="empty: any")

    _names = field_validator("generators", mode="before")(names)


def train_orm(
    data: Path,
    out: Path,
    settings: ORMSettings,
    *,
    progress: Progress | None = None,
    fresh: bool = False,
) -> TrainResult:
    """Train an outcome reward model on the decided traces of a run's folder and write it to `out`.

    Starts from `settings.init`: a policy, any causal LM, or an outcome model to train on. Goes on where it
    was cut off. Raises BadInput where there is no `init`, `data` is no run's folder or holds no decided
    trace, or `out` holds something else.
    """

    def prepare(init: str, rows: Iterable[dict[str, Any]]) -> HeadTask:
        model = OutcomeModel.open(init, settings.device, torch.float32, reads_state=settings.reads_state)

        def build(left_out: Counter[str]) -> list[Example]:
            return encode(list(decided_rows(rows, model.input, settings, left_out)), model, left_out)

        whose = depends_on("orm", data, model.tokenizer, model.context, settings)
        examples = tokenised(whose | {"input": model.input}, ExampleCodec(), build)
        left_out, right = examples.left_out, examples.total("targets")
        if not examples:
            raise BadInput(f"holds no decided trace that can be used (left out: {left_out})", file=data)
        return HeadTask(
            model,
            StepLoss(model),
            examples,
            examples.lengths(),
            lambda batch: collate(batch, model, settings.packed_shape),
            len(examples),
            left_out,
            f"{len(examples):,} traces, {right:,.0f} of them right",
            [
                "An outcome reward model: the probability that a chain of thought ends in a right answer.",
                f"It reads {model.input}; rows are traces. Open it with `OutcomeModel.load`.",
            ],
        )

    reader = ("traces", _COLUMNS)
    return train_heads("orm", data, out, settings, reader, prepare, progress=progress, fresh=fresh)


def decided_rows(
    rows: Iterable[dict[str, Any]], input: Input, settings: ORMSettings, left_out: Counter[str]
) -> Iterator[LabelledRow]:
    """Decided traces as rows of one step each; what can't be used is counted in `left_out`."""
    wanted = {str(g) for g in settings.generators}
    for row in rows:
        text = row["markup"] if input == "markup" else row["text"]
        if row["reward"] is None:
            left_out["undecided"] += 1
        elif wanted and row["generator"] not in wanted:
            left_out["of another generator"] += 1
        elif not text:
            left_out["without acts" if row["text"] else "empty"] += 1
        else:
            yield LabelledRow(StepsRow(row["question"], text, (len(text),)), (float(row["reward"] > 0),))
