"""The optimisation that all objectives share: transformers' Trainer over planned batches.

What is ours: batches by tokens, a schedule that also knows wall time, progress, and exact resumption.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from ..models.folder import pick_device
from ..models.packing import require_packing
from ..schemas import BadInput
from .batches import TokenBatches
from .progress import Progress, StepProgress
from .settings import CommonSettings, TrainSettings

CHECKPOINTS = "checkpoints"
_WEIGHTS = "pytorch_model.bin"  # the name under which Trainer looks for a state dict


@dataclass(frozen=True, slots=True)
class Fit:
    """What a training run did: optimiser steps, unpadded tokens, mean loss of its last tenth.

    `seconds` of this process's training, and of them those in which it waited for data.
    """

    steps: int
    tokens: int
    loss: float
    seconds: float
    waited: float


def fit(
    model: nn.Module,
    rows: Sequence[Any],
    lengths: Sequence[int],
    collate: Callable[[list[Any]], dict[str, Tensor]],
    settings: TrainSettings,
    out: Path,
    progress: Progress,
    *,
    trunk: PreTrainedModel,
    groups: Sequence[dict[str, Any]] | None = None,
) -> Fit:
    """Train `model` in place on `rows` (`lengths`: their tokens), going on from the last checkpoint in `out`.

    `trunk` is the language model in it. `groups` are the optimiser's parameter groups where they differ (each
    with its "params" and "lr"). On CPU two runs with the same settings and threads end with the same weights,
    interrupted or not, unless `max_minutes` cut them short. On CUDA it trains in bfloat16 with weights in
    float32. Raises BadInput where rows can't be packed as `settings` say, or the trunk has no such attention.
    """
    device = pick_device(settings.device)
    trunk.to(device)  # type: ignore[arg-type]  # its annotation binds no self
    _prepare(trunk, max(lengths), settings)
    arguments = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        num_train_epochs=1,  # the plan of batches is the whole run
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.lr,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        use_cpu=device.type == "cpu",
        bf16=device.type == "cuda",
        report_to="none",
        disable_tqdm=True,
        save_steps=settings.checkpoint_every,
        save_total_limit=1,
        accelerator_config={"even_batches": False},
        remove_unused_columns=False,
        dataloader_num_workers=settings.workers,
        log_level="error",
    )
    batches = TokenBatches(
        lengths,
        settings.tokens_per_batch,
        f"train {settings.seed}",
        epochs=settings.epochs,
        steps=settings.max_steps and settings.max_steps * settings.accumulate,
        world=arguments.world_size,
        pack=settings.pack,
    )
    arguments.logging_steps = min(10, max(1, len(batches) // (10 * settings.accumulate)))
    tokens = [sum(lengths[i] for i in batch) for batch in batches]
    shown = StepProgress(progress, tokens, settings.max_minutes)
    trainer = PlannedTrainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=rows,
        callbacks=[shown],
        batches=batches,
        groups=groups or [{"params": [p for p in model.parameters() if p.requires_grad]}],
        lr_factor=lambda step, steps: lr_factor(step, steps, settings, shown.elapsed),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_last_checkpoint(out / CHECKPOINTS))
    gather(model)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    last = losses[-max(1, len(losses) // 10) :]
    done = Fit(
        steps=trainer.state.global_step,
        tokens=shown.tokens(trainer.state.global_step * settings.accumulate * arguments.world_size),
        loss=sum(last) / len(last) if last else float("nan"),
        seconds=shown.elapsed,
        waited=trainer.waited,
    )
    progress.finished(done.steps, done.tokens, done.seconds, done.waited)
    return done


def gather(model: nn.Module) -> None:
    """Give the first process whole weights again where FSDP left each process a share of them.

    All processes must call it. The model of the others is of no use afterwards.
    """
    if not any(isinstance(p, DTensor) for p in model.parameters()):
        return
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    # Empty but in the first process.
    whole: dict[str, Any] = get_model_state_dict(model, options=options)
    made: dict[int, nn.Parameter] = {}  # tied weights stay tied
    for name, share in list(model.named_parameters(remove_duplicate=False)) if whole else []:
        made.setdefault(id(share), nn.Parameter(whole[name], requires_grad=share.requires_grad))
        module, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(module), own_name, made[id(share)])


def _prepare(trunk: PreTrainedModel, longest: int, settings: TrainSettings) -> None:
    """Make the trunk read and run as the settings say; raises BadInput where it cannot."""
    trunk.config.use_cache = False  # with a cache, transformers would read a packed row as one text
    flash = (settings.attention or trunk.config._attn_implementation or "").startswith("flash")
    if settings.packed_shape and settings.packed_shape[0] > 1 and flash:
        raise BadInput("flash attention packs a batch into one row: give tokens_per_batch", field="pack")
    if settings.attention is not None:
        try:
            trunk.set_attn_implementation(settings.attention)
        except (ValueError, ImportError) as e:
            raise BadInput(str(e).splitlines()[0], field="attention") from e
    if settings.pack is not None:
        if longest > settings.pack:
            raise BadInput(f"{settings.pack} is less than the longest text's {longest} tokens", field="pack")
        require_packing(trunk)
    if settings.recompute:
        trunk.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
    if settings.compile:
        trunk.compile()


def lr_factor(step: int, steps: int, settings: CommonSettings, elapsed: float) -> float:
    """Warm-up, then constant, then linear to 0 over the last share `decay` of steps, or of `max_minutes`.

    `elapsed` is in seconds.
    """
    done = step / steps
    if settings.max_minutes is not None:
        done = max(done, elapsed / (60 * settings.max_minutes))
    falling = min(1.0, max(0.0, 1 - done) / settings.decay) if settings.decay else 1.0
    return min(1.0, (step + 1) / (settings.warmup_steps + 1)) * falling


class PlannedTrainer(Trainer):
    """Trainer with a plan of batches, a schedule, and checkpoints of any module's float32 weights."""

    def __init__(
        self,
        *,
        batches: TokenBatches,
        groups: Sequence[dict[str, Any]],
        lr_factor: Callable[[int, int], float],
        **arguments: Any,
    ) -> None:
        self.batches, self.groups, self.lr_factor = batches, groups, lr_factor
        self.waited = 0.0
        super().__init__(**arguments)

    def get_train_dataloader(self) -> DataLoader[Any]:
        rows: Any = self.train_dataset
        loader: DataLoader[Any] = self.accelerator.prepare(
            DataLoader(
                rows,
                batch_sampler=self.batches,
                collate_fn=self.data_collator,
                num_workers=self.args.dataloader_num_workers,
                pin_memory=self.args.device.type == "cuda",
            )
        )
        return loader

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        return super().get_batch_samples(self._timed(epoch_iterator), num_batches, device)

    def _timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        while True:
            start = time.monotonic()
            batch = next(batches, None)
            self.waited += time.monotonic() - start
            if batch is None:
                return
            yield batch

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(
                list(self.groups),
                lr=self.args.learning_rate,
                betas=(0.9, 0.98),
                weight_decay=self.args.weight_decay,
                fused=True,
            )
        optimizer: torch.optim.Optimizer = self.optimizer
        return optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> LRScheduler:
        if self.lr_scheduler is None:
            tuned: Any = optimizer or self.optimizer
            self.lr_scheduler = LambdaLR(tuned, lambda step: self.lr_factor(step, num_training_steps))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        model: Any = self.model
        torch.save(state_dict or model.state_dict(), folder / _WEIGHTS)


def _last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint: Trainer writes its state last, so one without it was cut off."""
    found: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*/trainer_state.json"):
        try:
            found[json.loads(path.read_text(encoding="utf-8"))["global_step"]] = path.parent
        except (OSError, ValueError, KeyError):
            continue
    return str(found[max(found)]) if found else None
