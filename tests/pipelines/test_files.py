"""Rows in and out: what is wrong with a file is said by line and field, and the good rows go on."""

import datetime
import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cotmill.pipelines.files import (
    MAX_DEPTH,
    MAX_LINE_BYTES,
    BadRow,
    atomic,
    read_rows,
    sha256,
    sweep,
    write_json,
    write_jsonl,
)
from cotmill.schemas import BadInput
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = b'{"a": 1}\n'
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Cs: half surrogates, which are refused.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\u2028\x00é", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def zst(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def rows(path: Path) -> list[tuple[int, Any]]:
    return list(read_rows(path))


def file(folder: Path, content: bytes, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("bad", "reason", "field"),
    [
        (b'{"a": 1', "not JSON", None),
        (b"{'a': 1}", "not JSON", None),
        (b'{"a": 1} {"a": 2}', "not JSON: Extra data", None),
        (b"not at all", "not JSON", None),
        (b"[1, 2]", "expected a JSON object: got list", None),
        (b"3", "expected a JSON object: got int", None),
        (b"null", "expected a JSON object: got NoneType", None),
        (b'{"a": NaN}', "nan is no JSON number", "a"),
        (b'{"ok": 1, "b": [-Infinity]}', "-inf is no JSON number", "b"),
        (b'{"a": 1e999}', "inf is no JSON number", "a"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON: Exceeds the limit", None),
        (b"\x00\x01\x02", "not JSON", None),
        (b"\xff\xfe{\x00}", "not UTF-8: byte 0", None),
        (b'{"a": "\xe9"}', "not UTF-8: byte 7", None),
        (b'{"a": "\x00"}', "not JSON: Invalid control character", None),
        (b'{"a": "\\ud800"}', "holds half of a surrogate pair", "a"),
        (b'{"a": {"b": ["x", "\\udc00 y"]}}', "holds half of a surrogate pair", "a"),
        (b'{"a": 1, "\\ud800": 1}', "holds half of a surrogate pair", "?"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", f"nested more than {MAX_DEPTH} deep", "a"),
        (b'{"a": ' * 100_000, "not JSON", None),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON: maximum recursion", None),
    ],
)
def test_a_bad_row_is_named_and_the_good_ones_go_on(
    bad: bytes, reason: str, field: str | None, tmp_path: Path
) -> None:
    first, second, third = rows(file(tmp_path, GOOD + bad + b"\n" + GOOD))
    assert first == (1, {"a": 1})
    assert third == (3, {"a": 1})
    line, row = second
    assert isinstance(row, BadRow)
    assert (line, row.line, row.field) == (2, 2, field)
    assert row.reason.startswith(reason)
    assert len(row.raw) <= 300


def test_whatever_a_bad_row_holds_it_can_be_written_down(tmp_path: Path) -> None:
    """The rejected rows go into a file of their own, which must be readable."""
    content = b'{"a": "\\ud800"}\n\xff\xfe\n{"\\ud800": NaN}\n{"a": [[' + b"[" * 200 + b"]" * 202 + b"}\n"
    bad = [row.as_row("here") for _, row in rows(file(tmp_path, content)) if isinstance(row, BadRow)]
    assert write_jsonl(tmp_path / "rejected.jsonl", bad) == 4
    back = rows(tmp_path / "rejected.jsonl")
    assert [row["line"] for _, row in back] == [1, 2, 3, 4]
    assert {row["source"] for _, row in back} == {"here"}


@pytest.mark.parametrize("content", [b"\n\r\n  \n" + GOOD + b"\n\t\n", GOOD + b"\n\n\n"])
def test_blank_lines_are_counted_and_passed_over(content: bytes, tmp_path: Path) -> None:
    [(line, row)] = rows(file(tmp_path, content))
    assert row == {"a": 1}
    assert content.split(b"\n")[line - 1].strip()


def test_a_byte_order_mark_and_carriage_returns_do_no_harm(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n'
    assert rows(file(tmp_path, content)) == [(1, {"a": 1}), (2, {"a": 2})]


def test_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    text = "one\u2028two\u2029three\x85four\x0bfive"
    content = json.dumps({"a": text}, ensure_ascii=False).encode() + b"\n" + GOOD
    assert rows(file(tmp_path, content)) == [(1, {"a": text}), (2, {"a": 1})]


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    assert rows(file(tmp_path, GOOD + b'{"a": 2}')) == [(1, {"a": 1}), (2, {"a": 2})]


@pytest.mark.parametrize(("spare", "taken"), [(0, True), (1, False)])
def test_a_line_is_taken_up_to_the_limit_and_not_beyond(spare: int, taken: bool, tmp_path: Path) -> None:
    frame = b'{"a": ""}'
    long = b'{"a": "' + b"x" * (MAX_LINE_BYTES - len(frame) + spare) + b'"}'
    (_, first), last = rows(file(tmp_path, long + b"\n" + GOOD))
    assert isinstance(first, dict) == taken
    assert last == (2, {"a": 1})


@pytest.mark.parametrize("megabytes", [10, 40])
@pytest.mark.parametrize("newline", [b"\n", b""])
def test_a_huge_line_is_one_bad_row_and_takes_little_memory(
    newline: bytes, megabytes: int, tmp_path: Path
) -> None:
    path = file(tmp_path, GOOD + b'{"a": "' + b"x" * (megabytes << 20) + b'"}' + newline)
    tracemalloc.start()
    first, (line, bad) = rows(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert first == (1, {"a": 1})
    assert line == 2
    assert isinstance(bad, BadRow)
    assert bad.reason == "line longer than 4 MiB"
    assert peak < 4 * MAX_LINE_BYTES


def test_a_small_file_that_unpacks_to_much_takes_little_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "rows.jsonl.gz", "wb", 1) as out:
        for _ in range(64):
            out.write(b"x" * (1 << 20))
        out.write(b"\n" + GOOD)
    pool = pa.default_memory_pool()
    before = pool.max_memory()
    tracemalloc.start()
    _, last = rows(tmp_path / "rows.jsonl.gz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert last == (2, {"a": 1})
    assert peak < 4 * MAX_LINE_BYTES
    assert pool.max_memory() <= max(before, 2 * MAX_LINE_BYTES)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zst)])
class TestCompressed:
    def test_reads_as_plain(self, suffix: str, pack: Any, tmp_path: Path) -> None:
        path = file(tmp_path, pack(GOOD * 3), f"rows.jsonl{suffix}")
        assert [line for line, _ in rows(path)] == [1, 2, 3]

    def test_reads_every_member_of_a_joined_file(self, suffix: str, pack: Any, tmp_path: Path) -> None:
        path = file(tmp_path, pack(GOOD) + pack(GOOD * 2), f"rows.jsonl{suffix}")
        assert len(rows(path)) == 3

    def test_a_file_cut_short_is_refused_and_not_taken_for_whole(
        self, suffix: str, pack: Any, tmp_path: Path
    ) -> None:
        content = b"".join(b'{"a": "%s"}\n' % os.urandom(40).hex().encode() for _ in range(5000))
        packed = pack(content)
        path = file(tmp_path, packed[: len(packed) // 2], f"rows.jsonl{suffix}")
        with pytest.raises(BadInput, match="cannot be read") as e:
            rows(path)
        assert e.value.file == path

    @pytest.mark.parametrize("content", [b"garbage, not packed", GOOD])
    def test_a_file_that_is_not_packed_is_refused(
        self, content: bytes, suffix: str, pack: Any, tmp_path: Path
    ) -> None:
        with pytest.raises(BadInput, match="cannot be read"):
            rows(file(tmp_path, content, f"rows.jsonl{suffix}"))

    def test_a_json_list_may_be_packed_too(self, suffix: str, pack: Any, tmp_path: Path) -> None:
        assert rows(file(tmp_path, pack(b'[{"a": 1}]'), f"rows.json{suffix}")) == [(1, {"a": 1})]


def test_damage_that_a_checksum_shows_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(b'{"a": %d}\n' % i for i in range(20_000))))
    packed[2000:2040] = b"z" * 40
    with pytest.raises(BadInput, match="cannot be read"):
        rows(file(tmp_path, bytes(packed), "rows.jsonl.gz"))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \r\n\t\n"])
def test_a_file_without_a_row_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no row"):
        rows(file(tmp_path, content))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        rows(tmp_path / "absent.jsonl")
    with pytest.raises(BadInput, match="is a folder"):
        rows(tmp_path)


class TestJsonLists:
    def test_rows_are_numbered_and_bad_ones_named(self, tmp_path: Path) -> None:
        path = file(tmp_path, b'\xef\xbb\xbf [{"a": 1}, 3, {"b": NaN}, {"c": "\\ud800"}]', "rows.json")
        (_, first), *bad = rows(path)
        assert first == {"a": 1}
        assert [(line, row.field) for line, row in bad] == [(2, None), (3, "b"), (4, "c")]

    def test_json_lines_may_bear_the_name_too(self, tmp_path: Path) -> None:
        assert rows(file(tmp_path, b"\n" + GOOD * 2, "rows.json")) == [(2, {"a": 1}), (3, {"a": 1})]

    @pytest.mark.parametrize("content", [b'[{"a": 1},\n{"a": 2', b"[" * 100_000, b"[\xff]"])
    def test_a_damaged_list_is_refused(self, content: bytes, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="not JSON"):
            rows(file(tmp_path, content, "rows.json"))

    def test_the_line_of_the_damage_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput) as e:
            rows(file(tmp_path, b'[{"a": 1},\n{"a" 2}]', "rows.json"))
        assert e.value.line == 2


