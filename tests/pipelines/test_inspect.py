"""Filters, samples and figures of a run, as `cotmill inspect` shows them."""

import io
import json
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from cotmill.pipelines.browse import IDS, Run
from cotmill.pipelines.inspect import inspect, summary
from cotmill.pipelines.statistics import gather, spread
from cotmill.pipelines.where import parse_where
from cotmill.schemas import BadInput
from cotmill.schemas.tables import TABLES
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

ROW = {
    "generator": "completion",
    "outcome": "wrong",
    "tokens": 21,
    "error": None,
    "split": "train",
    "steps": [
        {"n_rollouts": 8, "n_correct": 0, "judge": None},
        {"n_rollouts": 8, "n_correct": 3, "judge": None},
    ],
    "acts": [{"act": "Calculate"}, {"act": "Answer"}],
    "source": {"name": "GSM8K", "row": 4},
    "provenance": {"temperature": 0.7},
}


@pytest.fixture(scope="module")
def run(synthetic_run: Path) -> Run:
    return Run(synthetic_run)


def shown(folder: Path, **options: object) -> str:
    file = io.StringIO()
    inspect(folder, console=Console(file=file, width=80), **options)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("generator=completion and outcome!=correct and tokens>20", True),
        ("generator = 'completion' AND (tokens <= 3 or tokens >= 21)", True),
        ("tokens>21 or outcome=correct", False),
        ("not outcome=correct", True),
        ("not (outcome=wrong and tokens=21)", False),
        ("outcome=correct or outcome=wrong and tokens=0", False),
        ("source.name~gsm", True),
        ("source.row=4 and provenance.temperature<0.75", True),
        ("error=null", True),
        ("error!=null", False),
        ("error~cut", False),
        ('error="null"', False),
        ("steps=2 and acts>1", True),
        ("steps.n_correct>2", True),
        ("acts.act=Backtrack", False),
        ("acts.act!=Backtrack", True),
        ("acts.act!=Answer", False),
        ("steps.judge=null", True),
        ("split==train", True),
    ],
)
def test_a_filter_says_which_rows_pass(text: str, passes: bool) -> None:
    assert parse_where(text, "traces").matches(ROW) is passes


