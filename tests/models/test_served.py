"""A served policy against a server that misbehaves: nothing lost, nothing twice, every fault a value."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cotmill.models import endpoint
from cotmill.models.batcher import Batcher
from cotmill.models.dialect import Dialect
from cotmill.models.policy import Sample, SampleRequest
from cotmill.models.probe import Server
from cotmill.models.served import ServedPolicy
from cotmill.models.server_settings import ServerSettings
from cotmill.schemas import BadInput
from model_server import Body, ModelServer, completion, serving

FAULTS = (
    "429",
    "500",
    "503",
    "hang",
    "cut",
    "truncated",
    "truncated chunks",
    "no choice",
    "two choices",
    "{",
    "[]",
    "null",
    '{"choices": [{"text": null, "finish_reason": "stop"}]}',
    '{"choices": [{"text": "\\ud800", "finish_reason": "stop"}]}',
    '{"choices": [{"text": "x", "finish_reason": "abort"}]}',
    "[" * 100_000,
)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.001)


@contextmanager
def policy(
    told: ModelServer, journal: Path | None = None, dialect: Dialect | None = None, **settings: object
) -> Iterator[ServedPolicy]:
    chosen = ServerSettings.model_validate(
        {"url": told.url, "model": "m", "in_flight": 8, "timeout_s": 2.0} | settings
    )
    dialect = dialect or Dialect("completions", "plain", "kept")
    opened = ServedPolicy(chosen, Server("m", "m", "0" * 32, dialect), journal)
    try:
        yield opened
    finally:
        opened.close()


def requests(count: int, n: int = 2) -> list[SampleRequest]:
    return [SampleRequest(f"prompt {i}", key=f"key {i}", n=n, max_tokens=9) for i in range(count)]


def test_samples_come_in_the_order_of_requests_each_from_a_seed_of_its_own(tmp_path: Path) -> None:
    with serving(ModelServer()) as told, policy(told) as served:
        rows = served.sample(requests(20, n=3))
    assert [len(row) for row in rows] == [3] * 20
    for i, row in enumerate(rows):
        assert all(s.text.endswith(f"of prompt {i}") and s.finish == "stop" for s in row)
    assert len({s.text.split()[0] for row in rows for s in row}) == 60


def test_through_every_fault_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    def faults(n: int, body: Body) -> str | None:
        return FAULTS[body["seed"] % len(FAULTS)] if n == 0 else None

    with serving(ModelServer()) as told, policy(told) as served:
        calm = served.sample(requests(40))
    with (
        serving(ModelServer(faults=faults)) as told,
        policy(told, tmp_path / "j", timeout_s=4.0, in_flight=32) as served,
    ):
        assert served.sample(requests(40)) == calm
        assert served.usage.retried >= 80
        assert (served.usage.answered, served.usage.failed) == (80, 0)
        assert len(told.answered) == 80
        before = told.asked.copy()
        assert served.sample(requests(40)) == calm
        assert told.asked == before


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_a_value_and_is_asked_again_by_a_later_run(fault: str, tmp_path: Path) -> None:
    stays = True
    told = ModelServer(faults=lambda n, body: fault if stays else None)
    with serving(told):
        with policy(told, tmp_path / "j", retries=1, timeout_s=0.3) as served:
            [[sample]] = served.sample(requests(1, n=1))
            assert (sample.text, sample.tokens, sample.finish) == ("", 0, "error")
            assert sample.error
            assert list(told.asked.values()) == [2]
            assert served.lost is None
        stays = False
        with policy(told, tmp_path / "j") as served:
            assert served.sample(requests(1, n=1))[0][0].finish == "stop"


def test_what_the_server_refuses_is_an_answer_and_is_kept(tmp_path: Path) -> None:
    told = ModelServer(faults=lambda n, body: "400" if "1" in body["prompt"] else None)
    with serving(told):
        for _ in range(2):
            with policy(told, tmp_path / "j") as served:
                good, refused = served.sample(requests(2, n=1))
            assert good[0].finish == "stop"
            assert refused == [Sample("", 0, "error", error="refused: HTTP 400: told to fail")]
    assert list(told.asked.values()) == [1, 1]


@pytest.mark.parametrize("status", ["401", "403", "404"])
def test_a_server_that_no_longer_knows_us_is_lost_and_left_alone(status: str, tmp_path: Path) -> None:
    told = ModelServer(faults=lambda n, body: status)
    with serving(told), policy(told, tmp_path / "j", in_flight=1) as served:
        rows = served.sample(requests(5))
        assert all(s.finish == "error" for row in rows for s in row)
        assert served.lost
        assert "told to fail" in served.lost
        assert told.asked.total() == 1
        told.faults = lambda n, body: None
        served.journal_to(tmp_path / "j")
        assert all(s.finish == "stop" for row in served.sample(requests(5)) for s in row)


def test_a_server_that_is_gone_costs_nothing_that_was_answered(tmp_path: Path) -> None:
    with serving(ModelServer()) as told, policy(told, tmp_path / "j") as served:
        known = served.sample(requests(4))
    with policy(told, tmp_path / "j", retries=1) as served:
        rows = served.sample(requests(6))
        assert rows[:4] == known
        assert all(s.finish == "error" for row in rows[4:] for s in row)
        assert served.lost is not None
        assert served.usage.replayed == 8


def test_the_key_the_index_and_all_that_is_sent_tell_answers_apart(tmp_path: Path) -> None:
    base = SampleRequest("p", "k", max_tokens=5, temperature=0.5)
    others = [
        SampleRequest("q", "k", max_tokens=5, temperature=0.5),
        SampleRequest("p", "l", max_tokens=5, temperature=0.5),
        SampleRequest("p", "k", max_tokens=6, temperature=0.5),
        SampleRequest("p", "k", max_tokens=5, temperature=0.6),
        SampleRequest("p", "k", max_tokens=5, temperature=0.5, stop=("x",)),
        SampleRequest("p", "k", n=2, max_tokens=5, temperature=0.5),
    ]
    with serving(ModelServer()) as told, policy(told, tmp_path / "j") as served:
        served.sample([base, base])
        assert told.asked.total() == 1
        for i, other in enumerate(others):
            served.sample([other])
            assert told.asked.total() == 2 + i
        served.sample([*others, base])
        assert told.asked.total() == 1 + len(others)


def test_no_more_are_in_flight_than_allowed() -> None:
    with serving(ModelServer()) as told, policy(told, in_flight=3) as served:
        served.sample(requests(40))
        assert 1 <= told.most_in_flight <= 3


@pytest.mark.parametrize(
    ("reply", "text", "finish"),
    [
        (completion("a END"), "a END", "stop"),
        (completion("a END and more"), "a END", "stop"),
        (completion("a END and more", "length"), "a END", "stop"),
        (completion("a ", stop_reason="END"), "a END", "stop"),
        (completion("a ", matched_stop="END"), "a END", "stop"),
        (completion("a ", stop_reason=None), "a ", "stop"),
        (completion("a ", matched_stop=2), "a ", "stop"),
        (completion("a ", "length"), "a ", "length"),
        (completion("STOP a END"), "STOP", "stop"),
    ],
)
def test_stop_strings_are_kept_in_the_text_and_put_back_where_the_server_names_them(
    reply: Body, text: str, finish: str
) -> None:
    with serving(ModelServer(lambda body: reply)) as told, policy(told) as served:
        [[sample]] = served.sample([SampleRequest("p", "k", stop=("END", "STOP"))])
    assert (sample.text, sample.finish) == (text, finish)


def test_a_server_that_hides_its_stops_is_sent_none() -> None:
    told = ModelServer(lambda body: completion("a END b", stop_sent="stop" in body))
    with serving(told), policy(told, dialect=Dialect("completions")) as served:
        [[sample]] = served.sample([SampleRequest("p", "k", stop=("END",))])
    assert sample.text == "a END"
    assert not any('"stop"' in body for body in told.asked)


@pytest.mark.parametrize(
    "logprobs",
    [
        {"tokens": ["a", " EN", "D", " b"], "token_logprobs": [-1.0, -0.5, -0.25, -4.0]},
        {"content": [{"token": t, "logprob": v} for t, v in [("a EN", -1.5), ("D", -0.25), (" b", -4.0)]]},
    ],
)
def test_log_probabilities_count_up_to_the_stop(logprobs: Body) -> None:
    told = ModelServer(lambda body: completion("a END b", logprobs=logprobs))
    with serving(told), policy(told) as served:
        [[sample]] = served.sample([SampleRequest("p", "k", stop=("END",))])
    assert sample.logprob == -1.75


def test_scores_are_uniform_where_the_server_gives_none() -> None:
    with serving(ModelServer()) as told, policy(told) as served:
        assert served.logprobs(["p", "q"], [["a", "b"], ["c"]]) == [[-math.log(2)] * 2, [0.0]]
        assert not told.asked


def test_scores_are_those_of_the_continuation_alone(gpt2_folder: Path) -> None:
    def echo(body: Body) -> Body:  # one byte a token, the n-th with log-probability -n
        scores = [None, *(-float(i) for i in range(1, len(body["prompt"]) + 1))]
        return completion("x", "length", logprobs={"token_logprobs": scores})

    with (
        serving(ModelServer(echo)) as told,
        policy(
            told,
            dialect=Dialect("completions", echo=True),
            tokenizer=str(gpt2_folder),
        ) as served,
    ):
        assert served.logprobs(["abc"], [["de", "f", ""]]) == [[-7.0, -3.0, 0.0]]


def test_the_api_key_is_sent_and_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MODEL_KEY", "secret")
    with serving(ModelServer()) as told, policy(told, api_key_env="TEST_MODEL_KEY") as served:
        served.sample(requests(1))
        assert {h["authorization"] for h in told.headers} == {"Bearer secret"}
    with pytest.raises(BadInput, match="NO_SUCH_KEY"), policy(told, api_key_env="NO_SUCH_KEY"):
        pass


def test_it_answers_inside_a_batcher() -> None:
    with serving(ModelServer()) as told, policy(told) as served:
        batcher = Batcher(served)

        async def search(i: int) -> str:
            first = await batcher.sample(SampleRequest(f"p{i}", f"k{i}"))
            second = await batcher.sample(SampleRequest(first[0].text, f"k{i}"))
            await asyncio.sleep(0)
            return second[0].text

        texts = batcher.run(search(i) for i in range(5))
    assert all(isinstance(t, str) and t.endswith(f"of p{i}") for i, t in enumerate(texts))
    assert batcher.stats["sample"].calls == 2
