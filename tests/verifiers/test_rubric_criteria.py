"""Criteria are read from Markdown, and what is wrong with them is said with file, line and criterion."""

import contextlib
from pathlib import Path

import pytest
from cotmill.schemas import BadInput
from cotmill.verifiers.rubric.criteria import Rubric
from hypothesis import given
from hypothesis import strategies as st

GOOD = """# Tidy notes

What is judged,
in two lines.

Pass: 0.5

## Short (weight 2)
Is it short?
- 0: long
- 1: middling,
  more or less
- 2: short

## Neat
- 3: neat
- 1: untidy
"""


def test_a_rubric_is_read() -> None:
    rubric = Rubric.parse(GOOD)
    assert (rubric.title, rubric.purpose, rubric.pass_at) == (
        "Tidy notes",
        "What is judged, in two lines.",
        0.5,
    )
    short, neat = rubric.criteria
    assert (short.name, short.weight, short.asks) == ("Short", 2.0, "Is it short?")
    assert short.anchors == ((0, "long"), (1, "middling, more or less"), (2, "short"))
    assert (neat.weight, neat.anchors) == (1.0, ((1, "untidy"), (3, "neat")))


@pytest.mark.parametrize(
    ("short", "neat", "score"), [(0, 1, 0.0), (2, 3, 1.0), (2, 1, 2 / 3), (1, 3, 2 / 3), (1, 1, 1 / 3)]
)
def test_the_score_weighs_criteria_on_their_own_scales(short: int, neat: int, score: float) -> None:
    assert Rubric.parse(GOOD).score({"Short": short, "Neat": neat}) == pytest.approx(score)


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("# Tidy notes", "", 3, "title"),
        ("# Tidy notes\n", "# Tidy notes\n# Again\n", 2, "title"),
        ("Pass: 0.5", "", None, "pass"),
        ("Pass: 0.5", "Pass: half", 6, "pass"),
        ("Pass: 0.5", "Pass: 1.5", 6, "pass"),
        ("Pass: 0.5", "Pass: 0", 6, "pass"),
        ("Pass: 0.5", "Pass: 0.5\nPass: 0.6", 7, "pass"),
        ("(weight 2)", "(weight heavy)", 8, "Short"),
        ("(weight 2)", "(weight 0)", 8, "Short"),
        ("(weight 2)", "(weight nan)", 8, "Short"),
        ("- 0: long", "- long", 10, "Short"),
        ("- 0: long", "- 0:", 10, "Short"),
        ("- 2: short", "- 1: short", 13, "Short"),
        ("- 3: neat\n", "", 15, "Neat"),
        ("## Neat", "## short", 15, "short"),
        ("## Neat", "## Neat | tidy", 15, "Neat | tidy"),
    ],
)
def test_faults_are_named(old: str, new: str, line: int | None, field: str) -> None:
    assert old in GOOD
    with pytest.raises(BadInput) as caught:
        Rubric.parse(GOOD.replace(old, new), file="notes.md")
    assert (caught.value.file, caught.value.line, caught.value.field) == ("notes.md", line, field)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.md"
    latin.write_bytes("# Größe".encode("latin-1"))
    for path in (latin, tmp_path / "absent.md"):
        with pytest.raises(BadInput, match=path.name):
            Rubric.read(path)


@pytest.mark.parametrize("name", ["careful_reply", "clear_plan"])
def test_shipped_rubrics_are_good(name: str) -> None:
    rubric = Rubric.shipped(name)
    assert len(rubric.criteria) >= 3
    assert all(c.asks and len(c.anchors) >= 3 for c in rubric.criteria)


@pytest.mark.parametrize("name", ["../rubric/clear_plan", "no_such", ""])
def test_no_other_name_is_shipped(name: str) -> None:
    with pytest.raises(BadInput):
        Rubric.shipped(name)


def test_the_hash_tells_rubrics_apart() -> None:
    rubric = Rubric.parse(GOOD)
    assert Rubric.parse(GOOD + "\n\n").hash == rubric.hash
    for old, new in (
        ("0.5", "0.6"),
        ("weight 2", "weight 3"),
        ("0: long", "0: far too long"),
        ("Neat", "Clean"),
    ):
        assert Rubric.parse(GOOD.replace(old, new)).hash != rubric.hash


_PIECES = st.sampled_from(
    [*GOOD.split("\n"), "- 0: x", "## (weight 1)", "Pass:", "- ٣: x", "\x0c", "# ", "|"]
)


@given(st.one_of(st.text(max_size=200), st.lists(_PIECES | st.text(max_size=8), max_size=20).map("\n".join)))
def test_any_text_is_a_rubric_or_bad_input(text: str) -> None:
    try:
        rubric = Rubric.parse(text)
    except BadInput:
        return
    assert rubric.score({c.name: c.anchors[-1][0] for c in rubric.criteria}) == pytest.approx(1.0)
    assert rubric.score({c.name: c.lowest for c in rubric.criteria}) == 0.0


@given(st.binary(max_size=200))
def test_any_file_is_a_rubric_or_bad_input(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.md"
    path.write_bytes(data)
    with contextlib.suppress(BadInput):
        Rubric.read(path)
