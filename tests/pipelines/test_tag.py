"""`cotmill tag` on files: every row in its place, none lost."""

import json
from pathlib import Path

import pytest
from cotmill.pipelines.tag import tag_file
from cotmill.schemas import BadInput
from cotmill.schemas.markup import parse

TEXT = "Wait, 3 + 4 isn't 8.\n\nSo it is 7, not 8.\n\nTherefore, the answer is 7."


def _tag(folder: Path, *lines: str) -> tuple[list[dict[str, object]], dict[str, int]]:
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    counts = tag_file(source, target)
    return [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()], counts


def test_rows_gain_spans_and_markup_and_keep_their_fields(tmp_path: Path) -> None:
    (row,), counts = _tag(tmp_path, json.dumps({"id": 7, "text": TEXT}))
    assert row["id"] == 7
    assert row["text"] == TEXT
    assert [s["act"] for s in row["spans"]] == ["DetectError", "Correct", "Answer"]
    assert {"start", "end", "act", "score"} == set(row["spans"][0])
    assert parse(row["markup"])[0] == TEXT
    assert counts == {"rows": 1, "tagged": 1, "kept": 0, "errors": 0, "spans": 3}


def test_text_in_markup_keeps_its_own_acts(tmp_path: Path) -> None:
    markup = "<Think_Start><ACT_Sing_Start>3 + 4 = 7.<ACT_Sing_End>\n<Think_End>"
    (row,), counts = _tag(tmp_path, json.dumps({"text": markup}))
    assert row["markup"] == markup
    assert row["text"] == "3 + 4 = 7.\n"
    assert row["spans"] == [{"start": 0, "end": 10, "act": "Sing", "score": 1.0}]
    assert counts["kept"] == 1


def test_a_bad_row_stays_in_its_place_with_its_error(tmp_path: Path) -> None:
    rows, counts = _tag(
        tmp_path,
        json.dumps({"text": "3 + 4 = 7."}),
        "not json",
        json.dumps({"txt": "x", "id": 3}),
        json.dumps({"text": 5}),
        json.dumps({"text": "<Think_Start>loose<Think_End>"}),
        json.dumps([1]),
        json.dumps({"text": "So 7."}),
    )
    assert [("error" in r) for r in rows] == [False, True, True, True, True, True, False]
    assert rows[1]["line"] == 2
    assert rows[1]["raw"] == "not json"
    assert rows[2]["id"] == 3
    assert rows[2]["field"] == "text"
    assert "13" in str(rows[4]["error"])
    assert counts["errors"] == 5
    assert counts["rows"] == 7


@pytest.mark.parametrize(
    "text", ["", " \n ", "<Think_End>", "a <ACT_Plan_Start> b", "答案是四。", "\u2028x\u2028"]
)
def test_odd_text_survives(tmp_path: Path, text: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"text": text}) + "\n")
    tag_file(source, target)
    row = json.loads(target.read_text(encoding="utf-8"))
    assert row["text"] == text
    assert parse(row["markup"])[0] == text


def test_progress_counts_the_rows(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text":"So."}\n' * 3)
    seen: list[int] = []
    tag_file(source, tmp_path / "out.jsonl", progress=seen.append)
    assert seen == [1, 2, 3]


def test_an_empty_or_missing_file_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("empty.jsonl", "none.jsonl"):
        with pytest.raises(BadInput):
            tag_file(tmp_path / name, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
