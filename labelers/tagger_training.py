"""Trains the tagger: `python -m cotmill.labelers.tagger_training [OUT.npz]`, from what the project owns.

Tagged CoTs (`data/handwritten`, and `data/tagger/cots*.jsonl`, written for the tagger) enter twice, cut into
their own spans and into the tagger's units, so that both given spans and found ones are scored well; single
sentences (`data/tagger/sentences.jsonl`) enter without position and neighbours; traces of the seed families
keep short, formal text in view. Features and channels drop out at random, since the text to be tagged is
never in the voice of the text learned from.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..generators.families import seed_at
from ..schemas import ActSpan, Inventory, generator, markup, rng_key, split_steps
from .tagger import Array, Weights, as_units
from .tagger_features import LISTED, Cues, features, links
from .tagger_segments import Boundary, Unit, units

if TYPE_CHECKING:
    from torch import Tensor

# Text written for the tagger, by its conventions, counts this many times as much as the hand-written CoTs.
_WEIGHT = 3
_FAMILY_SEED, _FAMILY_TRACES = 3, 200
_CLIP = 5.0
# Features that a single sentence does not have.
_CONTEXT = ("-", "+", "p=", "first", "last", "b=", "inside", "new=", "r=", "hp=")


Cot = tuple[str, Sequence[ActSpan]]


@dataclass(frozen=True)
class Settings:
    """`min_count`: how often a feature has to occur. CoTs written for the tagger count three times and are
    cut in two ways, so that a single span of theirs makes six. `dropout` is of features, `channel_dropout`
    of what they sum to.
    """

    epochs: int = 8
    rate: float = 0.005
    decay: float = 0.2
    dropout: float = 0.6
    channel_dropout: float = 0.3
    batch: int = 16
    min_count: int = 120
    vector: int = 192
    channels: int = 128
    width: int = 5
    seed: int = 7


@dataclass(frozen=True)
class Document:
    """Features, act and link per unit. Single sentences have no links: they make no chain."""

    features: tuple[tuple[str, ...], ...]
    acts: tuple[str, ...]
    links: tuple[int, ...] = ()


def tagged_cots(folder: Path, pattern: str = "*.jsonl") -> Iterator[tuple[str, tuple[ActSpan, ...]]]:
    """Text and acts of every row with a tagged `cot` in a folder's files."""
    for path in sorted(folder.glob(pattern)):
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                yield markup.trim(*markup.parse(json.loads(line)["cot"]))


def family_cots() -> list[tuple[str, tuple[ActSpan, ...]]]:
    """Traces of the seed families, so that short and formal text is known too."""
    return [(seed.text, seed.acts) for seed in (seed_at(_FAMILY_SEED, i) for i in range(_FAMILY_TRACES))]


def documents(text: str, acts: Sequence[ActSpan], cues: Cues) -> list[Document]:
    """A tagged CoT cut into its own spans, and cut into the tagger's units."""
    own = as_units(text, [(a.start, a.end) for a in acts])
    found = aligned(text, acts)
    out = [_document(text, own, [a.act for a in acts], cues)]
    if [(u.start, u.end) for u in own] != [(u.start, u.end) for u, _ in found]:
        out.append(_document(text, [u for u, _ in found], [acts[i].act for _, i in found], cues))
    return out


def aligned(text: str, acts: Sequence[ActSpan]) -> list[tuple[Unit, int]]:
    """The tagger's units, each with the number of the span that holds most of it."""
    out = []
    for unit in units(text, split_steps(text, acts)):
        overlaps = [min(a.end, unit.end) - max(a.start, unit.start) for a in acts]
        out.append((unit, int(np.argmax(overlaps))))
    return out


def sentences(data: Path, inventory: Inventory, cues: Cues) -> list[Document]:
    """Single sentences: the file's and the inventory's examples."""
    path = data / "tagger" / "sentences.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    pairs = [(row["act"], row["text"]) for row in rows]
    pairs += [(f.name, e) for f in inventory.factors for e in f.examples]
    out = []
    for act, text in pairs:
        (names,), _ = features(text, [Unit(0, len(text), Boundary.STEP, 0)], cues)
        own = tuple(n for n in names if not n.startswith(_CONTEXT))
        out.append(Document((own,), (act,)))
    return out


