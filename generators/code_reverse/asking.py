"""How a policy is asked for CoTs behind programs."""

from pydantic import BaseModel, ConfigDict, Field


class PolicyWriting(BaseModel):
    """How a policy is asked. `candidates`: texts drawn for each program, or for each sentence rewritten."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=1024, ge=1)
