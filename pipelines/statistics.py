"""What a run holds, in figures: counts and distributions over its tables, gathered batch by batch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..schemas import Generator, Outcome
from ..schemas.labels import wilson
from ..schemas.tables import TABLES
from .browse import Run

Q_BINS = 10
_SAMPLED = (Generator.COMPLETION, Generator.SEARCH)
_TRACE_COLUMNS = (
    "generator",
    "outcome",
    "domain",
    "tokens",
    "count",
    "prefix_steps",
    "steps",
    "acts",
    "error",
)
_STEP_COLUMNS = ("method", "hard", "q", "reason", "consensus")
Table = dict[str, Counter[str]]


@dataclass(frozen=True)
class ActShare:
    """Sampled and decided traces with an act behind the copied prefix, and those without it.

    An association, no cause: an act may be what hard questions call for.
    """

    act: str
    n: int
    n_correct: int
    n_without: int
    n_correct_without: int

    @property
    def share(self) -> float | None:
        return self.n_correct / self.n if self.n else None

    @property
    def share_without(self) -> float | None:
        return self.n_correct_without / self.n_without if self.n_without else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of `share`."""
        return wilson(self.n_correct, self.n)


@dataclass
class Statistics:
    """Counts over a run. `transitions[a, b]`: how often act b follows act a within a trace.

    `transition_outcomes[a, b]`: how sampled, decided traces end in which it does so behind the copied prefix.
    """

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    outcomes: Table = field(default_factory=dict)
    domains: Table = field(default_factory=dict)
    sampled: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    tokens: Counter[int] = field(default_factory=Counter)
    steps_per_trace: Counter[int] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    hard: Counter[str] = field(default_factory=Counter)
    consensus: Counter[str] = field(default_factory=Counter)
    unlabelled: Counter[str] = field(default_factory=Counter)
    q: list[int] = field(default_factory=lambda: [0] * Q_BINS)
    acts: Counter[str] = field(default_factory=Counter)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    act_outcomes: Table = field(default_factory=dict)
    transition_outcomes: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    decided: Counter[str] = field(default_factory=Counter)
    states: Table = field(default_factory=dict)
    depths: Counter[int] = field(default_factory=Counter)

    def act_shares(self) -> list[ActShare]:
        """Per act that sampled traces hold, the most frequent first: how often these are right."""
        n, n_correct = self.decided.total(), self.decided[Outcome.CORRECT]
        shares = []
        for act, counts in self.act_outcomes.items():
            with_act, right = counts.total(), counts[Outcome.CORRECT]
            shares.append(ActShare(act, with_act, right, n - with_act, n_correct - right))
        return sorted(shares, key=lambda s: (-s.n, s.act))

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "traces": {
                "by_generator": _plain(self.outcomes),
                "by_domain": _plain(self.domains),
                "sampled": self.sampled,
                "steps": spread(self.steps_per_trace),
                "tokens": spread(self.tokens),
                "errors": dict(self.errors.most_common()),
            },
            "steps": {
                "methods": dict(self.methods.most_common()),
                "hard": dict(self.hard),
                "consensus": dict(self.consensus),
                "unlabelled": dict(self.unlabelled.most_common()),
                "q": self.q,
            },
            "acts": {
                "counts": dict(self.acts.most_common()),
                "transitions": [[*pair, n] for pair, n in self.transitions.most_common()],
                "transition_outcomes": [
                    [*pair, counts.total(), counts[Outcome.CORRECT]]
                    for pair, counts in sorted(self.transition_outcomes.items())
                ],
                "outcomes": {
                    s.act: {
                        "n": s.n,
                        "correct": s.share,
                        "correct_95": s.interval,
                        "correct_without": s.share_without,
                    }
                    for s in self.act_shares()
                },
            },
            "search": {"by_kind": _plain(self.states), "depth": spread(self.depths)},
        }


def gather(run: Run) -> Statistics:
    """Read a run's tables once. Memory: one batch, and the counts."""
    out = Statistics(rows={name: {} for name in TABLES})
    for shard in run.manifest.shards:
        splits = out.rows[shard.table]
        splits[shard.split] = splits.get(shard.split, 0) + shard.rows
    for batch in run.batches("traces", _TRACE_COLUMNS):
        _traces(out, batch)
    for batch in run.batches("steps", _STEP_COLUMNS):
        _steps(out, batch)
    for batch in run.batches("search", ("action_kind", "value", "depth")):
        _search(out, batch)
    return out


def spread(counts: Counter[int]) -> dict[str, float]:
    """Number, mean and quantiles of counted whole numbers; empty where there are none."""
    if not counts:
        return {}
    values = np.array(sorted(counts))
    weights = np.array([counts[int(v)] for v in values])
    reached = np.cumsum(weights) / weights.sum()
    quantiles = {
        name: int(values[np.searchsorted(reached, share)])
        for name, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75), ("q95", 0.95))
    }
    mean = float(values @ weights / weights.sum())
    return {"n": int(weights.sum()), "mean": mean, "min": int(values[0]), **quantiles, "max": int(values[-1])}


