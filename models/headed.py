"""A causal LM with a head: what the reward models and the policy/value network have in common.

All heads read positions in a chain of thought: the ends of its steps, of the whole of it, or of searched
prefixes. They read the trunk's hidden state there, and its own log-probabilities of the tokens before.

Shapes: B rows, T tokens, S positions, D hidden size.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..schemas import ActSpan, BadInput
from ..schemas.markup import THINK_START, marked_steps
from . import prompts as prompting
from .folder import save_model, stored_dtype
from .packing import Shape, pack
from .sampling import token_scores

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Input = Literal["markup", "text"]
CARD_FILE = "cotmill.json"
_IN_WORDS = {
    "prm": "a process reward model",
    "orm": "an outcome reward model",
    "policy-value": "a policy/value network",
}
FLOOR = -20.0  # log-probabilities below it say no more
_TOKENS_AT_ONCE = 16384


@dataclass(frozen=True, slots=True)
class StepsRow:
    """A chain of thought to read: `ends[i]` is where step i ends in `text` (code points, exclusive).

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


class HeadedModel(nn.Module):
    """A trunk, its tokenizer, a head, and whether it reads markup or plain text.

    Saved as a Hugging Face folder of the trunk, with the head's weights and a card (`cotmill.json`) beside.
    """

    kind: ClassVar[str]
    head_file: ClassVar[str]
    first_end: ClassVar[int] = 1
    """The least end of a row's first position: 0 where the empty chain of thought is one."""

    def __init__(
        self, trunk: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", head: nn.Module, input: Input
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

    def card(self) -> dict[str, Any]:
        """What is needed to make the head again, beside its weights."""
        return {"kind": self.kind, "input": self.input}

    def save(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a Hugging Face folder with the head and `cotmill.json` beside it.

        The trunk keeps its type unless `dtype` says another.
        """
        place = Path(folder)
        save_model(self.trunk, self.tokenizer, place, dtype)
        save_file({k: v.contiguous() for k, v in self.head.state_dict().items()}, place / self.head_file)
        (place / CARD_FILE).write_text(json.dumps(self.card(), indent=2) + "\n", encoding="utf-8")

    def load_head(self, folder: Path) -> None:
        """Take the head's weights from a folder that `save` wrote; raises BadInput for any other."""
        path = folder / self.head_file
        try:
            self.head.load_state_dict(load_file(path, device=str(self.device)))
        except (OSError, SafetensorError, RuntimeError) as e:
            raise BadInput("not the weights of this head", file=path) from e

    def row(self, question: str, text: str, acts: Sequence[ActSpan], ends: Sequence[int]) -> StepsRow:
        """A chain of thought whose steps end at `ends` in its text, as this model reads it.

        Raises MarkupError where an act crosses a step's end, or text stands outside all acts.
        """
        if self.input == "text":
            return StepsRow(question, text, tuple(ends))
        if acts:
            return StepsRow(question, *marked_steps(text, acts, ends))
        return StepsRow(question, THINK_START + text, tuple(len(THINK_START) + end for end in ends))

    def encode(self, rows: Sequence[StepsRow]) -> list[EncodedSteps]:
        """Tokens of rows, with each step's last token found through the tokenizer's offsets.

        Nothing is cut: a row may be longer than the model's context. Raises ValueError for a step end that
        is outside its text or not after the one before.
        """
        for row in rows:
            at = (self.first_end - 1, *row.ends)
            if any(b <= a for a, b in pairwise(at)) or at[-1] > len(row.text):
                raise ValueError(
                    f"step ends {row.ends} do not rise within a text of {len(row.text)} characters"
                )
        heads = [prompting.prompt(self.tokenizer, row.question) for row in rows]
        if self.input == "markup":  # the markup brings its own <Think_Start>
            heads = [head.removesuffix(THINK_START) for head in heads]
        ids, spans = prompting.encode(
            self.tokenizer, [head + row.text for head, row in zip(heads, rows, strict=True)]
        )
        return [_locate(len(h), r, i, s) for h, r, i, s in zip(heads, rows, ids, spans, strict=True)]

    def collate(self, rows: Sequence[EncodedSteps], packed: Shape | None = None) -> dict[str, Tensor]:
        """Inputs of `forward` for rows with at least one step each, right-padded, or packed in one shape."""
        steps = max(len(r.ends) for r in rows)
        texts = [r.ids for r in rows]
        return (padded(texts, self.pad) if packed is None else pack(texts, packed, self.pad)) | {
            "prompt_end": torch.tensor([r.prompt_end for r in rows]),
            "ends": torch.tensor([r.ends + [r.ends[-1]] * (steps - len(r.ends)) for r in rows]),
        }

    def scores(self, logits: Tensor, ids: Tensor) -> Tensor:
        """What the head reads of tokens (B, T) and the logits (B, T, V) before them: log-probabilities."""
        return token_scores(logits, ids)

    def read(self, input_ids: Tensor, at: Tensor | None = None, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The trunk's last hidden states (B, T, D), and the `scores` (B, T) of its input; 0 at first.

        With `at` (B, T) the input is packed: `at` says where each text's tokens are (`models.packing`).
        """
        out = self.trunk(input_ids=input_ids, **inputs, use_cache=False, output_hidden_states=True)
        hidden = out.hidden_states[-1]
        scores = nn.functional.pad(self.scores(out.logits[:, :-1].float(), input_ids[:, 1:]), (1, 0))
        return (hidden, scores) if at is None else (hidden.flatten(0, 1)[at], scores.flatten()[at])

    def batches(self, encoded: Sequence[EncodedSteps]) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Indices of rows and their inputs on the model's device, in batches formed by length.

        Positions beyond the context are left off, and rows without any left out. Results don't depend on
        the order of rows but for their last bits.
        """
        order = sorted((i for i, r in enumerate(encoded) if r.ends), key=lambda i: (len(encoded[i].ids), i))
        batch: list[tuple[int, EncodedSteps]] = []
        for i in order:
            row = encoded[i].within(self.context)
            if not row.ends:
                continue
            if batch and len(row.ids) * (len(batch) + 1) > _TOKENS_AT_ONCE:
                yield self._inputs(batch)
                batch = []
            batch.append((i, row))
        if batch:
            yield self._inputs(batch)

    def _inputs(self, batch: Sequence[tuple[int, EncodedSteps]]) -> tuple[list[int], dict[str, Tensor]]:
        inputs = self.collate([row for _, row in batch])
        return [i for i, _ in batch], {k: v.to(self.device) for k, v in inputs.items()}


def padded(texts: Sequence[Sequence[int]], pad: int) -> dict[str, Tensor]:
    """ "input_ids" and "attention_mask" (B, T), right-padded."""
    width = max(map(len, texts))
    return {
        "input_ids": torch.tensor([[*text, *[pad] * (width - len(text))] for text in texts]),
        "attention_mask": torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts]),
    }


def span_features(scores: Tensor, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum, mean and minimum (B, S each) of the log-probabilities (B, T) of the tokens in (start, end].

    `starts`, `ends`: (B, S). Log-probabilities are cut at -20; all three are 0 where there is no token.
    """
    at = torch.arange(scores.shape[1], device=scores.device)
    inside = (at > starts[..., None]) & (at <= ends[..., None])  # (B, S, T)
    scores = scores.clamp(min=FLOOR)
    total = torch.einsum("bst,bt->bs", inside.to(scores.dtype), scores)
    mean = total / inside.sum(-1).clamp(min=1)
    return total, mean, torch.where(inside, scores[:, None], 0.0).amin(-1)


def running_features(scores: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `span_features` of (start, t] for every token t (B, T each). `scores`: (B, T); `start`: (B,)."""
    n = (torch.arange(scores.shape[1], device=scores.device) - start[:, None]).clamp(min=0)
    written = torch.where(n > 0, scores.clamp(min=FLOOR), 0.0)
    total = written.cumsum(-1)
    return total, total / n.clamp(min=1), written.cummin(-1).values


def states_at(hidden: Tensor, ends: Tensor) -> Tensor:
    """The hidden states (B, S, D) at `ends` (B, S)."""
    return hidden.gather(1, ends[..., None].expand(-1, -1, hidden.shape[-1]))


def read_card(folder: Path, kind: str) -> Mapping[str, Any]:
    """The card of a folder that must hold a model of this kind; raises BadInput."""
    path = folder / CARD_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BadInput(f"not {_IN_WORDS[kind]} of cotmill: it has no {CARD_FILE}", file=folder) from e
    except ValueError as e:
        raise BadInput("not JSON", file=path) from e
    if not isinstance(card, dict) or card.get("kind") != kind:
        raise BadInput(f"not that of {_IN_WORDS[kind]}", file=path, field="kind")
    if card.get("input") not in ("markup", "text"):
        raise BadInput("must be markup or text", file=path, field="input")
    return card


def kind_of(folder: Path) -> str | None:
    """The kind that a model folder's card names; None where it has no card. Raises BadInput."""
    path = folder / CARD_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise BadInput("not JSON", file=path) from e
    kind = card.get("kind") if isinstance(card, dict) else None
    return kind if isinstance(kind, str) else None


def _locate(head: int, row: StepsRow, ids: list[int], spans: Sequence[tuple[int, int]]) -> EncodedSteps:
    """A token belongs to a step when it starts before the step's end: it may reach into what follows."""
    starts = [start for start, _ in spans]
    return EncodedSteps(
        ids=ids,
        prompt_end=bisect_left(starts, head) - 1,
        ends=[bisect_left(starts, head + end) - 1 for end in row.ends],
    )
