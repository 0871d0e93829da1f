"""Progress of a training run on stderr: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_PLAIN_EVERY_S = 10.0


class Progress:
    """Where a training run says what it does. `quiet` says nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)

    def finished(self, steps: int, tokens: int, seconds: float, waited: float) -> None:
        """Say how a training went: its tokens, and the seconds, of all, that it waited for data."""
        self.note(f"{steps:,} steps, {tokens:,} tokens; waited for data {waited / max(seconds, 1e-9):.1%}")


class StepProgress(TrainerCallback):
    """Shows steps, tokens per second, loss and time left; stops the run after `max_minutes`."""

    def __init__(
        self, progress: Progress, tokens_per_batch: Sequence[int], max_minutes: float | None
    ) -> None:
        self.progress = progress
        self.limit = None if max_minutes is None else 60 * max_minutes
        self._cumulated = [0, *accumulate(tokens_per_batch)]
        self._start = self._shown = time.monotonic()
        self._told: float | None = None
        self._first = 0
        self._loss: float | None = None
        self._bar: Bar | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since training began, by the first process's clock where several must agree."""
        return time.monotonic() - self._start if self._told is None else self._told

    def tokens(self, batches: int) -> int:
        """Tokens of the first so many batches."""
        return self._cumulated[min(batches, len(self._cumulated) - 1)]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._start = self._shown = time.monotonic()
        self._first = state.global_step
        if self._first:
            self.progress.note(f"going on after step {self._first} of {state.max_steps}")
        if self.progress.console.is_terminal and state.is_world_process_zero:
            self._bar = Bar(
                TextColumn("training"),
                BarColumn(),
                TextColumn("step {task.completed}/{task.total}  {task.fields[facts]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.progress.console,
            )
            self._bar.add_task("training", total=state.max_steps, completed=self._first, facts="")
            self._bar.start()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.limit is not None and args.world_size > 1:
            now = torch.tensor(time.monotonic() - self._start, device=args.device)
            torch.distributed.broadcast(now, 0)
            self._told = float(now)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        self._loss = (logs or {}).get("loss", self._loss)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.limit is not None and self.elapsed >= self.limit:
            control.should_training_stop = True
        if not state.is_world_process_zero:
            return
        per_step = args.gradient_accumulation_steps * args.world_size
        tokens = self.tokens(state.global_step * per_step) - self.tokens(self._first * per_step)
        facts = f"{tokens / max(self.elapsed, 1e-9):,.0f} tokens/s"
        if self._loss is not None:
            facts += f"  loss {self._loss:.4f}"
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step, facts=facts)
        elif time.monotonic() - self._shown >= _PLAIN_EVERY_S:
            self._shown = time.monotonic()
            steps = state.global_step - self._first
            left = self.elapsed / steps * (state.max_steps - state.global_step)
            if self.limit is not None:
                left = min(left, self.limit - self.elapsed)
            self.progress.note(
                f"step {state.global_step}/{state.max_steps}  {facts}  about {left:.0f} s left"
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
