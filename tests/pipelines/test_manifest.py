"""The manifest: written whole, read back as it was, refused where it is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from cotmill.labelers.truth import Truth
from cotmill.pipelines.manifest import NAME, Manifest, read_manifest
from cotmill.pipelines.shards import ShardFile
from cotmill.pipelines.totals import Totals, total
from cotmill.schemas import BadInput, Domain, Generator, Method, Origin, Outcome, Source, Step, Trace
from cotmill.schemas.records import ActSpan
from hypothesis import given
from hypothesis import strategies as st

COUNTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3)
TOTALS = st.builds(
    Totals,
    seeds=st.integers(0, 9),
    sampled=st.integers(0, 9),
    tokens=st.integers(0, 9),
    label_rollouts=st.integers(0, 9),
    search_states=st.integers(0, 9),
    steps=COUNTS,
    unlabelled=COUNTS,
    acts=COUNTS,
    errors=COUNTS,
    rejected=COUNTS,
    traces=st.dictionaries(st.sampled_from("xy"), COUNTS, max_size=2),
    act_outcomes=st.dictionaries(st.sampled_from("xy"), COUNTS, max_size=2),
    truth=st.builds(Truth, true_positive=st.integers(0, 9)),
)


def file(name: str, table: str = "traces", rows: int = 3) -> ShardFile:
    return ShardFile(path=name, table=table, split="train", rows=rows, bytes=1, sha256="0")


def manifest(**given: Any) -> Manifest:
    return Manifest(
        **{
            "schema_version": 1,
            "code_version": "1",
            "config": {"seed": "0"},
            "config_hash": "c",
            "policy": "p",
            "policy_hash": "h",
            "shards": (file("traces/train-00000.parquet"), file("steps/train-00000.parquet", "steps", 7)),
            "totals": Totals(seeds=2),
        }
        | given
    )


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    manifest().write(tmp_path)
    assert read_manifest(tmp_path) == manifest()
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_rows_are_counted_by_table() -> None:
    assert [manifest().rows(t) for t in ("traces", "steps", "search")] == [3, 7, 0]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("", None),
        ("{", None),
        ("[]", ""),
        ('{"schema_version": 1}', "code_version"),
        (json.dumps(manifest().model_dump(mode="json") | {"config": 3}), "config"),
        (json.dumps(manifest().model_dump(mode="json") | {"more": 3}), "more"),
    ],
)
def test_what_is_none_is_refused_by_field(content: str, field: str | None, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(content)
    with pytest.raises(BadInput, match="not a manifest") as e:
        read_manifest(tmp_path)
    assert (e.value.file, e.value.field) == (tmp_path / NAME, field)


def test_a_folder_without_one_is_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not the folder of a finished run"):
        read_manifest(tmp_path)
    with pytest.raises(BadInput, match="no such folder"):
        read_manifest(tmp_path / "absent")


@given(st.lists(TOTALS, max_size=4))
def test_totals_add_up_in_any_order(parts: list[Totals]) -> None:
    assert total(parts) == total(parts[::-1])
    assert list(total(parts).steps) == sorted(total(parts).steps)


@given(TOTALS)
def test_totals_survive_json(t: Totals) -> None:
    assert Totals.model_validate(json.loads(json.dumps(t.model_dump(mode="json")))) == t


def test_totals_count_what_a_shard_holds() -> None:
    def step(method: Method | None, reason: str | None = None) -> Step:
        return Step(start=0, end=1, origin=Origin.POLICY, method=method, reason=reason)

    def trace(**given: Any) -> Trace:
        return Trace(
            seed_id="s", domain=Domain.MATH, question="q", text="t", source=Source(name="x"), **given
        )

    checks = tuple(ActSpan(start=i, end=i + 1, act="Check") for i in range(2))
    t = Totals(errors={"cut off": 1})
    t.count(
        [
            trace(
                generator=Generator.HUMAN,
                outcome=Outcome.CORRECT,
                acts=checks,
                steps=(step(Method.INFERRED),),
            ),
            trace(
                generator=Generator.COMPLETION,
                outcome=Outcome.WRONG,
                error="cut off: max_tokens reached",
                steps=(step(Method.ROLLOUTS), step(Method.ROLLOUTS, "too weak"), step(None)),
            ),
        ]
    )
    assert t.traces == {"completion": {"wrong": 1}, "human": {"correct": 1}}
    assert t.steps == {"rollouts": 1}
    assert t.unlabelled == {"too weak": 1}
    assert t.acts == {"Check": 2}
    assert t.act_outcomes == {"Check": {"correct": 1}}
    assert t.errors == {"cut off": 2}
