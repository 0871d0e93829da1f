"""Training on packed rows: the same losses as on padded ones, and no text is lost."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from cotmill.models.headed import StepsRow
from cotmill.models.network import RewardModel
from cotmill.models.policy_value import PolicyValueModel
from cotmill.schemas import BadInput
from cotmill.training import policy_value, prm, sft
from cotmill.training.batches import TokenBatches
from cotmill.training.loop import PlannedTrainer
from cotmill.training.progress import Progress
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

QUIET = Progress(quiet=True)
CLOSED = "<Think_Start><ACT_Answer_Start>{}<ACT_Answer_End><Think_End>"


@given(st.lists(st.integers(1, 90), min_size=1, max_size=80), st.integers(1, 3))
def test_every_epoch_takes_every_row_once_and_fits_the_shape(lengths: list[int], epochs: int) -> None:
    batches = list(TokenBatches(lengths, 400, "k", epochs=epochs, pack=100))
    taken = Counter(i for batch in batches for i in batch)
    assert taken == dict.fromkeys(range(len(lengths)), epochs)
    assert all(sum(lengths[i] for i in batch) <= 400 for batch in batches)


def test_packed_batches_are_full() -> None:
    lengths = [5 + i * 7 % 90 for i in range(1000)]
    batches = list(TokenBatches(lengths, 1000, "k", pack=250))
    assert sum(lengths) / (1000 * len(batches)) > 0.95


def test_losses_of_a_causal_lm(policy_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(policy_folder, dtype=torch.float32)
    model.config.use_cache = False
    tokenizer = AutoTokenizer.from_pretrained(policy_folder)
    rows = [{"question": f"Compute {i}.", "markup": CLOSED.format(i**i)} for i in range(5)]
    examples = list(sft.encode(rows, tokenizer, 128, Counter()))
    padded, packed = (model(**sft.collate(examples, 0, shape)).loss for shape in (None, (4, 40)))
    assert packed.item() == pytest.approx(padded.item(), rel=1e-4)


def test_losses_of_steps(policy_folder: Path) -> None:
    model = RewardModel.from_backbone(str(policy_folder), "cpu", reads_state=True, weighs_tokens=True)
    for learnt in (model.head.state, model.head.tokens):
        torch.nn.init.normal_(learnt.weight)
    rows = [
        prm.LabelledRow(StepsRow(f"q{i}", "<Think_Start>" + "abcdef"[: i + 2], (14, 15 + i)), (1.0, 0.25))
        for i in range(4)
    ]
    examples = prm.encode(rows, model, Counter())
    loss = prm.StepLoss(model)
    padded, packed = (loss(**prm.collate(examples, model, shape)) for shape in (None, (3, 40)))
    assert torch.allclose(packed["logits"], padded["logits"], atol=1e-4)
    assert packed["loss"].item() == pytest.approx(padded["loss"].item(), rel=1e-4)


def test_losses_of_searched_states(policy_folder: Path) -> None:
    actions = ("Plan", "Answer", "END")
    network = PolicyValueModel.from_backbone(str(policy_folder), actions, device="cpu")
    for last in (network.head.policy, network.head.value[2]):
        torch.nn.init.normal_(last.weight)  # type: ignore[arg-type]
    rows = [
        policy_value.GameRow(
            StepsRow(f"q{i}", CLOSED.format(i), (13,)), ({"Plan": 0.7, "END": 0.3},), 1.0, whole=True
        )
        for i in (5, 77, 123)
    ]
    examples = policy_value.encode(rows, network, Counter())
    loss = policy_value.JointLoss(network, policy_value.PolicyValueSettings())
    padded, packed = (loss(**policy_value.collate(examples, network, shape)) for shape in (None, (2, 48)))
    for part in ("policy", "value", "lm", "loss"):
        assert packed[part].item() == pytest.approx(padded[part].item(), rel=1e-4), part


SMALL: dict[str, Any] = {
    "width": 32, "layers": 1, "context": 128, "tokens_per_batch": 512, "max_steps": 30, "warmup_steps": 2,
}  # fmt: skip


def test_a_packed_training_learns_and_repeats(run_folder: Path, tmp_path: Path) -> None:
    settings = sft.SFTSettings(**SMALL, pack=128)
    first, again = (sft.train_sft(run_folder, tmp_path / n, settings, progress=QUIET) for n in "ab")
    padded = sft.train_sft(run_folder, tmp_path / "c", sft.SFTSettings(**SMALL), progress=QUIET)
    assert first.loss == again.loss
    assert first.rows == padded.rows
    assert first.loss < padded.loss + 0.5


def test_an_interrupted_packed_training_ends_with_the_same_loss(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = sft.SFTSettings(**SMALL, pack=128, checkpoint_every=3)
    whole = sft.train_sft(run_folder, tmp_path / "whole", settings, progress=QUIET)
    step = PlannedTrainer.training_step

    def dying(self: PlannedTrainer, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.state.global_step == 5:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(PlannedTrainer, "training_step", dying)
        with pytest.raises(KeyboardInterrupt):
            sft.train_sft(run_folder, tmp_path / "cut", settings, progress=QUIET)
    assert sft.train_sft(run_folder, tmp_path / "cut", settings, progress=QUIET).loss == whole.loss


def test_a_reward_model_trains_packed(run_folder: Path, policy_folder: Path, tmp_path: Path) -> None:
    settings = prm.PRMSettings(
        init=str(policy_folder), max_steps=4, warmup_steps=1, tokens_per_batch=512, pack=256
    )
    assert prm.train_prm(run_folder, tmp_path / "prm", settings, progress=QUIET).rows == 120


def test_too_short_a_row_is_refused(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="16 is less than the longest text's") as e:
        sft.train_sft(run_folder, tmp_path / "x", sft.SFTSettings(**SMALL, pack=16), progress=QUIET)
    assert e.value.field == "pack"


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="exceeds tokens_per_batch"):
        sft.SFTSettings(pack=1024, tokens_per_batch=512)
    with pytest.raises(ValidationError, match="not with pack"):
        prm.PRMSettings(pack=512, ranking="problem")


def test_flash_attention_takes_one_row(run_folder: Path, tmp_path: Path) -> None:
    settings = sft.SFTSettings(**SMALL, pack=128, attention="flash_attention_2")
    with pytest.raises(BadInput, match="into one row"):
        sft.train_sft(run_folder, tmp_path / "x", settings, progress=QUIET)


def test_an_attention_that_is_not_there(run_folder: Path, tmp_path: Path) -> None:
    settings = sft.SFTSettings(**SMALL, attention="mesmerised")
    with pytest.raises(BadInput) as e:
        sft.train_sft(run_folder, tmp_path / "x", settings, progress=QUIET)
    assert e.value.field == "attention"


def test_gradient_checkpointing_ends_with_the_same_loss(run_folder: Path, tmp_path: Path) -> None:
    plain, spared = (
        sft.train_sft(run_folder, tmp_path / str(r), sft.SFTSettings(**SMALL, recompute=r), progress=QUIET)
        for r in (False, True)
    )
    assert spared.loss == pytest.approx(plain.loss, rel=1e-3)


def test_workers_collate_the_same_batches(run_folder: Path, tmp_path: Path) -> None:
    own, others = (
        sft.train_sft(run_folder, tmp_path / str(n), sft.SFTSettings(**SMALL, workers=n), progress=QUIET)
        for n in (0, 1)
    )
    assert own.loss == others.loss
