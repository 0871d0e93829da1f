"""`cotmill check`: whatever is missing, damaged or foreign in a run's folder is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cotmill.pipelines.check import CheckReport, check
from cotmill.pipelines.files import sha256
from cotmill.pipelines.manifest import read_manifest
from cotmill.schemas import BadInput
from cotmill.schemas.tables import TABLES, table

Rows = list[dict[str, Any]]


@pytest.fixture
def run(synthetic_run: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(synthetic_run, tmp_path / "run"))


def rewrite(run: Path, name: str, change: Callable[[Rows], object], *, where: str = "") -> str:
    """Change the rows of the table's first shard that has some, and make the manifest agree with the file."""
    shard = next(s for s in read_manifest(run).shards if s.table == name and s.rows and where in s.path)
    path = run / shard.path
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(table(name, rows), path)
    _claim(run, shard.path, rows=len(rows))
    return shard.path


def found(report: CheckReport) -> set[tuple[str, str]]:
    return {(f.kind, f.path) for f in report.findings}


def _claim(run: Path, shard: str, **claims: object) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    entry = next(s for s in manifest["shards"] if s["path"] == shard)
    file = run / shard
    if file.exists():
        entry |= {"bytes": file.stat().st_size, "sha256": sha256(file)}
    entry |= claims
    path.write_text(json.dumps(manifest))


def test_a_whole_run_is_whole(run: Path) -> None:
    report = check(run)
    assert report.ok
    assert report.lines()[-1] == "nothing is missing, damaged or foreign"
    manifest = read_manifest(run)
    assert report.as_json() == {
        "ok": True,
        "shards": len(manifest.shards),
        "rows": {name: manifest.rows(name) for name in TABLES},
        "markup": report.markup,
        "findings": [],
    }
    assert report.markup > manifest.rows("traces")


def test_a_missing_shard_is_named_and_accuses_no_other(run: Path) -> None:
    (run / "traces" / "validation-00000.parquet").unlink()
    assert found(check(run)) == {("missing", "traces/validation-00000.parquet")}


def test_the_missing_card_is_named(run: Path) -> None:
    (run / "README.md").unlink()
    assert found(check(run)) == {("missing", "README.md")}


def test_a_table_that_is_not_listed_although_the_run_made_it_is_missing(run: Path) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"] = [s for s in manifest["shards"] if s["table"] != "search"]
    path.write_text(json.dumps(manifest))
    shutil.rmtree(run / "search")
    assert found(check(run)) == {("missing", "search")}


def test_a_single_flipped_bit_is_damage(run: Path) -> None:
    path = run / "steps" / "train-00001.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert ("damaged", "steps/train-00001.parquet") in found(check(run))


@pytest.mark.parametrize("keep", [0, 3, 100, 2000])
def test_a_truncated_shard_is_damage(run: Path, keep: int) -> None:
    path = run / "traces" / "train-00001.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    assert found(check(run)) == {("damaged", "traces/train-00001.parquet")}


@pytest.mark.parametrize(
    "name", ["traces/train-00009.parquet", "steps/.train-00001.parquet.77.part", "search/deeper/notes.txt"]
)
def test_a_foreign_file_is_named(run: Path, name: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    shutil.copy(run / "traces" / "train-00001.parquet", run / name)
    assert found(check(run)) == {("foreign", name)}


def test_what_a_run_leaves_beside_its_tables_is_not_foreign(run: Path) -> None:
    (run / "rejected").mkdir()
    (run / "rejected" / "sources.jsonl").write_text("{}\n")
    assert check(run).ok


def test_fewer_rows_than_promised(run: Path) -> None:
    _claim(run, "traces/train-00001.parquet", rows=99)
    report = check(run)
    assert ("damaged", "traces/train-00001.parquet") in found(report)
    assert any("expected 99" in f.what for f in report.findings)


def test_another_schema_is_named_by_its_columns(run: Path) -> None:
    path = run / "traces" / "train-00001.parquet"
    old = pq.read_table(path)
    pq.write_table(old.drop_columns(["summary"]).append_column("mood", pa.nulls(len(old))), path)
    _claim(run, "traces/train-00001.parquet")
    (finding,) = check(run).findings
    assert "no summary; mood is foreign" in finding.what


def test_a_path_out_of_the_folder_is_not_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.parquet").write_bytes(b"not yours")
    _claim(run, "traces/train-00001.parquet", path="traces/../../secret.parquet")
    report = check(run)
    assert ("damaged", "traces/../../secret.parquet") in found(report)
    assert ("foreign", "traces/train-00001.parquet") in found(report)
    assert "not yours" not in "\n".join(report.lines())


def test_a_shard_listed_twice(run: Path) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"].append(
        next(s for s in manifest["shards"] if s["path"] == "search/validation-00000.parquet")
    )
    path.write_text(json.dumps(manifest))
    assert ("damaged", "search/validation-00000.parquet") in found(check(run))


