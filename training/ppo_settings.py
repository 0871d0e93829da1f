"""What a PPO run can be told (`--set key=value`)."""

from typing import Literal

from pydantic import Field

from .settings import CommonSettings


class PPOSettings(CommonSettings):
    """Rollouts, rewards, and the objective. `lr` is the trunk's, `head_lr` that of V and of P.

    An iteration draws `problems` x `samples` rollouts, of all processes together, and goes over them
    `epochs` times in `minibatches` optimiser steps each.
    """

    iterations: int = Field(50, ge=1)
    problems: int = Field(64, ge=1, description="per iteration")
    samples: int = Field(4, ge=1, description="rollouts per problem and iteration")
    max_tokens: int = Field(256, ge=1, description="of one rollout")
    temperature: float = Field(1.0, gt=0, description="of the policy that is sampled, and trained")
    best_of: int = Field(1, ge=1, description="candidate segments per step, the best judged of which goes on")
    separator: str = Field("\n", pattern=r"^\n+$", description="between the steps of a policy without tags")
    from_search: float = Field(0.0, ge=0, le=1, description="share of rollouts begun at a searched state")

    prm: str | None = Field(None, description="a process reward model: it rewards steps, and judges segments")
    process: Literal["difference", "potential", "value"] = Field(
        "difference",
        description="a step's reward: how far it moves the PRM's score; the same, paid back at the end; "
        "the score itself",
    )
    process_weight: float = Field(0.5, ge=0, description="of the steps' rewards beside the outcome's")
    orm: str | None = Field(None, description="an outcome model: it rewards ends that nobody can verify")
    undecided: float = Field(0.0, ge=-1, le=1, description="the outcome's reward where nobody decides")
    kl_coef: float = Field(0.02, ge=0, description="the price per nat and token of straying from `init`")
    kl_target: float | None = Field(
        None, gt=0, description="nats per token that `kl_coef` is adapted to; default: it stays"
    )

    gamma: float = Field(1.0, gt=0, le=1)
    lam: float = Field(0.95, ge=0, le=1, description="lambda of the advantages")
    siblings: bool = Field(
        True, description="correct V by how the other rollouts of a start fared; with best_of 1"
    )
    value_lam: float = Field(1.0, ge=0, le=1, description="lambda of what V is drawn to; 1: the game's end")
    epochs: int = Field(2, ge=1, description="passes over an iteration's rollouts")
    minibatches: int = Field(4, ge=1, description="optimiser steps per pass")
    clip: float = Field(0.2, gt=0, description="epsilon: how far a token's ratio may go from 1")
    value_clip: float | None = Field(
        None, gt=0, description="how far V may go from what it said; default: any"
    )
    value_weight: float = Field(0.5, ge=0)
    prior_weight: float = Field(0.5, ge=0, description="of the loss that keeps P at the acts taken")
    heads_share: float = Field(0.0, ge=0, le=1, description="of the heads' gradients, that reaches the trunk")
    entropy_weight: float = Field(0.0, ge=0)
    value_warmup: int = Field(2, ge=0, description="iterations at first in which the heads alone learn")
    max_norm: float = Field(1.0, gt=0, description="of the gradient")

    lr: float = Field(1e-5, gt=0)
    head_lr: float = Field(1e-3, gt=0)
    warmup_steps: int = Field(10, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    checkpoint_every: int = Field(10, ge=1, description="iterations between checkpoints")
