"""A grammar of phrasings: many ways to say one thing, and the same grammar read backwards.

A phrase book is a YAML file: kind -> {act, say: [template, …]}. In a template `<a|b|>` chooses (choices
nest), `{slot}` stands for a value. `say` draws one sentence; `recognises` tells whether a text is one of
those that the kind can say with these values. So a checker accepts exactly what the values say.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

Slots = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str


@dataclass(frozen=True, slots=True)
class _Choice:
    options: "tuple[tuple[_Node, ...], ...]"


_Node = _Text | _Slot | _Choice


@dataclass(frozen=True, slots=True)
class Template:
    nodes: tuple[_Node, ...]
    needs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that can be said: the act that saying it performs, and the ways to say it."""

    act: str
    templates: tuple[Template, ...]


class PhraseBook:
    """All kinds of one generator. Sentences begin with a capital unless they begin with a slot."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self.kinds = {
            name: Kind(entry["act"], tuple(map(parse_template, entry["say"])))
            for name, entry in entries.items()
        }

    @classmethod
    def load(cls, name: str) -> "PhraseBook":
        """The phrase book `data/NAME`, read once per process."""
        return _load(name)

    def act(self, kind: str) -> str:
        return self.kinds[kind].act

    def say(self, kind: str, slots: Slots, rng: np.random.Generator) -> str:
        """One way to say it. Only templates whose slots all have values are drawn from."""
        usable = self._usable(kind, slots)
        return _draw(usable[int(rng.integers(len(usable)))].nodes, slots, rng)

    def sayable(self, kind: str, slots: Slots) -> bool:
        """Whether there is a way to say it with these values."""
        return any(all(slots.get(n) for n in t.needs) for t in self.kinds[kind].templates)

    def recognises(self, kind: str, slots: Slots, text: str) -> bool:
        """Whether `text` is a way to say just this."""
        return any(
            end == len(text)
            for template in self._usable(kind, slots)
            for end, _ in _match(template.nodes, slots, text, 0, True)
        )

    def senses(self, kind: str, slots: Slots, sense: Callable[[str], Hashable]) -> set[Hashable]:
        """The senses of all ways to say it, if the sense of a whole is that of its parts in order."""
        return {
            sense(text)
            for template in self._usable(kind, slots)
            for text in _variants(template.nodes, slots, sense)
        }

    def _usable(self, kind: str, slots: Slots) -> list[Template]:
        usable = [t for t in self.kinds[kind].templates if all(slots.get(n) for n in t.needs)]
        if not usable:
            raise KeyError(f"no phrase of kind {kind!r} for the slots {sorted(slots)}")
        return usable


@lru_cache(maxsize=8)
def _load(name: str) -> PhraseBook:
    return PhraseBook(yaml.safe_load(files("cotmill.data").joinpath(name).read_text(encoding="utf-8")))


def parse_template(source: str) -> Template:
    """A template from its source; raises ValueError for unbalanced brackets."""
    nodes, at = _sequence(source, 0, top=True)
    if at != len(source):
        raise ValueError(f"unbalanced '>' in template: {source!r}")
    return Template(nodes, frozenset(_slot_names(nodes)))


def _sequence(source: str, at: int, *, top: bool) -> tuple[tuple[_Node, ...], int]:
    nodes: list[_Node] = []
    plain = ""
    while at < len(source) and (top or source[at] not in "|>"):
        char = source[at]
        if char in "<{" and plain:
            nodes.append(_Text(plain))
            plain = ""
        if char == "<":
            options = []
            while True:
                option, at = _sequence(source, at + 1, top=False)
                options.append(option)
                if at >= len(source):
                    raise ValueError(f"unbalanced '<' in template: {source!r}")
                if source[at] == ">":
                    break
            nodes.append(_Choice(tuple(options)))
            at += 1
        elif char == "{":
            end = source.index("}", at)
            nodes.append(_Slot(source[at + 1 : end]))
            at = end + 1
        elif char == ">":
            break
        else:
            plain += char
            at += 1
    if plain:
        nodes.append(_Text(plain))
    return tuple(nodes), at


def _slot_names(nodes: Sequence[_Node]) -> Iterator[str]:
    """The slots that every way through the nodes needs, and those in choices: all must have values."""
    for node in nodes:
        if isinstance(node, _Slot):
            yield node.name
        elif isinstance(node, _Choice):
            for option in node.options:
                yield from _slot_names(option)


def _spoken(node: _Text, start: bool) -> tuple[str, bool]:
    """A piece of text as it is said, with a capital at a sentence's start, and whether a start follows it."""
    text = node.text
    if start:
        lead = len(text) - len(text.lstrip())
        text = text[:lead] + text[lead : lead + 1].upper() + text[lead + 1 :]
    if not text.strip():
        return text, start
    return text, text.rstrip()[-1:] in (".", "!", "?")


def _draw(nodes: Sequence[_Node], slots: Slots, rng: np.random.Generator) -> str:
    out, start = [], True

    def walk(nodes: Sequence[_Node]) -> None:
        nonlocal start
        for node in nodes:
            if isinstance(node, _Choice):
                walk(node.options[int(rng.integers(len(node.options)))])
            elif isinstance(node, _Slot):
                out.append(slots[node.name])
                start = False
            else:
                text, start = _spoken(node, start)
                out.append(text)

    walk(nodes)
    return "".join(out)


def _variants(nodes: Sequence[_Node], slots: Slots, sense: Callable[[str], Hashable]) -> list[str]:
    """Texts of the nodes, one for each sense that its choices allow."""
    texts = [""]
    for node in nodes:
        if isinstance(node, _Choice):
            options = {sense(t): t for o in node.options for t in _variants(o, slots, sense)}
            texts = [text + option for text in texts for option in options.values()]
        else:
            piece = slots[node.name] if isinstance(node, _Slot) else node.text
            texts = [text + piece for text in texts]
    return texts


def _match(
    nodes: Sequence[_Node], slots: Slots, text: str, at: int, start: bool
) -> Iterator[tuple[int, bool]]:
    """Every end (and whether a sentence starts there) at which `nodes` can stop matching `text` from `at`."""
    if not nodes:
        yield at, start
        return
    node, rest = nodes[0], nodes[1:]
    if isinstance(node, _Choice):
        for option in node.options:
            for end, begins in _match(option, slots, text, at, start):
                yield from _match(rest, slots, text, end, begins)
        return
    piece, begins = (slots[node.name], False) if isinstance(node, _Slot) else _spoken(node, start)
    if text.startswith(piece, at):
        yield from _match(rest, slots, text, at + len(piece), begins)
