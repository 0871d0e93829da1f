import json
import math
from pathlib import Path

import pytest
import torch
from cotmill.models.headed import EncodedSteps, StepsRow
from cotmill.models.local import LocalPolicy
from cotmill.models.network import RewardHead, RewardModel
from cotmill.schemas import ActSpan, BadInput, markup
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

TEXT = "12 + 34 = 46.\nSo é 漢 it is 46."
STEPS = ((0, 13), (14, len(TEXT)))
ACTS = (ActSpan(start=0, end=13, act="Calculate"), ActSpan(start=14, end=len(TEXT), act="Answer"))
CORPUS = ["Compute 12 + 34.", TEXT, "So it is 46. Thus, therefore; 12 + 34 = 46.\n\nAnswer: 46"] * 4


def marked() -> StepsRow:
    ends = [len(markup.render(TEXT[:end], ACTS[: i + 1], closed=False)) for i, (_, end) in enumerate(STEPS)]
    return StepsRow("Compute 12 + 34.", markup.render(TEXT, ACTS, closed=False), tuple(ends))


def plain() -> StepsRow:
    return StepsRow("Compute 12 + 34.", TEXT, tuple(end for _, end in STEPS))


@pytest.fixture(scope="module")
def prm(llama_folder: Path) -> RewardModel:
    return RewardModel.from_backbone(str(llama_folder), device="cpu")


@pytest.fixture(scope="module")
def text_prm(gpt2_folder: Path) -> RewardModel:
    return RewardModel.from_backbone(str(gpt2_folder), device="cpu")


def perturbed(model: RewardModel) -> RewardModel:
    torch.manual_seed(3)
    with torch.no_grad():
        for p in model.head.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


def test_markup_or_text_follows_the_tokenizer(prm: RewardModel, text_prm: RewardModel) -> None:
    assert (prm.input, text_prm.input) == ("markup", "text")


def test_a_step_ends_at_its_acts_closing_tag(prm: RewardModel) -> None:
    [row] = prm.encode([marked()])
    tokens = prm.tokenizer.convert_ids_to_tokens(row.ids)
    assert [tokens[i] for i in row.ends] == ["<ACT_Calculate_End>", "<ACT_Answer_End>"]
    assert tokens[row.prompt_end + 1] == "<Think_Start>"


def test_the_trunk_sees_the_policys_prompt(prm: RewardModel, llama_folder: Path) -> None:
    policy = LocalPolicy.load(str(llama_folder), device="cpu")
    [row] = prm.encode([marked()])
    assert row.ids == policy.tokenizer(policy.prompt("Compute 12 + 34.", marked().text)).input_ids