class TestParquet:
    def parquet(self, folder: Path, **columns: pa.Array) -> Path:
        pq.write_table(pa.table(columns), folder / "rows.parquet")
        return folder / "rows.parquet"

    def test_rows_come_with_nested_values(self, tmp_path: Path) -> None:
        given = [
            {"q": "é\u2028", "cot": ["a", "b"], "m": {"x": [1, None]}},
            {"q": "", "cot": None, "m": None},
        ]
        pq.write_table(pa.Table.from_pylist(given), tmp_path / "rows.parquet")
        assert rows(tmp_path / "rows.parquet") == [(1, given[0]), (2, given[1])]

    def test_values_that_json_does_not_know_become_ones_that_it_does(self, tmp_path: Path) -> None:
        utc = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
        path = self.parquet(
            tmp_path,
            number=pa.array([float("nan"), 0.5]),
            money=pa.array([Decimal("1.50"), None]),
            day=pa.array([datetime.date(2026, 1, 2), None]),
            moment=pa.array([utc, None]),
            text=pa.array([b"\xc3\xa9", None], pa.binary()),
            image=pa.array([b"\x89PNG\xff", None], pa.binary()),
            pairs=pa.array([[("k", 1.0)], None], pa.map_(pa.string(), pa.float64())),
            word=pa.array(["x", None]).dictionary_encode(),
        )
        (_, first), (_, second) = rows(path)
        assert first == {
            "number": None,
            "money": "1.50",
            "day": "2026-01-02",
            "moment": str(utc),
            "text": "é",
            "image": None,
            "pairs": [["k", 1.0]],
            "word": "x",
        }
        assert second["number"] == 0.5
        json.dumps([first, second], allow_nan=False)

    def test_a_row_that_python_cannot_hold_is_one_bad_row(self, tmp_path: Path) -> None:
        bad = pa.Array.from_buffers(
            pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"\xff\xfeok")]
        )
        (line, first), second = rows(self.parquet(tmp_path, q=bad))
        assert line == 1
        assert isinstance(first, BadRow)
        assert second == (2, {"q": "ok"})
        ages = pa.array([2**62, 0], pa.timestamp("us"))
        (_, first), (_, second) = rows(self.parquet(tmp_path, when=ages))
        assert isinstance(first, BadRow)
        assert second == {"when": "1970-01-01 00:00:00"}

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 1000, GOOD])
    def test_a_file_that_is_none_is_refused(self, content: bytes, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="Parquet"):
            rows(file(tmp_path, content, "rows.parquet"))

    def test_a_damaged_file_is_refused(self, tmp_path: Path) -> None:
        path = self.parquet(tmp_path, q=pa.array([str(i) for i in range(1000)]))
        content = bytearray(path.read_bytes())
        content[4:200] = b"z" * 196
        with pytest.raises(BadInput) as e:
            rows(file(tmp_path, bytes(content), "rows.parquet"))
        assert e.value.file == path

    def test_an_empty_table_holds_no_row(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="holds no row"):
            rows(self.parquet(tmp_path, q=pa.array([], pa.string())))


