"""FSDP: shares of weights become whole again, and the example configuration is accelerate's own."""

import subprocess
import sys
from pathlib import Path

from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from transformers import AutoModelForCausalLM


def test_the_first_process_gets_back_what_was_shared_out(tmp_path: Path) -> None:
    program = str(Path(__file__).with_name("sharded.py"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", program]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_the_example_is_accelerates_own() -> None:
    config = load_config_from_file(str(Path(__file__).parents[2] / "docs" / "examples" / "fsdp.yaml"))
    assert config.distributed_type == DistributedType.FSDP
    assert config.fsdp_config["fsdp_version"] == 2
