"""PPO on two processes, joined by gloo, as `torchrun` starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cotmill.training.ppo import train_ppo
from cotmill.training.ppo_metrics import read_metrics
from cotmill.training.ppo_settings import PPOSettings
from cotmill.training.progress import Progress

FEW: dict[str, Any] = {
    "iterations": 2, "problems": 4, "samples": 2, "minibatches": 2, "max_tokens": 30, "value_warmup": 0
}  # fmt: skip


def test_two_processes_draw_what_one_would(run_folder: Path, policy_folder: Path, tmp_path: Path) -> None:
    """Each writes its share of the rollouts; what the first reports is of all of them."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "-m", "cotmill.pipelines.cli", "train", "ppo", "--data", str(run_folder), "--out",
        str(tmp_path / "two"), "--init", str(policy_folder), "--device", "cpu",
        *(x for k, v in FEW.items() for x in ("--set", f"{k}={v}")),
    ]  # fmt: skip
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "two" / "training.json").read_text())["result"]
    settings = PPOSettings(init=str(policy_folder), device="cpu", **FEW)
    one = train_ppo(run_folder, tmp_path / "one", settings, progress=Progress(quiet=True))
    assert found["steps"] == one.steps == 2 * 2 * 2
    (a, b), (c, _) = read_metrics(tmp_path / "two"), read_metrics(tmp_path / "one")
    for name in ("reward", "right", "length", "tokens", "entropy", "value_loss"):
        assert a[name] == pytest.approx(c[name], rel=0.05), name
    assert a["tokens"] + b["tokens"] == found["tokens"]
    assert not (tmp_path / "two" / "checkpoints").exists()
