"""What requests to a model server look like, and what its answers say.

The interface is OpenAI's, which every server speaks with an accent: `Dialect` holds what a probe found out.
One HTTP request asks for one sample: `n` is not known everywhere, and a fault then costs one sample.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Literal, TypeGuard

from ..schemas import content_hash
from .endpoint import Malformed
from .policy import Finish, SampleRequest

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
Route = Literal["completions", "chat"]
Manner = Literal["open", "transformers", "plain"]

# Neither cut nor reshape the distribution, and keep stop strings: vLLM's, SGLang's and llama.cpp's words.
_OPEN = {
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "include_stop_str_in_output": True,
    "no_stop_trim": True,
}
_PREFILL = {"continue_final_message": True, "add_generation_prompt": False}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server wants to be asked.

    `manner`: `open` servers take or ignore further fields, `transformers` takes a generation configuration,
    `plain` ones get OpenAI's fields alone. `stops`: it keeps stop strings in the text, names the one that
    it stripped, or does neither (`silent`): then it is sent none and the text is cut here, since an ending
    of the model's own could not be told from a stop string. `echo`: it scores given text.
    """

    route: Route
    manner: Manner = "plain"
    stops: Literal["kept", "named", "silent"] = "silent"
    echo: bool = False

    @property
    def path(self) -> str:
        return COMPLETIONS if self.route == "completions" else CHAT

    def payload(self, model: str, request: SampleRequest, index: int) -> bytes:
        """The body that asks for the request's sample number `index`; its seed comes from the key."""
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": 1.0,
            "seed": int(content_hash(request.key, index)[:8], 16) >> 1,
        }
        if request.stop and self.stops != "silent":
            body["stop"] = list(request.stop)
        if self.route == "completions":
            body["prompt"] = request.prompt
        else:
            question, prefix = unpack(request.prompt)
            body["messages"] = [{"role": "user", "content": question}]
            if prefix:
                body["messages"].append({"role": "assistant", "content": prefix})
                body |= _PREFILL
        if self.manner == "open":
            body |= _OPEN | {"logprobs": 1 if self.route == "completions" else True}
        elif self.manner == "transformers":
            # Its models' own defaults may be greedy, or cut at the 50 likeliest tokens.
            sampled = {"do_sample": request.temperature > 0, "top_k": 0}
            body["generation_config"] = json.dumps(sampled)
        return _json(body)


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of a server's answer, and its account of tokens."""

    text: str
    tokens: int | None
    prompt_tokens: int | None
    finish: Finish
    logprob: float = 0.0


def pack(question: str, prefix: str) -> str:
    """Question and prefix as one prompt, from which `unpack` takes them; more prefix may be appended."""
    return f"{len(question)}:{question}{prefix}"


def unpack(prompt: str) -> tuple[str, str]:
    length, _, rest = prompt.partition(":")
    return rest[: int(length)], rest[int(length) :]


def scoring_payload(model: str, text: str) -> bytes:
    """The body that asks for the log-probabilities of `text`'s own tokens (and of one more)."""
    body = {"model": model, "prompt": text, "max_tokens": 1, "temperature": 0.0, "seed": 0}
    return _json(body | {"echo": True, "logprobs": 1})


def read_answer(data: Any, stop: Sequence[str] = ()) -> Answer:
    """The one choice of an answer, its text cut behind the first stop string; raises Malformed."""
    choice = _choice(data)
    text = _text(choice)
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise Malformed("text that is not Unicode")
    reason = choice.get("finish_reason")
    if reason not in ("stop", "length", "eos_token", "tool_calls", "content_filter"):
        raise Malformed(f"finish_reason {reason!r}")
    finish: Finish = "length" if reason == "length" else "stop"
    named = choice.get("stop_reason", choice.get("matched_stop"))
    logprob = _logprobs(choice)
    end = min((at + len(s) for s in stop if (at := text.find(s)) >= 0), default=-1)
    if end >= 0:
        text, finish = text[:end], "stop"
    elif finish == "stop" and isinstance(named, str) and named in stop:
        text += named
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        text,
        _count(usage.get("completion_tokens")),
        _count(usage.get("prompt_tokens")),
        finish,
        fsum(value for _, value in _up_to(logprob, len(text))),
    )


def names_its_stop(data: Any) -> bool:
    choice = _choice(data)
    return isinstance(choice.get("stop_reason", choice.get("matched_stop")), str)


def read_scores(data: Any) -> list[float | None]:
    """Log-probabilities of an echoed text's tokens, without the token drawn behind it; raises Malformed."""
    logprobs = _choice(data).get("logprobs")
    scores = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    usage = data.get("usage")
    drawn = _count(usage.get("completion_tokens")) if isinstance(usage, dict) else None
    if not isinstance(scores, list) or drawn is None:
        raise Malformed("no log-probabilities of the given text")
    if not all(s is None or _is_number(s) for s in scores):
        raise Malformed("a log-probability that is no number")
    return scores[: len(scores) - drawn]


def _choice(data: Any) -> dict[str, Any]:
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list):
        raise Malformed("no choices")
    if len(choices) != 1 or not isinstance(choices[0], dict):
        raise Malformed(f"{len(choices)} choices where 1 was asked for")
    return choices[0]


def _text(choice: dict[str, Any]) -> str:
    if "message" in choice:
        message = choice["message"] if isinstance(choice["message"], dict) else {}
        parts = (message.get("reasoning_content"), message.get("content"))
        if any(p is not None and not isinstance(p, str) for p in parts):
            raise Malformed("a message that is no text")
        return "".join(p for p in parts if p)
    text = choice.get("text")
    if not isinstance(text, str):
        raise Malformed("a choice without text")
    return text


def _logprobs(choice: dict[str, Any]) -> list[tuple[str, float]]:
    """(token, log-probability) pairs in either of the interface's two forms; empty where there are none."""
    given = choice.get("logprobs")
    if not isinstance(given, dict):
        return []
    if isinstance(given.get("content"), list):
        pairs = [(c.get("token"), c.get("logprob")) for c in given["content"] if isinstance(c, dict)]
    else:
        tokens, values = given.get("tokens"), given.get("token_logprobs")
        if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
            return []
        pairs = list(zip(tokens, values, strict=True))
    return [(t, v) for t, v in pairs if isinstance(t, str) and _is_number(v)]


def _up_to(pairs: list[tuple[str, float]], length: int) -> list[tuple[str, float]]:
    """The pairs of the tokens that make up the first `length` characters, and an end of sequence behind."""
    at, kept = 0, []
    total = sum(len(token) for token, _ in pairs)
    for token, value in pairs:
        if at >= length and total > length:
            break
        kept.append((token, value))
        at += len(token)
    return kept


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _json(body: dict[str, Any]) -> bytes:
    # A lone surrogate has no UTF-8 form; escaped, it reaches the server's own JSON reader.
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
