"""GAE, whitening and the price of straying, against their definitions."""

import pytest
import torch
from cotmill.training.advantages import adapted, gae, of_siblings, penalised, whitened
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

number = st.floats(-2, 2, width=32)
share = st.floats(0, 1, width=32)


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_an_episode_by_hand() -> None:
    """Two actions; gamma 0.5, lambda 0.5. delta = (1 + 0.5 * 4 - 2, 3 + 0 - 4) = (1, -1)."""
    found = gae(row(1, 3), row(2, 4), row(4, 0), row(1, 1), 0.5, 0.5)
    assert found.tolist() == [[1 - 0.25, -1]]


@given(
    st.lists(st.tuples(number, number, number, st.booleans()), min_size=1, max_size=7),
    st.integers(0, 3),
    st.integers(0, 3),
    share,
    share,
)
def test_it_is_the_discounted_sum_of_temporal_differences(
    steps: list[tuple[float, float, float, bool]], lead: int, tail: int, gamma: float, lam: float
) -> None:
    """Whatever stands before and behind the actions, and anew behind every cut."""
    n = len(steps)
    outside = 9.0
    rewards, before, after = (
        row(*[outside] * lead, *(s[i] for s in steps), *[outside] * tail) for i in range(3)
    )
    mask = row(*[0] * lead, *[1] * n, *[0] * tail)
    cuts = row(*[1] * lead, *(float(s[3]) for s in steps), *[1] * tail)
    found = gae(rewards, before, after, mask, gamma, lam, cuts)[0]
    deltas = [r + gamma * b - a for r, a, b, _ in steps]
    for t in range(n):
        wanted, weight = 0.0, 1.0
        for k in range(t, n):
            wanted += weight * deltas[k]
            weight *= 0.0 if steps[k][3] else gamma * lam
        assert found[lead + t].item() == pytest.approx(wanted, abs=1e-6)
    assert not found[:lead].any()
    assert not found[lead + n :].any()


@given(st.lists(st.tuples(number, number), min_size=1, max_size=8))
def test_at_lambda_one_it_is_what_followed_less_what_was_expected(steps: list[tuple[float, float]]) -> None:
    rewards, values = row(*(r for r, _ in steps)), row(*(v for _, v in steps))
    following = torch.cat([values[:, 1:], torch.zeros(1, 1)], -1)
    found = gae(rewards, values, following, torch.ones_like(values), 1.0, 1.0)
    to_go = rewards.flip(-1).cumsum(-1).flip(-1)
    torch.testing.assert_close(found, to_go - values)


def test_shaping_by_a_potential_changes_no_advantage() -> None:
    """Where the values know the potential too: rewards of it telescope (Ng, Harada, Russell 1999)."""
    torch.manual_seed(0)
    rewards, values, potential = (torch.randn(3, 6, dtype=torch.float64) for _ in range(3))
    after, next_potential = values.roll(-1, -1), potential.roll(-1, -1)
    after[:, -1] = next_potential[:, -1] = 0
    mask = torch.ones_like(values)
    shaped = rewards + next_potential - potential
    plain = gae(rewards, values, after, mask, 1.0, 0.9)
    torch.testing.assert_close(gae(shaped, values - potential, after - next_potential, mask, 1.0, 0.9), plain)


def test_siblings_say_how_wrong_the_value_of_their_start_is() -> None:
    """The mean of the others', never of one's own."""
    errors, groups = torch.tensor([1.0, 2.0, 6.0, 5.0]), torch.tensor([0, 0, 0, 1])
    assert of_siblings(errors, groups).tolist() == [4.0, 3.5, 1.5, 0.0]


def test_whitening_is_over_the_tokens_of_all_processes() -> None:
    torch.manual_seed(1)
    mine, theirs = 3 + 2 * torch.randn(4, 9), 5 * torch.randn(2, 9)
    masks = [(torch.rand_like(x) > 0.3).float() for x in (mine, theirs)]
    kept = torch.cat([x[m > 0] for x, m in zip((mine, theirs), masks, strict=True)]).double()
    moments = torch.stack([torch.tensor(float(len(kept))), kept.sum(), kept.square().sum()])
    white = [whitened(x, m, moments) for x, m in zip((mine, theirs), masks, strict=True)]
    together = torch.cat([x[m > 0] for x, m in zip(white, masks, strict=True)])
    assert together.mean().item() == pytest.approx(0, abs=1e-5)
    assert together.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert not white[0][masks[0] == 0].any()


def test_equal_advantages_are_none() -> None:
    same = torch.full((2, 3), 0.7)
    moments = torch.tensor([6.0, 4.2, 6 * 0.49], dtype=torch.float64)
    assert whitened(same, torch.ones(2, 3), moments).abs().max().item() < 1


def test_straying_from_the_reference_costs_at_every_token() -> None:
    found = penalised(row(0, 1, 0), row(-1, -2, -3), row(-1, -2.5, -1), row(1, 1, 0), 0.5)
    assert found.tolist() == [[0, 1 - 0.5 * 0.5, 0]]


def test_the_coefficient_follows_the_measured_kl() -> None:
    assert adapted(0.1, kl=0.05, target=0.05) == pytest.approx(0.1)
    assert adapted(0.1, kl=0.055, target=0.05) == pytest.approx(0.1 * 1.01)
    assert adapted(0.1, kl=5.0, target=0.05) == pytest.approx(0.1 * 1.02)
    assert adapted(0.1, kl=0.0, target=0.05) == pytest.approx(0.1 * 0.98)
