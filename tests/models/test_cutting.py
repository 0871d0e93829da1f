"""A prompt cut piece by piece is cut as the tokenizer cuts the whole of it."""

import pytest
from cotmill.models import cutting
from cotmill.models.cutting import Cutter
from cotmill.models.prompts import encode
from cotmill.models.tokenizer import tags
from cotmill.schemas import Inventory
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

TEXTS = ["Solve 3x + 5 = 20. Subtract 5 from both sides.", "a  an antelope\n\nate apples"] * 4
SPECIAL = ["<unk>", "<s>", "</s>"]
HARD = ["\n", "\n\n", *tags(Inventory.load())[:6]]
SOFT = [
    AddedToken("<mask>", lstrip=True, normalized=False),
    AddedToken("<word>", single_word=True, normalized=False),
    AddedToken("<Norm>", normalized=True),
]


def made(kind: str, added: list[AddedToken]) -> PreTrainedTokenizerFast:
    model, trainer, split, decoder = {
        "bytes": (models.BPE(), trainers.BpeTrainer, pre_tokenizers.ByteLevel(add_prefix_space=True), None),
        "unigram": (models.Unigram(), trainers.UnigramTrainer, pre_tokenizers.Metaspace(), None),
        "first": (models.BPE(), trainers.BpeTrainer, pre_tokenizers.Metaspace(prepend_scheme="first"), None),
        "wordpiece": (
            models.WordPiece(unk_token="<unk>"),
            trainers.WordPieceTrainer,
            pre_tokenizers.Whitespace(),
            decoders.WordPiece(),
        ),
        "prepend": (models.BPE(unk_token="<unk>"), trainers.BpeTrainer, None, None),
    }[kind]
    tokenizer = Tokenizer(model)
    if kind == "prepend":  # as Llama 2 has it
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    if kind == "wordpiece":
        tokenizer.normalizer = normalizers.BertNormalizer()
    if split is not None:
        tokenizer.pre_tokenizer = split
    if decoder is not None:
        tokenizer.decoder = decoder
    known = {"unk_token": "<unk>"} if kind == "unigram" else {}
    tokenizer.train_from_iterator(
        TEXTS, trainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False, **known)
    )
    tokenizer.add_tokens([*(AddedToken(tag, normalized=False) for tag in HARD), *added])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


KINDS = ["bytes", "unigram", "first", "wordpiece", "prepend"]
CUTTERS = {(kind, bool(soft)): Cutter(made(kind, soft)) for kind in KINDS for soft in ([], SOFT)}
LETTERS = st.text(st.sampled_from("ab 3ä\n<_▁"), max_size=6)
PIECES = st.one_of(LETTERS, st.sampled_from([*HARD, *SPECIAL, "Solve", *(t.content for t in SOFT)]))
TEXT = st.lists(PIECES, max_size=8).map("".join)


@pytest.mark.parametrize("kind", list(CUTTERS), ids=str)
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXT, max_size=3))
@example(texts=["\n\n\n", "a\n \n\n"])
def test_a_prompt(kind: tuple[str, bool], texts: list[str]) -> None:
    cutter = CUTTERS[kind]
    assert cutter.cut(texts) == encode(cutter.tokenizer, texts)[0]


@pytest.mark.parametrize("kind", list(CUTTERS), ids=str)
@settings(max_examples=150, deadline=None)
@given(prompt=TEXT, continuations=st.lists(TEXT, max_size=3))
@example(prompt="a\n", continuations=["\na", "a"])
@example(prompt="<Think_Start>a b<Think_", continuations=["End>", "a"])
def test_what_continues_it(kind: tuple[str, bool], prompt: str, continuations: list[str]) -> None:
    cutter = CUTTERS[kind]
    [ids], _ = encode(cutter.tokenizer, [prompt])
    wholes, _ = encode(cutter.tokenizer, [prompt + c for c in continuations])
    expected = [
        whole[len(ids) :]
        if whole[: len(ids)] == ids
        else cutter.tokenizer(c, add_special_tokens=False).input_ids
        for whole, c in zip(wholes, continuations, strict=True)
    ]
    assert cutter.continued(prompt, ids, continuations) == expected


def test_it_cuts_nothing_twice_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = made("first", [])
    asked: list[str] = []
    call = PreTrainedTokenizerFast.__call__

    def counted(self: PreTrainedTokenizerFast, texts: list[str], **options: bool) -> object:
        asked.extend(texts)
        return call(self, texts, **options)

    cutter = Cutter(tokenizer)
    monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", counted)
    start, end = HARD[2:4]
    first = cutter.cut([f"Solve{start}3x{end}", f"Solve{start}3x{end}"])
    assert [text.removeprefix(cutter._anchor) for text in asked] == ["Solve", "3x"]
    cutter.cut([f"Solve{start}3x{end}{start}3x"])
    assert len(asked) == 2
    monkeypatch.setattr(cutting, "_REMEMBERED", 0)
    assert cutter.cut([f"Solve{start}3x{end}"]) == first[:1]
    assert len(asked) == 4