@pytest.mark.parametrize(
    ("text", "table", "says"),
    [
        ("colour=red", "traces", "no column 'colour' in traces; there are trace_id, count"),
        ("source.page=1", "traces", "no field 'page' in source; there are name, row, licence"),
        ("tokens=many", "traces", "tokens is a number, not 'many'"),
        ("tokens~2", "traces", "~ looks for text"),
        ("hard=maybe", "steps", "hard is true, false or null"),
        ("source=GSM8K", "traces", "by its fields: source.name"),
        ("tokens>", "traces", "expected a value at the end"),
        ("tokens 20", "traces", "expected =, !="),
        ("tokens>20 outcome=wrong", "traces", "expected 'and' or 'or' at 'outcome'"),
        ("(tokens>20", "traces", "expected ')'"),
        ("tokens>20 and", "traces", "expected a column at the end"),
        ("outcome='wrong", "traces", "cannot be read from ''wrong' on"),
        ("__import__('os').system('true')", "traces", "no column"),
    ],
)
def test_a_bad_filter_is_refused_with_its_fault(text: str, table: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_where(text, table)
    assert caught.value.field == "--where"
    assert says in str(caught.value)


def test_a_table_that_is_none_is_refused(synthetic_run: Path) -> None:
    with pytest.raises(BadInput, match="none of traces, steps, search"):
        inspect(synthetic_run, table="seeds", console=Console(file=io.StringIO()))


@given(st.text(st.sampled_from("tokens>=<!~ ()'\"andorut.51 \n\\"), max_size=30))
def test_no_text_breaks_the_filter(text: str) -> None:
    row = dict.fromkeys(TABLES["traces"].names) | ROW
    with suppress(BadInput):
        assert parse_where(text, "traces").matches(row) in (True, False)


_CLAUSES = st.sampled_from(["tokens>20", "outcome=correct", "error=null", "steps=1", "acts.act=Answer"])


@given(_CLAUSES, _CLAUSES)
def test_not_distributes_over_and(a: str, b: str) -> None:
    left, right = f"not ({a} and {b})", f"not {a} or not {b}"
    assert parse_where(left, "traces").matches(ROW) == parse_where(right, "traces").matches(ROW)


def test_counts_are_of_the_rows_that_pass(run: Run) -> None:
    wrong, right = (run.count("traces", parse_where(f"outcome={o}", "traces")) for o in ("wrong", "correct"))
    undecided = run.count("traces", parse_where("outcome=undecided", "traces"))
    assert wrong > 1
    assert wrong + right + undecided == run.count("traces") == run.manifest.rows("traces")


@pytest.mark.parametrize("table", TABLES)
def test_pages_of_samples_add_up_to_all_rows(run: Run, table: str) -> None:
    rows = run.draw(table, n=1000)
    paged = [row for start in range(0, len(rows), 3) for row in run.draw(table, n=3, start=start)]
    assert paged == rows
    assert len({row[IDS[table]] for row in rows}) == run.manifest.rows(table)


def test_another_key_shuffles_otherwise(run: Run) -> None:
    first, second = ([r["trace_id"] for r in run.draw("traces", n=99, key=k)] for k in ("review", "other"))
    assert first != second
    assert sorted(first) == sorted(second)


def test_samples_pass_the_filter_and_know_their_split(run: Run) -> None:
    rows = run.draw("traces", parse_where("split=validation and outcome=wrong", "traces"), n=99)
    assert rows
    assert {(row["split"], row["outcome"]) for row in rows} == {("validation", "wrong")}


def test_a_row_leads_to_its_seed(run: Run) -> None:
    (row,) = run.draw("steps", parse_where("step~'390 - 45'", "steps"), n=9)
    seed = run.seed_of(row)
    assert seed is not None
    assert seed.trace_id == row["seed_id"]
    assert seed.generator == "human"


def test_the_figures_agree_with_the_manifest(run: Run, synthetic_run: Path) -> None:
    found, totals = summary(synthetic_run), run.manifest.totals
    for generator, counts in totals.traces.items():
        assert found["traces"]["by_generator"][generator] == {o: n for o, n in counts.items() if n}
    assert found["acts"]["counts"] == totals.acts
    assert found["steps"]["methods"] == totals.steps
    assert found["steps"]["unlabelled"] == totals.unlabelled
    assert sum(found["steps"]["q"]) == run.count("steps", parse_where("q!=null", "steps"))
    json.dumps(found, allow_nan=False)


def test_transitions_stay_within_a_trace(run: Run) -> None:
    found = gather(run)
    pairs = sum(max(0, len(row["acts"]) - 1) for row in run.draw("traces", n=999))
    assert found.transitions.total() == pairs
    assert not any(act == "Answer" for act, _ in found.transitions)


def test_acts_of_a_copied_prefix_are_not_credited_to_the_policy(run: Run) -> None:
    shares = {s.act: s for s in gather(run).act_shares()}
    assert "NoteGiven" not in shares
    assert shares["DetectError"].n < gather(run).acts["DetectError"]
    assert all(s.n + s.n_without == gather(run).decided.total() for s in shares.values())


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_quantiles_are_values_in_order(values: list[int]) -> None:
    found = spread(Counter(values))
    order = [found[k] for k in ("min", "q25", "median", "q75", "q95", "max")]
    assert order == sorted(order)
    assert {*order} <= {*values}
    assert found["n"] == len(values)
    assert found["mean"] == pytest.approx(sum(values) / len(values))


def test_everything_fits_80_columns_without_colour(synthetic_run: Path) -> None:
    for table in TABLES:
        text = shown(synthetic_run, table=table, n=99)
        assert max(map(cell_len, text.splitlines())) <= 80
        assert "\x1b" not in text


def test_samples_show_acts_values_evidence_and_source(synthetic_run: Path) -> None:
    text = shown(synthetic_run, where="answer=345", n=1)
    for part in (
        "1 of 13 traces pass",
        "Calculate",
        "12 * 30 = 390.",
        "wrong",
        "first error",
        "0.12 [0.02, 0.47]",
    ):
        assert part in text
    for part in ("1/8 rollouts", "345 is not 315", "handmade, row 1, Apache-2.0", "embedded 0123456789ab"):
        assert part in text


def test_samples_of_the_families_show_the_truth(synthetic_run: Path) -> None:
    text = shown(synthetic_run, where="generator=family", n=1)
    assert "truly clean" in text
    assert "truly in error" in text


def test_data_cannot_drive_the_terminal(synthetic_run: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system="truecolor")
    inspect(synthetic_run, where="question~script", n=9, console=console)
    assert "\\u001b[31mcode\\u0007" in file.getvalue()
    for raw in ("\x1b[31mcode", "\x07", "\u202e"):
        assert raw not in file.getvalue()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no manifest"):
        summary(tmp_path)
    with pytest.raises(BadInput, match="no such folder"):
        summary(tmp_path / "nowhere")


def test_the_summary_holds_the_samples_that_were_asked_for(synthetic_run: Path, run: Run) -> None:
    found = summary(synthetic_run, table="steps", where="hard=false", n=2)["samples"]
    assert (found["table"], found["where"], len(found["rows"])) == ("steps", "hard=false", 2)
    assert found["passing"] == run.count("steps", parse_where("hard=false", "steps"))
    assert all(row["hard"] is False for row in found["rows"])
    json.dumps(found)


def test_turns_are_counted_by_outcome_behind_the_copied_prefix(run: Run) -> None:
    expected: dict[tuple[str, str], Counter[str]] = {}
    for row in run.draw("traces", n=10_000):
        if row["generator"] not in ("completion", "search") or row["outcome"] == "undecided":
            continue
        copied = row["prefix_steps"]
        start = row["steps"][copied - 1]["end"] if copied else 0
        names = [a["act"] for a in row["acts"] if a["start"] >= start]
        for turn in set(pairwise(names)):
            expected.setdefault(turn, Counter())[row["outcome"]] += 1
    assert gather(run).transition_outcomes == expected
    assert expected
