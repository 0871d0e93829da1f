"""How a run asks its judge of written criteria."""

from pydantic import BaseModel, ConfigDict, Field


class RubricSettings(BaseModel):
    """Who judges the traces of open questions, and by which criteria.

    `criteria` is a Markdown file (`cotmill:rubric/…` ships with the package). `model` is the judge: a folder
    or hub name of a policy that follows instructions, by default the run's own policy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    criteria: str
    model: str | None = None
    votes: int = Field(default=5, ge=1)
    agreement: float = Field(default=0.75, gt=0.5, le=1)
    temperature: float = Field(default=0.7, ge=0)
    max_tokens: int = Field(default=1024, ge=1)