def _traces(out: Statistics, batch: pa.RecordBatch) -> None:
    generators, outcomes = batch.column("generator").to_pylist(), batch.column("outcome").to_pylist()
    for generator, outcome, domain in zip(
        generators, outcomes, batch.column("domain").to_pylist(), strict=True
    ):
        out.outcomes.setdefault(generator, Counter())[outcome] += 1
        out.domains.setdefault(domain, Counter())[outcome] += 1
    out.sampled += sum(batch.column("count").to_pylist())
    out.errors.update(e.partition(":")[0] for e in batch.column("error").to_pylist() if e)
    out.tokens.update(t for t in batch.column("tokens").to_pylist() if t)
    steps, acts = _Lists(batch.column("steps")), _Lists(batch.column("acts"))
    out.steps_per_trace.update(int(n) for n in np.diff(steps.offsets) if n)
    names: list[str] = acts.field("act").to_pylist()
    out.acts.update(names)
    for i in np.flatnonzero(acts.row[1:] == acts.row[:-1]):
        out.transitions[names[i], names[i + 1]] += 1
    _act_outcomes(out, batch, steps, acts, names, generators, outcomes)


def _act_outcomes(
    out: Statistics,
    batch: pa.RecordBatch,
    steps: "_Lists",
    acts: "_Lists",
    names: Sequence[str],
    generators: Sequence[str],
    outcomes: Sequence[str],
) -> None:
    """Which acts and turns stand behind the copied prefix of sampled, decided traces, and how these end."""
    wanted = [g in _SAMPLED and o != Outcome.UNDECIDED for g, o in zip(generators, outcomes, strict=True)]
    out.decided.update(o for o, w in zip(outcomes, wanted, strict=True) if w)
    copied = np.minimum(np.asarray(batch.column("prefix_steps")), np.diff(steps.offsets))
    ends = np.append(np.asarray(steps.field("end")), 0)
    prefix_end = np.where(copied > 0, ends[steps.offsets[:-1] + copied - 1], 0)
    own = np.asarray(acts.field("start")) >= prefix_end[acts.row]
    seen = {(int(row), name) for row, name, mine in zip(acts.row, names, own, strict=True) if mine}
    for row, name in seen:
        if wanted[row]:
            out.act_outcomes.setdefault(name, Counter())[outcomes[row]] += 1
    following = np.flatnonzero((acts.row[1:] == acts.row[:-1]) & own[:-1]) if len(own) > 1 else ()
    for row, *turn in {(int(acts.row[i]), names[int(i)], names[int(i) + 1]) for i in following}:
        if wanted[row]:
            out.transition_outcomes.setdefault((turn[0], turn[1]), Counter())[outcomes[row]] += 1


def _steps(out: Statistics, batch: pa.RecordBatch) -> None:
    out.methods.update(m for m in batch.column("method").to_pylist() if m)
    out.unlabelled.update(r for r in batch.column("reason").to_pylist() if r)
    out.hard.update(_NAMES[h] for h in batch.column("hard").to_pylist())
    out.consensus.update(_AGREE[c] for c in batch.column("consensus").to_pylist())
    for q in batch.column("q").to_pylist():
        if q is not None:
            out.q[min(int(q * Q_BINS), Q_BINS - 1)] += 1


def _search(out: Statistics, batch: pa.RecordBatch) -> None:
    for kind, value in zip(
        batch.column("action_kind").to_pylist(), batch.column("value").to_pylist(), strict=True
    ):
        out.states.setdefault(kind, Counter())[_GAMES[value]] += 1
    out.depths.update(batch.column("depth").to_pylist())


_NAMES = {True: "right", False: "wrong", None: "none"}
_AGREE = {True: "agree", False: "disagree", None: "none"}
_GAMES = {1: "won", -1: "lost", None: "undecided"}


class _Lists:
    """A column of lists of structs: the items' fields, and `row[i]`, the row that item i belongs to."""

    def __init__(self, column: pa.ListArray) -> None:
        self.items: pa.StructArray = column.flatten()
        self.offsets: NDArray[np.int64] = np.asarray(column.offsets).astype(np.int64)
        self.offsets -= self.offsets[0]
        self.row = np.repeat(np.arange(len(column)), np.diff(self.offsets))

    def field(self, name: str) -> pa.Array:
        return self.items.field(name)


def _plain(table: Table) -> dict[str, dict[str, int]]:
    return {key: dict(sorted(counts.items())) for key, counts in sorted(table.items())}
