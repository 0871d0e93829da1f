"""How a question becomes a prompt, and a prompt tokens. Policies and reward models share it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from ..schemas.markup import THINK_START, escape
from .tokenizer import knows_tags

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def reverse_question(question: str, program: str) -> str:
    """What a policy is asked that derives the thoughts behind a program (`data/prompts/code_reverse.md`)."""
    return template("code_reverse.md").format(question=question, program=program)


def informal_question(question: str, proof: str, grounds: Iterable[str | None]) -> str:
    """What a policy is asked that derives the thoughts behind a Lean proof (`data/prompts/lean_reverse.md`).

    `grounds`: what the steps of its chain of thought rest on, in order (a step's `evidence`).
    """
    states = "\n\n".join(dict.fromkeys(filter(None, grounds)))
    return template("lean_reverse.md").format(question=question, proof=proof, states=states)


def summary_question(question: str, thoughts: str) -> str:
    """What a policy is asked that summarises a chain of thought (`data/prompts/summary.md`)."""
    return template("summary.md").format(question=question, thoughts=thoughts)


@lru_cache(maxsize=8)
def template(name: str) -> str:
    """A prompt that ships with the package, with its `{slots}`."""
    return files("cotmill.data").joinpath("prompts", name).read_text(encoding="utf-8")


def prompt(tokenizer: "PreTrainedTokenizerBase", question: str, prefix: str = "") -> str:
    """The prompt that makes a model with this tokenizer think about `question`, going on from `prefix`.

    The tokenizer's chat template (a user's message, then the assistant's turn, opened) where it has one;
    else the question and a newline (two for a model that knows no tags). Where tags are known, they are
    escaped in the question, and an empty prefix becomes `<Think_Start>`.
    """
    tags = knows_tags(tokenizer)
    if tags:
        question, prefix = escape(question), prefix or THINK_START
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": question}]
        head = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return str(head) + prefix
    return question + ("\n" if tags else "\n\n") + prefix


def encode(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]
) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    """Token ids of prompts (or of prompts with their continuation), and each token's characters (start, end).

    The beginning-of-sequence token comes first where the tokenizer would add one, and is never doubled: a
    chat template may hold it already. Needs a fast tokenizer.
    """
    if not texts:
        return [], []
    encoded = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
    ids: list[list[int]] = [list(row) for row in encoded["input_ids"]]
    spans: list[list[tuple[int, int]]] = [[(a, b) for a, b in row] for row in encoded["offset_mapping"]]
    bos = begins_with(tokenizer)
    if bos is not None:
        for row, span in zip(ids, spans, strict=True):
            if row[:1] != [bos]:
                row.insert(0, bos)
                span.insert(0, (0, 0))
    return ids, spans


def begins_with(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The beginning-of-sequence token, if the tokenizer adds it."""
    bos = tokenizer.bos_token_id
    return bos if bos is not None and tokenizer("").input_ids[:1] == [bos] else None
