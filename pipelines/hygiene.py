"""What a data set should not hold: duplicates, evaluation problems, questions too easy or too hard.

Questions are compared over the whole run and with earlier ones, since a question that stands twice may stand
on both sides of the split; texts are compared within their question. Signatures are made shard by shard, one
reduce decides, and of equals the smallest id is kept, in whatever order the shards were made.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..schemas import Generator, Outcome, Trace, content_hash

if TYPE_CHECKING:
    from rensa import RMinHash, RMinHashLSH

_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_SHORTEST_GRAM = 4
_SHOWN = 80


class HygieneSettings(BaseModel):
    """What is removed from a run once its traces are made. By default nothing is.

    `ngram`: 13 words are usual and miss most reworded problems; 8 find more of them, and more that only sound
    alike. `solve_rate`: the band of questions to keep; 0.2 to 0.8 is common.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duplicates: Literal["none", "exact", "near"] = "none"
    similarity: float = Field(default=0.7, gt=0, lt=1, description="Jaccard, from which on texts are near")
    shingle: int = Field(default=3, ge=1, description="words")
    permutations: int = Field(default=128, ge=16, multiple_of=16)
    earlier: tuple[str, ...] = Field(default=(), description="folders of runs whose questions are taken")
    evaluation: tuple[str, ...] = Field(default=(), description="files whose problems may not occur")
    ngram: int = Field(default=13, ge=_SHORTEST_GRAM, description="words")
    solve_rate: tuple[float, float] | None = None

    @field_validator("solve_rate")
    @classmethod
    def _band(cls, band: tuple[float, float] | None) -> tuple[float, float] | None:
        if band is not None and not 0 <= band[0] <= band[1] <= 1:
            raise ValueError("must be a lower and an upper share between 0 and 1")
        return band

    @property
    def wanted(self) -> bool:
        return self.duplicates != "none" or bool(self.evaluation) or self.solve_rate is not None


@dataclass(frozen=True, slots=True)
class Removal:
    """What is removed: a trace, or with `whole` everything of its question; why, and what it matches."""

    id: str
    reason: str
    match: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """A text to be compared: its id, the hash of its words, and its MinHash where that is wanted."""

    id: str
    exact: str
    minhash: "RMinHash | None" = None


