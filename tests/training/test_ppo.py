"""PPO as a whole: a bandit that it wins, interruptions that leave no trace, folders that are policies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from cotmill.models.network import RewardModel
from cotmill.models.policy import SampleRequest
from cotmill.models.policy_value import PolicyValuePolicy, open_local
from cotmill.pipelines.training_commands import train
from cotmill.schemas import BadInput, SearchState, Trace
from cotmill.schemas.tables import search_row, table
from cotmill.training.ppo import train_ppo
from cotmill.training.ppo_metrics import read_metrics
from cotmill.training.ppo_settings import PPOSettings
from cotmill.training.ppo_trainer import PPO
from cotmill.training.progress import Progress
from cotmill.training.sft import SFTSettings, train_sft
from safetensors.torch import load_file

QUIET = Progress(quiet=True)
QUESTION = "Pick a digit."
ARMS = range(5)
TINY: dict[str, Any] = {
    "device": "cpu", "iterations": 4, "problems": 4, "samples": 4, "minibatches": 2, "max_tokens": 40,
    "value_warmup": 0, "warmup_steps": 0, "lr": 3e-3, "head_lr": 1e-2,
}  # fmt: skip


def answering(trace: Trace, digit: int, reference: str) -> Trace:
    """A trace of one line that picks a digit."""
    text = f"The answer is {digit}."
    last = trace.steps[-1].model_copy(update={"start": 0, "end": len(text)})
    act = trace.acts[-1].model_copy(update={"start": 0, "end": len(text)})
    changed = {"question": QUESTION, "text": text, "steps": (last,), "acts": (act,), "answer": str(digit)}
    return trace.model_copy(update=changed | {"seed_id": f"arm {digit}", "reference": reference})


@pytest.fixture(scope="module")
def bandit(
    make_run: Callable[[Path, list[Trace]], Path],
    make_trace: Callable[[int], Trace],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """A problem whose answer is 3, and a policy that picks any of five digits."""
    place = tmp_path_factory.mktemp("bandit")
    all_arms = [answering(make_trace(0), d, str(d)) for d in ARMS]
    uniform = make_run(place / "uniform", all_arms * 30)
    settings = SFTSettings(width=32, layers=1, context=128, epochs=20, device="cpu", tokens_per_batch=512)
    train_sft(uniform, place / "policy", settings, progress=QUIET)
    return make_run(place / "threes", [answering(make_trace(0), 3, "3")] * 2), place / "policy"


def picks(folder: Path, n: int = 200) -> float:
    """The share of threes among a policy's samples."""
    policy = open_local(str(folder), "cpu")
    [samples] = policy.sample([SampleRequest(policy.prompt(QUESTION), "k", n=n, max_tokens=40)])
    return sum("is 3." in s.text for s in samples) / n


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors") | load_file(folder / "policy_value_head.safetensors")


