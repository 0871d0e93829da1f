import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import SampleRequest
from cotmill.models.prompts import reverse_question
from cotmill.schemas import BadInput, Domain, Generator
from cotmill.training.progress import Progress
from cotmill.training.sft import SFTSettings, collate, encode, train_sft
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

QUIET = Progress(quiet=True)
SMALL = SFTSettings(width=32, layers=1, context=128, device="cpu", tokens_per_batch=512, epochs=2)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def test_the_checkpoint_is_a_policy_that_writes_what_it_read(policy_folder: Path) -> None:
    policy = LocalPolicy.load(str(policy_folder), device="cpu")
    assert policy.writes_tags
    [[sample]] = policy.sample(
        [SampleRequest(policy.prompt("Compute 12 + 22."), "k", max_tokens=80, temperature=0)]
    )
    assert sample.finish == "stop"
    assert sample.text.startswith("<ACT_Calculate_Start>")
    assert sample.text.endswith("<ACT_Answer_End><Think_End>")


def test_the_folder_opens_in_transformers_in_float16(policy_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(policy_folder)
    assert model.dtype == torch.float16
    assert model.config.use_cache
    assert AutoTokenizer.from_pretrained(policy_folder).eos_token == "<eos>"


def test_card_and_record(policy_folder: Path, run_folder: Path) -> None:
    card = (policy_folder / "README.md").read_text()
    record = json.loads((policy_folder / "training.json").read_text())
    assert record["data"]["manifest"] in card
    assert "cotmill train sft --data sums --out policy" in card
    assert record["result"]["rows"] == 40
    assert record["result"]["left_out"] == {"of another outcome": 20}
    assert str(run_folder.parent) not in card + json.dumps(record)
    assert not (policy_folder / "checkpoints").exists()


def test_loss_falls_on_the_chain_of_thought_alone(policy_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(policy_folder)
    row = {
        "question": "Compute <1>.",
        "markup": "<Think_Start><ACT_Answer_Start>1<ACT_Answer_End><Think_End>",
    }
    [example] = encode([row], tokenizer, 128, Counter())
    batch = collate([example, example], pad=0)
    labels = batch["labels"][0]
    text = tokenizer.decode(batch["input_ids"][0][labels != -100])
    assert text == row["markup"] + "<eos>"
    assert tokenizer.decode(batch["input_ids"][0][labels == -100]) == "<bos>Compute <1>.\n"


def test_too_long_a_trace_is_left_out_whole_and_counted(policy_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(policy_folder)
    row = {"question": "q", "markup": "<Think_Start><ACT_Answer_Start>1<ACT_Answer_End><Think_End>"}
    left_out: Counter[str] = Counter()
    assert len(list(encode([row], tokenizer, 9, left_out))) == 1
    assert list(encode([row], tokenizer, 8, left_out)) == []
    assert left_out == {"longer than the context": 1}


def test_filters(run_folder: Path, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"epochs": 0.1})
    any_outcome = SFTSettings.model_validate(settings.model_dump() | {"outcomes": "", "generators": "family"})
    result = train_sft(run_folder, tmp_path / "a", any_outcome, progress=QUIET)
    assert (result.rows, result.left_out) == (30, {"of another generator": 30})
    code = SFTSettings.model_validate(settings.model_dump() | {"domains": ["code"]})
    with pytest.raises(BadInput, match="no trace passes the filters"):
        train_sft(run_folder, tmp_path / "b", code, progress=QUIET)


def test_two_runs_end_with_the_same_weights(run_folder: Path, tmp_path: Path) -> None:
    first, second = (train_sft(run_folder, tmp_path / name, SMALL, progress=QUIET) for name in "ab")
    assert first.loss == second.loss
    a, b = weights(first.folder), weights(second.folder)
    assert all(torch.equal(a[name], b[name]) for name in a)


class Killed(Exception):
    pass


def test_an_interrupted_run_ends_with_the_same_weights(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cotmill.training.loop import PlannedTrainer

    settings = SMALL.model_copy(update={"checkpoint_every": 3})
    whole = train_sft(run_folder, tmp_path / "whole", settings, progress=QUIET)
    step = PlannedTrainer.training_step

    def dying(self: PlannedTrainer, *args: object, **kwargs: object) -> torch.Tensor:
        if self.state.global_step == 5:
            raise Killed
        return step(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(PlannedTrainer, "training_step", dying)
    with pytest.raises(Killed):
        train_sft(run_folder, tmp_path / "cut", settings, progress=QUIET)
    assert (tmp_path / "cut" / "checkpoints" / "checkpoint-3").is_dir()
    monkeypatch.undo()
    resumed = train_sft(run_folder, tmp_path / "cut", settings, progress=QUIET)
    assert resumed.steps == whole.steps
    a, b = weights(whole.folder), weights(resumed.folder)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_finished_run_is_not_trained_again(policy_folder: Path, run_folder: Path) -> None:
    before = weights(policy_folder)
    settings = SFTSettings(width=32, layers=2, context=128, epochs=12, device="cpu", tokens_per_batch=512)
    result = train_sft(run_folder, policy_folder, settings, progress=QUIET)
    assert result.rows == 40
    assert all(torch.equal(before[name], w) for name, w in weights(policy_folder).items())


def test_other_settings_in_the_same_folder_are_refused(policy_folder: Path, run_folder: Path) -> None:
    with pytest.raises(BadInput, match=r"settings\.seed \(0 there, 5 now\)"):
        train_sft(
            run_folder,
            policy_folder,
            SFTSettings(width=32, layers=2, context=128, epochs=12, tokens_per_batch=512, seed=5),
            progress=QUIET,
        )


def test_a_foreign_folder_is_not_written_to(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("work of years")
    with pytest.raises(BadInput, match="choose another folder"):
        train_sft(run_folder, tmp_path, SMALL, progress=QUIET, fresh=True)
    assert (tmp_path / "thesis.tex").exists()


def test_no_run_no_training(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        train_sft(tmp_path / "nothing", tmp_path / "out", SMALL, progress=QUIET)
    assert not (tmp_path / "out").exists()


def test_going_on_from_a_policy(policy_folder: Path, run_folder: Path, tmp_path: Path) -> None:
    settings = SFTSettings(init=str(policy_folder), max_steps=2, warmup_steps=0, lr=1e-3, device="cpu")
    result = train_sft(run_folder, tmp_path / "more", settings, progress=QUIET)
    assert result.steps == 2
    old, new = weights(policy_folder), weights(result.folder)
    assert old.keys() == new.keys()
    assert any(not torch.equal(old[name], new[name]) for name in old)
    assert all(w.dtype == torch.float16 for w in new.values())
    assert "started | from `policy`" in (result.folder / "README.md").read_text()


def test_a_model_without_tags_learns_them(run_folder: Path, tmp_path: Path, policy_folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(
        models.BPE({p: i for i, p in enumerate(["<e>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}, [])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    config = GPT2Config(vocab_size=257, n_positions=256, n_embd=16, n_layer=1, n_head=2, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<e>").save_pretrained(tmp_path / "gpt2")
    assert not LocalPolicy.load(str(tmp_path / "gpt2"), device="cpu").writes_tags
    settings = SFTSettings(init=str(tmp_path / "gpt2"), max_steps=2, warmup_steps=0, device="cpu")
    result = train_sft(run_folder, tmp_path / "tagged", settings, progress=QUIET)
    policy = LocalPolicy.load(str(result.folder), device="cpu")
    assert policy.writes_tags
    assert policy.tokenizer.tokenize("<ACT_Check_End>") == ["<ACT_Check_End>"]


def test_settings_say_what_is_wrong() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        SFTSettings.model_validate({"learning_rate": 1})
    with pytest.raises(ValidationError, match="'correct', 'wrong' or 'undecided'"):
        SFTSettings.model_validate({"outcomes": "right"})
    with pytest.raises(ValidationError, match="warmup_steps"):
        SFTSettings(max_steps=3, warmup_steps=9)
    assert SFTSettings.model_validate({"epochs": "0.5", "max_steps": "40"}).epochs == 0.5


def test_the_reverse_task_asks_for_the_thoughts_behind_a_program(tmp_path, make_trace, make_run):
    programs = [
        make_trace(i).model_copy(
            update={
                "generator": Generator.CODE_REVERSE,
                "domain": Domain.CODE,
                "answer": f"def f():\n    return {i}",
            }
        )
        for i in range(0, 30, 3)
    ]
    folder = make_run(tmp_path / "run", [*programs, *(make_trace(i) for i in range(30, 36))])
    settings = SMALL.model_copy(update={"task": "reverse", "context": 512, "epochs": 1})
    result = train_sft(folder, tmp_path / "policy", settings, progress=QUIET)
    assert result.rows == len(programs)
    assert result.left_out == {"of another outcome": 2, "no reversed program or proof": 4}
    policy = LocalPolicy.load(str(tmp_path / "policy"), device="cpu")
    asked = reverse_question(programs[0].question, str(programs[0].answer))
    assert "def f():" in asked
    assert policy.prompt(asked).startswith(asked)


def test_the_summary_task_goes_from_thoughts_to_their_summary(tmp_path, make_trace, make_run):
    traces = [make_trace(i).model_copy(update={"summary": "Sums it." if i else None}) for i in range(6)]
    run = make_run(tmp_path / "run", traces)
    settings = SMALL.model_copy(update={"task": "summary", "context": 512, "epochs": 1})
    result = train_sft(run, tmp_path / "policy", settings, progress=QUIET)
    assert result.rows == 3
    assert result.left_out == {"of another outcome": 2, "no summary": 1}
