"""What the trainings of heads share: learning rates for trunk and head, and how a training is finished."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ..models.headed import HeadedModel
from .checkpoint import TrainResult, write_card, write_record, writes
from .loop import Fit, fit
from .progress import Progress
from .settings import TrainSettings


class HeadSettings(TrainSettings):
    """`lr` is the trunk's, `head_lr` the head's."""

    epochs: float = Field(2.0, gt=0)
    tokens_per_batch: int = Field(4096, ge=1)
    lr: float = Field(1e-4, gt=0)
    head_lr: float = Field(1e-2, gt=0)
    freeze_trunk: bool = Field(False, description="train the head alone")


def fit_heads(
    model: HeadedModel,
    loss: nn.Module,
    rows: Sequence[Any],
    lengths: Sequence[int],
    collate: Callable[[list[Any]], dict[str, Tensor]],
    settings: HeadSettings,
    out: Path,
    progress: Progress,
) -> Fit:
    """Train a trunk and its head by `loss`, a module whose forward takes what `collate` makes."""
    model.trunk.requires_grad_(not settings.freeze_trunk)
    trunk = [] if settings.freeze_trunk else [{"params": list(model.trunk.parameters()), "lr": settings.lr}]
    return fit(
        loss,
        rows,
        lengths,
        collate,
        settings,
        out,
        progress,
        groups=[*trunk, {"params": list(model.head.parameters()), "lr": settings.head_lr}],
    )


def finish(
    model: HeadedModel,
    dtype: torch.dtype | None,
    settings: HeadSettings,
    whose: dict[str, Any],
    result: TrainResult,
    notes: list[str],
) -> TrainResult:
    """Write the model, its card and the record of the finished training."""
    model.trunk.config.use_cache = True
    if writes():
        model.save(result.folder, dtype)
    write_card(result.folder, settings, whose, result, notes)
    write_record(result.folder, whose, result)
    return result
