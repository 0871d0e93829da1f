"""Which model server a served policy asks, and how hard."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ServerSettings(BaseModel):
    """An OpenAI-compatible server: vLLM, SGLang, llama.cpp, `transformers serve`, …

    `url` may end in `/v1` or not. `tokenizer` is a folder or hub name; it is needed for `/v1/completions`,
    whose prompts are made here. `chat` auto takes `/v1/completions` where there is a tokenizer and the
    server has that route, else chat prefill. `api_key_env` names the environment variable with the key.
    `journal` is a folder that keeps every answer, also after the run, so that the run can be replayed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    model: str = Field(min_length=1)
    tokenizer: str | None = None
    chat: Literal["auto", "completions", "chat"] = "auto"
    in_flight: int = Field(default=64, ge=1)
    timeout_s: float = Field(default=300.0, gt=0)
    retries: int = Field(default=6, ge=0)
    api_key_env: str | None = None
    journal: str | None = None

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"'{url}' is not an http:// or https:// address")
        return url.rstrip("/").removesuffix("/v1").rstrip("/")
