"""What every training run can be told (`--set key=value`)."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..models.packing import Shape


class CommonSettings(BaseModel):
    """Settings that all objectives share, on given rows or on rollouts; each has its own defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    init: str | None = Field(None, description="a checkpoint, a Hugging Face model folder or a hub name")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(0, ge=0)
    max_minutes: float | None = Field(
        None, gt=0, description="stop after so much wall time; the result then depends on the machine"
    )
    tokens_per_batch: int = Field(4096, ge=1, description="padded tokens per forward pass and device")
    lr: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(20, ge=0)
    decay: float = Field(0.3, ge=0, le=1, description="share of the run, at its end, that lowers lr to 0")
    weight_decay: float = Field(0.05, ge=0)


class TrainSettings(CommonSettings):
    """Settings of the objectives that learn from given rows."""

    epochs: float = Field(1.0, gt=0, description="passes over the rows")
    max_steps: int | None = Field(None, ge=1, description="optimiser steps; takes the place of epochs")
    pack: int | None = Field(
        None, ge=16, description="tokens of a row that several texts share; unset: a text a row, padded"
    )
    compile: bool = Field(False, description="compile the trunk; wants `pack`, so that shapes stay")
    attention: str | None = Field(
        None, description="sdpa, flash_attention_2, flex_attention, …; unset: the model's own"
    )
    recompute: bool = Field(False, description="gradient checkpointing: less memory, a third more work")
    workers: int = Field(0, ge=0, description="processes that collate batches; 0: the trainer's own")
    accumulate: int = Field(1, ge=1, description="batches per optimiser step")
    checkpoint_every: int = Field(500, ge=1, description="steps between checkpoints, from which it resumes")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_steps is not None and self.warmup_steps > self.max_steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} exceeds max_steps {self.max_steps}")
        if self.pack is not None and self.pack > self.tokens_per_batch:
            raise ValueError(f"pack {self.pack} exceeds tokens_per_batch {self.tokens_per_batch}")
        return self

    @property
    def packed_shape(self) -> Shape | None:
        """Rows and tokens of a packed batch; None where rows are padded."""
        return None if self.pack is None else (self.tokens_per_batch // self.pack, self.pack)


def names(value: Any) -> Any:
    """Comma-separated names as a list, for settings that hold several."""
    if value is None:
        return ()
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value
