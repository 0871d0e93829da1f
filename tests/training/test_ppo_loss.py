"""PPO's objective against its definition, and batches against the episodes in them."""

from pathlib import Path

import pytest
import torch
from cotmill.models.policy_value import PolicyValueModel
from cotmill.schemas import Inventory
from cotmill.training.ppo_loss import PPOLoss, batch_of, before, clipped, part_of, squared
from cotmill.training.ppo_rewards import Episode
from cotmill.training.ppo_settings import PPOSettings
from hypothesis import given
from hypothesis import strategies as st

ACTIONS = (*Inventory.load().names, "Think_End")
EPISODES = [
    Episode([5, 6, 7, 8, 9], 1, 2, outcome=1.0, process=[(3, 0.5), (4, -0.25)], acts=[(1, 4), (3, 2)]),
    Episode([5, 6, 7], 0, 1, outcome=None, cuts=[1, 2], played=False),
]


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.05, 0.5))
def test_the_clipped_objective_is_the_paper_s(log_ratio: float, advantage: float, epsilon: float) -> None:
    loss = clipped(torch.tensor(log_ratio), torch.tensor(advantage), epsilon).item()
    ratio = torch.tensor(log_ratio).exp().item()
    held = min(max(ratio, 1 - epsilon), 1 + epsilon)
    assert loss == pytest.approx(-min(ratio * advantage, held * advantage), abs=1e-5)


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [(1.5, 1.0, False), (1.5, -1.0, True), (0.5, -1.0, False), (0.5, 1.0, True), (1.1, 1.0, True)],
)
def test_no_gradient_beyond_the_bounds_unless_it_leads_back(
    ratio: float, advantage: float, moves: bool
) -> None:
    log_ratio = torch.tensor(ratio).log().requires_grad_()
    clipped(log_ratio, torch.tensor(advantage), 0.2).backward()
    assert log_ratio.grad is not None
    assert bool(log_ratio.grad) == moves


def test_values_are_held_near_what_they_were() -> None:
    values, old, targets = torch.tensor([0.9, 0.1]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, -1.0])
    assert squared(values, old, targets, None).tolist() == pytest.approx([0.005, 0.605])
    assert squared(values, old, targets, 0.5).tolist() == pytest.approx([0.125, 0.605])


def test_a_batch_holds_its_episodes() -> None:
    batch = batch_of(EPISODES, pad=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]]
    assert batch["actions"].tolist() == [[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]]
    assert batch["played"].tolist() == [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
    assert batch["outcome"].tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert batch["process"].tolist() == [[0, 0, 0, 0.5, -0.25], [0, 0, 0, 0, 0]]
    assert batch["goes_on"].tolist() == [[0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    assert batch["cuts"].tolist() == [[0, 0, 0, 0, 0], [0, 1, 1, 0, 0]]
    assert (batch["ends"].tolist(), batch["acts"].tolist()) == ([[1, 3], [0, 0]], [[4, 2], [-1, -1]])
    short = part_of(batch, [1], torch.device("cpu"))
    assert short["input_ids"].tolist() == [[5, 6, 7]]
    assert short["acts"].tolist() == [[-1, -1]]


@pytest.fixture(scope="module")
def network(policy_folder: Path) -> PolicyValueModel:
    network = PolicyValueModel.from_backbone(str(policy_folder), ACTIONS, device="cpu").eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for p in network.head.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return network


def measured(loss: PPOLoss) -> dict[str, torch.Tensor]:
    """The episodes as a batch whose old policy is another one."""
    batch = batch_of(EPISODES, pad=0)
    torch.manual_seed(5)
    shape = batch["actions"].shape
    with torch.no_grad():
        out = loss.read(batch)
    batch["old"] = out["scores"] + 0.3 * torch.randn(shape)
    names = ("advantages", "old_values", "old_shaping", "returns", "shaping_returns")
    return batch | {name: torch.randn(shape) for name in names}


def test_the_loss_by_hand(network: PolicyValueModel) -> None:
    settings = PPOSettings(value_weight=0.5, prior_weight=2.0, entropy_weight=0.1, clip=0.2)
    loss = PPOLoss(network, settings)
    batch = measured(loss)
    out = loss(batch, torch.tensor([5.0, 3.0, 2.0]))
    policy = value = entropy = 0.0
    for i, e in enumerate(EPISODES):
        log_p = network.trunk(torch.tensor([e.ids])).logits[0].log_softmax(-1)
        for t in range(e.start, len(e.ids)):
            ratio = (log_p[t - 1, e.ids[t]] - batch["old"][i, t]).exp().item()
            a = batch["advantages"][i, t].item()
            policy -= min(ratio * a, min(max(ratio, 0.8), 1.2) * a) / 5
            entropy -= (log_p[t - 1].exp() * log_p[t - 1]).sum().item() / 5
            if e.played:
                states = network(
                    **{k: batch[k][i : i + 1] for k in ("input_ids", "attention_mask", "prompt_end")},
                    ends=torch.tensor([[t - 1]]),
                )
                v = states["values"].item()
                value += (v - batch["returns"][i, t].item()) ** 2 / 2 / 3
                value += batch["shaping_returns"][i, t].item() ** 2 / 2 / 3
    found = network(**{k: batch[k][:1] for k in ("input_ids", "attention_mask", "prompt_end", "ends")})
    p = found["logits"][0].log_softmax(-1)
    prior = -(p[0, 4] + p[1, 2]).item() / 2
    assert out["loss"].item() == pytest.approx(
        policy + 0.5 * value + 2.0 * prior - 0.1 * entropy, rel=1e-4, abs=1e-5
    )


def test_parts_of_a_minibatch_add_up(network: PolicyValueModel) -> None:
    loss = PPOLoss(network, PPOSettings())
    batch = measured(loss)
    totals = torch.tensor([5.0, 3.0, 2.0])
    whole = loss(batch, totals)["loss"].item()
    parts = [loss(part_of(batch, [i], torch.device("cpu")), totals)["loss"].item() for i in (0, 1)]
    assert sum(parts) == pytest.approx(whole, rel=1e-5)


def test_the_heads_leave_the_trunk_alone_unless_asked(network: PolicyValueModel) -> None:
    """With advantages of 0 the trunk has nothing to learn but what the heads want of it."""
    for share in (0.0, 0.5):
        loss = PPOLoss(network, PPOSettings(heads_share=share))
        batch = measured(loss) | {"advantages": torch.zeros_like(batch_of(EPISODES, 0)["actions"])}
        loss.zero_grad()
        loss(batch, torch.tensor([5.0, 3.0, 2.0]))["loss"].backward()
        moved = any(p.grad is not None and bool(p.grad.any()) for p in network.trunk.parameters())
        assert moved == (share > 0)
        assert all(p.grad is not None for p in network.head.parameters())


def test_values_stand_at_the_actions_taken_in_their_states() -> None:
    assert before(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[0.0, 1.0, 2.0]]
