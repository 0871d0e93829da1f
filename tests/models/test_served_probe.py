"""What a probe finds out about a server, and which servers it refuses."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cotmill.models import endpoint
from cotmill.models.policy import SampleRequest
from cotmill.models.probe import Server
from cotmill.models.served import ServedPolicy, find_server
from cotmill.models.server_settings import ServerSettings
from cotmill.schemas import BadInput
from model_server import Body, ModelServer, completion, serving

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
WORDS = " 2, for one and one make two!"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.001)


@contextmanager
def probed(told: ModelServer, **settings: object) -> Iterator[tuple[ServerSettings, Server]]:
    with serving(told):
        given = {"url": told.url + "/v1/", "model": "m", "retries": 1, "timeout_s": 5.0} | settings
        chosen = ServerSettings.model_validate(given)
        yield chosen, find_server(chosen)


def strips(body: Body, **named: object) -> Body:
    """Greedy words, cut before the first stop string."""
    for stop in body.get("stop", []):
        if stop in WORDS:
            return completion(WORDS.partition(stop)[0], **({"stop_reason": stop} if named else {}))
    return completion(WORDS)


def chat(body: Body, *, prefills: bool) -> Body:
    """A chat server: an opened turn takes three tokens, a closed one two."""
    messages = body["messages"]
    goes_on = prefills and body.get("continue_final_message", False)
    words = sum(len(m["content"].split()) + 3 for m in messages) + (0 if goes_on else 5)
    reply = completion(WORDS)
    reply["choices"][0]["message"] = {"role": "assistant", "content": reply["choices"][0].pop("text")}
    reply["usage"]["prompt_tokens"] = words
    return reply


@pytest.mark.parametrize(
    ("answer", "stops"),
    [
        (strips, "silent"),
        (lambda body: strips(body, named=True), "named"),
        (lambda body: completion(WORDS), "kept"),
    ],
)
def test_what_it_does_with_stop_strings(answer: object, stops: str) -> None:
    with probed(ModelServer(answer), tokenizer="t") as (_, server):  # type: ignore[arg-type]
        assert (server.dialect.route, server.dialect.manner, server.dialect.stops) == (
            "completions",
            "open",
            stops,
        )


def test_a_server_that_takes_no_further_fields_gets_none() -> None:
    strict = ModelServer(
        lambda body: completion(WORDS),
        lambda n, body: "422" if {"top_k", "generation_config", "echo"} & set(body) else None,
    )
    with probed(strict, tokenizer="t") as (_, server):
        assert (server.dialect.manner, server.dialect.echo) == ("plain", False)


def test_chat_prefill_goes_on_from_the_assistants_message() -> None:
    told = ModelServer(lambda body: chat(body, prefills=True), routes=(CHAT,))
    with probed(told) as (settings, server):
        assert server.dialect.route == "chat"
        served = ServedPolicy(settings, server)
        told.asked.clear()
        prompt = served.prompt("What: 1 + 1?", "One and ") + "one"
        assert served.sample([SampleRequest(prompt, "k")])[0][0].text == WORDS
        served.close()
        [body] = told.asked
        assert '{"content":"What: 1 + 1?","role":"user"}' in body
        assert '{"content":"One and one","role":"assistant"}' in body
        assert '"continue_final_message":true' in body


def test_without_the_completions_route_chat_prefill_is_taken() -> None:
    told = ModelServer(lambda body: chat(body, prefills=True), routes=(CHAT,))
    with probed(told, tokenizer="t") as (_, server):
        assert server.dialect.route == "chat"


def test_a_chat_that_opens_a_new_turn_is_refused() -> None:
    told = ModelServer(lambda body: chat(body, prefills=False), routes=(CHAT,))
    with pytest.raises(BadInput, match="opens a new turn"), probed(told):
        pass


def test_a_server_with_neither_route_is_refused_in_its_own_words() -> None:
    with pytest.raises(BadInput) as refused, probed(ModelServer(routes=()), tokenizer="t"):
        pass
    assert f"{COMPLETIONS}: HTTP 404: Not Found" in str(refused.value)
    assert f"{CHAT}: HTTP 404: Not Found" in str(refused.value)
    assert "cannot go on from a prefix with model 'm'" in str(refused.value)
    assert "lists the models m" in str(refused.value)


def test_completions_alone_need_a_tokenizer() -> None:
    with pytest.raises(BadInput, match="needs `tokenizer`"), probed(ModelServer(), chat="completions"):
        pass


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(BadInput, match="no server answers at http"):
        find_server(ServerSettings(url="http://127.0.0.1:9", model="m", retries=0))


def test_the_hash_is_the_models_not_the_address() -> None:
    hashes = []
    for tokenizer in ("t", "/somewhere/else/t", "u"):
        with probed(ModelServer(), tokenizer=tokenizer) as (_, server):
            hashes.append(server.hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_models_path_is_not_its_name() -> None:
    with probed(ModelServer(), model="/models/mine", tokenizer="t") as (_, server):
        assert (server.model, server.name) == ("/models/mine", "mine")
