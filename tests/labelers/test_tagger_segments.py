"""Where the tagger cuts text into units, and that it loses nothing."""

import itertools

import pytest
from cotmill.labelers.tagger_segments import Boundary, units
from cotmill.schemas import split_steps
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.lists(
    st.sampled_from(
        [
            "Wait, 3.5 is not 3. ",
            "So x = 2",
            ", so it holds. ",
            "e.g. this. ",
            "\n",
            "\n\n",
            "- item\n",
            "Step 3. ",
            "\\[ a. B\n\nc \\]",
            "\\( x. Y \\)",
            "\\(",
            "$5. ",
            "$x$ ",
            "```\nx = 1. Y\n```",
            "```",
            "`a. B` ",
            "(aside. Here) ",
            "(",
            "Hmm... ",
            "好。真的？ ",
            "5! = 120. ",
            "; ",
            "\u2028",
            "İ. ",
        ]
    ),
    max_size=10,
).map("".join) | st.text(max_size=60)


@given(TEXT)
def test_units_hold_every_character_but_white_space_in_order(text: str) -> None:
    at = 0
    for unit in units(text):
        assert at <= unit.start < unit.end <= len(text)
        assert not text[at : unit.start].strip()
        piece = text[unit.start : unit.end]
        assert piece == piece.strip()
        at = unit.end
    assert not text[at:].strip()


@given(TEXT)
def test_every_unit_lies_in_its_step(text: str) -> None:
    steps = split_steps(text)
    found = units(text)
    for unit in found:
        start, end = steps[unit.step]
        assert start <= unit.start
        assert unit.end <= end
    for before, unit in itertools.pairwise(found):
        assert (unit.boundary is Boundary.STEP) == (unit.step != before.step)


@given(TEXT, st.data())
def test_given_steps_are_kept_and_what_lies_between_them_too(text: str, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    steps = list(zip(edges[::2], edges[1::2], strict=False))
    found = units(text, steps)
    assert "".join(text[u.start : u.end] for u in found).split() == text.split() or "".join(
        "".join(text[u.start : u.end].split()) for u in found
    ) == "".join(text.split())
    for unit in found:
        for start, end in steps:
            assert unit.end <= start or unit.start >= end or (start <= unit.start and unit.end <= end)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Pi is 3.14. So 2 pi is 6.28.", ["Pi is 3.14.", "So 2 pi is 6.28."]),
        ("Take e.g. 5 vs. 6. Then stop.", ["Take e.g. 5 vs. 6.", "Then stop."]),
        ("Step 3. I add them. Done it is.", ["Step 3. I add them.", "Done it is."]),
        ("1. First one.\n2. Second one.", ["1. First one.", "2. Second one."]),
        ("Since 5! = 120 it is big. Yes!", ["Since 5! = 120 it is big.", "Yes!"]),
        (
            "It has two roots, so yes. But is one of them 0?",
            ["It has two roots, so yes.", "But is one of them 0?"],
        ),
        ("Both are even, so the sum is even.", ["Both are even,", "so the sum is even."]),
        ("It is so far so good, so that we go on.", ["It is so far so good, so that we go on."]),
        ("Wait. That is wrong.", ["Wait. That is wrong."]),
        ("Hmm... wait, no. That is wrong.", ["Hmm... wait, no. That is wrong."]),
        ("3 + 4 = 7. Good. Next one.", ["3 + 4 = 7.", "Good.", "Next one."]),
        ("hmm. so it never ends! i see.", ["hmm. so it never ends!", "i see."]),
        ("I add (3 + 4. Fine) and go. End here.", ["I add (3 + 4. Fine) and go.", "End here."]),
        ("We have \\(a. B\\) here. And $c. D$ there.", ["We have \\(a. B\\) here.", "And $c. D$ there."]),
        ("It costs $5. He paid $6. Fine by me.", ["It costs $5.", "He paid $6.", "Fine by me."]),
        ("Call `a.b. C` now. Then go.", ["Call `a.b. C` now.", "Then go."]),
        ("二加二等于四。所以答案是四。", ["二加二等于四。", "所以答案是四。"]),
        (
            "Squaring both sides:\n\\[ x. Y\n= 4 \\]\nThen go on.",
            ["Squaring both sides:", "\\[ x. Y\n= 4 \\]", "Then go on."],
        ),
        ("Write it:\n```python\na = 1. B\n\nb = 2\n```\nDone now.", None),
        (
            "for x in xs:\n    total += x\nreturn total\n\nIt sums.",
            ["for x in xs:\n    total += x\nreturn total", "It sums."],
        ),
        (
            "this sentence was wrapped by an editor near sixty columns and\ngoes on here. The end.\n\nB.",
            [
                "this sentence was wrapped by an editor near sixty columns and\ngoes on here.",
                "The end.",
                "B.",
            ],
        ),
        ("Sum:\n\n  5 8\n- 1 8\n-----\n  4 0", ["Sum:", "5 8", "- 1 8\n-----\n  4 0"]),
    ],
)
def test_where_units_end(text: str, pieces: list[str] | None) -> None:
    found = [text[u.start : u.end] for u in units(text)]
    if pieces is None:
        pieces = ["Write it:", "```python\na = 1. B\n\nb = 2\n```", "Done now."]
    assert found == pieces


@pytest.mark.parametrize(
    "piece",
    ["\\[", "\\(", "$a ", "`", "(", "...", "? ", "a. ", "hm", " ", "\n", "```\n", "\\begin{a}", "wait, "],
)
def test_a_long_run_of_one_piece_is_cut(piece: str) -> None:
    """Quadratic time would take minutes here."""
    text = "x" + piece * 40_000 + "x"
    found = units(text)
    assert found[0].start == 0
    assert found[-1].end == len(text)