TRAINED = {
    "byte-level BPE": (models.BPE(), trainers.BpeTrainer, pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "unigram": (models.Unigram(), trainers.UnigramTrainer, pre_tokenizers.Metaspace()),
    "word piece": (
        models.WordPiece(unk_token="<unk>"),
        trainers.WordPieceTrainer,
        pre_tokenizers.Whitespace(),
    ),
    "characters": (models.BPE(unk_token="<unk>"), None, pre_tokenizers.Split("", "isolated")),
}


@pytest.mark.parametrize("kind", TRAINED)
def test_step_ends_over_tokenizers(kind: str, text_prm: RewardModel) -> None:
    """The last token of a step covers its last character, whatever the tokenizer joins or drops."""
    model, trainer, pre_tokenizer = TRAINED[kind]
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizer
    if trainer is None:
        letters = sorted(set("".join(CORPUS)) - {"漢"})
        backend.model = models.BPE({c: i for i, c in enumerate(["<unk>", *letters])}, [], unk_token="<unk>")
    else:
        special = {"special_tokens": ["<unk>"]}
        if kind == "unigram":
            special["unk_token"] = "<unk>"  # type: ignore[assignment]
        backend.train_from_iterator(CORPUS, trainer(vocab_size=120, show_progress=False, **special))
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<unk>")
    other = RewardModel(text_prm.trunk, tokenizer, text_prm.head, "text")
    [row] = other.encode([plain()])
    full = "Compute 12 + 34.\n\n" + TEXT
    spans = tokenizer(full, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    for end, at in zip(plain().ends, row.ends, strict=True):
        start_char, end_char = spans[at]
        last = len(full) - len(TEXT) + end
        assert start_char < last <= end_char
    assert row.ends == sorted(set(row.ends))
    assert spans[row.prompt_end][0] < len(full) - len(TEXT)
    assert spans[row.prompt_end + 1][1] > len(full) - len(TEXT)


def test_step_ends_out_of_order_are_refused(prm: RewardModel) -> None:
    for ends in ((5, 5), (9, 3), (0,), (10_000,)):
        with pytest.raises(ValueError, match="step ends"):
            prm.encode([StepsRow("q", marked().text, ends)])


def test_scores_are_probabilities_whatever_the_batch(prm: RewardModel) -> None:
    perturbed(prm)
    row = marked()
    rows = [
        row,
        StepsRow("Why?", row.text, row.ends[:1]),
        StepsRow("A longer question 12345?", row.text, row.ends),
    ]
    together = prm.score_steps(rows)
    assert [len(scores) for scores in together] == [2, 1, 2]
    assert all(0 <= s <= 1 for scores in together for s in scores)
    for alone, scores in zip((prm.score_steps([r])[0] for r in rows), together, strict=True):
        assert scores == pytest.approx(alone, abs=1e-4)


def test_a_score_depends_on_its_prefix_alone(prm: RewardModel) -> None:
    perturbed(prm)
    whole, first = prm.score_steps(
        [marked(), StepsRow(marked().question, marked().text[: marked().ends[0]], marked().ends[:1])]
    )
    assert whole[0] == pytest.approx(first[0], abs=1e-4)


def test_steps_beyond_the_context_are_nan(text_prm: RewardModel) -> None:
    [scores] = text_prm.score_steps([StepsRow("q", "ab " * 30, (3, 20, 60, 89))])
    assert [math.isnan(s) for s in scores] == [False, False, True, True]
    assert text_prm.score_steps([StepsRow("q", "x" * 90, (90,))])[0][0] != 0


def test_no_rows_and_no_steps(prm: RewardModel) -> None:
    assert prm.score_steps([]) == []
    assert prm.score_steps([StepsRow("q", marked().text, ())]) == [[]]


def test_features_by_hand() -> None:
    """Two steps of two tokens after a prompt of one token."""
    head = RewardHead(hidden_size=3)
    with torch.no_grad():
        head.features.weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 1e3, 1e4]]))
        head.features.bias.zero_()
    scores = torch.tensor([[0.0, -1.0, -3.0, -0.5, -0.5]])
    logits = head(torch.zeros(1, 5, 3), scores, torch.tensor([0]), torch.tensor([[2, 4]]))
    first = -4 + 10 * -2 + 100 * -3 + 1e3 * -4 + 1e4 * -3
    second = -1 + 10 * -0.5 + 100 * -0.5 + 1e3 * -4 + 1e4 * -3
    assert logits[0].tolist() == pytest.approx([first, second])


def test_the_hidden_state_is_read_where_asked(llama_folder: Path, tmp_path: Path) -> None:
    model = RewardModel.from_backbone(str(llama_folder), device="cpu", reads_state=True)
    torch.nn.init.zeros_(model.head.features.weight)
    before = model.score_steps([marked()])[0]
    assert model.head.state is not None
    torch.nn.init.normal_(model.head.state.weight)
    after = model.score_steps([marked()])[0]
    assert after != pytest.approx(before, abs=1e-3)
    model.save(tmp_path)
    assert RewardModel.load(tmp_path, device="cpu").score_steps([marked()])[0] == pytest.approx(
        after, abs=1e-6
    )


def test_weighed_tokens_by_hand() -> None:
    """Two steps of one token: token 1 counts double, and half of the entropy is taken off; token 0 as is."""
    head = RewardHead(hidden_size=3, vocabulary=2)
    assert head.tokens is not None
    logits, ids = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]]), torch.tensor([[1, 0]])
    plain = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    torch.testing.assert_close(head.score(logits, ids), plain)
    with torch.no_grad():
        head.tokens.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.5]]))
        head.features.weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]))
        head.features.bias.zero_()
    scores = head.score(logits, ids)
    first, second = plain[0].tolist()
    assert scores[0].tolist() == pytest.approx([2 * first + 0.5 * math.log(2), second])
    read = torch.nn.functional.pad(scores, (1, 0))
    found = head(torch.zeros(1, 3, 3), read, torch.tensor([0]), torch.tensor([[1, 2]]))
    sums = [scores[0, 0].item(), scores.sum().item()]
    assert found[0].tolist() == pytest.approx([math.copysign(math.log1p(abs(x)), x) for x in sums])


