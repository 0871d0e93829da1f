"""Reward models: how likely it is that a chain of thought is still right (PRM), or ended right (ORM).

A linear head on the hidden state learns how hard the rest of a problem is, not whether a step is right. So
the head reads the trunk's own log-probabilities of the step's tokens, and the hidden state only if asked to.

Shapes: B rows, T tokens, S steps, D hidden size, F features.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..schemas import BadInput
from .folder import load_model, load_tokenizer, local_folder
from .headed import (
    CARD_FILE,
    FLOOR,
    HeadedModel,
    StepsRow,
    kind_of,
    read_card,
    span_features,
    states_at,
)
from .sampling import token_scores
from .tokenizer import knows_tags

_OPTIONS = ("reads_state", "weighs_tokens")


class RewardHead(nn.Module):
    """Step logits from the log-probabilities of the tokens and, where `reads_state`, the hidden states.

    Of each step's tokens it takes the sum, mean and minimum of the log-probabilities, and the lowest sum and
    the lowest minimum of the steps so far: a step is scored as the end of its prefix. `reads_state` adds a
    linear map of the hidden state at the step's last token. `squashed` sums enter as -log(1 - sum): a whole
    trace's is in the hundreds.

    With a `vocabulary` it learns how much each token's log-probability counts, and how much it is to be
    expected there (the entropy): to be surprised by a number is not to be surprised by a turn of phrase. The
    sum of all steps so far is a feature then, too, squashed.
    """

    FEATURES = 5

    def __init__(
        self, hidden_size: int, reads_state: bool = False, squashed: bool = False, vocabulary: int = 0
    ) -> None:
        super().__init__()
        self.squashed = squashed
        self.tokens = nn.Embedding(vocabulary, 2) if vocabulary else None
        self.features = nn.Linear(self.FEATURES + bool(vocabulary), 1)
        self.state = nn.Linear(hidden_size, 1, bias=False) if reads_state else None
        nn.init.constant_(self.features.weight, 0.1)
        nn.init.constant_(self.features.bias, 1.0)
        for zero in (self.state, self.tokens):
            if zero is not None:
                nn.init.zeros_(zero.weight)

    def score(self, logits: Tensor, ids: Tensor) -> Tensor:
        """What `forward` takes as `scores` (B, T), of tokens (B, T) and the logits (B, T, V) before them."""
        scores = token_scores(logits, ids)
        if self.tokens is None:
            return scores
        table = logits.log_softmax(-1)
        entropy = -(table.exp() * table).sum(-1)
        weights = self.tokens(ids)
        weighed: Tensor = scores.clamp(min=FLOOR) * (1 + weights[..., 0]) + entropy * weights[..., 1]
        return weighed

    def forward(self, hidden: Tensor, scores: Tensor, prompt_end: Tensor, ends: Tensor) -> Tensor:
        """Logits (B, S).

        `hidden`: (B, T, D); `scores`: (B, T), of token t given those before, as `score` makes them;
        `prompt_end`: (B,); `ends`: (B, S), the last one repeated as padding.
        """
        starts = torch.cat([prompt_end[:, None], ends[:, :-1]], dim=-1)  # exclusive
        total, mean, least = span_features(scores, starts, ends)
        if self.squashed:
            total = _squash(total)
        so_far = [total.cummin(-1).values, least.cummin(-1).values]
        if self.tokens is not None:
            so_far.append(_squash(total.cumsum(-1)))
        logits: Tensor = self.features(torch.stack([total, mean, least, *so_far], dim=-1))[..., 0]  # (B, S)
        if self.state is None:
            return logits
        read = states_at(hidden, ends).to(self.state.weight.dtype)
        with_state: Tensor = logits + self.state(read)[..., 0]
        return with_state


class RewardModel(HeadedModel):
    """A process reward model (PRM)."""

    kind: ClassVar[str] = "prm"
    head_file: ClassVar[str] = "reward_head.safetensors"
    squashed: ClassVar[bool] = False
    head: RewardHead

    @classmethod
    def open(
        cls,
        folder_or_name: str,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        *,
        reads_state: bool = False,
        weighs_tokens: bool = False,
    ) -> Self:
        """A model of this kind where there is one (its head stays as it is), else a fresh head on the LM."""
        folder = local_folder(folder_or_name)
        if kind_of(folder) == cls.kind:
            return cls.load(folder, device, dtype)
        return cls.from_backbone(
            str(folder), device, dtype, reads_state=reads_state, weighs_tokens=weighs_tokens
        )

    @classmethod
    def from_backbone(
        cls,
        folder_or_name: str,
        device: str = "auto",
        dtype: torch.dtype | None = None,
        *,
        reads_state: bool = False,
        weighs_tokens: bool = False,
    ) -> Self:
        """A fresh head on a causal LM: a cotmill policy, any model folder, or a hub name; raises BadInput."""
        folder = local_folder(folder_or_name)
        trunk, tokenizer = load_model(folder, device, dtype), load_tokenizer(folder)
        config = trunk.config.get_text_config()
        vocabulary = config.vocab_size if weighs_tokens else 0
        head = RewardHead(config.hidden_size, reads_state, cls.squashed, vocabulary).to(trunk.device)
        return cls(trunk, tokenizer, head, "markup" if knows_tags(tokenizer) else "text")

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", dtype: torch.dtype | None = None) -> Self:
        """Open what `save` wrote, or a hub name of it; raises BadInput for anything else."""
        place = local_folder(str(folder))
        card = read_card(place, cls.kind)
        told = dict(zip(_OPTIONS, (card.get("reads_state"), card.get("weighs_tokens", False)), strict=True))
        for field, value in told.items():
            if not isinstance(value, bool):
                raise BadInput("must be true or false", file=place / CARD_FILE, field=field)
        model = cls.from_backbone(str(place), device, dtype, **told)
        model.input = card["input"]
        model.load_head(place)
        return model.eval()

    def card(self) -> dict[str, Any]:
        told = (self.head.state is not None, self.head.tokens is not None)
        return super().card() | dict(zip(_OPTIONS, told, strict=True))

    def scores(self, logits: Tensor, ids: Tensor) -> Tensor:
        return self.head.score(logits, ids)

    def forward(
        self, prompt_end: Tensor, ends: Tensor, targets: Tensor | None = None, **texts: Tensor
    ) -> dict[str, Tensor]:
        """Step logits (B, S) under "logits", and with `targets` (B, S) the cross-entropy under "loss".

        `texts`: what `read` takes, padded or packed. `targets` are probabilities in [0, 1]; a negative one
        has no label. The loss is a mean over labels.
        """
        hidden, scores = self.read(**texts)
        logits = self.head(hidden, scores, prompt_end, ends).float()
        if targets is None:
            return {"logits": logits}
        labelled = targets >= 0
        loss = nn.functional.binary_cross_entropy_with_logits(logits[labelled], targets[labelled].float())
        return {"loss": loss, "logits": logits}

    @torch.inference_mode()
    def score_steps(self, rows: Sequence[StepsRow]) -> list[list[float]]:
        """For each row the probability in [0, 1] that the chain of thought is right after each of its steps.

        NaN for a step that ends beyond the model's context.
        """
        self.eval()
        encoded = self.encode(rows)
        out = [[float("nan")] * len(row.ends) for row in encoded]
        for indices, inputs in self.batches(encoded):
            scored = self(**inputs)["logits"].sigmoid().tolist()
            for i, scores in zip(indices, scored, strict=True):
                n = len(encoded[i].within(self.context).ends)
                out[i][:n] = scores[:n]
        return out


class OutcomeModel(RewardModel):
    """An outcome reward model (ORM): a trace is one step, scored at its end (Cobbe et al., 2110.14168)."""

    kind: ClassVar[str] = "orm"
    squashed: ClassVar[bool] = True

    def score_traces(self, traces: Sequence[tuple[str, str]]) -> list[float]:
        """For each (question, whole trace) the probability in [0, 1] that its answer is right.

        A trace is markup or text, as `input` says. NaN for one longer than the model's context, or empty.
        """
        rows = [StepsRow(question, text, (len(text),) if text else ()) for question, text in traces]
        return [scores[0] if scores else float("nan") for scores in self.score_steps(rows)]


def _squash(sums: Tensor) -> Tensor:
    """sign(x) log(1 + |x|)."""
    return sums.sign() * torch.log1p(sums.abs())
