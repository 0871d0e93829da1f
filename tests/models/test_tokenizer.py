import random
from pathlib import Path

import pytest
from cotmill.models.prompts import encode
from cotmill.models.tokenizer import knows_tags, tags, token_id, train_tokenizer
from cotmill.schemas import Inventory
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

INVENTORY = Inventory.load()
TOKENIZER = train_tokenizer(["Solve 3x + 5 = 20. Subtract 5 from both sides."] * 4, INVENTORY, 400)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def test_every_tag_is_one_token() -> None:
    for tag in tags(INVENTORY):
        assert TOKENIZER.tokenize(f"a{tag}b") == ["a", tag, "b"]


def test_digits_stand_alone() -> None:
    assert TOKENIZER.tokenize("x120") == ["x", "1", "2", "0"]


def test_vocabulary_has_the_size_asked_for() -> None:
    draw = random.Random(0)
    texts = [" ".join("".join(draw.choices("abcdefgh", k=4)) for _ in range(20)) for _ in range(50)]
    assert len(train_tokenizer(texts, INVENTORY, 450)) == 450


def test_tags_are_learned_from_the_inventory_not_the_texts() -> None:
    small = Inventory.model_validate({"factors": [{"name": "Guess", "group": "g", "definition": "d"}]})
    tokenizer = train_tokenizer(["<Think_Start><ACT_Guess_Start>x<ACT_Guess_End><Think_End>"] * 9, small, 300)
    assert tokenizer.tokenize("<ACT_Guess_Start>") == ["<ACT_Guess_Start>"]
    assert len(tokenizer.tokenize("<ACT_Check_Start>")) > 1


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes and tags alone"):
        train_tokenizer(["a"], INVENTORY, 300)


@settings(max_examples=60, deadline=None)
@given(ANY_TEXT)
def test_any_text_comes_back(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False).input_ids
    assert TOKENIZER.decode(ids) == text


@settings(max_examples=60, deadline=None)
@given(ANY_TEXT)
def test_offsets_cover_the_text_in_code_points(text: str) -> None:
    _, [spans] = encode(TOKENIZER, [text])
    covered: set[int] = set()
    for start, end in spans:
        covered.update(range(start, end))
    assert covered == set(range(len(text)))
    assert [s for s, _ in spans] == sorted(s for s, _ in spans)


def test_a_saved_folder_opens_with_auto_tokenizer(
    tmp_path: Path, tag_tokenizer: PreTrainedTokenizerFast
) -> None:
    tag_tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "é 12 <ACT_Check_Start>ok<ACT_Check_End>"
    assert again(text).input_ids == tag_tokenizer(text).input_ids
    assert again(text).input_ids[0] == again.bos_token_id
    assert again.decode(again(text).input_ids, skip_special_tokens=True) == text
    assert knows_tags(again)


def test_unknown_token_is_none(tag_tokenizer: PreTrainedTokenizerFast) -> None:
    assert token_id(tag_tokenizer, "<no such token>") is None
    assert token_id(tag_tokenizer, "<eos>") == tag_tokenizer.eos_token_id
