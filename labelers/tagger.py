"""The shipped tagger of thinking factors: a small network and a chain over sentences and clauses.

Each unit is the sum of its named features' vectors (cues, words, signs, numbers, position, neighbours). Two
convolutions over the units see what stands around it, and a linear layer scores its acts. A transition matrix
ties neighbours together: a linear-chain conditional random field (Lafferty, McCallum and Pereira 2001), whose
marginals by the forward-backward algorithm give the act and its score. `tagger_training` makes the weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..schemas import ActSpan, BadInput, Inventory, Trace
from .tagger_features import Cues, features, links
from .tagger_segments import Boundary, Unit, units

Array = NDArray[np.float32]

# An act that the weights do not know wins a unit where its cue matches, unless the model is surer than this.
_CUE_ODDS = 4.0
_NEVER = -1e4
# Neighbouring units of one act are one span where this share of tagged text has it so.
_JOINED = 0.8
# So many units' features are summed at once: a long text needs no more memory than this.
_BLOCK = 512
_WORDS = ("acts", "names")
# A feature's vector is written in bytes, as multiples of a size of its own.
_BYTE = 127


@dataclass(frozen=True)
class Weights:
    """What training writes. K acts, F features, vectors of D, convolutions of W units and H channels.

    `embedding` is (F, D), `shift` (D,), `near` (W, D, H) and `far` (W, H, H) the convolutions with their
    biases (H,), `output` (D + H, K), `bias` and `start` (K,), `transition` (K, K) from row to column; `stay`
    (6, K) is added to its diagonal by how a unit is tied to the one before (`links`); `join` (5, K) is the
    probability that two neighbouring units of one act are one span, by what stands between them.
    """

    acts: tuple[str, ...]
    names: tuple[str, ...]
    embedding: Array
    shift: Array
    near: Array
    near_bias: Array
    far: Array
    far_bias: Array
    output: Array
    bias: Array
    start: Array
    transition: Array
    stay: Array
    join: Array

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {k: getattr(self, k).astype(np.float16) for k in self._matrices()}
        size = np.abs(self.embedding).max(1, keepdims=True).clip(1e-6) / _BYTE
        arrays["embedding"] = np.rint(self.embedding / size).astype(np.int8)
        arrays["size"] = size.astype(np.float32)
        for k in _WORDS:
            arrays[k] = np.frombuffer("\n".join(getattr(self, k)).encode(), np.uint8)
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises BadInput for a file that is no tagger."""
        try:
            with np.load(path, allow_pickle=False) as data:
                held: dict[str, Any] = {k: data[k].astype(np.float32) for k in cls._matrices()}
                held["embedding"] *= data["size"]
                held |= {k: tuple(data[k].tobytes().decode().split("\n")) for k in _WORDS}
        except OSError as e:
            raise BadInput(e.strerror or "cannot be read", file=path) from e
        except (ValueError, KeyError, EOFError, BadZipFile) as e:
            raise BadInput("not a tagger's weights", file=path) from e
        return cls(**held)

    @classmethod
    def _matrices(cls) -> list[str]:
        return [f.name for f in fields(cls) if f.name not in _WORDS]

    def for_acts(self, acts: Sequence[str]) -> "Weights":
        """The same weights for another inventory: columns in its order, zeros for acts unknown here."""
        column = {a: i for i, a in enumerate(self.acts)}
        pick = np.array([column.get(a, len(self.acts)) for a in acts])

        def columns(m: Array) -> Array:
            return np.concatenate([m, np.zeros((*m.shape[:-1], 1), np.float32)], axis=-1)[..., pick]

        transition = columns(np.concatenate([self.transition, np.zeros((1, len(self.acts)), np.float32)]))
        return replace(
            self,
            acts=tuple(acts),
            output=columns(self.output),
            bias=columns(self.bias),
            start=columns(self.start),
            transition=transition[pick],
            stay=columns(self.stay),
            join=columns(self.join),
        )

    def scores(self, rows: Sequence[Sequence[int]]) -> Array:
        """Acts' scores of each unit, (T, K), from the rows of its features."""
        unit = np.maximum(_summed(self.embedding, rows) + self.shift, 0.0)  # (T, D)
        around = np.maximum(_convolved(unit, self.near) + self.near_bias, 0.0)  # (T, H)
        around += np.maximum(_convolved(around, self.far) + self.far_bias, 0.0)
        return np.asarray(np.concatenate([unit, around], axis=1) @ self.output + self.bias, np.float32)


