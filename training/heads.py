"""What the trainings of heads share: learning rates, and the way from data to checkpoint."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ..models.headed import HeadedModel
from ..schemas import BadInput
from .checkpoint import TrainResult, identity, open_folder, write_card, write_record, writes
from .loop import fit
from .progress import Progress
from .reader import ShardReader
from .settings import TrainSettings


class HeadSettings(TrainSettings):
    """`lr` is the trunk's, `head_lr` the head's."""

    epochs: float = Field(2.0, gt=0)
    tokens_per_batch: int = Field(4096, ge=1)
    lr: float = Field(1e-4, gt=0)
    head_lr: float = Field(1e-2, gt=0)
    freeze_trunk: bool = Field(False, description="train the head alone")


@dataclass(frozen=True, slots=True)
class HeadTask:
    """A model and what its trunk and head are trained on.

    `loss`: a module whose forward takes what `collate` makes of `rows`; `lengths`: their tokens. `used`: the
    labels in them, as the result counts rows. `summary`: a line for the terminal; `notes`: for the card.
    """

    model: HeadedModel
    loss: nn.Module
    rows: Sequence[Any]
    lengths: Sequence[int]
    collate: Callable[[list[Any]], dict[str, Tensor]]
    used: int
    left_out: dict[str, int]
    summary: str
    notes: list[str]


def train_heads(
    objective: str,
    data: Path,
    out: Path,
    settings: HeadSettings,
    reader: tuple[str, Sequence[str]],
    prepare: Callable[[str, Iterable[dict[str, Any]]], HeadTask],
    *,
    progress: Progress | None,
    fresh: bool,
) -> TrainResult:
    """Train what `prepare` makes of `settings.init` and of the rows of a run's folder; write it to `out`.

    `reader`: the table and its columns. Goes on where it was cut off. Raises BadInput where there is no
    `init`, where `data` is no run's folder, where `out` holds something else, or what `prepare` raises.
    """
    progress = progress or Progress()
    if settings.init is None:
        raise BadInput("heads need a trunk: give --init", field="init")
    rows = ShardReader(data, *reader)
    whose = identity(objective, data, settings)
    if (finished := open_folder(out, whose, fresh=fresh)) is not None:
        progress.note(f"{out} is finished already")
        return finished
    torch.manual_seed(settings.seed)
    task = prepare(settings.init, rows.rows())
    model, dtype = task.model, task.model.stored_dtype
    progress.note(task.summary)
    model.trunk.requires_grad_(not settings.freeze_trunk)
    trunk = [] if settings.freeze_trunk else [{"params": list(model.trunk.parameters()), "lr": settings.lr}]
    groups = [*trunk, {"params": list(model.head.parameters()), "lr": settings.head_lr}]
    done = fit(
        task.loss,
        task.rows,
        task.lengths,
        task.collate,
        settings,
        out,
        progress,
        trunk=model.trunk,
        groups=groups,
    )
    result = TrainResult(out, task.used, task.left_out, done.steps, done.tokens, done.loss)
    model.trunk.config.use_cache = True
    if writes():
        model.save(out, dtype)
    write_card(out, settings, whose, result, task.notes)
    write_record(out, whose, result)
    return result
