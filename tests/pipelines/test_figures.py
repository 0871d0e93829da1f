"""Figures and card: every number comes from the manifest, and no text breaks the page."""

import io
import re
from typing import Any

import pytest
import yaml
from cotmill.labelers.truth import Truth
from cotmill.pipelines.card import card
from cotmill.pipelines.figures import Section, figures, share
from cotmill.pipelines.manifest import Manifest
from cotmill.pipelines.page import show
from cotmill.pipelines.shards import ShardFile
from cotmill.pipelines.totals import Totals
from rich.console import Console


def manifest(shards: tuple[ShardFile, ...] = (), **totals: Any) -> Manifest:
    return Manifest(
        schema_version=1,
        code_version="1",
        config={"seed": "0", "completion.stop": "['\\n\\n']"},
        config_hash="c0ffee",
        policy="embedded",
        policy_hash="0123456789abcdef",
        shards=shards,
        totals=Totals(**totals),
    )


def section(title: str, m: Manifest) -> dict[str, tuple[str, ...]]:
    [found] = [s for s in figures(m) if s.title == title]
    return {row[0]: row[1:] for row in found.rows}


def shown(s: Section) -> str:
    out = io.StringIO()
    show(Console(file=out, width=200), s)
    return out.getvalue()


FULL: dict[str, Any] = {
    "seeds": 1200,
    "traces": {"human": {"correct": 9, "undecided": 1}, "completion": {"wrong": 1500, "correct": 2000}},
    "sampled": 5000,
    "tokens": 123456,
    "label_rollouts": 800,
    "steps": {"rollouts": 40, "inferred": 10},
    "unlabelled": {"policy too weak": 3},
    "acts": {"Check": 5, "Answer": 20},
    "act_outcomes": {"Check": {"correct": 3, "wrong": 1}, "Answer": {"undecided": 2}},
    "errors": {"cut off": 4},
    "rejected": {"answer is missing": 2},
    "truth": Truth(
        true_positive=6,
        false_positive=2,
        true_negative=9,
        false_negative=4,
        wrong_traces=5,
        first_error_exact=2,
        first_error_near=3,
        bins=[(10, 0.5, 1), (0, 0.0, 0), (0, 0.0, 0), (0, 0.0, 0), (11, 11.0, 9)],
    ),
}


def test_traces_are_counted_by_generator_and_outcome() -> None:
    rows = section("Traces by generator and outcome", manifest(**FULL))
    assert rows == {"completion": ("2,000", "1,500", "0", "3,500"), "human": ("9", "0", "1", "10")}


def test_the_cost_is_told() -> None:
    rows = section("What it took", manifest(**FULL))
    assert rows["completions sampled"] == ("5,000",)
    assert rows["tokens written by the policy"] == ("123,456",)
    assert rows["policy"] == ("embedded (0123456789ab)",)


def test_labelled_and_unlabelled_steps_stand_side_by_side() -> None:
    rows = section("Steps by how they were labelled", manifest(**FULL))
    assert rows == {"rollouts": ("40",), "inferred": ("10",), "no label: policy too weak": ("3",)}


def test_acts_come_with_how_often_their_traces_end_right() -> None:
    rows = section("Acts tagged", manifest(**FULL))
    assert list(rows.items()) == [("Answer", ("20", "-")), ("Check", ("5", "75.0%"))]


def test_labels_against_truth() -> None:
    rows = list(section("Labels against truth", manifest(**FULL)).values())
    assert [own for own, _ in rows] == ["21", "75.0%", "60.0%", "5", "40.0%", "60.0%", "11.9%"]
    assert [seeds for _, seeds in rows] == ["0", "unknown", "unknown", "", "", "", "unknown"]
    assert section("Calibration of q", manifest(**FULL)) == {
        "0.0 to 0.2": ("10", "0.05", "10.0%"),
        "0.8 to 1.0": ("11", "1.00", "81.8%"),
    }


def test_truth_is_shown_even_where_every_label_is_false() -> None:
    assert section("Labels against truth", manifest(truth=Truth(false_negative=3)))


def test_what_a_run_does_not_have_is_not_shown() -> None:
    titles = {s.title for s in figures(manifest())}
    assert titles == {"Traces by generator and outcome", "What it took", "Steps by how they were labelled"}


def test_what_is_dropped_is_told_with_its_reason() -> None:
    rows = section("Dropped, or kept with a fault", manifest(**FULL))
    assert rows == {"row rejected: answer is missing": ("2",), "trace kept with its fault: cut off": ("4",)}


def test_an_unknown_share_is_no_zero() -> None:
    assert (share(None), share(0.0), share(1.0)) == ("unknown", "0.0%", "100.0%")


NASTY = "a | b\nc [/bold] [red]d[/] `e`"


def test_a_reason_cannot_break_a_markdown_table() -> None:
    text = Section("t", ("what", "n"), ((NASTY, "1"),)).markdown()
    [line] = [x for x in text.splitlines() if "bold" in x]
    assert len(re.findall(r"(?<!\\)\|", line)) == 3


def test_a_reason_cannot_break_the_terminals_page() -> None:
    text = shown(Section("t", ("what", "n"), ((NASTY.replace("\n", " "), "1"),)))
    assert "a | b c [/bold] [red]d[/] `e`" in text


class TestCard:
    def front(self, m: Manifest) -> dict[str, Any]:
        _, front, _ = card(m).split("---\n", 2)
        return yaml.safe_load(front)  # type: ignore[no-any-return]

    @pytest.fixture
    def shards(self) -> tuple[ShardFile, ...]:
        return tuple(
            ShardFile(path=f"{t}/{s}-00000.parquet", table=t, split=s, rows=3, bytes=1, sha256="0")
            for t, s in (("traces", "train"), ("traces", "validation"), ("steps", "train"))
        )

    def test_it_names_the_tables_and_splits_that_have_rows(self, shards: tuple[ShardFile, ...]) -> None:
        found = {
            c["config_name"]: [f["split"] for f in c["data_files"]]
            for c in self.front(manifest(shards))["configs"]
        }
        assert found == {"traces": ["train", "validation"], "steps": ["train"]}

    def test_traces_are_what_loads_by_default(self, shards: tuple[ShardFile, ...]) -> None:
        configs = self.front(manifest(shards))["configs"]
        assert [c["config_name"] for c in configs if c.get("default")] == ["traces"]

    def test_it_holds_the_figures_and_the_configuration(self, shards: tuple[ShardFile, ...]) -> None:
        text = card(manifest(shards, **FULL))
        for s in figures(manifest(**FULL)):
            assert s.markdown() in text
        assert "completion.stop: ['\\n\\n']" in text
        assert "`traces`: 6 rows" in text
        assert "c0ffee" in text

    def test_it_depends_on_the_manifest_alone(self, shards: tuple[ShardFile, ...]) -> None:
        assert card(manifest(shards, **FULL)) == card(manifest(shards, **FULL))