def test_it_learns_to_pull_the_arm_that_pays(bandit: tuple[Path, Path], tmp_path: Path) -> None:
    data, policy = bandit
    assert picks(policy) < 0.5
    given = TINY | {"iterations": 12, "samples": 8, "kl_coef": 0.01}
    result = train_ppo(data, tmp_path / "ppo", PPOSettings(init=str(policy), **given), progress=QUIET)
    assert picks(tmp_path / "ppo") > 0.85
    metrics = read_metrics(tmp_path / "ppo")
    assert [m["iteration"] for m in metrics] == list(range(1, 13))
    assert metrics[-1]["reward"] > metrics[0]["reward"] + 0.5
    assert metrics[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert metrics[-1]["kl"] > 0.01
    assert (result.rows, result.steps) == (1, 12 * 2 * 2)
    assert result.tokens == sum(m["tokens"] for m in metrics)


def test_what_it_writes_is_a_policy_with_heads(bandit: tuple[Path, Path], tmp_path: Path) -> None:
    """V foresees how often the policy wins, and P the act that it takes."""
    data, policy = bandit
    given = TINY | {"iterations": 8, "samples": 16, "epochs": 4, "lr": 1e-6, "head_lr": 3e-3}
    train_ppo(data, tmp_path / "ppo", PPOSettings(init=str(policy), **given), progress=QUIET)
    opened = open_local(str(tmp_path / "ppo"), "cpu")
    assert isinstance(opened, PolicyValuePolicy)
    said = "<Think_Start><ACT_Answer_Start>The answer is 3.<ACT_Answer_End>"
    root, after = opened.opinions([(QUESTION, "<Think_Start>"), (QUESTION, said)])
    won = sum(m["outcome"] for m in read_metrics(tmp_path / "ppo")) / 8
    assert root.value == pytest.approx(won, abs=0.25)
    assert [max(o.priors, key=o.priors.__getitem__) for o in (root, after)] == ["Answer", "Think_End"]
    assert json.loads((tmp_path / "ppo" / "training.json").read_text())["objective"] == "ppo"


class Killed(Exception):
    pass


def test_an_interrupted_run_ends_with_the_same_weights(
    bandit: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, policy = bandit
    settings = PPOSettings(init=str(policy), checkpoint_every=2, kl_target=0.01, **TINY)
    train_ppo(data, tmp_path / "whole", settings, progress=QUIET)
    whole_iteration = PPO.iterate

    def dies(self: PPO) -> dict[str, float]:
        if self.iteration == 3:
            raise Killed
        return whole_iteration(self)

    with monkeypatch.context() as patched:
        patched.setattr(PPO, "iterate", dies)
        with pytest.raises(Killed):
            train_ppo(data, tmp_path / "cut", settings, progress=QUIET)
    assert len(read_metrics(tmp_path / "cut")) == 3
    train_ppo(data, tmp_path / "cut", settings, progress=QUIET)
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    timeless = [
        [{k: v for k, v in m.items() if k != "tokens_per_s"} for m in read_metrics(tmp_path / run)]
        for run in ("whole", "cut")
    ]
    assert timeless[0] == timeless[1]
    assert not (tmp_path / "cut" / "checkpoints").exists()


def test_a_finished_run_is_not_trained_again(bandit: tuple[Path, Path], tmp_path: Path) -> None:
    data, policy = bandit
    settings = PPOSettings(init=str(policy), **TINY | {"iterations": 1})
    first = train_ppo(data, tmp_path / "ppo", settings, progress=QUIET)
    assert train_ppo(data, tmp_path / "ppo", settings, progress=QUIET) == first
    with pytest.raises(BadInput, match="clip"):
        train_ppo(data, tmp_path / "ppo", settings.model_copy(update={"clip": 0.1}), progress=QUIET)


def test_segments_by_best_of_n_under_a_reward_model(
    run_folder: Path, policy_folder: Path, tmp_path: Path
) -> None:
    """The folder names the reward model, and holds no path of it."""
    RewardModel.from_backbone(str(policy_folder), device="cpu").save(tmp_path / "judge")
    given = TINY | {"iterations": 2, "prm": str(tmp_path / "judge"), "best_of": 3, "max_tokens": 60}
    train_ppo(run_folder, tmp_path / "ppo", PPOSettings(init=str(policy_folder), **given), progress=QUIET)
    metrics = read_metrics(tmp_path / "ppo")
    assert all(m["process"] != 0 for m in metrics)
    assert any(m["clipped"] > 0 or m["moved"] > 0 for m in metrics)
    record = json.loads((tmp_path / "ppo" / "training.json").read_text())
    assert record["settings"]["prm"] == "judge"
    assert len(record["prm"]) == 32
    assert str(tmp_path) not in (tmp_path / "ppo" / "README.md").read_text()


def test_rollouts_may_begin_at_searched_states(
    run_folder: Path, policy_folder: Path, make_trace: Callable[[int], Trace], tmp_path: Path
) -> None:
    data = tmp_path / "searched"
    data.mkdir()
    for name in ("traces", "manifest.json"):
        (data / name).symlink_to(run_folder / name)
    begun = "<Think_Start><ACT_Calculate_Start>10 + 20 = 30.<ACT_Calculate_End>"
    state = SearchState(
        trace_id="t", seed_id="s", question=make_trace(0).question, prefix=begun, action_kind="act",
        actions=("Answer",), prior=(1.0,), visits=(1,), pi=(1.0,), q=(0.0,), chosen="Answer", value=1,
        depth=1,
    )  # fmt: skip
    (data / "search").mkdir()
    pq.write_table(table("search", [search_row(state)]), data / "search" / "train-00000.parquet")
    given = TINY | {"iterations": 1, "from_search": 1.0}
    train_ppo(data, tmp_path / "ppo", PPOSettings(init=str(policy_folder), **given), progress=QUIET)
    with pytest.raises(BadInput, match="no shards of 'search'"):
        train_ppo(run_folder, tmp_path / "x", PPOSettings(init=str(policy_folder), **given), progress=QUIET)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ("clip=0", "clip"),
        ("best_of=none", "best_of"),
        ("process=sum", "process"),
        ("epsilon=0.2", "epsilon"),
        ("problems=1", "problems"),
        ("prm=no/such/model", "no/such/model"),
    ],
)
def test_a_mistake_in_a_setting_is_named(
    wrong: str, field: str, run_folder: Path, policy_folder: Path, tmp_path: Path
) -> None:
    few = ("samples=2", "minibatches=4", wrong)
    with pytest.raises(BadInput) as caught:
        train("ppo", run_folder, tmp_path / "x", init=str(policy_folder), device="cpu", overrides=few)
    assert field in str(caught.value)


def test_bad_calls(run_folder: Path, policy_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--init"):
        train_ppo(run_folder, tmp_path / "x", PPOSettings(), progress=QUIET)
    with pytest.raises(BadInput, match="no such folder"):
        train_ppo(tmp_path / "none", tmp_path / "x", PPOSettings(init=str(policy_folder)), progress=QUIET)


def test_curves_are_drawn_beside_the_metrics(bandit: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="curves are drawn by matplotlib, of the extra [notebooks]")
    data, policy = bandit
    given = [f"{k}={v}" for k, v in TINY.items() if k != "device"] + ["iterations=2"]
    train("ppo", data, tmp_path / "ppo", init=str(policy), device="cpu", overrides=given)
    assert (tmp_path / "ppo" / "curves.png").stat().st_size > 10_000