def _set(**values: object) -> Callable[[Rows], object]:
    return lambda rows: rows[0].update(values)


def _first_of(column: str, **values: object) -> Callable[[Rows], object]:
    """Change the first item of a list column, in the first row that has one."""
    return lambda rows: next(r for r in rows if r[column])[column][0].update(values)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("traces", _set(text="another text"), "trace_id is not the hash"),
        ("traces", _set(reward=-1, outcome="correct"), "reward disagrees with outcome"),
        ("traces", _set(outcome="maybe"), "reward disagrees with outcome"),
        ("traces", _set(domain="cooking"), "generator or domain"),
        ("traces", _set(prefix_steps=99), "prefix_steps out of range"),
        ("traces", _set(count=0), "count or prefix_steps"),
        ("traces", _set(schema_version=99), "schema_version 99, expected 1"),
        ("traces", _set(steps=None), "a null where none may stand"),
        ("traces", _set(text=None), "a null where none may stand"),
        ("traces", _set(markup="<Think_Start>bare<Think_End>"), "markup does not parse back"),
        ("traces", _set(markup=None), "markup does not parse back"),
        ("traces", _first_of("steps", end=10_000), "offsets leave the text"),
        ("traces", _first_of("steps", start=-1), "offsets leave the text"),
        ("traces", _first_of("steps", end=3), "an act crosses a step's end"),
        ("traces", _first_of("steps", n_correct=9), "more right rollouts than rollouts"),
        ("traces", _first_of("acts", end=10_000), "offsets leave the text"),
        ("traces", _first_of("acts", act="Daydream"), "markup does not parse back"),
        ("traces", lambda rows: rows.append(rows[0]), "a trace_id stands twice"),
        ("traces", lambda rows: next(r for r in rows if r["steps"])["steps"].pop(), "the traces describe"),
        ("steps", lambda rows: rows.pop(), "the traces describe"),
        ("steps", _set(trace_id="0" * 32), "trace_id is none of traces"),
        ("steps", _set(index=77), "step_id is not the hash"),
        ("steps", _set(step="something else"), "prefix does not end with step"),
        ("steps", _set(q=0.123), "q and its interval disagree"),
        ("steps", _set(q_low=0.0), "q and its interval disagree"),
        ("steps", _set(q=None), "an interval without q"),
        ("steps", _set(markup="<Think_Start>"), "markup does not parse back to prefix"),
        ("search", _set(trace_id="f" * 32), "trace_id is none of traces"),
        ("search", _set(visits=[1]), "are not aligned"),
        ("search", _set(chosen="Sleep"), "chosen is none of actions"),
        ("search", _set(value=0), "value is none of 1, -1, null"),
        ("search", _set(pi=[0.5, 0.1, 0.1]), "pi does not sum to 1"),
        ("search", _set(prior=[1.5, 0.0, 0.0]), "prior, pi or visits out of range"),
        ("search", _set(prefix="<Think_Start> "), "state_id is not the hash"),
    ],
)
def test_a_row_that_cannot_be_true_is_found(
    run: Path, name: str, change: Callable[[Rows], object], says: str
) -> None:
    path = rewrite(run, name, change)
    report = check(run)
    assert not report.ok
    assert any(says in f.what and f.path in (path, "traces", "steps") for f in report.findings)


def test_a_seed_on_both_sides_is_found(run: Path) -> None:
    moved: Rows = []
    rewrite(run, "traces", lambda rows: moved.append(rows.pop()), where="validation-00001")
    path = rewrite(run, "traces", lambda rows: rows.extend(moved), where="train-00001")
    (finding,) = check(run).findings
    assert (finding.path, finding.rows) == (path, 1)
    assert "seed_id puts it outside train" in finding.what


def test_faults_are_counted_per_shard(run: Path) -> None:
    path = rewrite(run, "traces", lambda rows: [r.update(reward=7) for r in rows])
    (finding,) = check(run).findings
    assert finding.rows == next(s.rows for s in read_manifest(run).shards if s.path == path)
    assert str(finding).endswith(f"({finding.rows} rows)")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"shards": 3}', "\x00"])
def test_an_unreadable_manifest_is_bad_input(run: Path, content: str) -> None:
    (run / "manifest.json").write_text(content)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        check(run)


def test_a_folder_without_a_run_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no manifest"):
        check(tmp_path)
