"""PPO's clipped objective (arXiv 1707.06347) on tokens, with the loss of V and, beside it, that of P.

Shapes: B rows, T tokens, S states, A acts, D hidden size. What stands at token t belongs to the action that
wrote it; a state is named by its last token, so the action at t was taken in the state t - 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..models.policy_value import PolicyValueModel
from .ppo_rewards import Episode
from .ppo_settings import PPOSettings

Batch = dict[str, Tensor]
INPUTS = ("input_ids", "attention_mask", "prompt_end", "ends")


class PPOLoss(nn.Module):
    """The network, a second critic, and their loss.

    V(s) is drawn to the game's end alone, as a search wants it. What the rewards add to that, of processes
    and of KL, is for the second critic, which is linear in the hidden state and is not kept: advantages are
    linear in rewards and values, so the sum of the two is the baseline of the sum of both.
    """

    def __init__(self, network: PolicyValueModel, settings: PPOSettings) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        width = network.trunk.config.get_text_config().hidden_size
        self.shaping = nn.Linear(width, 1).to(network.device)
        nn.init.zeros_(self.shaping.weight)
        nn.init.zeros_(self.shaping.bias)
        if network.input == "text":  # who writes no acts takes none that P could learn
            network.head.policy.requires_grad_(False)

    def read(self, batch: Batch) -> dict[str, Tensor]:
        """`PolicyValueModel.along`, and "shaping" (B, T): the second critic's value of each state."""
        inputs = {name: batch[name] for name in INPUTS}
        out = self.network.along(
            **inputs,
            temperature=self.settings.temperature,
            entropy_learns=self.settings.entropy_weight > 0,
            heads_share=self.settings.heads_share,
        )
        hidden = out.pop("hidden").to(self.shaping.weight.dtype)
        return out | {"shaping": self.shaping(hidden)[..., 0].float()}

    def forward(self, batch: Batch, totals: Tensor) -> dict[str, Tensor]:
        """The loss of a part of a minibatch, and sums over its tokens to report.

        `totals` (3,): the whole minibatch's actions, actions that V learns from, and acts that P learns, of
        which the loss is a mean. `batch` holds INPUTS, and (B, T) `actions` and `played` (0 or 1), `old`
        log-probabilities, `advantages`, the old values `old_values` and `old_shaping` with their targets
        `returns` and `shaping_returns`; `acts` (B, S), -1 where P has nothing to learn.
        """
        settings, out = self.settings, self.read(batch)
        actions, played, acts = batch["actions"], batch["played"], batch["acts"]
        log_ratio = torch.where(actions > 0, out["scores"] - batch["old"], 0.0)
        policy = clipped(log_ratio, batch["advantages"], settings.clip)
        value = squared(before(out["values"]), batch["old_values"], batch["returns"], settings.value_clip)
        value = value + squared(
            before(out["shaping"]), batch["old_shaping"], batch["shaping_returns"], settings.value_clip
        )
        prior = -out["logits"].log_softmax(-1).gather(-1, acts.clamp(min=0)[..., None])[..., 0]
        sums = {
            "policy": (policy * actions).sum(),
            "value": (value * played).sum(),
            "prior": (prior * (acts >= 0)).sum(),
            "entropy": (out["entropy"] * actions).sum(),
        }
        n_actions, n_played, n_acts = totals.clamp(min=1).unbind()
        loss = (
            (sums["policy"] - settings.entropy_weight * sums["entropy"]) / n_actions
            + settings.value_weight * sums["value"] / n_played
            + settings.prior_weight * sums["prior"] / n_acts
        )
        with torch.no_grad():
            outside = (log_ratio.exp() - 1).abs() > settings.clip
            sums["clipped"] = (outside * actions).sum()
            sums["moved"] = ((log_ratio.exp() - 1 - log_ratio) * actions).sum()
        return {"loss": loss} | {name: total.detach() for name, total in sums.items()}


def clipped(log_ratio: Tensor, advantages: Tensor, epsilon: float) -> Tensor:
    """-min(r A, clip(r, 1 - epsilon, 1 + epsilon) A), r being the ratio of new to old probability."""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - epsilon, 1 + epsilon) * advantages)


def squared(values: Tensor, old: Tensor, targets: Tensor, clip: float | None) -> Tensor:
    """Half the squared error; with `clip` the worse of the value and of it held near `old`."""
    loss = (values - targets).square()
    if clip is not None:
        held = old + (values - old).clamp(-clip, clip)
        loss = torch.maximum(loss, (held - targets).square())
    return loss / 2


def before(states: Tensor) -> Tensor:
    """From what stands at states' last tokens (B, T) to what stands at the actions taken in them."""
    return nn.functional.pad(states[:, :-1], (1, 0))


def batch_of(episodes: Sequence[Episode], pad: int) -> Batch:
    """Episodes as right-padded tensors: INPUTS, `actions`, `played`, `outcome`, `process`, `cuts`, `acts`.

    `goes_on` (B, T): 1 at an action whose next state has a value.
    """
    n, width = len(episodes), max(len(e.ids) for e in episodes)
    states = max(1, *(len(e.acts) for e in episodes))
    batch = {
        "input_ids": torch.full((n, width), pad),
        "attention_mask": torch.zeros(n, width, dtype=torch.long),
        "prompt_end": torch.tensor([e.prompt_end for e in episodes]),
        "ends": torch.zeros(n, states, dtype=torch.long),
        "acts": torch.full((n, states), -1),
    }
    names = ("actions", "played", "outcome", "process", "cuts", "goes_on")
    batch |= {name: torch.zeros(n, width) for name in names}
    for i, e in enumerate(episodes):
        length = len(e.ids)
        batch["input_ids"][i, :length] = torch.tensor(e.ids)
        batch["attention_mask"][i, :length] = 1
        batch["actions"][i, e.start : length] = 1
        batch["played"][i, e.start : length] = float(e.played)
        batch["goes_on"][i, e.start : length] = 1
        if e.outcome is not None:
            batch["outcome"][i, length - 1] = e.outcome
            batch["goes_on"][i, length - 1] = 0
        for at, reward in e.process:
            batch["process"][i, at] += reward
        batch["cuts"][i, e.cuts] = 1
        for j, (at, act) in enumerate(e.acts):
            batch["ends"][i, j], batch["acts"][i, j] = at, act
    return batch


def part_of(batch: Batch, rows: Sequence[int], device: torch.device) -> Batch:
    """Some rows of a batch on a device, cut to the longest of them."""
    at = torch.tensor(rows)
    width = int(batch["attention_mask"][at].sum(-1).max())
    by_row = ("prompt_end", "ends", "acts")
    return {name: (x[at] if name in by_row else x[at, :width]).to(device) for name, x in batch.items()}