def test_whose_surprise_tells_is_learnt() -> None:
    """Every token is surprising now and then; a step is wrong where token 7 is."""
    torch.manual_seed(0)
    ids = torch.randint(0, 10, (200, 13))
    logits = torch.nn.functional.one_hot(ids, 10) * torch.where(torch.rand(200, 13, 1) < 0.2, -4.0, 4.0)
    wrong = ((ids == 7) & (logits.gather(-1, ids[..., None])[..., 0] < 0))[:, 1:].any(-1)
    prompt_end, ends = torch.zeros(200, dtype=torch.long), torch.full((200, 1), 12)

    def loss(vocabulary: int) -> float:
        head = RewardHead(hidden_size=1, vocabulary=vocabulary)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
        for _ in range(150):
            scores = head.score(logits, ids)
            found = head(torch.zeros(200, 13, 1), scores, prompt_end, ends)[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(found, (~wrong).float())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return loss.item()

    assert loss(vocabulary=10) < 0.5 * loss(vocabulary=0)


def test_weighed_tokens_are_kept(llama_folder: Path, tmp_path: Path) -> None:
    model = perturbed(RewardModel.from_backbone(str(llama_folder), device="cpu", weighs_tokens=True))
    model.save(tmp_path)
    before, after = (m.score_steps([marked()])[0] for m in (model, RewardModel.load(tmp_path, device="cpu")))
    assert after == pytest.approx(before, abs=1e-6)
    card = json.loads((tmp_path / "cotmill.json").read_text())
    (tmp_path / "cotmill.json").write_text(json.dumps(card | {"weighs_tokens": "yes"}))
    with pytest.raises(BadInput, match="weighs_tokens"):
        RewardModel.load(tmp_path)
    del card["weighs_tokens"]  # as an older version wrote it: another head
    (tmp_path / "cotmill.json").write_text(json.dumps(card))
    with pytest.raises(BadInput, match="not the weights of this head"):
        RewardModel.load(tmp_path)


def test_loss_is_the_mean_over_labels(prm: RewardModel) -> None:
    encoded = prm.encode([marked(), StepsRow("Why?", marked().text, marked().ends[:1])])
    targets = torch.tensor([[1.0, 0.25], [0.0, -1.0]])
    out = prm(**prm.collate(encoded), targets=targets)
    logits = [out["logits"][0, 0], out["logits"][0, 1], out["logits"][1, 0]]
    each = [
        -(t * torch.nn.functional.logsigmoid(z) + (1 - t) * torch.nn.functional.logsigmoid(-z))
        for z, t in zip(logits, (1.0, 0.25, 0.0), strict=True)
    ]
    assert out["loss"].item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)


def test_saved_and_loaded_scores_are_equal(prm: RewardModel, tmp_path: Path) -> None:
    perturbed(prm).save(tmp_path)
    again = RewardModel.load(tmp_path, device="cpu")
    assert again.input == "markup"
    assert again.score_steps([marked()])[0] == pytest.approx(prm.score_steps([marked()])[0], abs=1e-6)


def test_a_saved_folder_is_a_causal_lm_and_a_policy(prm: RewardModel, tmp_path: Path) -> None:
    prm.save(tmp_path, torch.float16)
    trunk = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert trunk.dtype == torch.float16
    assert LocalPolicy.load(str(tmp_path), device="cpu").writes_tags
    assert json.loads((tmp_path / "cotmill.json").read_text()) == {
        "kind": "prm",
        "input": "markup",
        "reads_state": False,
        "weighs_tokens": False,
    }


def test_folders_that_hold_no_reward_model(prm: RewardModel, llama_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a process reward model of cotmill"):
        RewardModel.load(llama_folder)
    prm.save(tmp_path)
    (tmp_path / "reward_head.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="reward_head"):
        RewardModel.load(tmp_path)
    (tmp_path / "cotmill.json").write_text('{"kind": "orm"}')
    with pytest.raises(BadInput, match="kind"):
        RewardModel.load(tmp_path)
    (tmp_path / "cotmill.json").write_text("{")
    with pytest.raises(BadInput, match="not JSON"):
        RewardModel.load(tmp_path)


def test_within_keeps_whole_steps() -> None:
    row = EncodedSteps(list(range(10)), 2, [4, 7, 9])
    assert row.within(8) == EncodedSteps(list(range(8)), 2, [4, 7])
