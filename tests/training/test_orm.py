from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cotmill.models.headed import StepsRow
from cotmill.models.network import OutcomeModel
from cotmill.schemas import BadInput, Trace, markup
from cotmill.training.evaluate_prm import auc
from cotmill.training.orm import ORMSettings, decided_rows, train_orm
from cotmill.training.prm import LabelledRow
from cotmill.training.progress import Progress

QUIET = Progress(quiet=True)


def row(**given: object) -> dict[str, object]:
    return {"question": "q", "text": "a", "markup": "<a", "reward": 1, "generator": "human"} | given


def test_it_learns_which_traces_end_right(
    run_folder: Path, policy_folder: Path, make_trace: Callable[[int], Trace], tmp_path: Path
) -> None:
    eager = ORMSettings(
        init=str(policy_folder), device="cpu", tokens_per_batch=512, epochs=20, lr=3e-3, reads_state=True
    )
    result = train_orm(run_folder, tmp_path / "orm", eager, progress=QUIET)
    assert (result.rows, result.left_out) == (60, {})
    assert result.loss < 0.3  # ln 2 is a coin's
    orm = OutcomeModel.load(tmp_path / "orm", device="cpu")
    traces = [make_trace(i) for i in range(60)]
    scores = orm.score_traces([(t.question, markup.render(t.text, t.acts)) for t in traces])
    right = [s for s, t in zip(scores, traces, strict=True) if t.reward == 1]
    wrong = [s for s, t in zip(scores, traces, strict=True) if t.reward == -1]
    assert auc(right, wrong) > 0.95


def test_a_trace_is_one_step_and_its_reward_the_target() -> None:
    rows = [row(), row(reward=-1, markup="<ab")]
    assert list(decided_rows(rows, "markup", ORMSettings(), Counter())) == [
        LabelledRow(StepsRow("q", "<a", (2,)), (1.0,)),
        LabelledRow(StepsRow("q", "<ab", (3,)), (0.0,)),
    ]
    [plain] = decided_rows(rows[:1], "text", ORMSettings(), Counter())
    assert plain.row.text == "a"


def test_what_cannot_be_used_is_counted() -> None:
    rows = [row(reward=None), row(markup=None), row(text="", markup=None), row(generator="search"), row()]
    left_out: Counter[str] = Counter()
    only = ORMSettings.model_validate({"generators": "human"})
    assert len(list(decided_rows(rows, "markup", only, left_out))) == 1
    assert left_out == {"undecided": 1, "without acts": 1, "empty": 1, "of another generator": 1}


def test_a_trace_beyond_the_context_is_left_out_whole(
    run_folder: Path, policy_folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(policy_folder)
    config.max_position_embeddings = 20
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "short")
    AutoTokenizer.from_pretrained(policy_folder).save_pretrained(tmp_path / "short")
    settings = ORMSettings(init=str(tmp_path / "short"), device="cpu")
    with pytest.raises(BadInput, match="'beyond the context': 60"):
        train_orm(run_folder, tmp_path / "x", settings, progress=QUIET)


def test_a_long_trace_starts_with_a_moderate_logit(policy_folder: Path) -> None:
    """Its log-probabilities sum to hundreds; the loss of a fresh head on it does not."""
    fresh = OutcomeModel.from_backbone(str(policy_folder), device="cpu")
    [score] = fresh.score_traces([("q", "<Think_Start>" + "zx#" * 35)])
    assert 1e-4 < score < 1 - 1e-4


def test_bad_calls(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--init"):
        train_orm(run_folder, tmp_path / "x", ORMSettings(), progress=QUIET)
