"""PPO with process rewards (arXiv 1707.06347, 2312.08935): the policy learns from its own rollouts.

An iteration samples rollouts with the engine, rewards steps by a PRM and ends by the verifier, and improves
the policy on them.
"""

from collections import Counter
from pathlib import Path

import torch
from accelerate import Accelerator

from ..models.folder import content_hash_of, local_folder, model_name, pick_device
from ..models.network import OutcomeModel, RewardModel
from ..models.policy_value import PolicyValueModel
from ..schemas import BadInput, Inventory
from ..schemas.markup import END
from ..verifiers.math import MathVerifier
from .checkpoint import TrainResult, identity, open_folder, write_card, write_record, writes
from .ppo_problems import Problems, read_problems
from .ppo_rewards import Judges
from .ppo_settings import PPOSettings
from .ppo_trainer import PPO
from .progress import Progress
from .rollouts import start_body


def train_ppo(
    data: Path,
    out: Path,
    settings: PPOSettings,
    *,
    inventory: Inventory | None = None,
    progress: Progress | None = None,
    fresh: bool = False,
) -> TrainResult:
    """Improve a policy on the problems of a run's folder and write it, with its heads, to `out`.

    Starts from `settings.init`: a policy, any causal LM, or a policy/value network. Goes on after its last
    checkpoint. On CPU two runs with the same settings, threads and processes end with the same weights,
    interrupted or not, unless `max_minutes` cut them short. Raises BadInput where there is no `init`, `data`
    is no run's folder or holds no problem, or `out` holds something else.
    """
    progress, inventory = progress or Progress(), inventory or Inventory.load()
    if settings.init is None:
        raise BadInput("PPO improves a policy: give --init", field="init")
    judges = {name: m for name in ("prm", "orm") if (m := getattr(settings, name)) is not None}
    named = settings.model_copy(update={name: model_name(m) for name, m in judges.items()})
    hashes = {name: content_hash_of(local_folder(m)) for name, m in judges.items()}
    whose = identity("ppo", data, named) | hashes
    if (finished := open_folder(out, whose, fresh=fresh)) is not None:
        progress.note(f"{out} is finished already")
        return finished
    torch.manual_seed(settings.seed)
    cuda = pick_device(settings.device).type == "cuda"
    accelerator = Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else "no")
    if settings.problems * settings.samples < settings.minibatches * accelerator.num_processes:
        raise BadInput(
            f"{settings.problems} x {settings.samples} rollouts are too few for {settings.minibatches} "
            f"minibatches of {accelerator.num_processes} processes",
            field="problems",
        )
    device = str(accelerator.device) if cuda else "cpu"
    actions = (*inventory.names, END)
    network = PolicyValueModel.open(settings.init, actions, device, torch.float32).eval()
    dtype, left_out = network.stored_dtype, Counter[str]()
    problems = read_problems(data, network, settings, left_out)
    progress.note(f"{len(problems):,} problems")
    with MathVerifier() as verifier:
        said = Judges(
            settings,
            network,
            verifier,
            None if settings.prm is None else RewardModel.load(settings.prm, device),
            None if settings.orm is None else OutcomeModel.load(settings.orm, device),
        )
        plan = Problems(problems, settings, start_body(network))
        trainer = PPO(network, said, plan, settings, accelerator, out)
        trainer.train(progress)
    losses = [m["policy_loss"] + settings.value_weight * m["value_loss"] for m in trainer.metrics]
    last = losses[-max(1, len(losses) // 10) :]
    result = TrainResult(
        out, len(problems), dict(left_out), trainer.steps, trainer.tokens, sum(last) / len(last)
    )
    network.trunk.config.use_cache = True
    if writes():
        network.save(out, dtype)
    notes = [
        "A policy improved by PPO on its own rollouts, with its heads: P, the probability of each thinking",
        f"factor, and V, the value of a state. It reads {network.input}; rows are problems, tokens its own.",
    ]
    write_card(out, named, whose, result, notes)
    write_record(out, whose, result)
    return result