class Tagger:
    """Gives acts to text. Stateless once loaded, deterministic, numpy only."""

    def __init__(self, weights: Weights, inventory: Inventory) -> None:
        known = set(weights.acts)
        self.acts = inventory.names
        self._unknown = [i for i, a in enumerate(self.acts) if a not in known]
        self._known = [i for i, a in enumerate(self.acts) if a in known]
        self._w = weights.for_acts(self.acts)
        self._row = {name: i for i, name in enumerate(weights.names)}
        self._cues = Cues(inventory)
        self._join = (self._w.join >= _JOINED).tolist()
        self._join[Boundary.STEP] = [False] * len(self.acts)

    @classmethod
    def load(cls, path: Path | None = None, inventory: Inventory | None = None) -> "Tagger":
        """The shipped tagger, or one's own weights and inventory; raises BadInput.

        An act that the weights do not know is given where its cues match and the model is not sure of
        another; an act of the weights that the inventory does not have is never given.
        """
        if path is None and inventory is None:
            return _shipped()
        return cls(
            Weights.load(path or _shipped_weights()), Inventory.load() if inventory is None else inventory
        )

    def tag(self, text: str, steps: Sequence[tuple[int, int]] | None = None) -> tuple[ActSpan, ...]:
        """Spans that cover the text but for white space, none across the end of one of its `steps`.

        `steps` defaults to `split_steps(text)`. An empty text has no span.
        """
        found = units(text, steps)
        if not found:
            return ()
        marginals = self._marginals(text, found)
        best = [self.acts[k] for k in marginals.argmax(1)]
        return self.joined(found, best, marginals.max(1).tolist())

    def joined(
        self, found: Sequence[Unit], acts: Sequence[str], scores: Sequence[float]
    ) -> tuple[ActSpan, ...]:
        """Units as spans: neighbours of one act are one where tagged text mostly has it so.

        A span's score is the mean of its units'.
        """
        column = {act: k for k, act in enumerate(self.acts)}
        spans: list[ActSpan] = []
        first = 0
        for i in range(1, len(found) + 1):
            act = acts[first]
            if i < len(found) and acts[i] == act and self._join[found[i].boundary][column[act]]:
                continue
            score = round(min(sum(scores[first:i]) / (i - first), 1.0), 4)
            spans.append(ActSpan(start=found[first].start, end=found[i - 1].end, act=act, score=score))
            first = i
        return tuple(spans)

    def tag_many(self, texts: Iterable[str]) -> list[tuple[ActSpan, ...]]:
        return [self.tag(t) for t in texts]

    def label(self, text: str, spans: Sequence[tuple[int, int]]) -> tuple[ActSpan, ...]:
        """Acts for spans that are given: in order, without overlap."""
        if not spans:
            return ()
        marginals = self._marginals(text, as_units(text, spans))
        return tuple(
            ActSpan(start=a, end=b, act=self.acts[k], score=round(min(float(m[k]), 1.0), 4))
            for (a, b), m, k in zip(spans, marginals, marginals.argmax(1), strict=True)
        )

    def _marginals(self, text: str, found: Sequence[Unit]) -> Array:
        """P(act | text) per unit, (T, K)."""
        named, hints = features(text, found, self._cues)
        get = self._row.get
        rows = [[r for n in names if (r := get(n)) is not None] for names in named]
        scores = self._w.scores(rows)
        for k in self._unknown:
            hit = np.array([self.acts[k] in h for h in hints])
            rival = np.logaddexp.reduce(scores[:, self._known], axis=1)
            scores[:, k] = np.where(hit, np.maximum(rival, 0.0) + np.log(_CUE_ODDS), _NEVER)
        return marginals(scores, self._w.start, self._w.transition, self._w.stay[links(text, found)])


