"""The shipped sample and held-out problems are what the families write."""

import json
from collections import Counter
from pathlib import Path

import cotmill.data
import pytest
from cotmill.generators.families import FAMILIES, LEVELS, answer_of, check
from cotmill.generators.families.samples import write_samples
from cotmill.schemas import markup

DATA = Path(str(cotmill.data.__file__)).parent
FILES = ("families/sample.jsonl", "heldout/problems.jsonl")


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_the_shipped_file_is_made_again_byte_for_byte(written: Path, name: str) -> None:
    assert (written / name).read_bytes() == (DATA / name).read_bytes()


def test_the_sample_has_ten_cots_of_each_kind() -> None:
    sample = rows("families/sample.jsonl")
    kinds = Counter(row["id"].rsplit("-", 1)[0] for row in sample)
    assert kinds == {f"family-{family}-{level}": 10 for family in FAMILIES for level in LEVELS}
    for row in sample:
        text, _ = markup.parse(row["cot"])
        truth = check(row["question"], text)
        assert truth is not None
        assert truth.clean[-1]
        assert answer_of(row["question"]) == row["answer"]
        assert row.keys() == {"id", "domain", "question", "cot", "answer", "licence"}


def test_the_heldout_problems_are_even_over_the_levels() -> None:
    heldout = rows("heldout/problems.jsonl")
    assert Counter(row["id"].split("-")[2] for row in heldout) == {"1": 200, "2": 200, "3": 200}
    assert all(answer_of(row["question"]) == row["answer"] for row in heldout)
    assert all(row.keys() == {"id", "domain", "question", "answer", "licence"} for row in heldout)


def test_no_question_stands_twice() -> None:
    questions = [row["question"] for name in FILES for row in rows(name)]
    assert len(set(questions)) == len(questions) == 780