def joins(cots: Sequence[tuple[str, Sequence[ActSpan]]], acts: Sequence[str]) -> Array:
    """(5, K): how often neighbouring units of one act are one span, pulled towards the boundary's mean."""
    same, total = np.zeros((len(Boundary), len(acts))), np.zeros((len(Boundary), len(acts)))
    column = {a: i for i, a in enumerate(acts)}
    for text, spans in cots:
        found = aligned(text, spans)
        for (_, before), (unit, here) in pairwise(found):
            if spans[before].act == spans[here].act:
                total[unit.boundary, column[spans[here].act]] += 1
                same[unit.boundary, column[spans[here].act]] += before == here
    mean = (same.sum(1, keepdims=True) + 1) / (total.sum(1, keepdims=True) + 2)
    return np.asarray((same + 4 * mean) / (total + 4), np.float32)


def train(
    docs: Sequence[Document], acts: Sequence[str], join: Array, settings: Settings | None = None
) -> Weights:
    """Maximum likelihood with decoupled weight decay (AdamW), deterministic on one thread.

    Raises ValueError for too little text.
    """
    import torch

    s = settings or Settings()
    torch.set_num_threads(1)
    counts = Counter(n for d in docs for unit in d.features for n in unit)
    names = sorted(n for n, c in counts.items() if c >= s.min_count)
    if not names:
        raise ValueError(f"too little text: no feature occurs {s.min_count} times")
    row, column = {n: i for i, n in enumerate(names)}, {a: i for i, a in enumerate(acts)}
    data = []
    for d in docs:
        units_rows = [[row[n] for n in u if n in row] for u in d.features]
        rows = np.array([r for u in units_rows for r in u], np.int64)
        lengths = np.array([len(u) for u in units_rows])
        data.append(_Encoded(rows, lengths, [column[a] for a in d.acts], d.links))
    free = _initial(len(names), len(acts), s)
    optimiser = torch.optim.AdamW(free.values(), lr=s.rate, weight_decay=s.decay)
    batches = _batches(data, s.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, s.rate, total_steps=s.epochs * len(batches))
    draw = generator(rng_key(s.seed, "tagger", "dropout"))
    for _ in range(s.epochs):
        for index in draw.permutation(len(batches)):
            batch = [data[i] for i in batches[index]]
            scores = _scores(free, batch, s, draw)
            loss = _loss(scores, batch, free["start"], free["transition"], free["stay"])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(free.values(), _CLIP)
            optimiser.step()
            schedule.step()
    arrays = {name: p.detach().numpy() for name, p in free.items()}
    arrays["embedding"] *= 1 - s.dropout
    return Weights(acts=tuple(acts), names=tuple(names), join=join, **arrays)


def _initial(n: int, k: int, s: Settings) -> "dict[str, Tensor]":
    """The free parameters of `Weights` before training."""
    import torch

    draw = generator(rng_key(s.seed, "tagger", "start"))

    def drawn(*shape: int, scale: float) -> "Tensor":
        values = (draw.standard_normal(shape) * scale).astype(np.float32)
        return torch.from_numpy(values).requires_grad_()

    def zeros(*shape: int) -> "Tensor":
        return torch.zeros(shape, requires_grad=True)

    d, h, w = s.vector, s.channels, s.width
    return {
        "embedding": drawn(n, d, scale=0.05),
        "shift": zeros(d),
        "near": drawn(w, d, h, scale=(w * d) ** -0.5),
        "near_bias": zeros(h),
        "far": drawn(w, h, h, scale=(w * h) ** -0.5),
        "far_bias": zeros(h),
        "output": zeros(d + h, k),
        "bias": zeros(k),
        "start": zeros(k),
        "transition": zeros(k, k),
        "stay": zeros(LISTED + 1, k),
    }