@given(given=st.lists(st.dictionaries(st.text("abc", max_size=3), JSON, max_size=3), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_what_is_read(given: list[dict[str, Any]], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert write_jsonl(path, given) == len(given)
    assert [row for _, row in read_rows(path)] == given


class TestAtomic:
    def test_a_file_appears_whole_with_its_folder(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "folder" / "x"
        with atomic(path) as out:
            out.write(b"whole")
            assert not path.exists()
        assert path.read_bytes() == b"whole"
        assert [p.name for p in path.parent.iterdir()] == ["x"]

    def test_a_failure_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = file(tmp_path, b"old", "x")
        with pytest.raises(TypeError), atomic(path) as out:
            out.write(b"half" + None)  # type: ignore[operator]
        assert path.read_bytes() == b"old"
        assert [p.name for p in tmp_path.iterdir()] == ["x"]

    def test_what_a_killed_process_leaves_is_swept(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path; from cotmill.pipelines.files import atomic\n"
            "with atomic(Path(sys.argv[1])) as out: out.write(b'half'); out.flush(); os.kill(os.getpid(), 9)"
        )
        target = tmp_path / "traces" / "train-00000.parquet"
        subprocess.run([sys.executable, "-c", code, target], check=False)
        keep = file(tmp_path, b"", "kept.part.jsonl")
        assert [p.suffix for p in target.parent.iterdir()] == [".part"]
        sweep(tmp_path)
        assert list(target.parent.iterdir()) == []
        assert keep.exists()

    def test_json_is_written_in_one_order(self, tmp_path: Path) -> None:
        write_json(tmp_path / "a", {"b": 1, "a": "é"})
        write_json(tmp_path / "b", {"a": "é", "b": 1})
        assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
        assert json.loads((tmp_path / "a").read_bytes()) == {"a": "é", "b": 1}
