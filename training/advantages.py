"""Advantages and the price of straying: GAE (arXiv 1506.02438), whitening, the adaptive KL coefficient.

Shapes: B rows, T tokens. What stands at token t belongs to the action that wrote it.
"""

import torch
from torch import Tensor

KL_HORIZON = 0.1  # gain per iteration of the coefficient's control loop
KL_ERROR = 0.2  # relative error above which the coefficient does not move faster


def gae(
    rewards: Tensor,
    before: Tensor,
    after: Tensor,
    mask: Tensor,
    gamma: float,
    lam: float,
    cuts: Tensor | None = None,
) -> Tensor:
    """Generalised advantage estimates (B, T): sums of (gamma lam)^l delta_{t+l}, 0 outside the mask.

    delta = reward + gamma * after - before, `before` and `after` being the values of the states around the
    action: `after` is 0 where the episode is over. All (B, T); `mask` says which tokens are actions, one
    run of them a row. Behind a token in `cuts` the sum begins anew: the value alone speaks for what follows.
    """
    deltas = rewards + gamma * after - before
    decay = torch.full_like(deltas, gamma * lam) if cuts is None else gamma * lam * (1 - cuts.to(deltas))
    out = torch.zeros_like(deltas)
    carried = torch.zeros_like(deltas[:, 0])
    for t in range(deltas.shape[1] - 1, -1, -1):
        carried = torch.where(mask[:, t] > 0, deltas[:, t] + decay[:, t] * carried, 0.0)
        out[:, t] = carried
    return out


def of_siblings(errors: Tensor, groups: Tensor) -> Tensor:
    """For each row (B,) the mean error of the others of its group; 0 for a row that is alone.

    What the others of one start returned beyond their value there says how wrong that value is, and depends
    on nothing that the row itself did: added to its values it leaves the gradient as unbiased as it was
    (leave-one-out, Kool et al. 2019; arXiv 2402.14740).
    """
    n = torch.bincount(groups, minlength=1)[groups]
    total = torch.zeros(len(n), dtype=errors.dtype).index_add_(0, groups, errors)[groups]
    return torch.where(n > 1, (total - errors) / (n - 1).clamp(min=1), 0.0)


def whitened(advantages: Tensor, mask: Tensor, moments: Tensor) -> Tensor:
    """Advantages (B, T) of mean 0 and variance 1 over the masked tokens of all processes.

    `moments`: the sums over these of 1, of the advantages and of their squares.
    """
    n, total, squares = moments.unbind()
    mean = total / n
    scale = (squares / n - mean.square()).clamp(min=0).sqrt() + 1e-8
    return ((advantages - mean) / scale).to(advantages.dtype) * mask


def penalised(
    rewards: Tensor, logprobs: Tensor, reference: Tensor, mask: Tensor, coefficient: float
) -> Tensor:
    """Rewards (B, T) less the price of straying: coefficient * (log pi - log pi_reference) of each action."""
    return rewards - coefficient * (logprobs - reference) * mask


def adapted(coefficient: float, kl: float, target: float) -> float:
    """The next KL coefficient: it grows where the measured KL is above the target (arXiv 1909.08593)."""
    error = min(max(kl / target - 1, -KL_ERROR), KL_ERROR)
    return coefficient * (1 + KL_HORIZON * error)
