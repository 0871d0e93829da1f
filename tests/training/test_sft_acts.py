"""SFT without thinking factors: the text alone, by a policy that knows no tags."""

from pathlib import Path

import pytest
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import SampleRequest
from cotmill.schemas import BadInput
from cotmill.training.progress import Progress
from cotmill.training.sft import SFTSettings, train_sft

QUIET = Progress(quiet=True)
PLAIN = SFTSettings(
    acts="none", width=32, layers=2, context=128, epochs=12, device="cpu", tokens_per_batch=512
)


def test_a_policy_learns_the_text_alone(run_folder: Path, tmp_path: Path) -> None:
    tagged = train_sft(
        run_folder, tmp_path / "tagged", PLAIN.model_copy(update={"acts": "tags"}), progress=QUIET
    )
    plain = train_sft(run_folder, tmp_path / "plain", PLAIN, progress=QUIET)
    assert plain.rows == tagged.rows
    assert plain.tokens < tagged.tokens
    policy = LocalPolicy.load(str(plain.folder), device="cpu")
    assert not policy.writes_tags
    [[sample]] = policy.sample([SampleRequest(policy.prompt("Compute 12 + 22."), "key", temperature=0)])
    assert sample.finish == "stop"
    assert "<" not in sample.text
    assert "=" in sample.text


def test_it_goes_on_from_a_policy_without_tags_only(
    run_folder: Path, policy_folder: Path, tmp_path: Path
) -> None:
    plain = train_sft(run_folder, tmp_path / "plain", PLAIN, progress=QUIET)
    more = PLAIN.model_copy(update={"init": str(plain.folder), "epochs": 1})
    again = train_sft(run_folder, tmp_path / "more", more, progress=QUIET)
    assert not LocalPolicy.load(str(again.folder), device="cpu").writes_tags
    with pytest.raises(BadInput, match="writes act tags"):
        train_sft(
            run_folder,
            tmp_path / "no",
            PLAIN.model_copy(update={"init": str(policy_folder)}),
            progress=QUIET,
        )
