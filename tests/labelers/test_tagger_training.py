"""Training the tagger on a little text, and the text it is trained and measured on."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cotmill.labelers.tagger import Tagger, Weights
from cotmill.labelers.tagger_features import Cues
from cotmill.labelers.tagger_lexicon import word_classes
from cotmill.labelers.tagger_training import Settings, aligned, documents, fit, joins, tagged_cots, train
from cotmill.schemas import ActSpan, Factor, Inventory
from cotmill.schemas.markup import parse

DATA = Path(__file__).parents[2] / "data"
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "longcot_qwq_dev_50.jsonl"

ACTS = Inventory(
    factors=tuple(
        Factor(name=name, group="g", definition="d", cues=(cue,))
        for name, cue in [("Ask", "^who"), ("Say", "^the")]
    )
)
MARKUP = (
    "<Think_Start><ACT_Ask_Start>Who {0} it?<ACT_Ask_End> "
    "<ACT_Say_Start>The {1} did. It {0}.<ACT_Say_End><Think_End>"
)
WORDS = [("ate", "cat"), ("saw", "dog"), ("took", "fox"), ("had", "hen"), ("made", "bee")]
COTS = [parse(MARKUP.format(verb, noun)) for verb, noun in WORDS]


def _train() -> Weights:
    cues = Cues(ACTS)
    docs = [d for text, acts in COTS for d in documents(text, acts, cues)]
    return train(docs, ACTS.names, joins(COTS, ACTS.names), Settings(min_count=1))


def test_a_tagger_learns_the_acts_it_is_shown() -> None:
    text = "Who found it? The owl did. It found."
    spans = Tagger(_train(), ACTS).tag(text)
    assert [(s.act, text[s.start : s.end]) for s in spans] == [
        ("Ask", "Who found it?"),
        ("Say", "The owl did. It found."),
    ]


def test_cots_written_for_the_tagger_are_enough_and_weigh_more_than_others() -> None:
    other = [
        parse(MARKUP.format(v, n).replace("_Ask_", "_X_").replace("_Say_", "_Ask_").replace("_X_", "_Say_"))
        for v, n in WORDS
    ]
    spans = Tagger(fit([], COTS * 2, other * 2, [], ACTS, Cues(ACTS)), ACTS).tag("Who ate it? The cat did.")
    assert [s.act for s in spans] == ["Ask", "Say"]


def test_too_little_text_is_said() -> None:
    with pytest.raises(ValueError, match="no feature occurs 120 times"):
        fit([], COTS[:1], [], [], ACTS, Cues(ACTS))


def test_training_twice_gives_the_same_weights() -> None:
    one, two = _train(), _train()
    assert one.names == two.names
    assert np.array_equal(one.embedding, two.embedding)
    assert np.array_equal(one.far, two.far)
    assert np.array_equal(one.transition, two.transition)


def test_features_that_are_too_rare_are_left_out() -> None:
    cues = Cues(ACTS)
    docs = [d for text, acts in COTS for d in documents(text, acts, cues)]
    all_of_them = train(docs, ACTS.names, joins(COTS, ACTS.names), Settings(min_count=1, epochs=1))
    weights = train(docs, ACTS.names, joins(COTS, ACTS.names), Settings(min_count=len(docs), epochs=1))
    assert "w=who" in weights.names
    assert "w=hen" not in weights.names
    assert "w=hen" in all_of_them.names
    assert weights.embedding.shape == (len(weights.names), Settings().vector)


def test_every_unit_belongs_to_the_span_that_holds_most_of_it() -> None:
    text, acts = "One. Two. Three.", [ActSpan(start=0, end=9, act="A"), ActSpan(start=10, end=16, act="B")]
    assert [(text[u.start : u.end], i) for u, i in aligned(text, acts)] == [
        ("One.", 0),
        ("Two.", 0),
        ("Three.", 1),
    ]


def test_neighbours_of_one_act_are_joined_as_often_as_in_the_text() -> None:
    join = joins(COTS, ACTS.names)
    assert join.shape[1] == 2
    assert (join > 0).all()
    assert (join < 1).all()
    assert join[2, 1] > 0.5


@pytest.mark.parametrize(
    ("word", "classes"),
    [
        ("so", {"conclude"}),
        ("simplifying", {"transform"}),
        ("maybe", {"doubt"}),
        ("zebra", set()),
        ("", set()),
    ],
)
def test_words_have_their_classes(word: str, classes: set[str]) -> None:
    assert set(word_classes(word)) == classes


def test_what_it_learns_from_uses_the_inventory_and_is_varied() -> None:
    names = set(Inventory.load().names)
    spans = [a for _, acts in tagged_cots(DATA / "tagger", "cots*.jsonl") for a in acts]
    assert {a.act for a in spans} == names
    rows = [
        json.loads(line) for line in (DATA / "tagger" / "sentences.jsonl").read_text("utf-8").splitlines()
    ]
    assert len({(r["act"], r["text"]) for r in rows}) == len(rows)
    for name in names:
        assert sum(r["act"] == name for r in rows) >= 25
    examples = {e for f in Inventory.load().factors for e in f.examples}
    assert not examples & {r["text"] for r in rows}


def _uncovered(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """What stands outside the spans but for white space."""
    edges = [0, *(x for span in spans for x in span), len(text)]
    return "".join(text[a:b].strip() for a, b in zip(edges[::2], edges[1::2], strict=True))


@pytest.mark.skipif(
    not SHARED.exists(), reason="the CoTs that the gold spans point into are not beside the project"
)
def test_gold_spans_cover_the_cots_they_point_into() -> None:
    rows = {
        r["id"]: "\n\n".join(r["steps"]) for r in map(json.loads, SHARED.read_text("utf-8").split("\n")[:-1])
    }
    gold = [json.loads(line) for line in (DATA / "tagger" / "qwq_gold.jsonl").read_text("utf-8").splitlines()]
    assert sum(len(r["spans"]) for r in gold) >= 800
    assert len({r["id"] for r in gold}) == len(gold)
    assert [r["half"] for r in gold].count("held") == len(gold) // 2
    for row in gold:
        text, spans = rows[row["id"]], row["spans"]
        assert all(text[s["start"] : s["end"]].strip() for s in spans)
        assert not _uncovered(text, [(s["start"], s["end"]) for s in spans])
        assert all(a["end"] <= b["start"] for a, b in pairwise(spans))
        assert {s["act"] for s in spans} <= set(Inventory.load().names)


def test_each_reading_of_the_gold_spans_has_an_act_for_every_one() -> None:
    def rows(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (DATA / "tagger" / name).read_text("utf-8").splitlines()]

    gold = {r["id"]: len(r["spans"]) for r in rows("qwq_gold.jsonl")}
    assert {r["id"]: [len(acts) for acts in r["acts"]] for r in rows("qwq_readers.jsonl")} == {
        key: [n, n] for key, n in gold.items()
    }


def test_the_written_gold_has_two_readings_of_every_span_and_two_halves_of_every_kind() -> None:
    lines = (DATA / "tagger" / "written_gold.jsonl").read_text("utf-8").splitlines()
    gold = [json.loads(line) for line in lines]
    assert {r["kind"] for r in gold if r["half"] == "held"} == {
        r["kind"] for r in gold if r["half"] == "open"
    }
    names = set(Inventory.load().names)
    learned = {text for text, _ in tagged_cots(DATA / "tagger", "cots*.jsonl")}
    for row, (text, acts) in zip(gold, tagged_cots(DATA / "tagger", "written_gold.jsonl"), strict=True):
        assert [len(r) for r in row["readings"]] == [len(acts)] * 2
        assert {a.act for a in acts} | {a for r in row["readings"] for a in r} <= names
        assert not _uncovered(text, [(a.start, a.end) for a in acts])
        assert text not in learned
