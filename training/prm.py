"""Process reward model (PRM): the value of every step prefix, from the `steps` table.

Targets are hard labels, or success ratios where the number of rollouts was fixed. A label sits on the
step's last token, found through the tokenizer's offsets; no separator token, and none is lost unseen.

The loss is the cross-entropy of each step, and on demand that of pairs: of two steps of one problem, or of
one prefix, the better must score higher (Bradley and Terry 1952, doi 10.2307/2334029).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ..models.headed import EncodedSteps, Input, StepsRow
from ..models.network import RewardModel
from ..models.packing import Shape
from ..schemas import BadInput
from ..schemas.labels import agreed
from .checkpoint import TrainResult
from .heads import HeadSettings, HeadTask, train_heads
from .progress import Progress
from .tokens import depends_on, tokenised

_COLUMNS = ["trace_id", "index", "question", "prefix", "step", "markup", "q", "hard", "judge"]
_UNLABELLED = -1.0


Ranking = Literal["none", "problem", "prefix"]


class PRMSettings(HeadSettings):
    """What the head reads, what it is drawn to, and which steps are compared."""

    reads_state: bool = Field(False, description="the head reads the hidden state beside log-probabilities")
    weighs_tokens: bool = Field(False, description="the head learns what each token's probability tells")
    token_decay: float = Field(1e-3, ge=0, description="times the squares of these weights, in the loss")
    targets: Literal["soft", "hard"] = Field("hard", description="soft: success ratios where they are known")
    consensus: bool = Field(
        False, description="only traces on whose first error the rollouts and the judge agree"
    )
    ranking: Ranking = Field("none", description="compare the steps of one problem, or of one prefix")
    ranking_weight: float = Field(1.0, ge=0, description="of the pairs, beside the steps' cross-entropy")
    step_weight: float = Field(1.0, ge=0, description="of the cross-entropy; 0: ranking alone")

    @model_validator(mode="after")
    def _unpacked_pairs(self) -> Self:
        if self.pack is not None and self.ranking != "none":
            raise ValueError("steps to be ranked share a batch of their own: not with pack")
        return self


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A trace and the targets of its steps, in [0, 1], in the order of `row.ends`.

    `parents`: the text that each step was added to; steps of one question with one parent are siblings.
    """

    row: StepsRow
    targets: tuple[float, ...]
    parents: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled row as tokens. Steps with equal `groups` are compared in ranking."""

    question: str
    tokens: EncodedSteps
    targets: list[float]
    groups: list[int]


class ExampleCodec:
    """Examples as rows of the token cache."""

    schema = pa.schema(
        {
            "question": pa.string(),
            "ids": pa.list_(pa.int32()),
            "prompt_end": pa.int32(),
            "ends": pa.list_(pa.int32()),
            "targets": pa.list_(pa.float64()),
            "groups": pa.list_(pa.int64()),
        }
    )

    def to_row(self, example: Example) -> dict[str, Any]:
        kept = {"question": example.question, "targets": example.targets, "groups": example.groups}
        return kept | asdict(example.tokens)

    def of_row(self, row: dict[str, Any]) -> Example:
        tokens = EncodedSteps(row["ids"].tolist(), row["prompt_end"], row["ends"].tolist())
        return Example(row["question"], tokens, row["targets"].tolist(), row["groups"].tolist())


class StepLoss(nn.Module):
    """A reward model and its loss: of steps, and of pairs within a group."""

    def __init__(
        self,
        model: RewardModel,
        step_weight: float = 1.0,
        ranking_weight: float = 0.0,
        token_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.model, self.step_weight, self.ranking_weight = model, step_weight, ranking_weight
        self.token_decay = token_decay

    def forward(self, targets: Tensor, groups: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """`targets`: (B, S), negative without a label; `groups`: (B, S)."""
        out: dict[str, Tensor] = self.model(targets=targets, **inputs)
        loss = self.step_weight * out["loss"]
        if self.ranking_weight:
            labelled = targets >= 0
            pairs = ranking_loss(out["logits"][labelled], targets[labelled], groups[labelled])
            loss = loss + self.ranking_weight * pairs
        if self.model.head.tokens is not None:
            loss = loss + self.token_decay * self.model.head.tokens.weight.square().sum()
        return {"loss": loss, "logits": out["logits"]}


def ranking_loss(logits: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """-log sigmoid(better - worse) over the pairs of a group, weighted by how far apart their targets are.

    All (N,). 0 where there is no pair.
    """
    weights = (targets[:, None] - targets).clamp(min=0) * (groups[:, None] == groups)  # (N, N)
    losses = nn.functional.softplus(logits - logits[:, None])
    return (weights * losses).sum() / weights.sum().clamp(min=1e-6)


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

    def prepare(init: str, rows: Iterable[dict[str, Any]]) -> HeadTask:
        model = RewardModel.open(
            init,
            settings.device,
            torch.float32,
            reads_state=settings.reads_state,
            weighs_tokens=settings.weighs_tokens,
        )

        def build(left_out: Counter[str]) -> list[Example]:
            steps = agreeing(rows, left_out) if settings.consensus else rows
            labelled = list(labelled_rows(steps, model.input, settings.targets, left_out))
            examples = encode(labelled, model, left_out, settings.ranking)
            used, given = (sum(len(x.targets) for x in xs) for xs in (examples, labelled))
            assert used + left_out["beyond the context"] == given, "a label was lost"
            return examples

        whose = depends_on("prm", data, model.tokenizer, model.context, settings)
        examples = tokenised(whose | {"input": model.input}, ExampleCodec(), build)
        left_out, used = examples.left_out, sum(examples.lengths("ends"))
        if not examples:
            raise BadInput(f"holds no labelled step that can be used (left out: {left_out})", file=data)
        ranked = settings.ranking != "none" and settings.ranking_weight
        bundles = bundled(examples, settings.tokens_per_batch) if ranked else []
        return HeadTask(
            model,
            StepLoss(
                model,
                settings.step_weight,
                settings.ranking_weight if ranked else 0.0,
                settings.token_decay,
            ),
            bundles or examples,
            [max(len(e.tokens.ids) for e in b) * len(b) for b in bundles] or examples.lengths(),
            lambda batch: collate(
                [e for bundle in batch for e in bundle] if ranked else batch, model, settings.packed_shape
            ),
            used,
            left_out,
            f"{used:,} labelled steps in {len(examples):,} sequences",
            [
                "A process reward model: the probability that a chain of thought is right so far, by step.",
                f"It reads {model.input}; rows are labelled steps. Open it with `RewardModel.load`.",
            ],
        )

    reader = ("steps", _COLUMNS)
    return train_heads("prm", data, out, settings, reader, prepare, progress=progress, fresh=fresh)


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
    traces: dict[str, tuple[str, dict[str, tuple[float, str]]]] = {}
    for row in rows:
        target = _target(row, targets)
        text = row["markup"] if input == "markup" else row["prefix"]
        if target is None:
            left_out["without a label"] += 1
        elif not text:
            left_out["without acts"] += 1
        else:
            parent = row["prefix"].removesuffix(row.get("step") or row["prefix"])
            traces.setdefault(row["trace_id"], (row["question"], {}))[1][text] = target, parent
    for question, prefixes in traces.values():
        while prefixes:
            longest = max(prefixes, key=len)
            own = sorted((p for p in prefixes if longest.startswith(p)), key=len)
            labels, parents = zip(*(prefixes.pop(p) for p in own), strict=True)
            yield LabelledRow(StepsRow(question, longest, tuple(map(len, own))), labels, parents)


def agreeing(rows: Iterable[dict[str, Any]], left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """The steps of traces whose first error is the same by their hard labels and by their judge.

    Steps of the others, and of traces without a judge, are counted in `left_out`.
    """
    traces: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        traces.setdefault(row["trace_id"], []).append(row)
    for steps in traces.values():
        steps.sort(key=lambda row: row["index"])
        judges = [row["judge"] and row["judge"]["label"] for row in steps]
        if agreed([row["hard"] for row in steps], [j > 0 if j else None for j in judges]):
            yield from steps
        else:
            left_out["without consensus"] += len(steps)


def encode(
    rows: list[LabelledRow], model: RewardModel, left_out: Counter[str], ranking: Ranking = "none"
) -> list[Example]:
    """Rows as tokens; a label beyond the model's context is left out and counted.

    Examples of one question stand together, in the order in which the questions first appear.
    """
    examples: dict[str, list[Example]] = {}
    groups: dict[tuple[str, str], int] = {}
    for row, tokens in zip(rows, model.encode([r.row for r in rows]), strict=True):
        kept = tokens.within(model.context)
        left_out["beyond the context"] += len(tokens.ends) - len(kept.ends)
        if kept.ends:
            n, question = len(kept.ends), row.row.question
            parents = row.parents[:n] if ranking == "prefix" else [""] * n
            own = [groups.setdefault((question, parent), len(groups)) for parent in parents]
            examples.setdefault(question, []).append(Example(question, kept, list(row.targets[:n]), own))
    left_out += Counter()  # drops counts of zero
    return [e for same in examples.values() for e in same]


def bundled(examples: Iterable[Example], budget: int) -> list[list[Example]]:
    """Examples that must share a batch to be compared: those of one question, up to `budget` padded tokens.

    What exceeds it makes another bundle: pairs are lost then, never labels.
    """
    bundles: list[list[Example]] = []
    for _, same in groupby(examples, key=lambda e: e.question):
        bundle: list[Example] = []
        for e in sorted(same, key=lambda e: len(e.tokens.ids)):
            if bundle and len(e.tokens.ids) * (len(bundle) + 1) > budget:
                bundles.append(bundle)
                bundle = []
            bundle.append(e)
        bundles.append(bundle)
    return bundles


def collate(batch: list[Example], model: RewardModel, packed: Shape | None = None) -> dict[str, Tensor]:
    """Inputs of `StepLoss`: `targets` and `groups` (B, S), -1 where there is no step."""
    inputs = model.collate([e.tokens for e in batch], packed)
    steps = inputs["ends"].shape[1]
    targets = [e.targets + [_UNLABELLED] * (steps - len(e.targets)) for e in batch]
    groups = [e.groups + [-1] * (steps - len(e.groups)) for e in batch]
    return inputs | {"targets": torch.tensor(targets), "groups": torch.tensor(groups)}


def _target(row: dict[str, Any], targets: Literal["soft", "hard"]) -> float | None:
    if targets == "soft" and row["q"] is not None:
        return float(row["q"])
    return None if row["hard"] is None else float(row["hard"])
