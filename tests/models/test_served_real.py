"""A served policy against a server that nobody here wrote: `transformers serve` on the embedded model."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import SampleRequest
from cotmill.models.probe import Server
from cotmill.models.served import ServedPolicy, find_server
from cotmill.models.server_settings import ServerSettings
from cotmill.schemas import BadInput

MODEL = str(files("cotmill.models") / "embedded")
COMMAND = (
    "from transformers.cli.serve import Serve; import sys; "
    "Serve(force_model=sys.argv[1], host='127.0.0.1', port=int(sys.argv[2]), device='cpu')"
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server on a free loopback port; its own words are shown where it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    alone = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with open(log, "wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", COMMAND, MODEL, str(port)],
            env=os.environ | alone,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text(errors="replace")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(log.read_text(errors="replace"))
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def settings(url: str) -> ServerSettings:
    return ServerSettings(url=url, model=MODEL, tokenizer=MODEL, in_flight=4)


@pytest.fixture(scope="module")
def server(settings: ServerSettings) -> Server:
    return find_server(settings)


@pytest.fixture
def served(settings: ServerSettings, server: Server, tmp_path: Path) -> Iterator[ServedPolicy]:
    policy = ServedPolicy(settings, server, tmp_path / "journal.sqlite")
    yield policy
    policy.close()


def test_it_is_known_by_its_name_and_writes_tags(served: ServedPolicy) -> None:
    assert served.name == "embedded"
    assert served.writes_tags
    assert served.server.dialect.route == "completions"


def test_greedy_answers_are_those_of_the_same_model_here(served: ServedPolicy) -> None:
    local = LocalPolicy.load(MODEL, device="cpu")
    questions = ["Compute 12 + 34.", "Compute 7 * 8 - 5."]
    prefix = "<Think_Start><ACT_Calculate_Start>"
    for policy_prefix in ("", prefix):
        asked = [
            SampleRequest(local.prompt(q, policy_prefix), q, max_tokens=120, temperature=0.0)
            for q in questions
        ]
        here, there = local.sample(asked), served.sample(asked)
        assert [served.prompt(q, policy_prefix) for q in questions] == [r.prompt for r in asked]
        assert [[(s.text, s.finish) for s in row] for row in there] == [
            [(s.text, s.finish) for s in row] for row in here
        ]


def test_samples_differ_end_at_a_stop_and_are_not_asked_again(served: ServedPolicy) -> None:
    prompt = served.prompt("Compute 12 + 34 - 5.")
    asked = [
        SampleRequest(prompt, "a", n=6, max_tokens=120, temperature=1.0),
        SampleRequest(prompt, "b", n=3, max_tokens=120, temperature=1.0, stop=("_End>",)),
        SampleRequest(prompt, "c", max_tokens=3),
    ]
    free, stopped, short = rows = served.sample(asked)
    assert len({s.text for s in free}) > 1
    assert all(s.text.endswith("_End>") and s.text.count("_End>") == 1 for s in stopped)
    assert (short[0].finish, short[0].tokens) == ("length", 3)
    answered = served.usage.answered
    assert served.sample(asked) == rows
    assert (served.usage.answered, served.usage.failed) == (answered, 0)


def test_without_scores_priors_are_uniform(served: ServedPolicy) -> None:
    [scores] = served.logprobs([served.prompt("Compute 1 + 1.")], [["<ACT_Calculate_Start>", "x"]])
    assert scores[0] == scores[1]


def test_its_chat_route_cannot_go_on_from_a_prefix(settings: ServerSettings) -> None:
    quick = settings.model_copy(update={"chat": "chat", "tokenizer": None, "retries": 0})
    with pytest.raises(BadInput, match="cannot go on from a prefix"):
        find_server(quick)
