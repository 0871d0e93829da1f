"""What a search may spend and how it weighs: every setting that changes what it finds."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .tree import Puct


class SearchSettings(BaseModel):
    """A tree search over chains of thought. More simulations, candidates or rollouts: a better search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    acts: Literal["tags", "none"] = Field(
        default="tags", description="actions are thinking factors (tags) or whole sampled steps (none)"
    )
    cuts: tuple[float, ...] = Field(
        default=(0.0,),
        min_length=1,
        description="one game per share of the seed's steps kept; 0: bare question",
    )
    separator: str = Field(default="\n", pattern=r"^\n+$", description="what stands between two steps")

    simulations: int = Field(default=32, ge=1, description="per move")
    parallel: int = Field(default=1, ge=1, description="simulations of one tree in flight at once")
    c_puct: float = Field(default=1.5, ge=0)
    fpu: float = Field(default=0.0, ge=0, description="an untried action's Q: the state's mean less this")
    dirichlet_alpha: float = Field(default=0.3, gt=0)
    dirichlet_fraction: float = Field(default=0.0, ge=0, le=1, description="0: no noise at the root")
    tau: float = Field(default=1.0, ge=0, description="moves are drawn from N^(1/tau); 0: the most visited")
    top_k: int = Field(default=8, ge=1, description="acts kept per state, by prior")
    priors: Literal["auto", "head", "tags", "openings", "uniform"] = Field(
        default="auto",
        description="of acts: the policy's head, its probabilities of their tags or of their opening words; "
        "auto: head where it has one, else tags where it writes them, else uniform",
    )

    temperatures: tuple[float, ...] = Field(default=(0.7, 1.0), min_length=1, description="the pool's")
    candidates: int = Field(default=4, ge=1, description="segments sampled per act, or steps per state")
    branches: int = Field(
        default=2, ge=1, description="segments of one act that the tree may try; 1: the best judged alone"
    )
    segment_tokens: int = Field(default=64, ge=1)

    rollouts: int = Field(default=2, ge=0, description="per leaf, to the end; fixed beforehand")
    rollout_temperature: float = Field(default=0.7, ge=0)
    rollout_weight: float = Field(
        default=0.5, ge=0, le=1, description="share of the rollouts in a leaf's value beside an opinion"
    )
    values: Literal["auto", "head", "scorer", "none"] = Field(
        default="auto",
        description="whose opinion of a leaf stands beside the rollouts: V(s) of the policy's head or the "
        "scorer; auto: the head where there is one, else the scorer where there is one",
    )
    max_tokens: int = Field(default=256, ge=1, description="of one rollout")

    max_depth: int = Field(default=32, ge=1, description="moves after which an unended game is lost")
    max_moves: int | None = Field(
        default=None, ge=1, description="moves that are searched; the game then ends by its best line"
    )
    max_spent: int | None = Field(
        default=None, ge=1, description="tokens written in a game, after which it ends by its best line"
    )
    splices: int = Field(default=1, ge=0, description="self-corrections spliced per game, at most")

    def puct(self) -> Puct:
        return Puct(
            c_puct=self.c_puct,
            fpu=self.fpu,
            parallel=self.parallel,
            dirichlet_alpha=self.dirichlet_alpha,
            dirichlet_fraction=self.dirichlet_fraction,
        )
