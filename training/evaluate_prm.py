"""How well a process reward model (PRM) names the first wrong step.

Rows are ProcessBench's (arXiv 2412.06559): `id, problem, steps, label`, where `label` is the index of the
first wrong step, or -1; `markup`, where given, is the trace with its acts tagged.

Steps before `label` count as good, the step at `label` and all after it as bad: what a PRM scores is the
prefix that a step ends.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.headed import StepsRow
from ..models.network import RewardModel
from ..models.tokenizer import token_id
from ..schemas import ActSpan, BadInput, MarkupError, generator, join_steps, markup, rng_key

Interval = tuple[float, float]
_PLAIN_ACT = "Deduce"


@dataclass(frozen=True, slots=True)
class PRMFigures:
    """A PRM's figures on `n` rows, in [0, 1]; None where the rows do not allow one.

    `wrong_accuracy`: share of the `n_wrong` wrong traces whose first step below `threshold` is their first
    wrong one; `right_accuracy`: share of the `n_right` right traces without a step below it; `f1`: their
    harmonic mean, as ProcessBench defines it. `auc`: the chance that a good step scores above a bad one,
    over all `n_steps`; `auc_within_problem`: the same over pairs of steps from traces of one problem,
    averaged over the `n_problems` that have both kinds. `*_interval`: 95%, by bootstrap over problems.
    `n_unscored` steps lie beyond the model's context; they flag nothing.
    """

    n: int
    n_wrong: int
    n_right: int
    n_steps: int
    n_unscored: int
    n_problems: int
    threshold: float
    wrong_accuracy: float | None
    right_accuracy: float | None
    f1: float | None
    auc: float | None
    auc_within_problem: float | None
    f1_interval: Interval | None = None
    auc_interval: Interval | None = None
    auc_within_problem_interval: Interval | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate_prm(
    prm: RewardModel, rows: Sequence[Mapping[str, Any]], *, threshold: float = 0.5, resamples: int = 1000
) -> PRMFigures:
    """Score the rows' steps and compute the figures.

    A PRM that reads markup takes a row's `markup`; a row without one is read as one act "Deduce" per step.
    `threshold` is not tuned on anything. Raises BadInput naming the row (counted from 1) and the field.
    """
    checked = [_checked(row, i + 1) for i, row in enumerate(rows)]
    if not checked:
        raise BadInput("no rows to evaluate on")
    scores = prm.score_steps([steps_row(prm, row, i + 1) for i, row in enumerate(checked)])
    return prm_figures(
        scores,
        [row["label"] for row in checked],
        [row["problem"] for row in checked],
        threshold=threshold,
        resamples=resamples,
    )


def steps_row(prm: RewardModel, row: Mapping[str, Any], line: int | None = None) -> StepsRow:
    """A ProcessBench row as its PRM reads it; raises BadInput where its markup does not hold its steps."""
    text, spans = join_steps(row["steps"])
    acts: tuple[ActSpan, ...] = ()
    if prm.input == "markup" and row.get("markup"):
        try:
            text, acts = markup.parse(row["markup"])
        except MarkupError as e:
            raise BadInput(str(e), line=line, field="markup") from e
        spans = _found_in(text, row["steps"], line)
    elif token_id(prm.tokenizer, markup.act_start(_PLAIN_ACT)) is not None:
        acts = tuple(ActSpan(start=a, end=b, act=_PLAIN_ACT) for a, b in spans)
    try:
        return prm.row(row["problem"], text, acts, [end for _, end in spans])
    except MarkupError as e:
        raise BadInput(f"an act crosses a step's end: {e}", line=line, field="markup") from e


def prm_figures(
    scores: Sequence[Sequence[float]],
    labels: Sequence[int],
    problems: Sequence[Hashable],
    *,
    threshold: float = 0.5,
    resamples: int = 1000,
) -> PRMFigures:
    """The figures from step scores (NaN: not scored), first wrong steps (-1: none), and problems."""
    found = [first_below(row, threshold) == label for row, label in zip(scores, labels, strict=True)]
    groups: dict[Hashable, list[int]] = {}
    for i, problem in enumerate(problems):
        groups.setdefault(problem, []).append(i)
    clusters = list(groups.values())
    good = [[s for r in g for s in _kept(scores[r], labels[r], good=True)] for g in clusters]
    bad = [[s for r in g for s in _kept(scores[r], labels[r], good=False)] for g in clusters]
    within = np.array([auc(g, b) if g and b else np.nan for g, b in zip(good, bad, strict=True)])
    wrong = np.array([[sum(labels[r] >= 0 for r in g), sum(labels[r] < 0 for r in g)] for g in clusters])
    hits = np.array(
        [[sum(found[r] for r in g if (labels[r] >= 0) is kind) for kind in (True, False)] for g in clusters]
    )

    def rates(picked: NDArray[np.int64]) -> tuple[float | None, float | None]:
        (n_wrong, n_right), (hit, passed) = wrong[picked].sum(0), hits[picked].sum(0)
        return (float(hit / n_wrong) if n_wrong else None), (float(passed / n_right) if n_right else None)

    def pooled(picked: NDArray[np.int64]) -> float | None:
        above = [s for i in picked for s in good[i]]
        below = [s for i in picked for s in bad[i]]
        return auc(above, below) if above and below else None

    def inside(picked: NDArray[np.int64]) -> float | None:
        values = within[picked]
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else None

    whole = np.arange(len(clusters))
    wrong_accuracy, right_accuracy = rates(whole)
    return PRMFigures(
        n=len(labels),
        n_wrong=int(wrong[:, 0].sum()),
        n_right=int(wrong[:, 1].sum()),
        n_steps=sum(map(len, scores)),
        n_unscored=sum(isnan(s) for row in scores for s in row),
        n_problems=int((~np.isnan(within)).sum()),
        threshold=threshold,
        wrong_accuracy=wrong_accuracy,
        right_accuracy=right_accuracy,
        f1=harmonic_mean(wrong_accuracy, right_accuracy),
        auc=pooled(whole),
        auc_within_problem=inside(whole),
        f1_interval=_bootstrap(lambda p: harmonic_mean(*rates(p)), len(clusters), resamples),
        auc_interval=_bootstrap(pooled, len(clusters), resamples),
        auc_within_problem_interval=_bootstrap(inside, len(clusters), resamples),
    )


def first_below(scores: Sequence[float], threshold: float) -> int:
    """The first step scored below the threshold; -1 where there is none. NaN is below nothing."""
    return next((i for i, s in enumerate(scores) if s < threshold), -1)


def harmonic_mean(a: float | None, b: float | None) -> float | None:
    """None where either is missing, 0 where either is 0."""
    if a is None or b is None:
        return None
    return 0.0 if a + b == 0 else 2 * a * b / (a + b)


def auc(above: Sequence[float], below: Sequence[float]) -> float:
    """The chance that a draw from `above` exceeds one from `below`; a tie counts half (Mann-Whitney U).

    Raises ValueError where either is empty.
    """
    if not above or not below:
        raise ValueError("an AUC needs draws of both kinds")
    ordered = np.sort(np.asarray(below, dtype=np.float64))
    draws = np.asarray(above, dtype=np.float64)
    wins = np.searchsorted(ordered, draws, side="left") + np.searchsorted(ordered, draws, side="right")
    return float(wins.sum() / (2 * len(draws) * len(ordered)))


def _found_in(text: str, steps: Sequence[str], line: int | None) -> tuple[tuple[int, int], ...]:
    spans, at = [], 0
    for i, step in enumerate(s.strip() for s in steps):
        start = text.find(step, at)
        if start < 0:
            raise BadInput(f"step {i} does not stand in it", line=line, field="markup")
        spans.append((start, at := start + len(step)))
    return tuple(spans)


def _kept(scores: Sequence[float], label: int, *, good: bool) -> list[float]:
    """The scored steps of one row that are good, or bad."""
    return [s for i, s in enumerate(scores) if not isnan(s) and (label < 0 or i < label) is good]


def _bootstrap(
    figure: Callable[[NDArray[np.int64]], float | None], n: int, resamples: int
) -> Interval | None:
    """The 2.5% and 97.5% quantiles of a figure over resampled problems; None where it is never defined."""
    draw = generator(rng_key(0, "evaluate_prm", "bootstrap"))
    values = [v for _ in range(resamples) if (v := figure(draw.integers(0, n, n))) is not None]
    if not values:
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _checked(row: Mapping[str, Any], line: int) -> dict[str, Any]:
    problem, steps, label = row.get("problem"), row.get("steps"), row.get("label")
    if not isinstance(problem, str) or not problem:
        raise BadInput("must be a text", line=line, field="problem")
    if not isinstance(steps, list) or not steps or not all(isinstance(s, str) and s.strip() for s in steps):
        raise BadInput("must be a list of texts, none of them empty", line=line, field="steps")
    if isinstance(label, bool) or not isinstance(label, int) or not -1 <= label < len(steps):
        raise BadInput(
            f"must be a step's index, or -1 (there are {len(steps)} steps)", line=line, field="label"
        )
    if row.get("markup") is not None and not isinstance(row["markup"], str):
        raise BadInput("must be a text", line=line, field="markup")
    return {"problem": problem, "steps": steps, "label": label, "markup": row.get("markup")}
