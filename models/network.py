"""A causal LM with a step reward head: how likely it is that the chain of thought is still right.

A linear head on the hidden state learns how hard the rest of a problem is, not whether a step is right. So
the head reads the trunk's own log-probabilities of the step's tokens, and the hidden state only if asked to.

Shapes: B rows, T tokens, S steps, D hidden size, F features.
"""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..schemas import BadInput
from ..schemas.markup import THINK_START
from . import prompts as prompting
from .folder import load_model, load_tokenizer, local_folder, save_model, stored_dtype
from .sampling import token_scores
from .tokenizer import knows_tags

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Input = Literal["markup", "text"]
HEAD_FILE, CARD_FILE = "reward_head.safetensors", "cotmill.json"
_FLOOR = -20.0  # log-probabilities below it say no more
_TOKENS_AT_ONCE = 16384


@dataclass(frozen=True, slots=True)
class StepsRow:
    """A chain of thought to score: `ends[i]` is where step i ends in `text` (code points, exclusive).

    `text` is markup for a model whose `input` is "markup", else plain text.
    """

    question: str
    text: str
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EncodedSteps:
    """Tokens of a row: its last prompt token's index, and the index of each step's last token."""

    ids: list[int]
    prompt_end: int
    ends: list[int]

    def within(self, context: int) -> "EncodedSteps":
        """The row without what lies beyond the first `context` tokens."""
        return EncodedSteps(self.ids[:context], self.prompt_end, [e for e in self.ends if e < context])


class RewardHead(nn.Module):
    """Step logits from the log-probabilities of the tokens and, where `reads_state`, the hidden states.

    Of each step's tokens it takes the sum, mean and minimum of the log-probabilities, and the lowest sum and
    the lowest minimum of the steps so far: a step is scored as the end of its prefix. `reads_state` adds a
    linear map of the hidden state at the step's last token.
    """

    FEATURES = 5

    def __init__(self, hidden_size: int, reads_state: bool = False) -> None:
        super().__init__()
        self.features = nn.Linear(self.FEATURES, 1)
        self.state = nn.Linear(hidden_size, 1, bias=False) if reads_state else None
        nn.init.constant_(self.features.weight, 0.1)
        nn.init.constant_(self.features.bias, 1.0)
        if self.state is not None:
            nn.init.zeros_(self.state.weight)

    def forward(self, hidden: Tensor, scores: Tensor, prompt_end: Tensor, ends: Tensor) -> Tensor:
        """Logits (B, S).

        `hidden`: (B, T, D); `scores`: (B, T), of token t given those before; `prompt_end`: (B,);
        `ends`: (B, S), the last one repeated as padding.
        """
        starts = torch.cat([prompt_end[:, None], ends[:, :-1]], dim=-1)  # exclusive
        at = torch.arange(scores.shape[1], device=scores.device)
        inside = (at > starts[..., None]) & (at <= ends[..., None])  # (B, S, T)
        scores = scores.clamp(min=_FLOOR)
        total = torch.einsum("bst,bt->bs", inside.to(scores.dtype), scores)
        mean = total / inside.sum(-1).clamp(min=1)
        least = torch.where(inside, scores[:, None], 0.0).amin(-1)
        so_far = [total.cummin(-1).values, least.cummin(-1).values]
        logits: Tensor = self.features(torch.stack([total, mean, least, *so_far], dim=-1))[..., 0]  # (B, S)
        if self.state is None:
            return logits
        last = hidden.gather(1, ends[..., None].expand(-1, -1, hidden.shape[-1]))
        with_state: Tensor = logits + self.state(last.to(self.state.weight.dtype))[..., 0]
        return with_state


