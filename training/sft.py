"""Supervised fine-tuning (SFT): the policy learns to write the traces' markup.

The loss is on the chain of thought alone, its end included. Without `init` a small decoder and its
tokenizer are made from scratch: that is how the embedded policy came to be.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor

from ..models import prompts as prompting
from ..models.folder import load_model, load_tokenizer, local_folder, save_model, stored_dtype
from ..models.headed import padded
from ..models.packing import Shape, pack
from ..models.tokenizer import knows_tags, tags, train_tokenizer
from ..schemas import ActSpan, BadInput, Domain, Generator, Inventory, Outcome
from ..schemas.markup import THINK_START, render
from .checkpoint import TrainResult, identity, open_folder, write_card, write_record, writes
from .loop import fit
from .progress import Progress
from .reader import ShardReader
from .select import SAMPLED, StepLabels, good_traces, some_of_each, weighted
from .settings import TrainSettings, names
from .tokens import depends_on, tokenised

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_COLUMNS = [
    *("trace_id", "question", "markup", "text", "summary", "outcome", "generator", "domain", "answer"),
    "source",
]
_GROUNDS = ["steps"]
_TOKENIZER_ROWS = 20_000
_ENCODE_ROWS = 1000
_NOT_ASKED = {"reverse": "no reversed program or proof", "summary": "no summary"}
IGNORED = -100


class SFTSettings(TrainSettings):
    """Which traces, and, without `init`, the size of the decoder made from scratch."""

    task: Literal["solve", "reverse", "summary"] = Field(
        "solve",
        description="from a question to its CoT; from a program or a proof to it; from it to its summary",
    )
    epochs: float = Field(1.0, gt=0)
    lr: float = Field(5e-3, gt=0)
    outcomes: tuple[Outcome, ...] = Field((Outcome.CORRECT,), description="empty: any")
    generators: tuple[Generator, ...] = Field((), description="empty: any")
    domains: tuple[Domain, ...] = Field((), description="empty: any")
    steps: StepLabels = Field(
        "any", description="of what a policy wrote, only traces whose every step is good by these labels"
    )
    step_share: float = Field(0.0, ge=0, lt=1, description="rollouts: good is a share of successes above it")
    per_question: int | None = Field(None, ge=1, description="at most so many sampled traces of a question")
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="how often a source's or a generator's traces are read in an epoch; 1 by default"
    )
    acts: Literal["tags", "none"] = Field(
        "tags", description="none: the text alone, without thinking factors"
    )
    width: int = Field(128, ge=8)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    vocabulary: int = Field(512, ge=320)
    context: int = Field(1024, ge=16)

    _names = field_validator("outcomes", "generators", "domains", mode="before")(names)


@dataclass(frozen=True, slots=True)
class Example:
    """One trace as tokens; those before `start` are the prompt and bear no loss."""

    ids: NDArray[np.int32]
    start: int


class ExampleCodec:
    """Examples as rows of the token cache."""

    schema = pa.schema({"ids": pa.list_(pa.int32()), "start": pa.int32()})

    def to_row(self, example: Example) -> dict[str, Any]:
        return {"ids": example.ids, "start": example.start}

    def of_row(self, row: dict[str, Any]) -> Example:
        return Example(row["ids"], row["start"])


def train_sft(
    data: Path,
    out: Path,
    settings: SFTSettings,
    *,
    inventory: Inventory | None = None,
    progress: Progress | None = None,
    fresh: bool = False,
) -> TrainResult:
    """Train a policy on the traces of a run's folder and write it to `out`; goes on where it was cut off.

    Traces without markup, or longer than the model's context, are left out and counted. A model whose
    tokenizer lacks the act tags gets them as new tokens, unless `acts` is none. Raises BadInput where `data`
    is no run's folder, where nothing passes the filters, or where `out` holds something else.
    """
    progress, inventory = progress or Progress(), inventory or Inventory.load()
    whose = identity("sft", data, settings)
    if (finished := open_folder(out, whose, fresh=fresh)) is not None:
        progress.note(f"{out} is finished already")
        return finished
    tokenizer: PreTrainedTokenizerBase
    dtype: torch.dtype | None
    if settings.init is None:
        tagged = settings.acts == "tags"
        texts = (
            row[name]
            for row in passing(data, settings, Counter())
            for name in ("question", "markup" if tagged else "text")
        )
        tokenizer = train_tokenizer(
            islice(texts, 2 * _TOKENIZER_ROWS), inventory if tagged else None, settings.vocabulary
        )
        model, dtype = new_decoder(tokenizer, settings), torch.float16
    else:
        folder = local_folder(settings.init)
        tokenizer = load_tokenizer(folder)
        model = load_model(folder, settings.device, torch.float32)
        dtype = stored_dtype(model)
        if settings.acts == "tags":
            add_tags(model, tokenizer, inventory)
        elif knows_tags(tokenizer):
            raise BadInput("this model writes act tags: give one that does not, or none", field="init")
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
    examples = tokenised(
        depends_on("sft", data, tokenizer, context, settings),
        ExampleCodec(),
        lambda left_out: encode(passing(data, settings, left_out), tokenizer, context, left_out),
    )
    lengths, left_out = examples.lengths(), examples.left_out
    if not examples:
        raise BadInput(f"no trace passes the filters (left out: {left_out})", file=data)
    progress.note(f"{len(examples):,} traces, {sum(lengths):,} tokens")
    pad = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else 0
    done = fit(
        model,
        examples,
        lengths,
        lambda rows: collate(rows, pad, settings.packed_shape),
        settings,
        out,
        progress,
        trunk=model,
    )
    result = TrainResult(out, len(examples), left_out, done.steps, done.tokens, done.loss)
    model.config.use_cache = True
    if writes():
        save_model(model, tokenizer, out, dtype)
    notes = ["A policy that writes chains of thought in tagged acts (SFT on verified traces)."]
    write_card(out, settings, whose, result, notes)
    write_record(out, whose, result)
    return result


def encode(
    rows: Iterable[dict[str, Any]],
    tokenizer: "PreTrainedTokenizerBase",
    context: int,
    left_out: Counter[str],
) -> Iterable[Example]:
    """Rows as examples; one longer than `context` tokens is left out whole and counted, never cut.

    What is learnt is a row's `markup`, or its `text` where the tokenizer knows no tags.
    """
    body = "markup" if knows_tags(tokenizer) else "text"
    eos = [tokenizer.eos_token_id] if isinstance(tokenizer.eos_token_id, int) else []
    rows = iter(rows)
    while chunk := list(islice(rows, _ENCODE_ROWS)):
        heads = [prompting.prompt(tokenizer, row["question"]).removesuffix(THINK_START) for row in chunk]
        ids, spans = prompting.encode(
            tokenizer, [head + row[body] for head, row in zip(heads, chunk, strict=True)]
        )
        for head, tokens, offsets in zip(heads, ids, spans, strict=True):
            if len(tokens) + len(eos) > context:
                left_out["longer than the context"] += 1
                continue
            start = sum(a < len(head) for a, _ in offsets)
            yield Example(np.array(tokens + eos, dtype=np.int32), start)


def collate(rows: list[Example], pad: int, packed: Shape | None = None) -> dict[str, Tensor]:
    """A causal LM's inputs, right-padded or packed in one shape; labels are -100 where no loss falls."""
    texts = [row.ids.tolist() for row in rows]
    if packed is None:
        inputs = padded(texts, pad)
        at = torch.arange(inputs["input_ids"].numel()).view(inputs["input_ids"].shape)
    else:
        inputs = pack(texts, packed, pad)
        at = inputs.pop("at")
    labels = torch.full((inputs["input_ids"].numel(),), IGNORED)
    for row, text, places in zip(rows, texts, at, strict=True):
        labels[places[row.start : len(text)]] = torch.tensor(text[row.start :])
    return inputs | {"labels": labels.view(inputs["input_ids"].shape)}


