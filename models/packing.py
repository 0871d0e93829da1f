"""Several texts in one row of a batch, each seeing itself alone.

Attention's boundaries are where `position_ids` start again: transformers keeps texts apart by them, where no
attention mask is given. Rows have one shape for a whole training, so nothing is padded to the longest text
of a batch, and a compiled model is compiled once.

Shapes: R rows of L tokens, B texts of at most T tokens.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..schemas import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Shape = tuple[int, int]
_APART = 1e-3  # by how much logits may differ, of the largest one


def bins(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Indices of texts that share a row of `length` tokens: first fit, the longest first.

    Raises ValueError for a text longer than a row.
    """
    found: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if lengths[i] > length:
            raise ValueError(f"a text of {lengths[i]} tokens does not fit a row of {length}")
        at = next((b for b, left in enumerate(room) if lengths[i] <= left), None)
        if at is None:
            found.append([])
            room.append(length)
            at = len(found) - 1
        found[at].append(i)
        room[at] -= lengths[i]
    return found


def pack(texts: Sequence[Sequence[int]], shape: Shape, pad: int) -> dict[str, Tensor]:
    """Texts, in the order of `bins`, as rows of one shape.

    "input_ids", "position_ids": (R, L); "at" (B, T): where each text's tokens stand in the flattened rows,
    the last one repeated as padding. Raises ValueError where they do not fit.
    """
    rows, length = shape
    ids = torch.full((rows, length), pad)
    positions = torch.zeros((rows, length), dtype=torch.long)
    at = torch.empty((len(texts), max(map(len, texts))), dtype=torch.long)
    row = start = 0
    for i, text in enumerate(texts):
        n = len(text)
        if start + n > length:
            positions[row, start:] = torch.arange(length - start)
            row, start = row + 1, 0
        if row >= rows or n > length:
            raise ValueError(f"{len(texts)} texts do not fit {rows} rows of {length} tokens")
        ids[row, start : start + n] = torch.as_tensor(text)
        positions[row, start : start + n] = torch.arange(n)
        first = row * length + start
        at[i] = torch.arange(first, first + at.shape[1]).clamp(max=first + n - 1)
        start += n
    positions[row, start:] = torch.arange(length - start)
    positions[row + 1 :] = torch.arange(length)
    return {"input_ids": ids, "position_ids": positions, "at": at}


@torch.no_grad()
def require_packing(model: "PreTrainedModel") -> None:
    """Raise BadInput unless the model reads a text the same, alone and packed behind another."""
    size = model.config.get_text_config().vocab_size
    texts = [[i % size for i in range(start, start + 7 + start)] for start in (1, 4)]
    packed = {k: v.to(model.device) for k, v in pack(texts, (1, sum(map(len, texts)) + 3), 0).items()}
    training = model.training
    model.train(False)
    try:
        rows = {k: packed[k] for k in ("input_ids", "position_ids")}
        together = model(**rows, use_cache=False).logits[0].float()
        for text, at in zip(texts, packed["at"], strict=True):
            alone = (
                model(input_ids=torch.tensor([text], device=model.device), use_cache=False).logits[0].float()
            )
            if (together[at[: len(text)]] - alone).abs().max() > _APART * alone.abs().max():
                raise BadInput(
                    f"{model.config.model_type} models read texts packed in one row as one text", field="pack"
                )
    finally:
        model.train(training)
