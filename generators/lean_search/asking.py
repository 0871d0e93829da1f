"""How a policy is asked to state a seed's question in Lean."""

from pydantic import BaseModel, ConfigDict, Field


class Formalising(BaseModel):
    """`share`: of the seeds that are rolled out; `candidates`: statements drawn for each.

    `budget`: how many tactics each check that a statement is not vacuous may run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(default=0.0, ge=0, le=1)
    candidates: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=256, ge=1)
    budget: int = Field(default=12, ge=1)
