"""A run's figures as small tables: the dataset card prints them as Markdown, the closing page in colour."""

from dataclasses import dataclass

from ..models.work import Work
from ..schemas import Outcome
from .manifest import Manifest
from .totals import Totals


@dataclass(frozen=True)
class Section:
    """A titled table, and a remark on how to read it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remark: str = ""

    def markdown(self) -> str:
        lines = [f"### {self.title}", ""]
        lines += [_line(self.columns), _line(("---",) * len(self.columns)), *map(_line, self.rows)]
        return "\n".join([*lines, *(["", self.remark] if self.remark else []), ""])


def share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def figures(manifest: Manifest) -> list[Section]:
    """Everything about the data that is worth a look, from the manifest alone."""
    sections = [_traces(manifest), _cost(manifest), _steps(manifest)]
    if manifest.totals.acts:
        sections.append(_acts(manifest))
    if manifest.totals.truth.measured or manifest.totals.seed_truth.measured:
        sections += [_truth(manifest), _calibration(manifest)]
    if manifest.totals.solve_rates:
        sections.append(_difficulty(manifest))
    if manifest.totals.rejected or manifest.totals.errors:
        sections.append(_dropped(manifest))
    return sections


def _traces(manifest: Manifest) -> Section:
    rows = []
    for generator, counts in sorted(manifest.totals.traces.items()):
        numbers = [counts.get(o, 0) for o in Outcome]
        rows.append((generator, *(f"{n:,}" for n in numbers), f"{sum(numbers):,}"))
    return Section(
        "Traces by generator and outcome",
        ("generator", *Outcome, "all"),
        tuple(rows),
        "Distinct traces. A hand-written trace outside mathematics, whose answer no verifier can decide, "
        "is undecided.",
    )


def _cost(manifest: Manifest) -> Section:
    t = manifest.totals
    rows = (
        ("seeds", f"{t.seeds:,}"),
        ("completions sampled", f"{t.sampled:,}"),
        ("of these for step labels of sampled traces", f"{t.label_rollouts:,}"),
        ("tokens written by the policy", f"{t.tokens:,}"),
        ("searched states", f"{t.search_states:,}"),
        *_use(t),
        ("policy", f"{manifest.policy} ({manifest.policy_hash[:12]})"),
    )
    return Section("What it took", ("", ""), rows)


def _use(t: Totals) -> list[tuple[str, str]]:
    """How well local models were used, and what a server counted."""
    rows = []
    if t.engine:
        work = Work(**t.engine)
        rows = [
            ("batch occupancy: rows in a decode step, of those there was room for", share(work.occupancy)),
            ("prefix reuse: prompt tokens that were not computed again", share(work.reuse)),
            ("wasted: positions computed for nobody", share(work.waste)),
        ]
    rows += [(f"{kind} tokens, as the model server counts them", f"{n:,}") for kind, n in t.server.items()]
    return rows


def _steps(manifest: Manifest) -> Section:
    t = manifest.totals
    rows = [(method, f"{n:,}") for method, n in t.steps.items()]
    rows += [(f"no label: {reason}", f"{n:,}") for reason, n in t.unlabelled.items()]
    return Section("Steps by how they were labelled", ("method", "steps"), tuple(rows))


def _acts(manifest: Manifest) -> Section:
    t = manifest.totals
    rows = []
    for act, n in sorted(t.acts.items(), key=lambda item: (-item[1], item[0])):
        outcomes = t.act_outcomes.get(act, {})
        decided = outcomes.get(Outcome.CORRECT, 0) + outcomes.get(Outcome.WRONG, 0)
        right = share(outcomes.get(Outcome.CORRECT, 0) / decided) if decided else "-"
        rows.append((act, f"{n:,}", right))
    return Section(
        "Acts tagged",
        ("act", "spans", "right answers among decided traces with it"),
        tuple(rows),
    )


def _truth(manifest: Manifest) -> Section:
    own, seeds = manifest.totals.truth, manifest.totals.seed_truth
    rows = (
        ("step prefixes compared", f"{own.measured:,}", f"{seeds.measured:,}"),
        (
            "precision of `hard` (labelled right, and truly without an open error)",
            share(own.precision),
            share(seeds.precision),
        ),
        (
            "recall of `hard` (truly without an open error, and labelled right)",
            share(own.recall),
            share(seeds.recall),
        ),
        ("wrong traces compared", f"{own.wrong_traces:,}", ""),
        ("their first error named exactly", share(own.exact_share), ""),
        ("named within one step", share(own.near_share), ""),
        (
            "calibration error of q against the share of clean prefixes",
            share(own.calibration_error),
            share(seeds.calibration_error),
        ),
    )
    return Section(
        "Labels against truth",
        ("", "the policy's steps", "the seeds' steps"),
        rows,
        "Truth is the seed families' step checker, which knows the first wrong step of any of their traces. "
        "The mistakes in seeds are planted and mended: a policy that learnt from such seeds mends them too, "
        "and succeeds from a prefix with an open mistake. So it sometimes does from its own errors; that "
        "lowers the precision, and is inherent to rollouts.",
    )


def _calibration(manifest: Manifest) -> Section:
    bins = manifest.totals.truth.bins
    rows = tuple(
        (f"{i / len(bins):.1f} to {(i + 1) / len(bins):.1f}", f"{n:,}", f"{q / n:.2f}", share(clean / n))
        for i, (n, q, clean) in enumerate(bins)
        if n
    )
    return Section("Calibration of q", ("q", "prefixes", "mean q", "truly clean"), rows)


def _difficulty(manifest: Manifest) -> Section:
    rows = tuple((name, f"{n:,}") for name, n in sorted(manifest.totals.solve_rates.items(), key=_rate))
    return Section(
        "Difficulty, before any question was removed",
        ("solve rate", "questions"),
        rows,
        "The share of a question's own completions that are right.",
    )


def _rate(item: tuple[str, int]) -> tuple[float, int]:
    return float(item[0].partition(" ")[0]), len(item[0])


def _dropped(manifest: Manifest) -> Section:
    t = manifest.totals
    rows = [(f"row rejected: {reason}", f"{n:,}") for reason, n in t.rejected.items()]
    rows += [(f"trace kept with its fault: {error}", f"{n:,}") for error, n in t.errors.items()]
    return Section("Dropped, or kept with a fault", ("what", "how many"), tuple(rows))


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in cells) + " |"