def words(text: str) -> list[str]:
    """A text's words, numbers and signs, whatever their case, width and spacing."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def sign(key: str, text: str, settings: HygieneSettings) -> Signature:
    """The signature of a text."""
    said = words(text)
    minhash = None
    if settings.duplicates == "near":
        from rensa import RMinHash

        n = settings.shingle
        minhash = RMinHash(num_perm=settings.permutations, seed=0)
        minhash.update([" ".join(said[i : i + n]) for i in range(max(1, len(said) - n + 1))])
    return Signature(key, content_hash("words", " ".join(said)), minhash)


class Kept:
    """Texts kept so far, found again by their words, or by a similar MinHash (locality-sensitive hashing)."""

    def __init__(self, settings: HygieneSettings) -> None:
        self._similarity = settings.similarity
        self._exact: dict[str, str] = {}
        self._near: list[tuple[str, RMinHash]] = []
        self._index: RMinHashLSH | None = None
        if settings.duplicates == "near":
            import rensa

            n = settings.permutations
            # The longest bands whose own threshold, (1 / bands)^(1 / rows), is not above ours.
            rows = max((r for r in (2, 4, 8, 16) if (r / n) ** (1 / r) <= settings.similarity), default=1)
            self._index = rensa.RMinHashLSH(settings.similarity, n, n // rows)

    def add(self, signature: Signature, name: str) -> None:
        self._exact.setdefault(signature.exact, name)
        if self._index is not None and signature.minhash is not None:
            self._index.insert(len(self._near), signature.minhash)
            self._near.append((name, signature.minhash))

    def match(self, signature: Signature) -> tuple[str, str] | None:
        """(reason, match) of the earliest text that is equal, or else near; None where there is none."""
        if signature.exact in self._exact:
            return "duplicate", self._exact[signature.exact]
        if self._index is None or signature.minhash is None:
            return None
        for i in sorted(self._index.query(signature.minhash)):
            name, minhash = self._near[i]
            alike = minhash.jaccard(signature.minhash)
            if alike >= self._similarity:
                return "near duplicate", f"{name} (similarity {alike:.2f})"
        return None


def duplicates(
    signatures: Iterable[Signature], settings: HygieneSettings, earlier: Iterable[tuple[str, Signature]] = ()
) -> list[tuple[str, str, str]]:
    """(id, reason, match) of each text that repeats another; the smallest id of equals is kept.

    `earlier`: names and signatures of texts that are kept in any case.
    """
    kept, out = Kept(settings), []
    for name, signature in earlier:
        kept.add(signature, name)
    for signature in sorted(signatures, key=lambda s: s.id):
        found = kept.match(signature)
        if found is None:
            kept.add(signature, signature.id)
        else:
            out.append((signature.id, *found))
    return out


@dataclass
class Evaluation:
    """The n-grams of evaluation problems, and where each comes from.

    A problem shorter than n words counts whole, if it has four.
    """

    ngram: int
    grams: dict[int, dict[str, str]] = field(default_factory=dict)

    def add(self, text: str, where: str) -> None:
        said = words(text)
        n = min(self.ngram, len(said))
        if n >= _SHORTEST_GRAM:
            for gram in _grams(said, n):
                self.grams.setdefault(n, {}).setdefault(gram, where)

    def match(self, text: str) -> str | None:
        """The first n-gram of a text that an evaluation problem holds, and where; None where none does."""
        said = words(text)
        for n, known in sorted(self.grams.items(), reverse=True):
            for gram in _grams(said, n):
                if gram in known:
                    shown = gram if len(gram) <= _SHOWN else f"{gram[:_SHOWN]}…"
                    return f"{known[gram]}: '{shown}'"
        return None


def contaminated(own: Trace, traces: Sequence[Trace], evaluation: Evaluation) -> list[Removal]:
    """What an evaluation file holds: a question with all that is of it, or single traces."""
    if (match := evaluation.match(own.question)) is not None:
        return [Removal(own.trace_id, "question of an evaluation file", match, whole=True)]
    return [
        Removal(t.trace_id, "text of an evaluation file", match, whole=t.trace_id == own.trace_id)
        for t in traces
        if (match := evaluation.match(t.text)) is not None
    ]


def repeated(traces: Sequence[Trace], settings: HygieneSettings) -> list[Removal]:
    """Texts of one question that repeat another of it; the seed's own trace is never one.

    A labelled text is kept before one without labels, else the smallest id.
    """
    seeds = [t for t in traces if t.trace_id == t.seed_id and t.text]
    kept = [(t.trace_id, sign(t.trace_id, t.text, settings)) for t in seeds]
    out: list[Removal] = []
    for labelled in (True, False):
        own = [t for t in traces if t.measured is labelled and t.trace_id != t.seed_id and t.text]
        signed = [sign(t.trace_id, t.text, settings) for t in own]
        found = duplicates(signed, settings, kept)
        out += [Removal(key, f"{reason} of a text", match) for key, reason, match in found]
        gone = {key for key, *_ in found}
        kept += [(s.id, s) for s in signed if s.id not in gone]
    return out


def solve_rate(traces: Iterable[Trace]) -> float | None:
    """A question's difficulty: the share of its own completions that are right; None where there are none."""
    fresh = [t for t in traces if t.generator is Generator.COMPLETION and not t.prefix_steps]
    fresh = [t for t in fresh if t.outcome is not Outcome.UNDECIDED and t.provenance.parent_id == t.seed_id]
    n = sum(t.count for t in fresh)
    return sum(t.count for t in fresh if t.outcome is Outcome.CORRECT) / n if n else None


def outside(own: Trace, traces: Sequence[Trace], band: tuple[float, float]) -> list[Removal]:
    """The question, where it is solved less or more often than the band to keep says."""
    rate = solve_rate(traces)
    if rate is None or band[0] <= rate <= band[1]:
        return []
    reason = "solved too seldom" if rate < band[0] else "solved too often"
    return [Removal(own.trace_id, reason, f"solve rate {rate:.2f}", whole=True)]


def _grams(said: Sequence[str], n: int) -> Iterator[str]:
    return (" ".join(said[i : i + n]) for i in range(len(said) - n + 1))
