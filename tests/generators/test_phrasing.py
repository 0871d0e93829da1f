"""The grammar of phrasings: what is said is recognised, and nothing else is."""

from importlib.resources import files

import numpy as np
import pytest
import yaml
from cotmill.generators.phrasing import PhraseBook, parse_template
from cotmill.schemas import Inventory
from hypothesis import given
from hypothesis import strategies as st

BOOKS = sorted(f.name for f in files("cotmill.data").iterdir() if f.name.startswith("phrases_"))


def book(*templates: str) -> PhraseBook:
    return PhraseBook({"k": {"act": "Plan", "say": list(templates)}})


@given(st.integers(0, 10_000), st.text(max_size=8), st.text(min_size=1, max_size=8))
def test_what_is_said_is_recognised(seed, a, b):
    b_ = book("<So|<Well, then|Now>> we have {a}<. next| and> {b}<!|>", "{b} comes first, then {b}.")
    slots = {"a": a, "b": b}
    assert b_.recognises("k", slots, b_.say("k", slots, np.random.default_rng(seed)))


@pytest.mark.parametrize("text", ["So we have 3 .", "so we have 3.", "So we have 4.", "So we have 3. ", ""])
def test_other_values_and_other_words_are_not_recognised(text):
    assert not book("<So|Now> we have {n}.").recognises("k", {"n": "3"}, text)


def test_a_sentence_begins_with_a_capital_wherever_the_choice_falls():
    said = {book("<yes. |>now we go.").say("k", {}, np.random.default_rng(i)) for i in range(20)}
    assert said == {"Yes. Now we go.", "Now we go."}


def test_templates_with_missing_values_are_not_drawn():
    b = book("{missing} is missing", "all there")
    assert {b.say("k", {}, np.random.default_rng(i)) for i in range(20)} == {"All there"}
    with pytest.raises(KeyError):
        book("{missing}").say("k", {}, np.random.default_rng(0))


@pytest.mark.parametrize("template", ["<a|b", "a>b", "{a"])
def test_unbalanced_templates_are_refused(template):
    with pytest.raises(ValueError, match=r"unbalanced|substring"):
        parse_template(template)


@pytest.mark.parametrize("name", BOOKS)
def test_shipped_phrases_are_well_spaced_and_name_acts_of_the_inventory(name):
    entries = yaml.safe_load(files("cotmill.data").joinpath(name).read_text(encoding="utf-8"))
    assert {e["act"] for e in entries.values()} <= set(Inventory.load().names)
    rng = np.random.default_rng(0)
    for kind, entry in entries.items():
        for template in entry["say"]:
            slots = dict.fromkeys(parse_template(template).needs, "X")
            one = PhraseBook({kind: {"act": "Plan", "say": [template]}})
            for _ in range(30):
                said = one.say(kind, slots, rng)
                assert said == said.strip(), said
                assert "  " not in said.split("\n")[0], said
                assert said[0].isupper() or said[0] in "`", said
