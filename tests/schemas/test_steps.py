"""Where steps are cut, and where never."""

import pytest
from cotmill.schemas import ActSpan, join_steps, split_steps
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.lists(
    st.sampled_from(
        [
            "a",
            "so 3.5 + 2 = 5.5",
            " ",
            "\n",
            "\n\n",
            "\n \t\n",
            "\r\n",
            "$$x\n\ny$$",
            "$$",
            "\\[",
            "\\]",
            "```\ncode\n\nmore\n```",
            "```",
            "\\begin{align}a\n\nb\\end{align}",
            "\\begin{x}",
            "因为",
            "\u2028",
            "\x0b",
        ]
    ),
    max_size=12,
).map("".join)


@given(TEXT | st.text(max_size=60))
def test_steps_hold_every_character_but_white_space_in_order(text: str) -> None:
    at = 0
    for start, end in split_steps(text):
        assert at <= start < end <= len(text)
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


@given(TEXT, st.data())
def test_no_cut_falls_inside_an_act(text: str, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    acts = [ActSpan(start=a, end=b, act="Plan") for a, b in zip(edges[::2], edges[1::2], strict=False)]
    steps = split_steps(text, acts)
    for act in acts:
        if text[act.start : act.end].strip():
            held = [s for s in steps if s[0] < act.end and act.start < s[1]]
            assert len(held) == 1


@given(st.lists(st.text(max_size=20), max_size=6))
def test_joined_steps_stand_where_their_spans_say(steps: list[str]) -> None:
    text, spans = join_steps(steps)
    assert [text[a:b] for a, b in spans] == [s.strip() for s in steps if s.strip()]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        (" \n\n ", []),
        ("one", ["one"]),
        ("one\ntwo", ["one", "two"]),
        ("one\n\ntwo\nstill two", ["one", "two\nstill two"]),
        ("one\n \t\ntwo", ["one", "two"]),
        ("\n\none\ntwo\n\n", ["one", "two"]),
        ("one\r\n\r\ntwo\r\nstill two", ["one", "two\r\nstill two"]),
        ("see:\n\n```\na = 1\n\nb = 2\n```\n\ndone", ["see:", "```\na = 1\n\nb = 2\n```", "done"]),
        ("see:\n\n\\[\na\n\n= b\n\\]\n\ndone", ["see:", "\\[\na\n\n= b\n\\]", "done"]),
        ("see:\n\n$$a\n\n= b$$\n\ndone", ["see:", "$$a\n\n= b$$", "done"]),
        (
            "x\n\n\\begin{align*}\na\n\n\\end{align*}\n\ny",
            ["x", "\\begin{align*}\na\n\n\\end{align*}", "y"],
        ),
        ("an open ```\n\nfence is none", ["an open ```", "fence is none"]),
        (
            "one line with ``` in it\n\ntwo\n\nand ``` here",
            ["one line with ``` in it", "two", "and ``` here"],
        ),
        ("  ```py\n  a\n\n  b\n  ```\n\nend", ["```py\n  a\n\n  b\n  ```", "end"]),
        ("a \\\\[2pt] b\n\nc \\\\] d", ["a \\\\[2pt] b", "c \\\\] d"]),
    ],
)
def test_where_text_is_cut(text: str, steps: list[str]) -> None:
    assert [text[a:b] for a, b in split_steps(text)] == steps


def test_an_act_over_a_blank_line_keeps_its_step_whole() -> None:
    text = "first\n\nstill first\n\nsecond"
    acts = [ActSpan(start=0, end=18, act="Plan"), ActSpan(start=20, end=26, act="Check")]
    assert split_steps(text, acts) == ((0, 18), (20, 26))


def test_a_long_text_of_unclosed_blocks_is_cut() -> None:
    """Quadratic time would take minutes here."""
    opened = "\\begin{a}" * 30_000 + "\n\n" + "\\[" * 30_000 + "\n\n" + "```\n" * 30_001
    assert len(split_steps(opened + "\n" * 30_000 + "x")) > 1
