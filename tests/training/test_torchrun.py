"""Training on two processes, joined by gloo, as `torchrun` starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cotmill.models.local import LocalPolicy
from cotmill.training.reader import ShardReader
from safetensors.torch import load_file

SFT = ("width=32", "layers=1", "context=128", "tokens_per_batch=512", "max_steps=12", "warmup_steps=2")


def train(objective: str, data: Path, out: Path, processes: int, *given: str) -> dict[str, Any]:
    settings = [x for setting in given for x in ("--set", setting)]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
        "-m", "cotmill.pipelines.cli", "train", objective, "--data", str(data), "--out", str(out),
        "--device", "cpu", *settings,
    ]  # fmt: skip
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads((out / "training.json").read_text())
    return record["result"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def policy(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("two") / "policy"
    return out, train("sft", run_folder, out, 2, *SFT)


def test_two_processes_take_twice_the_tokens_of_one(
    policy: tuple[Path, dict[str, Any]], run_folder: Path, tmp_path: Path
) -> None:
    one = train("sft", run_folder, tmp_path / "one", 1, *SFT)
    _, two = policy
    assert one["steps"] == two["steps"] == 12
    assert two["tokens"] > 1.6 * one["tokens"]
    assert two["rows"] == one["rows"]
    assert two["loss"] < one["loss"] + 0.5


def test_the_checkpoint_is_whole_and_written_once(policy: tuple[Path, dict[str, Any]]) -> None:
    out, _ = policy
    assert LocalPolicy.load(str(out), device="cpu").writes_tags
    assert not (out / "checkpoints").exists()
    assert not list(out.glob("*.part"))


def test_two_runs_of_two_processes_end_with_the_same_weights(
    policy: tuple[Path, dict[str, Any]], run_folder: Path, tmp_path: Path
) -> None:
    train("sft", run_folder, tmp_path / "again", 2, *SFT)
    first, again = (load_file(f / "model.safetensors") for f in (policy[0], tmp_path / "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_heads_train_on_two_processes(
    policy: tuple[Path, dict[str, Any]], run_folder: Path, tmp_path: Path
) -> None:
    given = (f"init={policy[0]}", "max_steps=4", "warmup_steps=1", "tokens_per_batch=512")
    found = train("prm", run_folder, tmp_path / "prm", 2, *given)
    assert found["steps"] == 4
    assert (tmp_path / "prm" / "reward_head.safetensors").exists()


@pytest.mark.parametrize("world", [2, 3])
def test_every_row_is_read_by_one_rank(run_folder: Path, world: int) -> None:
    ranks = [ShardReader(run_folder, "traces", ["trace_id"], rank=r, world=world) for r in range(world)]
    read = [row["trace_id"] for reader in ranks for row in reader.rows()]
    assert sorted(read) == sorted(r["trace_id"] for r in ShardReader(run_folder, "traces").rows())