class RewardModel(nn.Module):
    """A process reward model: trunk, head, tokenizer, and whether it reads markup or plain text."""

    def __init__(
        self,
        trunk: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        head: RewardHead,
        input: Input,
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.tokenizer, self.input = trunk, head, tokenizer, input
        pad = tokenizer.pad_token_id
        self.pad = pad if pad is not None else 0
        self.context = getattr(trunk.config.get_text_config(), "max_position_embeddings", None) or 1 << 30

    @property
    def device(self) -> torch.device:
        return self.trunk.device

    @property
    def stored_dtype(self) -> torch.dtype | None:
        """The type that the trunk's weights were stored in, where its configuration says so."""
        return stored_dtype(self.trunk)

    @classmethod
    def open(
        cls,
        folder_or_name: str,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        *,
        reads_state: bool = False,
    ) -> Self:
        """A reward model where there is one (its head stays as it is), else a fresh head on a causal LM."""
        folder = local_folder(folder_or_name)
        if (folder / CARD_FILE).exists():
            return cls.load(folder, device, dtype)
        return cls.from_backbone(str(folder), device, dtype, reads_state=reads_state)

    @classmethod
    def from_backbone(
        cls,
        folder_or_name: str,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        *,
        reads_state: bool = False,
    ) -> Self:
        """A fresh head on a causal LM: a cotmill policy, any model folder, or a hub name; raises BadInput."""
        folder = local_folder(folder_or_name)
        trunk, tokenizer = load_model(folder, device, dtype), load_tokenizer(folder)
        head = RewardHead(trunk.config.get_text_config().hidden_size, reads_state).to(trunk.device)
        return cls(trunk, tokenizer, head, "markup" if knows_tags(tokenizer) else "text")

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", dtype: torch.dtype | None = None) -> Self:
        """Open what `save` wrote, or a hub name of it; raises BadInput for anything else."""
        place = local_folder(str(folder))
        input, reads_state = _read_card(place)
        model = cls.from_backbone(str(place), device, dtype, reads_state=reads_state)
        model.input = input
        try:
            model.head.load_state_dict(load_file(place / HEAD_FILE, device=str(model.device)))
        except (OSError, SafetensorError, RuntimeError) as e:
            raise BadInput("not the weights of a reward head", file=place / HEAD_FILE) from e
        return model.eval()

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a Hugging Face folder with the head and `cotmill.json` beside it.

        The trunk keeps its type unless `dtype` says another.
        """
        place = Path(folder)
        save_model(self.trunk, self.tokenizer, place, dtype)
        save_file({k: v.contiguous() for k, v in self.head.state_dict().items()}, place / HEAD_FILE)
        card = {"kind": "prm", "input": self.input, "reads_state": self.head.state is not None}
        (place / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    def encode(self, rows: Sequence[StepsRow]) -> list[EncodedSteps]:
        """Tokens of rows, with each step's last token found through the tokenizer's offsets.

        Nothing is cut: a row may be longer than the model's context. Raises ValueError for a step end that
        is outside its text or not after the one before.
        """
        heads = [prompting.prompt(self.tokenizer, row.question) for row in rows]
        if self.input == "markup":  # the markup brings its own <Think_Start>
            heads = [head.removesuffix(THINK_START) for head in heads]
        ids, spans = prompting.encode(
            self.tokenizer, [head + row.text for head, row in zip(heads, rows, strict=True)]
        )
        return [_locate(len(h), r, i, s) for h, r, i, s in zip(heads, rows, ids, spans, strict=True)]

    def collate(self, rows: Sequence[EncodedSteps]) -> dict[str, Tensor]:
        """Inputs of `forward` for rows with at least one step each, right-padded."""
        width, steps = max(len(r.ids) for r in rows), max(len(r.ends) for r in rows)
        return {
            "input_ids": torch.tensor([r.ids + [self.pad] * (width - len(r.ids)) for r in rows]),
            "attention_mask": torch.tensor([[1] * len(r.ids) + [0] * (width - len(r.ids)) for r in rows]),
            "prompt_end": torch.tensor([r.prompt_end for r in rows]),
            "ends": torch.tensor([r.ends + [r.ends[-1]] * (steps - len(r.ends)) for r in rows]),
        }

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        prompt_end: Tensor,
        ends: Tensor,
        targets: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Step logits (B, S) under "logits", and with `targets` (B, S) the cross-entropy under "loss".

        `targets` are probabilities in [0, 1]; a negative one has no label. The loss is a mean over labels.
        """
        out = self.trunk(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False, output_hidden_states=True
        )
        scores = token_scores(out.logits[:, :-1].float(), input_ids[:, 1:])
        logits = self.head(
            out.hidden_states[-1],
            nn.functional.pad(scores, (1, 0)),
            prompt_end,
            ends,
        ).float()
        if targets is None:
            return {"logits": logits}
        labelled = targets >= 0
        loss = nn.functional.binary_cross_entropy_with_logits(logits[labelled], targets[labelled].float())
        return {"loss": loss, "logits": logits}

    @torch.inference_mode()
    def score_steps(self, rows: Sequence[StepsRow]) -> list[list[float]]:
        """For each row the probability in [0, 1] that the chain of thought is right after each of its steps.

        NaN for a step that ends beyond the model's context. Batches are formed by length, so scores don't
        depend on the order of rows but for their last bits.
        """
        self.eval()
        encoded = self.encode(rows)
        out = [[float("nan")] * len(row.ends) for row in encoded]
        order = sorted((i for i, r in enumerate(encoded) if r.ends), key=lambda i: (len(encoded[i].ids), i))
        batch: list[tuple[int, EncodedSteps]] = []
        for i in order:
            row = encoded[i].within(self.context)
            if not row.ends:
                continue
            if batch and len(row.ids) * (len(batch) + 1) > _TOKENS_AT_ONCE:
                self._score(batch, out)
                batch = []
            batch.append((i, row))
        if batch:
            self._score(batch, out)
        return out

    def _score(self, batch: Sequence[tuple[int, EncodedSteps]], out: list[list[float]]) -> None:
        inputs = self.collate([row for _, row in batch])
        logits = self(**{k: v.to(self.device) for k, v in inputs.items()})
        for (i, row), scores in zip(batch, logits["logits"].sigmoid().tolist(), strict=True):
            out[i][: len(row.ends)] = scores[: len(row.ends)]


def _locate(head: int, row: StepsRow, ids: list[int], spans: Sequence[tuple[int, int]]) -> EncodedSteps:
    """A token belongs to a step when it starts before the step's end: it may reach into what follows."""
    if any(b <= a for a, b in pairwise((0, *row.ends))) or (row.ends and row.ends[-1] > len(row.text)):
        raise ValueError(f"step ends {row.ends} do not rise within a text of {len(row.text)} characters")
    starts = [start for start, _ in spans]
    return EncodedSteps(
        ids=ids,
        prompt_end=bisect_left(starts, head) - 1,
        ends=[bisect_left(starts, head + end) - 1 for end in row.ends],
    )


def _read_card(folder: Path) -> tuple[Input, bool]:
    path = folder / CARD_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BadInput(f"not a cotmill reward model: it has no {CARD_FILE}", file=folder) from e
    except ValueError as e:
        raise BadInput("not JSON", file=path) from e
    if not isinstance(card, dict) or card.get("kind") != "prm":
        raise BadInput("not that of a process reward model", file=path, field="kind")
    if card.get("input") not in ("markup", "text"):
        raise BadInput("must be markup or text", file=path, field="input")
    if not isinstance(card.get("reads_state"), bool):
        raise BadInput("must be true or false", file=path, field="reads_state")
    return card["input"], card["reads_state"]