def as_units(text: str, spans: Sequence[tuple[int, int]]) -> list[Unit]:
    """Given spans as units; a blank line before one opens a step."""
    out: list[Unit] = []
    at, step = 0, 0
    for start, end in spans:
        gap = text[at:start]
        newlines = gap.count("\n")
        kind = Boundary.STEP if not out or newlines > 1 else Boundary.LINE if newlines else Boundary.SENTENCE
        step += kind is Boundary.STEP and bool(out)
        out.append(Unit(start, end, kind, step))
        at = end
    return out


def marginals(scores: Array, start: Array, transition: Array, stay: Array) -> Array:
    """Posterior marginals of a linear chain by the scaled forward-backward algorithm.

    `scores` (T, K), `start` (K,), `transition` (K, K) and `stay` (T, K) are log potentials; `stay` is added
    to the diagonal of the transition into t. The result (T, K) has rows that sum to 1.
    """
    n = len(scores)
    local = np.exp(scores - scores.max(1, keepdims=True))
    step = np.exp(transition - transition.max())
    more = np.diag(step) * np.expm1(stay)  # (T, K)
    forward, backward = np.empty_like(local), np.ones_like(local)
    a = local[0] * np.exp(start - start.max())
    forward[0] = a / a.sum()
    for t in range(1, n):
        a = (forward[t - 1] @ step + forward[t - 1] * more[t]) * local[t]
        forward[t] = a / a.sum()
    for t in range(n - 2, -1, -1):
        ahead = local[t + 1] * backward[t + 1]
        b = step @ ahead + more[t + 1] * ahead
        backward[t] = b / b.sum()
    product = forward * backward
    return np.asarray(product / product.sum(1, keepdims=True), np.float32)


def _convolved(units: Array, kernel: Array) -> Array:
    """Each unit with its neighbours through a kernel (W, I, O): (T, I) to (T, O), zeros beyond the ends."""
    side = len(kernel) // 2
    padded = np.pad(units, ((side, side), (0, 0)))
    return np.asarray(sum(padded[i : i + len(units)] @ k for i, k in enumerate(kernel)), np.float32)


def _summed(matrix: Array, rows: Sequence[Sequence[int]]) -> Array:
    """The sum of the matrix' rows per unit, (T, D)."""
    total = np.zeros((len(rows), matrix.shape[1]), np.float32)
    for at in range(0, len(rows), _BLOCK):
        filled = [unit or [-1] for unit in rows[at : at + _BLOCK]]
        sizes = np.array([len(unit) for unit in filled])
        picked = matrix[np.array([r for unit in filled for r in unit])]
        total[at : at + _BLOCK] = np.add.reduceat(picked, np.cumsum(sizes) - sizes, axis=0)
    total[[i for i, unit in enumerate(rows) if not unit]] = 0.0
    return total


def tag_trace(trace: Trace, tagger: Tagger) -> Trace:
    """The trace with acts; one that has acts already, or no text, as it is."""
    if trace.acts or not trace.text.strip():
        return trace
    steps = [(s.start, s.end) for s in trace.steps]
    return trace.model_copy(update={"acts": tagger.tag(trace.text, steps or None)})


def _shipped_weights() -> Path:
    return Path(str(files("cotmill.data") / "tagger.npz"))


@lru_cache(maxsize=1)
def _shipped() -> Tagger:
    return Tagger(Weights.load(_shipped_weights()), Inventory.load())