def _scores(
    free: "dict[str, Tensor]", batch: "Sequence[_Encoded]", s: Settings, draw: np.random.Generator
) -> "Tensor":
    """What `Weights.scores` computes, of a batch's units one after another (N, K), with drop-out."""
    import torch
    from torch.nn.functional import conv1d, embedding_bag
    from torch.nn.utils.rnn import pad_sequence

    def dropped(x: "Tensor") -> "Tensor":
        kept = draw.random(tuple(x.shape), np.float32) >= s.channel_dropout
        return x * torch.from_numpy(kept) / (1 - s.channel_dropout)

    flat = np.concatenate([d.rows for d in batch])
    sizes = np.concatenate([d.sizes for d in batch])
    on = draw.random(len(flat)) >= s.dropout
    offsets = np.concatenate([[0], np.cumsum(on)])[np.cumsum(sizes) - sizes]
    summed = embedding_bag(
        torch.from_numpy(flat[on]), free["embedding"], torch.from_numpy(offsets), mode="sum"
    )
    unit = dropped(torch.relu(summed + free["shift"]))
    lengths = [len(d.acts) for d in batch]
    live = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])[:, None]  # (B, 1, T)
    padded = pad_sequence(list(torch.split(unit, lengths)), batch_first=True).transpose(1, 2)  # (B, D, T)

    def convolved(x: "Tensor", kernel: str, bias: str) -> "Tensor":
        weight = free[kernel].permute(2, 1, 0)
        return dropped(torch.relu(conv1d(x, weight, free[bias], padding=s.width // 2)) * live)

    around = convolved(padded, "near", "near_bias")
    around = around + convolved(around, "far", "far_bias")
    both = torch.cat([padded, around], 1).transpose(1, 2)  # (B, T, D + H)
    return both[live[:, 0]] @ free["output"] + free["bias"]


@dataclass(frozen=True)
class _Encoded:
    """A document's features as rows of the weights, one unit after another; `sizes` counts them per unit."""

    rows: NDArray[np.int64]
    sizes: NDArray[np.int64]
    acts: list[int]
    links: tuple[int, ...]


def _document(text: str, found: Sequence[Unit], acts: Sequence[str], cues: Cues) -> Document:
    names, _ = features(text, found, cues)
    return Document(tuple(map(tuple, names)), tuple(acts), tuple(links(text, found)))


def _batches(data: Sequence[_Encoded], size: int) -> list[list[int]]:
    """Numbers of documents: chains of similar length together, single sentences 256 at once."""
    chains = sorted((i for i, d in enumerate(data) if d.links), key=lambda i: len(data[i].acts))
    singles = [i for i, d in enumerate(data) if not d.links]
    n = max(1, len(singles) // 256)
    cut = [chains[i : i + size] for i in range(0, len(chains), size)]
    return cut + [singles[i::n] for i in range(n) if singles]


def _loss(
    scores: "Tensor", batch: Sequence[_Encoded], start: "Tensor", transition: "Tensor", stay: "Tensor"
) -> "Tensor":
    """Negative log-likelihood per unit. `scores` (N, K) holds the units of the batch one after another."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    lengths = [len(d.acts) for d in batch]
    gold = torch.tensor([a for d in batch for a in d.acts])
    if not batch[0].links:
        return torch.nn.functional.cross_entropy(scores, gold)
    padded = pad_sequence(list(torch.split(scores, lengths)), batch_first=True)  # (B, T, K)
    target = pad_sequence(list(torch.split(gold, lengths)), batch_first=True)  # (B, T)
    tied = pad_sequence([torch.tensor(d.links) for d in batch], batch_first=True)  # (B, T)
    live = torch.arange(padded.shape[1]) < torch.tensor(lengths)[:, None]
    rows = torch.arange(len(batch))
    alpha = padded[:, 0] + start
    path = start[target[:, 0]] + padded[:, 0].gather(1, target[:, :1])[:, 0]
    for t in range(1, padded.shape[1]):
        step = transition + torch.diag_embed(stay[tied[:, t]])  # (B, K, K)
        grown = torch.logsumexp(alpha[:, :, None] + step, 1) + padded[:, t]
        alpha = torch.where(live[:, t, None], grown, alpha)
        picked = step[rows, target[:, t - 1], target[:, t]]
        more = picked + padded[:, t].gather(1, target[:, t : t + 1])[:, 0]
        path = path + torch.where(live[:, t], more, torch.zeros_like(more))
    return (torch.logsumexp(alpha, 1) - path).sum() / sum(lengths)


def fit(
    singles: Sequence[Document],
    written: Sequence[Cot],
    human: Sequence[Cot],
    families: Sequence[Cot],
    inventory: Inventory,
    cues: Cues,
) -> Weights:
    """A tagger from single sentences, CoTs written for it, hand-written CoTs and traces of the families."""
    docs = list(singles) * _WEIGHT
    docs += [d for text, acts in written for d in documents(text, acts, cues)] * _WEIGHT
    docs += [d for text, acts in (*human, *families) for d in documents(text, acts, cues)]
    return train(docs, inventory.names, joins([*human, *written, *families], inventory.names))


def main(out: Path) -> None:
    data, inventory = Path(str(files("cotmill.data"))), Inventory.load()
    cues = Cues(inventory)
    human = list(tagged_cots(data / "handwritten"))
    written = list(tagged_cots(data / "tagger", "cots*.jsonl"))
    families = family_cots()
    weights = fit(sentences(data, inventory, cues), written, human, families, inventory, cues)
    weights.save(out)
    cots = [*human, *written, *families]
    spans = sum(len(a) for _, a in cots)
    print(
        f"{len(cots)} CoTs, {spans} spans, {len(weights.names)} features, {out.stat().st_size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(str(files("cotmill.data"))) / "tagger.npz")
