"""The demonstration's closing page: what was made, whether its labels are true, what training on it gave."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .figures import Section, figures, share
from .manifest import Manifest

if TYPE_CHECKING:
    from ..training.evaluate_prm import PRMFigures


def show(console: Console, section: Section) -> None:
    table = Table(
        title=section.title, title_justify="left", title_style="bold", show_header=any(section.columns)
    )
    for i, column in enumerate(section.columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in section.rows:
        table.add_row(*map(escape, row))
    console.print(table)
    if section.remark:
        console.print(section.remark, style="dim")
    console.print()


def closing_page(
    console: Console,
    manifest: Manifest,
    trained: "PRMFigures",
    shipped: "PRMFigures",
    *,
    out: str,
    labels: int,
) -> None:
    """Print the page; every figure comes from the manifest or from the evaluations given."""
    console.rule("[bold]cotmill: the demonstration")
    for section in figures(manifest):
        show(console, section)
    show(console, prm_section({"trained just now": trained, "shipped": shipped}))
    console.print(_verdict(trained, shipped, labels))
    console.print()
    console.rule("[bold]where to look next")
    for command, what in (
        (f"cotmill inspect {out}/demo", "counts, distributions and samples in the terminal"),
        (f"cotmill review {out}/demo", "the reviewers' notebook: seeds beside traces, acts in colour"),
        (f"cotmill check {out}/demo", "every shard against the manifest"),
        (f"{out}/demo/README.md", "the dataset card, with these figures"),
        ("pipelines/configs/own.yaml", "the annotated configuration to copy for your seeds and your model"),
    ):
        console.print(f"  [bold]{escape(command)}[/]\n      {what}", highlight=False)


def prm_section(prms: dict[str, "PRMFigures"]) -> Section:
    """PRMs side by side on held-out traces."""
    first = next(iter(prms.values()))
    rows = [
        ("AUC over all steps", *(_auc(p.auc) for p in prms.values())),
        ("AUC within a problem", *(_auc(p.auc_within_problem) for p in prms.values())),
        ("first error named in wrong traces", *(share(p.wrong_accuracy) for p in prms.values())),
        ("right traces passed", *(share(p.right_accuracy) for p in prms.values())),
        ("first-error F1", *(share(p.f1) for p in prms.values())),
    ]
    return Section(
        f"Process reward models on {first.n:,} held-out traces whose first wrong step is known",
        ("", *prms),
        tuple(rows),
    )


def _auc(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _verdict(trained: "PRMFigures", shipped: "PRMFigures", labels: int) -> str:
    took = f"The new one saw the {labels:,} labelled steps of this run"
    if trained.f1 is None or shipped.f1 is None:
        return f"{took}; the held-out traces do not allow a comparison."
    if trained.f1 < shipped.f1:
        return (
            f"{took}; the shipped one, trained on more, is {100 * (shipped.f1 - trained.f1):.1f} points of "
            "F1 ahead. A minute's training shows that the line works, and is worth little more."
        )
    return f"{took}, and is not behind the shipped one on these traces."
