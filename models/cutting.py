"""Prompts cut into tokens, no piece of text twice: a search asks often for what has grown a little.

A tokenizer looks for its added tokens (act tags, the turns of a chat) before anything else and cuts what
stands between two of them by itself, so each such piece is cut once and remembered.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .prompts import begins_with

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REMEMBERED = 1 << 24  # characters

Piece = tuple[bool, str]
"""Whether a text stands right behind an added token, and the text; an added token itself, with False."""


class Cutter:
    """One tokenizer's tokens of prompts, as `prompts.encode` gives them, and of what continues these."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer
        self._bos = begins_with(tokenizer)
        added = tokenizer.added_tokens_decoder if tokenizer.is_fast else {}
        self._tags = {
            t.content: i
            for i, t in added.items()
            if not (t.normalized or t.lstrip or t.rstrip or t.single_word or tokenizer.split_special_tokens)
        }
        self._tag = _any_of(self._tags)
        self._other = _any_of(t.content for t in added.values() if t.content not in self._tags)
        self._anchor = max(self._tags, key=len, default="")
        self._forget()

    def cut(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of prompts, with the one that begins a sequence where the tokenizer adds it."""
        rows = self._rows(texts)
        return [row if self._bos is None or row[:1] == [self._bos] else [self._bos, *row] for row in rows]

    def continued(self, prompt: str, ids: list[int], continuations: Sequence[str]) -> list[list[int]]:
        """Tokens of each continuation as they are cut after this prompt, whose tokens are `ids`.

        Those of the continuation alone where the two would melt into one token.
        """
        settled = self._settled(prompt)
        if settled:
            own = ids[len(self.cut([prompt[:settled]])[0]) :]
            rows = self._rows([prompt[settled:] + c for c in continuations], behind=True)
        else:
            own, rows = ids, self.cut([prompt + c for c in continuations])
        alone = self.tokenizer
        return [
            row[len(own) :] if row[: len(own)] == own else alone(c, add_special_tokens=False).input_ids
            for row, c in zip(rows, continuations, strict=True)
        ]

    def _settled(self, prompt: str) -> int:
        """Where the last added token ends that is one whatever comes after the prompt; 0 where none is."""
        before = len(prompt) + 1 - len(self._anchor)
        found = self._tag.finditer(prompt) if self._tag else ()
        return max((m.end() for m in found if m.end() <= before), default=0)

    def _rows(self, texts: Sequence[str], behind: bool = False) -> list[list[int]]:
        """Tokens of texts; if `behind`, of texts that stand right behind an added token."""
        cut = [self._pieces(text, behind) for text in texts]
        self._learn({piece for pieces in cut for piece in pieces})
        return [[i for piece in pieces for i in self._known[piece]] for pieces in cut]

    def _pieces(self, text: str, behind: bool) -> list[Piece]:
        """The added tokens of a text, and what stands between them."""
        if self._tag is None or (self._other and self._other.search(text)):
            return [(behind, text)]
        pieces = enumerate(self._tag.split(text))
        return [((behind or k > 0) and k % 2 == 0, piece) for k, piece in pieces if piece]

    def _learn(self, pieces: set[Piece]) -> None:
        if self._characters > _REMEMBERED:
            self._forget()
        new = sorted(piece for piece in pieces if piece not in self._known)
        if new:
            texts = [self._anchor * behind + text for behind, text in new]
            rows = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
            self._known |= {piece: list(row[piece[0] :]) for piece, row in zip(new, rows, strict=True)}
            self._characters += sum(map(len, texts))

    def _forget(self) -> None:
        self._known: dict[Piece, list[int]] = {(False, tag): [i] for tag, i in self._tags.items()}
        self._characters = 0


def _any_of(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """One of these, captured; of two that begin alike the longer."""
    by_length = sorted(tokens, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, by_length))})") if by_length else None
