"""Word classes (`data/word_classes.yaml`): they carry the tagger from words it learned from to their like."""

from functools import lru_cache
from importlib.resources import files

import yaml


@lru_cache(maxsize=1 << 16)
def word_classes(word: str) -> tuple[str, ...]:
    """The classes of a lower-case word, in the file's order; none for most words."""
    words, prefixes = _lexicon()
    found = set(words.get(word, ()))
    for n in range(1, len(word) + 1):
        found.update(prefixes.get(word[:n], ()))
    return tuple(c for c in _classes() if c in found) if found else ()


@lru_cache(maxsize=1)
def _classes() -> dict[str, str]:
    text = (files("cotmill.data") / "word_classes.yaml").read_text(encoding="utf-8")
    classes: dict[str, str] = yaml.safe_load(text)
    return classes


@lru_cache(maxsize=1)
def _lexicon() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Classes by whole word, and by beginning."""
    words: dict[str, list[str]] = {}
    prefixes: dict[str, list[str]] = {}
    for name, members in _classes().items():
        for member in members.split():
            into = prefixes if member.endswith("*") else words
            into.setdefault(member.removesuffix("*"), []).append(name)
    return words, prefixes
