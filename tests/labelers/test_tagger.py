"""The shipped tagger, and taggers with an inventory of one's own."""

from pathlib import Path

import numpy as np
import pytest
from cotmill.labelers.tagger import Array, Tagger, Weights, tag_trace
from cotmill.labelers.tagger_features import Cues
from cotmill.schemas import (
    ActSpan,
    BadInput,
    Domain,
    Factor,
    Generator,
    Inventory,
    Origin,
    Source,
    Step,
    Trace,
    split_steps,
)
from cotmill.schemas.markup import parse, render
from hypothesis import given, settings
from hypothesis import strategies as st

TEXT = st.lists(
    st.sampled_from(
        [
            "Wait, that's wrong. ",
            "So 3 + 4 = 7. ",
            "Is it? ",
            "\n\n",
            "\n",
            "\\[ x = 2 \\]\n",
            "```py\nx = 1\n```\n",
            "<Think_End>",
            "<ACT_Plan_Start>",
            "答案是四。",
            "İ ",
            "\ud800 ",
        ]
    ),
    max_size=8,
).map("".join) | st.text(max_size=50)


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.load()


@settings(deadline=None)
@given(TEXT)
def test_spans_cover_the_text_and_survive_markup(text: str) -> None:
    spans = Tagger.load().tag(text)
    assert parse(render(text, spans))[0] == text
    at = 0
    for span in spans:
        assert span.start < span.end
        assert not text[at : span.start].strip()
        assert 0.0 <= span.score <= 1.0
        assert span.act in Inventory.load().names
        at = span.end
    assert not text[at:].strip()


@settings(deadline=None)
@given(TEXT)
def test_no_span_crosses_the_end_of_a_step(text: str) -> None:
    steps = split_steps(text)
    for span in Tagger.load().tag(text):
        assert sum(a < span.end and span.start < b for a, b in steps) == 1


def test_steps_that_a_trace_brings_are_kept(tagger: Tagger) -> None:
    text = "3 + 4 = 7 and 7 + 1 = 8 and 8 + 2 = 10"
    for span in tagger.tag(text, [(0, 9), (10, 23), (24, 38)]):
        assert (span.start, span.end) in [(0, 9), (10, 23), (24, 38)]


def test_code_fences_and_displayed_formulas_stay_whole(tagger: Tagger) -> None:
    fence = "```python\nx = 1\n\ny = 2. So\n```"
    formula = "\\[\nx = 2\n\n+ 3\n\\]"
    text = f"Let me write it. So here it is:\n\n{fence}\n\nThen we have this.\n\n{formula}\n\nDone."
    spans = [(s.start, s.end) for s in tagger.tag(text)]
    for block in (fence, formula):
        at = text.index(block)
        assert any(a <= at and at + len(block) <= b for a, b in spans)


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("Wait, that can't be right, I forgot the last row.", "DetectError"),
        ("Alternatively, we could count the complement.", "Alternative"),
        ("I need to find the number of red tiles.", "RephraseTarget"),
        ("14 * 3 = 42.", "Calculate"),
        ("Dividing both sides by 4, we get x + 1 = 2y.", "Transform"),
        ("Let me double-check this result.", "Check"),
        ("Hmm, is zero included?", "Uncertain"),
        ("Therefore, the final answer is 12.", "Answer"),
        ("```python\ndef f(x):\n    return x\n```", "WriteCode"),
        ("Case 2: n is odd.", "CaseSplit"),
        ("The guidelines forbid sharing private data.", "RecallRule"),
        ("Let me go back to the first equation, this leads nowhere.", "Backtrack"),
        ("For example, take n = 3.", "TryExample"),
        ("I recall that the angles of a triangle add up to 180 degrees.", "Recall"),
        ("\\boxed{7}", "Answer"),
    ],
)
def test_plain_sentences_get_the_act_they_perform(tagger: Tagger, text: str, act: str) -> None:
    (span,) = tagger.tag(text)
    assert span.act == act


def test_text_without_words_has_no_span(tagger: Tagger) -> None:
    assert tagger.tag("") == ()
    assert tagger.tag(" \n\t\n ") == ()


def test_tagging_many_texts_is_tagging_each(tagger: Tagger) -> None:
    texts = ["So 3 + 4 = 7.", "", "Wait, no.\n\nI was wrong."]
    assert tagger.tag_many(texts) == [tagger.tag(t) for t in texts]


def test_given_spans_are_kept_and_labelled(tagger: Tagger) -> None:
    text = "So 3 + 4 = 7.\n\nHmm, is that right?"
    labelled = tagger.label(text, [(0, 13), (15, 34)])
    assert [(s.start, s.end) for s in labelled] == [(0, 13), (15, 34)]
    assert [s.act for s in labelled] == ["Calculate", "Uncertain"]


@pytest.mark.parametrize(
    ("cue", "matched", "others"),
    [
        (r"\bfoo\b", ["a foo", "foo, then", "(foo)"], ["food", "afoo"]),
        (r"\b(?:foo|bar) x", ["my bar x"], ["bar y"]),
        (r"\bfoo|bar", ["foo", "sandbar"], ["afoo"]),
        (r"^foo", ["foo", "so, foo"], ["a foo"]),
        (r"(?i)^FOO", ["foo", "so, foo"], ["a foo"]),
        (r"(\w)\1", ["off"], ["of"]),
        (r"\?$", ["is it?"], ["is it? yes"]),
        ("FOO", ["a foo"], ["fo"]),
    ],
)
def test_a_cue_is_found_as_its_expression_says(cue: str, matched: list[str], others: list[str]) -> None:
    factors = [
        Factor(name=name, group="g", definition="d", cues=own)
        for name, own in [("Ask", (r"\bfo",)), ("Say", (cue,)), ("Sing", ("^fo", r"\bwho\b"))]
    ]
    cues = Cues(Inventory(factors=tuple(factors)))
    assert all("Say" in cues.acts(text) for text in matched)
    assert not any("Say" in cues.acts(text) for text in others)