def new_decoder(tokenizer: "PreTrainedTokenizerBase", settings: SFTSettings) -> "PreTrainedModel":
    """A small Llama-type decoder with one key/value head and tied embeddings, randomly initialised."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    if settings.width % settings.heads:
        raise BadInput(f"width {settings.width} is not a multiple of heads {settings.heads}", field="width")
    set_seed(settings.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=round(settings.width * 2.75 / 16) * 16,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=1,
        max_position_embeddings=settings.context,
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def add_tags(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", inventory: Inventory) -> None:
    """Give a model that knows no tags one token for each; nothing changes for one that does."""
    if knows_tags(tokenizer):
        return
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in tags(inventory)])
    embeddings: Any = model.get_input_embeddings()
    if len(tokenizer) > embeddings.num_embeddings:
        model.resize_token_embeddings(len(tokenizer))


def passing(data: Path, settings: SFTSettings, left_out: Counter[str]) -> Iterable[dict[str, Any]]:
    """The traces of a run's folder that the settings choose, each as often as its weight says.

    What is left out is counted in `left_out`. Raises BadInput as `train_sft` does.
    """
    rows = _filtered(data, settings, left_out)
    if settings.per_question is not None:
        rows = some_of_each(rows, settings.per_question, settings.seed, left_out)
    return weighted(rows, settings.weights, settings.seed, left_out) if settings.weights else rows


def _filtered(data: Path, settings: SFTSettings, left_out: Counter[str]) -> Iterable[dict[str, Any]]:
    filters = (
        ("outcome", {str(o) for o in settings.outcomes}),
        ("generator", {str(g) for g in settings.generators}),
        ("domain", {str(d) for d in settings.domains}),
    )
    reader = ShardReader(data, "traces", _COLUMNS + (_GROUNDS if settings.task == "reverse" else []))
    good = good_traces(data, settings.steps, settings.step_share) if settings.steps != "any" else None
    for row in reader.rows():
        failed = next((column for column, wanted in filters if wanted and row[column] not in wanted), None)
        if failed is not None:
            left_out[f"of another {failed}"] += 1
        elif good is not None and row["generator"] in SAMPLED and row["trace_id"] not in good:
            left_out["with a step that is not good, or not labelled"] += 1
        elif not row["markup" if settings.acts == "tags" else "text"]:
            left_out["without acts" if settings.acts == "tags" else "without text"] += 1
        elif (asked := _asked(row, settings.task)) is None:
            left_out[_NOT_ASKED[settings.task]] += 1
        else:
            yield row | asked


def _asked(row: dict[str, Any], task: str) -> dict[str, str] | None:
    """What the policy is asked on a row and is to write; None for a row that the task knows nothing of."""
    question = str(row["question"])
    if task == "solve":
        return {"question": question}
    if task == "summary":
        if not row["summary"]:
            return None
        acts = [ActSpan(start=0, end=len(row["summary"]), act="Summarize")]
        asked = prompting.summary_question(question, row["text"])
        return {"question": asked, "markup": render(row["summary"], acts), "text": row["summary"]}
    behind = _reversed(row) if row["answer"] else None
    return None if behind is None else {"question": behind}


def _reversed(row: dict[str, Any]) -> str | None:
    """The question behind whose answer, a program or a proof, a row tells the thoughts."""
    match row["generator"], row["domain"]:
        case Generator.CODE_REVERSE, _:
            return prompting.reverse_question(row["question"], row["answer"])
        case Generator.LEAN_REVERSE, Domain.LEAN:
            grounds = (step["evidence"] for step in row["steps"])
            return prompting.informal_question(row["question"], row["answer"], grounds)
    return None
