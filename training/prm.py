"""Process reward model (PRM): the value of every step prefix, from the `steps` table.

Targets are hard labels, or success ratios where the number of rollouts was fixed. A label sits on the
step's last token, found through the tokenizer's offsets; no separator token, and none is lost unseen.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..models.network import EncodedSteps, Input, RewardModel, StepsRow
from ..schemas import BadInput
from .checkpoint import TrainResult, identity, open_folder, write_card, write_record
from .loop import fit
from .progress import Progress
from .reader import ShardReader
from .settings import TrainSettings

_COLUMNS = ["trace_id", "question", "prefix", "markup", "q", "hard"]
_UNLABELLED = -1.0


class PRMSettings(TrainSettings):
    """`lr` is the trunk's, `head_lr` the head's."""

    epochs: float = Field(2.0, gt=0)
    tokens_per_batch: int = Field(4096, ge=1)
    lr: float = Field(1e-4, gt=0)
    head_lr: float = Field(1e-2, gt=0)
    freeze_trunk: bool = Field(False, description="train the head alone")
    reads_state: bool = Field(False, description="the head reads the hidden state beside log-probabilities")
    targets: Literal["soft", "hard"] = Field("hard", description="soft: success ratios where they are known")


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A trace and the targets of its steps, in [0, 1], in the order of `row.ends`."""

    row: StepsRow
    targets: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled row as tokens."""

    tokens: EncodedSteps
    targets: list[float]


def train_prm(
    data: Path,
    out: Path,
    settings: PRMSettings,
    *,
    progress: Progress | None = None,
    fresh: bool = False,
) -> TrainResult:
    """Train a reward model on the labelled steps of a run's folder and write it to `out`.

    Starts from `settings.init`: a policy, any causal LM, or a reward model to train on. Goes on where it was
    cut off. Raises BadInput where there is no `init`, `data` is no run's folder or holds no labels, or
    `out` holds something else.
    """
    progress = progress or Progress()
    if settings.init is None:
        raise BadInput("a reward model needs a trunk: give --init", field="init")
    reader = ShardReader(data, "steps", _COLUMNS)
    whose = identity("prm", data, settings)
    if (finished := open_folder(out, whose, fresh=fresh)) is not None:
        progress.note(f"{out} is finished already")
        return finished
    torch.manual_seed(settings.seed)
    model = RewardModel.open(settings.init, settings.device, torch.float32, reads_state=settings.reads_state)
    dtype = model.stored_dtype
    left_out: Counter[str] = Counter()
    rows = list(labelled_rows(reader.rows(), model.input, settings.targets, left_out))
    examples = encode(rows, model, left_out)
    if not examples:
        raise BadInput(f"holds no labelled step that can be used (left out: {dict(left_out)})", file=data)
    labels = sum(len(e.targets) for e in examples)
    progress.note(f"{labels:,} labelled steps in {len(examples):,} sequences")
    model.trunk.requires_grad_(not settings.freeze_trunk)
    trunk = [] if settings.freeze_trunk else [{"params": list(model.trunk.parameters()), "lr": settings.lr}]
    done = fit(
        model,
        examples,
        [len(e.tokens.ids) for e in examples],
        lambda batch: collate(batch, model),
        settings,
        out,
        progress,
        groups=[*trunk, {"params": list(model.head.parameters()), "lr": settings.head_lr}],
    )
    result = TrainResult(out, labels, dict(left_out), done.steps, done.tokens, done.loss)
    model.trunk.config.use_cache = True
    model.save(out, dtype)
    notes = [
        "A process reward model: the probability that a chain of thought is still right after each step.",
        f"It reads {model.input}; rows are labelled steps. Open it with `RewardModel.load`.",
    ]
    write_card(out, settings, whose, result, notes)
    write_record(out, whose, result)
    return result


def labelled_rows(
    rows: Iterable[dict[str, Any]],
    input: Input,
    targets: Literal["soft", "hard"],
    left_out: Counter[str],
) -> Iterator[LabelledRow]:
    """The steps of each trace as one row: prefixes of the longest prefix share its sequence.

    Rows of one trace may stand anywhere in `rows`, in any order; traces come in order of first appearance.
    What can't be used is counted in `left_out`.
    """
    traces: dict[str, tuple[str, dict[str, float]]] = {}
    for row in rows:
        target = _target(row, targets)
        text = row["markup"] if input == "markup" else row["prefix"]
        if target is None:
            left_out["without a label"] += 1
        elif not text:
            left_out["without acts"] += 1
        else:
            traces.setdefault(row["trace_id"], (row["question"], {}))[1][text] = target
    for question, prefixes in traces.values():
        while prefixes:
            longest = max(prefixes, key=len)
            own = sorted((p for p in prefixes if longest.startswith(p)), key=len)
            ends = tuple(len(p) for p in own)
            yield LabelledRow(StepsRow(question, longest, ends), tuple(prefixes.pop(p) for p in own))


def encode(rows: list[LabelledRow], model: RewardModel, left_out: Counter[str]) -> list[Example]:
    """Rows as tokens; a label beyond the model's context is left out and counted."""
    examples = []
    for row, tokens in zip(rows, model.encode([r.row for r in rows]), strict=True):
        kept = tokens.within(model.context)
        left_out["beyond the context"] += len(tokens.ends) - len(kept.ends)
        if kept.ends:
            examples.append(Example(kept, list(row.targets[: len(kept.ends)])))
    left_out += Counter()  # drops counts of zero
    return examples


def collate(batch: list[Example], model: RewardModel) -> dict[str, Tensor]:
    """Inputs of the model's forward, with `targets` (B, S); -1 where there is no step."""
    inputs = model.collate([e.tokens for e in batch])
    steps = inputs["ends"].shape[1]
    padded = [e.targets + [_UNLABELLED] * (steps - len(e.targets)) for e in batch]
    return inputs | {"targets": torch.tensor(padded)}


def _target(row: dict[str, Any], targets: Literal["soft", "hard"]) -> float | None:
    if targets == "soft" and row["q"] is not None:
        return float(row["q"])
    return None if row["hard"] is None else float(row["hard"])
