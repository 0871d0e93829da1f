"""From source files to shards: rows as people have them, bad ones set aside by line, field and reason."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cotmill.pipelines.config import Config
from cotmill.pipelines.sources import (
    MAX_CHARACTERS,
    MAX_STEPS,
    Read,
    input_digests,
    seed_from_row,
    trace_seed_from_row,
    write_shards,
)
from cotmill.schemas import BadInput, Domain, Generator, Origin, Seed, Source, markup

SOURCE = Source(name="rows.jsonl", row=1)
MARKUP = (
    "<Think_Start><ACT_NoteGiven_Start>3 boxes of 4.<ACT_NoteGiven_End>\n\n"
    "<ACT_Calculate_Start>3 * 4 = 12.<ACT_Calculate_End>\n"
    "<ACT_Answer_Start>The answer is 12.<ACT_Answer_End><Think_End>"
)


def seed(**row: Any) -> Seed:
    return seed_from_row({"question": "How many?", "answer": "12"} | row, SOURCE)


def steps(s: Seed) -> list[str]:
    return [s.text[a:b] for a, b in s.steps]


class TestCot:
    def test_text_is_cut_at_blank_lines_or_else_at_newlines(self) -> None:
        assert steps(seed(cot="one\nstill one\n\ntwo\n")) == ["one\nstill one", "two"]
        assert steps(seed(cot="one\ntwo")) == ["one", "two"]

    def test_a_list_is_its_steps_whatever_they_hold(self) -> None:
        assert steps(seed(cot=[" one\n\nstill one ", "", "two"])) == ["one\n\nstill one", "two"]

    @pytest.mark.parametrize("cot", [None, "", [], "  \n ", ["", " "]])
    def test_without_one_the_seed_is_a_bare_question(self, cot: Any) -> None:
        s = seed(cot=cot)
        assert (s.text, s.steps, s.acts) == ("", (), ())
        assert s == seed()

    def test_markup_keeps_its_acts(self) -> None:
        s = seed(cot=f"\n {MARKUP}\n")
        assert [a.act for a in s.acts] == ["NoteGiven", "Calculate", "Answer"]
        assert markup.render(s.text, s.acts) == MARKUP
        assert steps(s) == ["3 boxes of 4.", "3 * 4 = 12.\nThe answer is 12."]

    def test_tags_inside_a_text_are_text(self) -> None:
        assert seed(cot="One writes <ACT_Check_Start> so.").text == "One writes <ACT_Check_Start> so."

    @pytest.mark.parametrize(
        ("cot", "what"),
        [
            (MARKUP.removesuffix("<Think_End>"), "malformed markup: missing <Think_End>"),
            (MARKUP.replace("<ACT_Answer_End>", ""), "malformed markup: unexpected <Think_End>"),
            (MARKUP.replace("\n\n", " stray "), "malformed markup: text outside an act"),
            (MARKUP + "more", "malformed markup: text after"),
            ({"steps": []}, "expected text or a list of texts, got dict"),
            ({}, "expected text or a list of texts, got dict"),
            (7, "expected text or a list of texts, got int"),
            (False, "expected text or a list of texts, got bool"),
            (["one", 2], "expected a list of texts"),
            ([["one"]], "expected a list of texts"),
            ("x" * (MAX_CHARACTERS + 1), "longer than 500,000 characters"),
            (["x"] * (MAX_STEPS + 1), "more than 4,000 steps"),
        ],
    )
    def test_a_bad_one_is_named(self, cot: Any, what: str) -> None:
        with pytest.raises(BadInput) as e:
            seed(cot=cot)
        assert e.value.field == "cot"
        assert e.value.what.startswith(what)


class TestGsm8k:
    ANSWER = "She sold 48/2 = <<48/2=24>>24 clips in May.\nSo 48+24 = <<48+24=72>>72 clips.\n#### 72"

    @pytest.mark.parametrize("cot", [None, ""])
    def test_its_own_rows_are_read_as_they_are(self, cot: str | None) -> None:
        s = seed(answer=self.ANSWER, cot=cot)
        assert s.answer == "72"
        assert steps(s) == ["She sold 48/2 = 24 clips in May.", "So 48+24 = 72 clips."]

    def test_a_given_cot_is_not_overwritten(self) -> None:
        assert seed(answer="#### 72", cot="one\ntwo").text == "one\ntwo"

    def test_an_answer_that_is_empty_behind_its_mark_is_bad(self) -> None:
        with pytest.raises(BadInput, match="is empty") as e:
            seed(answer="reasoning\n#### ")
        assert e.value.field == "answer"


@pytest.mark.parametrize(
    ("row", "field", "what"),
    [
        ({"question": None}, "question", "is missing"),
        ({"question": "  "}, "question", "is empty"),
        ({"question": ["q"]}, "question", "expected text, got list"),
        ({"question": True}, "question", "expected text, got bool"),
        ({"answer": None}, "answer", "is missing"),
        ({"answer": ""}, "answer", "is empty"),
        ({"answer": {"value": 1}}, "answer", "expected text, got dict"),
        ({"domain": "cooking"}, "domain", "none of math, code, lean, open: 'cooking'"),
        ({"domain": 3}, "domain", "none of"),
        ({"domain": ["math"]}, "domain", "expected text, got list"),
    ],
)
def test_a_bad_seed_is_named_by_field(row: dict[str, Any], field: str, what: str) -> None:
    with pytest.raises(BadInput) as e:
        seed(**row)
    assert e.value.field == field
    assert e.value.what.startswith(what)


def test_numbers_are_texts_too() -> None:
    s = seed(question=7, answer=0.5)
    assert (s.question, s.answer) == ("7", "0.5")
    assert seed(answer=0).answer == "0"


def test_a_seed_is_a_humans_unless_it_says_otherwise() -> None:
    s = seed(domain="open", cot="one")
    assert (s.domain, s.generator, s.origin) == (Domain.OPEN, Generator.HUMAN, Origin.HUMAN)


class TestTraces:
    def read(self, **row: Any) -> Seed:
        return trace_seed_from_row({"question": "q", "steps": ["a", "b\n\nc"], "answer": "1"} | row, SOURCE)

    def test_steps_are_taken_as_they_are(self) -> None:
        s = self.read()
        assert steps(s) == ["a", "b\n\nc"]
        assert (s.generator, s.origin) == (Generator.IMPORTED, Origin.POLICY)

    def test_the_question_may_be_called_problem(self) -> None:
        assert trace_seed_from_row({"problem": "p", "steps": ["a"]}, SOURCE).question == "p"
        assert self.read(question=None, problem="p").question == "p"
        assert self.read(problem="p").question == "q"

    def test_the_answer_may_be_absent(self) -> None:
        assert self.read(answer=None).answer == ""

    @pytest.mark.parametrize(
        ("row", "field"),
        [
            ({"question": None}, "question"),
            ({"steps": None}, "steps"),
            ({"steps": []}, "steps"),
            ({"steps": "a"}, "steps"),
            ({"steps": ["a", None]}, "steps"),
            ({"steps": ["", " "]}, "steps"),
            ({"steps": ["x"] * (MAX_STEPS + 1)}, "steps"),
            ({"answer": ["1"]}, "answer"),
        ],
    )
    def test_a_bad_one_is_named_by_field(self, row: dict[str, Any], field: str) -> None:
        with pytest.raises(BadInput) as e:
            self.read(**row)
        assert e.value.field == field


Reading = Callable[..., Read]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    """`reading({"kind": "seeds", "path": …}, …, max_rejected=…)`: what the sources gave."""

    def read(*sources: dict[str, Any], **settings: Any) -> Read:
        return write_shards(config(*sources, **settings), tmp_path, tmp_path / "shards")

    return read


def config(*sources: dict[str, Any], **settings: Any) -> Config:
    return Config.model_validate({"sources": sources} | settings)


def shard(folder: Path, index: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "shards" / f"{index:05d}.jsonl").open()]


def write(path: Path, *rows: dict[str, Any] | bytes) -> dict[str, Any]:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return {"kind": "seeds", "path": path.name}


def row(i: int, **more: Any) -> dict[str, Any]:
    return {"question": f"{i} + 1?", "answer": str(i + 1)} | more


def test_shards_hold_the_rows_in_order(reading: Reading, tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", *(row(i, cot="one\ntwo") for i in range(7)))
    read = reading(source, shards={"seeds_per_shard": 3})
    assert [(s.index, s.kind, s.rows, s.roll_out) for s in read.shards] == [
        (0, "seeds", 3, True),
        (1, "seeds", 3, True),
        (2, "seeds", 1, True),
    ]
    seeds = [Seed.model_validate(r) for i in range(3) for r in shard(tmp_path, i)]
    assert [s.question for s in seeds] == [f"{i} + 1?" for i in range(7)]
    assert [s.source.row for s in seeds] == list(range(1, 8))
    assert (read.seeds, read.bad, read.unknown, read.refusal) == (7, [], {}, None)


def test_each_source_keeps_its_kind_and_settings(reading: Reading, tmp_path: Path) -> None:
    seeds = write(tmp_path / "a.jsonl", row(1)) | {"roll_out": False}
    traces = write(tmp_path / "b.jsonl", {"problem": "q", "steps": ["a"]}) | {"kind": "traces"}
    families = {"kind": "families", "count": 2}
    assert [(s.kind, s.rows, s.roll_out) for s in reading(seeds, traces, families).shards] == [
        ("seeds", 1, False),
        ("traces", 1, True),
        ("seeds", 2, True),
    ]


def test_bad_rows_are_set_aside_and_the_good_ones_go_on(reading: Reading, tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        row(1),
        b'{"question": "cut off',
        {"question": "no answer?"},
        {"question": "q", "answer": "1", "cot": ["\ud800"]},
        {"question": "q", "answer": "1", "cot": "x" * (5 << 20)},
        b"\x00\x01\xff",
        row(2),
    )
    read = reading(source, max_rejected=0.9)
    assert [(b["line"], b["field"]) for b in read.bad] == [
        (2, None),
        (3, "answer"),
        (4, "cot"),
        (5, None),
        (6, None),
    ]
    assert {b["source"] for b in read.bad} == {"a.jsonl"}
    assert all(b["reason"] and b["raw"] is not None for b in read.bad)
    assert read.seeds == 2
    assert read.refusal is None


def test_too_many_bad_rows_are_refused_naming_the_first(reading: Reading, tmp_path: Path) -> None:
    """A repeated row is dropped, but it is no bad row."""
    rows = [row(i) for i in range(8)] + [row(1), {"question": "q"}, b"nothing"]
    read = reading(write(tmp_path / "a.jsonl", *rows), max_rejected=0.1)
    assert read.refusal is not None
    assert str(read.refusal) == (
        f"{tmp_path / 'a.jsonl'}, line 10, field 'answer': 2 of 11 rows are bad, "
        "more than max_rejected (10%); the first: is missing"
    )
    assert len(read.bad) == 3
    assert reading(write(tmp_path / "a.jsonl", *rows), max_rejected=0.2).refusal is None


def test_each_file_is_measured_by_its_own_rows(reading: Reading, tmp_path: Path) -> None:
    good = write(tmp_path / "a.jsonl", *(row(i) for i in range(50)))
    bad = write(tmp_path / "b.jsonl", row(60), b"nothing")
    refusal = reading(good, bad).refusal
    assert refusal is not None
    assert refusal.file == tmp_path / "b.jsonl"


def test_nothing_left_to_work_on_is_refused(reading: Reading, tmp_path: Path) -> None:
    refusal = reading(write(tmp_path / "a.jsonl", b"nothing"), max_rejected=1.0).refusal
    assert refusal is not None
    assert "no row is left" in str(refusal)


def test_repeated_seeds_are_taken_once_and_written_down(reading: Reading, tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", row(1), row(2), row(1, id="again"), row(1, cot="another way"))
    second = write(tmp_path / "b.jsonl", row(2), row(3))
    read = reading(first, second)
    assert read.seeds == 4
    assert [(b["source"], b["line"], b["reason"]) for b in read.bad] == [
        ("a.jsonl", 3, "the same as an earlier row"),
        ("b.jsonl", 1, "the same as an earlier row"),
    ]


def test_unknown_columns_are_named_once(reading: Reading, tmp_path: Path) -> None:
    rows = [row(i, level=3, **({"author": "x"} if i == 4 else {})) for i in range(6)]
    assert reading(write(tmp_path / "a.jsonl", *rows)).unknown == {"a.jsonl": ["level", "author"]}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.parquet"])
def test_every_format_gives_the_same_seeds(name: str, reading: Reading, tmp_path: Path) -> None:
    rows = [row(i, cot=["one", "two"], licence="CC0") for i in range(3)]
    path = tmp_path / name
    match name:
        case "a.json":
            path.write_text(json.dumps(rows, indent=1))
        case "a.parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case _:
            source = b"\n".join(json.dumps(r).encode() for r in rows)
            path.write_bytes(gzip.compress(source) if name.endswith("gz") else source)
    reading({"kind": "seeds", "path": name})
    seeds = [Seed.model_validate(r) for r in shard(tmp_path, 0)]
    assert [(s.question, s.text, s.source) for s in seeds] == [
        (f"{i} + 1?", "one\n\ntwo", Source(name=name, row=i + 1, licence="CC0")) for i in range(3)
    ]


def test_a_row_may_bring_its_own_id(reading: Reading, tmp_path: Path) -> None:
    reading(write(tmp_path / "a.jsonl", row(1, id="gsm-7"), row(2, id=3), row(3, id=None), row(4, id=[1])))
    assert [r["source"]["name"] for r in shard(tmp_path, 0)] == [
        "a.jsonl:gsm-7",
        "a.jsonl:3",
        "a.jsonl",
        "a.jsonl",
    ]


def test_odd_parquet_columns_are_bad_rows_or_unknown_columns(reading: Reading, tmp_path: Path) -> None:
    table = pa.table(
        {
            "question": pa.array([b"\x89PNG\xff", b"fine"], pa.binary()),
            "answer": pa.array([1, 2]),
            "image": pa.array([b"\x89PNG\xff", None], pa.binary()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    read = reading({"kind": "seeds", "path": "a.parquet"}, max_rejected=0.5)
    assert [(b["line"], b["field"]) for b in read.bad] == [(1, "question")]
    assert read.unknown == {"a.parquet": ["image"]}
    assert read.seeds == 1


def test_a_file_name_that_is_no_text_does_no_harm(reading: Reading, tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.jsonl"
    try:
        source = write(path, row(1), b"nothing")
    except OSError:
        pytest.skip("this file system takes no such name")
    read = reading(source, max_rejected=0.5)
    assert [r["source"]["name"] for r in shard(tmp_path, 0)] == ["caf?.jsonl"]
    assert read.bad[0]["source"] == "caf?.jsonl"


class TestFamilies:
    def test_as_many_distinct_problems_as_asked_for(self, reading: Reading, tmp_path: Path) -> None:
        reading({"kind": "families", "count": 40})
        seeds = [Seed.model_validate(r) for i in range(2) for r in shard(tmp_path, i)]
        assert len({s.seed_id for s in seeds}) == 40
        assert {s.generator for s in seeds} == {Generator.FAMILY}

    def test_two_sources_never_give_one_problem_twice(self, reading: Reading, tmp_path: Path) -> None:
        source = {"kind": "families", "count": 10}
        read = reading(source, source)
        seeds = [Seed.model_validate(r) for i in range(2) for r in shard(tmp_path, i)]
        assert read.seeds == len({s.seed_id for s in seeds}) == 20

    def test_the_run_seed_decides_the_problems(self, reading: Reading, tmp_path: Path) -> None:
        drawn = []
        for run_seed in (0, 0, 1):
            reading({"kind": "families", "count": 5}, seed=run_seed)
            drawn.append(shard(tmp_path, 0))
        assert drawn[0] == drawn[1] != drawn[2]


def test_digests_follow_the_content(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", row(1))
    before = input_digests(config(source), tmp_path)
    write(tmp_path / "a.jsonl", row(2))
    assert set(before) == {"a.jsonl"}
    assert input_digests(config(source), tmp_path) != before


@pytest.mark.parametrize(("name", "what"), [("absent.jsonl", "no such file"), ("folder", "cannot open it")])
def test_a_missing_input_is_refused_by_name(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match=what) as e:
        input_digests(config({"kind": "seeds", "path": name}), tmp_path)
    assert e.value.file == name


def test_a_folder_of_lean_files_gives_a_row_for_each_proof_by_tactics(tmp_path: Path) -> None:
    from cotmill.pipelines.lean_rows import read_lean_files

    (tmp_path / "B.lean").write_text("theorem b : 1 = 1 := rfl\n", "utf-8")
    (tmp_path / "A.lean").write_text("theorem a : 1 = 1 := by\n  rfl\n", "utf-8")
    rows = [row for _, row in read_lean_files(tmp_path)]
    assert isinstance(rows[0], dict)
    assert (rows[0]["full_name"], rows[0]["id"]) == ("a", "A.lean")
    assert getattr(rows[1], "reason", "") == "B.lean: b: not a proof by tactics"


def test_a_folder_that_datasets_opens_is_read_like_its_files(tmp_path: Path) -> None:
    rows = [row(i) for i in range(3)]
    write(tmp_path / "file.jsonl", *rows)
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "train.jsonl", *rows)
    write(tmp_path / "set" / "test.jsonl", row(7))
    made = {}
    for name, source in {
        "file": {"path": "file.jsonl"}, "set": {"path": "set"}, "test": {"path": "set", "split": "test"},
    }.items():  # fmt: skip
        whole = config({"kind": "seeds"} | source)
        assert write_shards(whole, tmp_path, tmp_path / name / "shards").refusal is None
        made[name] = [seed["question"] for seed in shard(tmp_path / name, 0)]
    assert made["set"] == made["file"]
    assert made["test"] == [row(7)["question"]]
    splits = [{"kind": "seeds", "path": "set", "split": s} for s in ("train", "test")]
    one, both = (input_digests(config(*some), tmp_path)["set"] for some in (splits[:1], splits))
    assert both.startswith(one)
    assert both != one


def test_what_save_to_disk_wrote_is_read(tmp_path: Path) -> None:
    import datasets

    data = datasets.Dataset.from_list([row(i) for i in range(3)])
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(str(tmp_path / "two"))
    source = {"kind": "seeds", "path": "one"}
    read = write_shards(config(source), tmp_path, tmp_path / "a")
    assert read.seeds == 3
    source |= {"path": "two", "split": "test"}
    assert write_shards(config(source), tmp_path, tmp_path / "b").seeds == 1
    with pytest.raises(BadInput, match="has no split 'dev'"):
        input_digests(config(source | {"split": "dev"}), tmp_path)


def test_a_name_that_the_hub_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def unknown(path: str, name: str | None, split: str) -> None:
        raise datasets.exceptions.DatasetNotFoundError(f"no {path}, {name}, {split}")

    monkeypatch.setattr(datasets, "load_dataset", unknown)
    source = {"kind": "seeds", "path": "someone/problems", "subset": "main", "split": "test"}
    with pytest.raises(BadInput, match=r"nor a data set of the hub \(no someone/problems, main, test\)"):
        input_digests(config(source), tmp_path)
