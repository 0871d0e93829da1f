"""Finding out what a model server is and what it can do: a handful of tiny requests before a run."""

import json
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from ..schemas import BadInput, content_hash
from .dialect import Answer, Dialect, Manner, Route, names_its_stop, pack, read_answer, read_scores
from .dialect import scoring_payload as scoring
from .endpoint import Endpoint, Fault, Malformed
from .policy import SampleRequest

_MANNERS: tuple[Manner, ...] = ("open", "transformers", "plain")
_QUESTION = "What is 1 + 1?"
# Of a server's entry in /v1/models, what stays the same while it serves the same model.
_LASTING = ("id", "root", "parent", "owned_by", "max_model_len", "meta")


@dataclass(frozen=True, slots=True)
class Server:
    """A probed server: its model's name (never a path), a hash of its identity, and how to ask it."""

    model: str
    name: str
    hash: str
    dialect: Dialect


async def probe(endpoint: Endpoint) -> Server:
    """Ask the server for its models and for a few tokens.

    Raises BadInput where nobody answers, the key or the model is refused, or where neither of its two
    routes can go on from a given prefix; the error says what the server said.
    """
    settings = endpoint.settings
    listing = await endpoint.ask("/v1/models", None, _entries)
    if isinstance(listing, Fault) and (listing.status is None or listing.status in (401, 403)):
        raise BadInput(f"{settings.url}: {listing.message}", field="policy.server.url")
    entries = [] if isinstance(listing, Fault) else listing
    refusals: list[str] = []
    for route in _routes(settings.chat, settings.tokenizer):
        dialect = await _route(endpoint, route, refusals)
        if dialect is not None:
            return _server(settings.model, entries, dialect, settings.tokenizer)
    known = ", ".join(str(e.get("id")) for e in entries[:5])
    raise BadInput(
        f"{settings.url} cannot go on from a prefix with model '{settings.model}': "
        + "; ".join(refusals)
        + (f" (it lists the models {known})" if known else ""),
        field="policy.server",
    )


def model_name(model: str) -> str:
    """What a reader knows a served model by: its hub name, or the last part of a path."""
    return PurePath(model).name if model.startswith(("/", "./", "../", "~")) else model


def _routes(chat: str, tokenizer: str | None) -> tuple[Route, ...]:
    if chat == "completions" and tokenizer is None:
        raise BadInput(
            "chat: completions needs `tokenizer`, a folder or hub name, to write prompts with",
            field="policy.server.tokenizer",
        )
    if chat == "chat" or tokenizer is None:
        return ("chat",)
    return ("completions",) if chat == "completions" else ("completions", "chat")


async def _route(endpoint: Endpoint, route: Route, refusals: list[str]) -> Dialect | None:
    model, manners = endpoint.settings.model, _MANNERS
    said = ""
    for manner in manners:
        dialect = Dialect(route, manner)
        request = SampleRequest(_prompt(route), "probe", max_tokens=8, temperature=0.0)
        answer = await endpoint.ask(dialect.path, dialect.payload(model, request, 0), read_answer)
        if isinstance(answer, Fault):
            said = said or f"{dialect.path}: {answer.message}"
            if answer.kind == "refused":
                continue
            break
        if route == "chat" and not await _prefills(endpoint, dialect):
            said = f"{dialect.path} opens a new turn instead of continuing the assistant's"
            if endpoint.settings.tokenizer is None:
                said += "; give `policy.server.tokenizer` to use /v1/completions"
            break
        dialect = await _with_stops(endpoint, dialect, request, answer)
        if route == "completions":
            scores = await endpoint.ask(dialect.path, scoring(model, "1 + 1 = 2"), read_scores)
            dialect = replace(dialect, echo=not isinstance(scores, Fault) and len(scores) > 1)
        return dialect
    refusals.append(said)
    return None


def _prompt(route: Route, prefix: str = "") -> str:
    return f"{_QUESTION}\n1 + 1 =" if route == "completions" else pack(_QUESTION, prefix)


async def _prefills(endpoint: Endpoint, dialect: Dialect) -> bool:
    """Whether an assistant's last message is continued: closing it and opening a turn takes more tokens."""
    going_on = SampleRequest(_prompt("chat", "1 + 1 ="), "probe", max_tokens=1, temperature=0.0)
    body = json.loads(dialect.payload(endpoint.settings.model, going_on, 0))
    fresh = body | {"continue_final_message": False, "add_generation_prompt": True}
    counts = []
    for payload in (body, fresh):
        answer = await endpoint.ask(dialect.path, json.dumps(payload).encode(), read_answer)
        if isinstance(answer, Fault) or answer.prompt_tokens is None:
            return False
        counts.append(answer.prompt_tokens)
    return counts[0] < counts[1]


async def _with_stops(endpoint: Endpoint, dialect: Dialect, request: SampleRequest, free: Answer) -> Dialect:
    """What the server does with a stop string that its own greedy answer is known to hold."""
    stop = free.text.strip()[-1:]
    if not stop:
        return dialect

    def handling(data: Any) -> Dialect:
        if names_its_stop(data):
            return replace(dialect, stops="named")
        return replace(dialect, stops="kept") if stop in read_answer(data).text else dialect

    stopped = replace(request, stop=(stop,))
    asked = replace(dialect, stops="kept").payload(endpoint.settings.model, stopped, 0)
    answer = await endpoint.ask(dialect.path, asked, handling)
    return dialect if isinstance(answer, Fault) else answer


def _entries(data: Any) -> list[dict[str, Any]]:
    entries = data.get("data") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise Malformed("no list of models")
    return [e for e in entries if isinstance(e, dict)]


def _server(model: str, entries: list[dict[str, Any]], dialect: Dialect, tokenizer: str | None) -> Server:
    name = model_name(model)
    entry = next((e for e in entries if e.get("id") == model), {})
    lasting = {k: entry[k] for k in _LASTING if k in entry} | {"id": name}
    prompts = model_name(tokenizer) if tokenizer and dialect.route == "completions" else ""
    identity = json.dumps(lasting, sort_keys=True)
    return Server(model, name, content_hash("served", identity, dialect.route, prompts), dialect)
