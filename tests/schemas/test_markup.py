"""Markup and its inverse, on text chosen to break them."""

import pytest
from cotmill.schemas import ActSpan, MarkupError
from cotmill.schemas.markup import (
    THINK_END,
    THINK_START,
    escape,
    looks_like_markup,
    parse,
    render,
    strip_tags,
    trim,
    unescape,
)
from hypothesis import example, given
from hypothesis import strategies as st

PIECES = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="<>\\/_ThinkACSartEd \n\t", max_size=16),
    st.sampled_from(
        [
            "<Think_Start>",
            "<Think_End>",
            "<\\Think_End>",
            "<\\\\ACT_Plan_Start>",
            "<ACT_Plan_Start>",
            "<ACT_Plan_End>",
            "<ACT_План_End>",
            "<ACT_A_B_Start>",
            "<ACT__Start>",
            "<ACT_",
            "_End>",
            "<",
            "\\",
            r"\[ \frac{a}{b} < \Think \]",
            "```python\nif a < b: print('<Think_End>')\n```",
            "因为二加二等于四。",
            "واحد زائد واحد",
            "e\u0301 \U0001f600 \u2028 \x85 \x1c",
            " \n\n ",
            "\r\n",
        ]
    ),
)
TEXT = st.lists(PIECES, max_size=6).map("".join)
ACTS = st.sampled_from(["Plan", "Check", "Calculate", "A1"])


@st.composite
def tagged(draw: st.DrawFn) -> tuple[str, tuple[ActSpan, ...]]:
    """A text and acts that cover it but for white space, some of them touching, some empty inside."""
    text, acts = draw(st.sampled_from(["", " ", "\n"])), []
    for piece in draw(st.lists(TEXT, max_size=5)):
        acts.append(ActSpan(start=len(text), end=len(text) + len(piece), act=draw(ACTS)))
        text += piece + draw(st.sampled_from(["", " ", "\n\n"]))
    return text, tuple(acts)


@given(tagged())
@example(("<Think_End>", (ActSpan(start=0, end=11, act="Plan"),)))
@example(("a<\\Think_Start>", (ActSpan(start=0, end=2, act="Plan"), ActSpan(start=2, end=15, act="Check"))))
def test_markup_to_text_and_acts_is_the_inverse_of_rendering(case: tuple[str, tuple[ActSpan, ...]]) -> None:
    text, acts = case
    assert parse(render(text, acts)) == (text, acts)


@given(tagged())
def test_rendering_is_the_inverse_of_parsing(case: tuple[str, tuple[ActSpan, ...]]) -> None:
    markup = render(*case)
    assert render(*parse(markup)) == markup


@given(TEXT)
def test_any_text_as_one_act_survives(text: str) -> None:
    acts = (ActSpan(start=0, end=len(text), act="Plan"),)
    assert parse(render(text, acts)) == (text, acts)


@given(tagged())
def test_an_open_prefix_survives(case: tuple[str, tuple[ActSpan, ...]]) -> None:
    text, acts = case
    assert parse(render(text, acts, closed=False), closed=False) == (text, acts)


@given(TEXT)
def test_escaping_is_undone_by_unescaping(text: str) -> None:
    assert unescape(escape(text)) == text


@given(tagged())
def test_stripping_the_tags_leaves_the_text(case: tuple[str, tuple[ActSpan, ...]]) -> None:
    text, acts = case
    assert strip_tags(render(text, acts)) == text


@given(TEXT)
def test_parsing_any_text_gives_a_result_or_a_markup_error(text: str) -> None:
    for markup in (text, THINK_START + text, THINK_START + text + THINK_END):
        try:
            plain, acts = parse(markup)
        except MarkupError as e:
            position = e.position
        else:
            position = 0
            assert parse(render(plain, acts)) == (plain, acts)
        assert 0 <= position <= len(markup)


@given(tagged())
def test_trimming_keeps_what_each_act_says(case: tuple[str, tuple[ActSpan, ...]]) -> None:
    text, acts = case
    trimmed, moved = trim(text, acts)
    assert trimmed == text.strip()
    said = [text[a.start : a.end].strip() for a in acts]
    assert [trimmed[a.start : a.end].strip() for a in moved if trimmed[a.start : a.end].strip()] == [
        s for s in said if s
    ]


@pytest.mark.parametrize(
    ("markup", "position"),
    [
        ("no tags at all", 0),
        ("<Think_Start>", 13),
        ("<Think_Start>loose<Think_End>", 13),
        ("<Think_Start><ACT_Plan_Start>x<Think_End>", 30),
        ("<Think_Start><ACT_Plan_Start>x<ACT_Check_End><Think_End>", 30),
        ("<Think_Start><ACT_Plan_Start><ACT_Check_Start>x<ACT_Check_End><ACT_Plan_End><Think_End>", 29),
        ("<Think_Start><ACT_Plan_End><Think_End>", 13),
        ("<Think_Start><Think_End>more", 24),
        ("<Think_Start><Think_End><Think_End>", 24),
        ("<Think_Start><Think_Start><Think_End>", 13),
    ],
)
def test_malformed_markup_is_refused_with_its_position(markup: str, position: int) -> None:
    with pytest.raises(MarkupError) as caught:
        parse(markup)
    assert caught.value.position == position


@pytest.mark.parametrize(
    "acts",
    [
        [(0, 3), (2, 5)],
        [(3, 5), (0, 3)],
        [(0, 6)],
        [(0, 2)],
        [],
    ],
)
def test_spans_that_overlap_or_leave_text_out_are_refused(acts: list[tuple[int, int]]) -> None:
    with pytest.raises(MarkupError):
        render("12345", [ActSpan(start=a, end=b, act="Plan") for a, b in acts])


def test_markup_is_known_by_its_first_tag() -> None:
    assert looks_like_markup("\n <Think_Start>")
    assert not looks_like_markup("first <Think_Start>")
    assert not looks_like_markup("<\\Think_Start>")