def test_an_act_unknown_to_the_weights_is_reached_by_its_cues() -> None:
    sing = Factor(name="Sing", group="joy", definition="The thinker sings.", cues=(r"\bla la\b",))
    own = Tagger.load(inventory=Inventory(factors=(*Inventory.load().factors, sing)))
    assert [s.act for s in own.tag("Now I sing la la la.")] == ["Sing"]
    assert "Sing" not in {s.act for s in own.tag("Now I compute 3 + 4 = 7. Then I stop, silent.")}


def test_an_inventory_of_unknown_acts_alone_still_tags() -> None:
    acts = tuple(
        Factor(name=n, group="g", definition="d", cues=(c,)) for n, c in [("Even", "even"), ("Odd", "odd")]
    )
    own = Tagger.load(inventory=Inventory(factors=acts))
    assert [s.act for s in own.tag("Two is even.\n\nThree is odd.")] == ["Even", "Odd"]
    assert {s.act for s in own.tag("Nothing is said here.")} <= {"Even", "Odd"}


def test_an_act_that_the_inventory_leaves_out_is_never_given() -> None:
    fewer = Inventory(factors=tuple(f for f in Inventory.load().factors if f.name != "Calculate"))
    spans = Tagger.load(inventory=fewer).tag("3 + 4 = 7.\n\n8 * 9 = 72.")
    assert spans
    assert "Calculate" not in {s.act for s in spans}


def test_weights_survive_being_saved(tmp_path: Path, tagger: Tagger) -> None:
    shipped = Path(__file__).parents[2] / "data" / "tagger.npz"
    Weights.load(shipped).save(tmp_path / "own.npz")
    text = "Wait, 3 + 4 = 8? No, that's wrong. So it is 7, not 8."
    assert Tagger.load(tmp_path / "own.npz").tag(text) == tagger.tag(text)


def test_scores_are_those_of_the_network_as_it_is_defined() -> None:
    """Against loops over units, neighbours and channels; more units than are summed at once."""
    draw = np.random.default_rng(0)

    def drawn(*shape: int) -> Array:
        return draw.standard_normal(shape).astype(np.float32)

    w, d, h, k, n = 3, 4, 3, 2, 600
    weights = Weights(
        acts=("A", "B"),
        names=tuple("abcdef"),
        embedding=drawn(6, d),
        shift=drawn(d),
        near=drawn(w, d, h),
        near_bias=drawn(h),
        far=drawn(w, h, h),
        far_bias=drawn(h),
        output=drawn(d + h, k),
        bias=drawn(k),
        start=drawn(k),
        transition=drawn(k, k),
        stay=drawn(6, k),
        join=drawn(5, k),
    )
    rows = [list(draw.choice(6, size=draw.integers(0, 4), replace=False)) for _ in range(n)]
    unit = [np.maximum(sum((weights.embedding[r] for r in row), weights.shift), 0) for row in rows]

    def convolved(x: list[Array], kernel: Array, bias: Array) -> list[Array]:
        out = []
        for t in range(n):
            total = bias.copy()
            for i in range(w):
                if 0 <= t + i - 1 < n:
                    total = total + x[t + i - 1] @ kernel[i]
            out.append(np.maximum(total, 0))
        return out

    near = convolved(unit, weights.near, weights.near_bias)
    far = convolved(near, weights.far, weights.far_bias)
    wanted = [
        np.concatenate([u, a + b]) @ weights.output + weights.bias
        for u, a, b in zip(unit, near, far, strict=True)
    ]
    assert np.allclose(weights.scores(rows), wanted, atol=1e-4)


def test_the_shipped_weights_are_small() -> None:
    assert (Path(__file__).parents[2] / "data" / "tagger.npz").stat().st_size < 4_000_000


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 broken"])
def test_a_file_that_holds_no_weights_is_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        Tagger.load(path)
    with pytest.raises(BadInput):
        Tagger.load(tmp_path / "missing.npz")


def _trace(text: str, acts: tuple[ActSpan, ...] = ()) -> Trace:
    steps = tuple(Step(start=a, end=b, origin=Origin.POLICY) for a, b in split_steps(text))
    return Trace(
        seed_id="s",
        domain=Domain.MATH,
        question="q",
        text=text,
        generator=Generator.IMPORTED,
        steps=steps,
        acts=acts,
        source=Source(name="test"),
    )


def test_a_trace_without_acts_is_given_some(tagger: Tagger) -> None:
    trace = _trace("So 3 + 4 = 7.\n\nTherefore, the answer is 7.")
    tagged = tag_trace(trace, tagger)
    assert [a.act for a in tagged.acts] == ["Calculate", "Answer"]
    assert tagged.model_copy(update={"acts": ()}) == trace


def test_a_trace_with_acts_or_without_text_is_left_alone(tagger: Tagger) -> None:
    for trace in (_trace("So 3 + 4 = 7.", (ActSpan(start=0, end=13, act="Plan"),)), _trace("")):
        assert tag_trace(trace, tagger) is trace
