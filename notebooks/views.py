"""What the reviewers' notebook shows of a run. Each view returns HTML without scripts or network.

Samples come in an order shuffled by a fixed key: everybody who opens a run sees the same ones, and `at`
moves on through them.
"""

import os
from functools import cached_property, lru_cache
from pathlib import Path

from ..pipelines.browse import NAMES, Run
from ..pipelines.evaluation_commands import RESULT
from ..pipelines.figures import Section, figures
from ..pipelines.files import BadRow, read_rows
from ..pipelines.known import known
from ..pipelines.review import RUN_VARIABLE
from ..pipelines.statistics import Statistics, gather
from ..pipelines.where import parse_where
from ..schemas import BadInput, Trace
from ..schemas.tables import Row, trace_from_row
from . import html, plots
from .cards import state_card, step_card, trace_card
from .html import Html, esc, tag

_ENOUGH = 100


class Review:
    """A run, opened for review: the folder given, or the one that `cotmill review DIR` was called with.

    Every view of samples takes the same filters: `outcome`, `generator` and `domain` (of `traces`), and
    `where`, a filter as of `cotmill inspect`, such as "tokens>40 and acts.act=DetectError".
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        chosen = folder or os.environ.get(RUN_VARIABLE)
        if not chosen:
            raise BadInput(f'no run is chosen: give Review("DIR"), or set {RUN_VARIABLE}')
        self.run = Run(Path(chosen))

    @cached_property
    def statistics(self) -> Statistics:
        return gather(self.run)

    def overview(self) -> Html:
        """What the run says of itself: the figures of its dataset card, and its configuration."""
        manifest = self.run.manifest
        rows = html.table(
            ("table", "train", "validation", "all"),
            [
                (
                    esc(name),
                    *(f"{splits.get(s, 0):,}" for s in ("train", "validation")),
                    f"{sum(splits.values()):,}",
                )
                for name, splits in self.statistics.rows.items()
            ],
            title="Rows",
        )
        settings = html.table(("", ""), [(esc(k), esc(v)) for k, v in sorted(manifest.config.items())])
        head = tag("p", esc(self.run.title))
        blocks = tag("div", rows + "".join(map(_section, figures(manifest))), class_="blocks")
        return Html(head + blocks + tag("details", tag("summary", "The run's configuration") + settings))

    def legend(self) -> Html:
        """The acts by group, in their colours; a tooltip says what each is."""
        return Html(html.legend())

    def samples(
        self,
        at: int = 0,
        n: int = 3,
        *,
        outcome: str | None = None,
        generator: str | None = None,
        domain: str | None = None,
        where: str | None = None,
        key: str = "review",
    ) -> Html:
        """Traces beside their seeds' CoTs, from sample `at` on."""
        where = _filter(where, outcome=outcome, generator=generator, domain=domain)
        rows, head = self._draw("traces", where, at, n, key)
        return Html(head + "".join(self._trace(row) for row in rows))

    def against_truth(self, n: int = 3, *, where: str | None = None, among: int = 1000) -> Html:
        """Traces with a label that the seed families' step checker contradicts, among the first samples."""
        drawn = self.run.draw("traces", parse_where(where, "traces"), n=among)
        found = [row for row in drawn if known(trace_from_row(row), self.run.threshold).contradicted]
        head = tag("p", f"{len(found):,} of the first {len(drawn):,} traces", class_="at")
        return Html(head + "".join(self._trace(row) for row in found[:n]))

    def steps(self, at: int = 0, n: int = 3, *, where: str | None = None, key: str = "review") -> Html:
        """Labelled step prefixes: rows of `steps`, each with what stands before it."""
        rows, head = self._draw("steps", where, at, n, key)
        return Html(head + "".join(map(step_card, rows)))

    def states(self, at: int = 0, n: int = 2, *, where: str | None = None, key: str = "review") -> Html:
        """Searched states: the prefix, and each action's prior, visits, pi and q."""
        rows, head = self._draw("search", where, at, n, key)
        return Html(head + "".join(map(state_card, rows)))

    def values(self) -> Html:
        """How the steps' success ratios and labels are distributed, and how they were obtained."""
        return Html(plots.values(self.statistics))

    def outcomes(self) -> Html:
        """Right, wrong and undecided traces by generator and domain."""
        return Html(plots.outcomes(self.statistics))

    def acts(self) -> Html:
        """How often each act occurs."""
        return Html(plots.acts(self.statistics))

    def transitions(self) -> Html:
        """Which act follows which, in percent of all that follow the row's act."""
        return Html(plots.transitions(self.statistics))

    def acts_by_outcome(self) -> Html:
        """How often sampled traces are right with an act in the part they wrote, and without it."""
        return Html(plots.acts_by_outcome(self.statistics))

    def rejected(self, n: int = 20) -> Html:
        """What was dropped, and why: the first rows of `rejected/`."""
        rows: list[tuple[str, ...]] = []
        for path in sorted((self.run.folder / "rejected").glob("*.jsonl")):
            for line, row in read_rows(path):
                if isinstance(row, BadRow):
                    row = {"line": line, "reason": row.reason}
                rows.append(
                    tuple(esc(row.get(k) or "") for k in ("source", "line", "field", "reason", "raw"))
                )
                if len(rows) == n:
                    break
        if not rows:
            return Html(tag("p", "No row was rejected."))
        return Html(html.table(("source", "line", "field", "reason", "begins"), rows[:n]))

    def evaluation(self, folder: str | Path | None = None) -> Html:
        """The plots that `cotmill evaluate --out DIR` drew: in DIR, or of the loop whose round this run is.

        Raises BadInput for a folder that holds no evaluation.
        """
        beside = self.run.folder.resolve().parent
        places = [beside / "evaluation", beside.parent] if folder is None else [Path(folder)]
        drawn = [html.picture(file) for place in places for file in _plots(place)]
        if folder is not None and not drawn:
            raise BadInput("holds no plots of an evaluation: see `cotmill evaluate --out`", file=folder)
        none = tag("p", "No evaluation lies beside this run: give the folder of one.", class_="note")
        return Html("".join(drawn) or none)

    def _draw(self, name: str, where: str | None, at: int, n: int, key: str) -> tuple[list[Row], str]:
        passing = parse_where(where, name)
        found = self.run.count(name, passing)
        at = max(0, min(at, found - 1))
        rows = self.run.draw(name, passing, n=n, start=at, key=key)
        such, what = tag("code", esc(where)) if where else "", NAMES[name]
        if not rows:
            every = self.run.count(name)
            none = f"None of {every:,} {what} passes {such}" if every else f"The run holds no {what}"
            return [], tag("p", f"{none}.", class_="at")
        moves = [f"next: <code>at={at + n}</code>"] if at + n < found else []
        moves += [f"previous: <code>at={max(0, at - n)}</code>"] if at else []
        place = f"{at + 1:,} to {at + len(rows):,} of {found:,} {what}"
        return rows, tag("p", " · ".join(p for p in (place, such, *moves) if p), class_="at")

    def _trace(self, row: Row) -> str:
        trace = trace_from_row(row)
        seed = _seed(self.run, trace.seed_id) if trace.trace_id != trace.seed_id else None
        return trace_card(trace, seed, row["split"], self.run.threshold)


@lru_cache(maxsize=_ENOUGH)
def _seed(run: Run, seed_id: str) -> Trace | None:
    return run.seed_of({"seed_id": seed_id})


def _filter(where: str | None, **equal: str | None) -> str | None:
    """One filter that says all of it."""
    parts = [f'{name}="{value}"' for name, value in equal.items() if value]
    return " and ".join([*parts, *([f"({where})" if parts else where] if where else [])]) or None


def _section(section: Section) -> str:
    rows = [[esc(cell) for cell in row] for row in section.rows]
    return html.table(section.columns, rows, title=section.title, note=section.remark)


def _plots(folder: Path) -> list[Path]:
    """The plots of an evaluation, or of a loop."""
    own = folder.glob("*.png") if (folder / RESULT).exists() else folder.glob("loop.png")
    return sorted(own)
