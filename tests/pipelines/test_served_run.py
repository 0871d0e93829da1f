"""A run on a model server: stopped by a lost server, taken up again, replayed; nothing asked twice."""

import json
from pathlib import Path

import pytest
from conftest import Cotmill
from cotmill.pipelines.config import load, shipped_config
from cotmill.pipelines.policies import model_path
from cotmill.schemas import BadInput
from model_server import Body, ModelServer, completion, serving

EMBEDDED = model_path("embedded", Path())
THOUGHT = "<ACT_Calculate_Start>2+3=5<ACT_Calculate_End>\n<ACT_Answer_Start>5<ACT_Answer_End><Think_End>"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The shipped configuration, with little to do."""
    rows = [{"question": f"Compute {i}+3.", "answer": f"{i + 3}", "cot": f"{i}+3={i + 3}"} for i in range(6)]
    (tmp_path / "my_seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "my.yaml").write_text(shipped_config("served.yaml").read_text())
    return tmp_path / "my.yaml"


def little(url: str, **more: object) -> list[str]:
    settings = {
        "policy.server.url": url,
        "policy.server.model": "m",
        "policy.server.tokenizer": EMBEDDED,
        "policy.server.retries": 1,
        "completion.rollouts": 2,
        "labels.rollouts": 2,
        "search.share": 0.5,
        "search.settings.simulations": 2,
        "search.settings.rollouts": 1,
        "shards.seeds_per_shard": 3,
    } | more
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def think(body: Body) -> Body:
    return completion(f"<ACT_Plan_Start>{body['seed'] % 3}<ACT_Plan_End>\n{THOUGHT}")


def shards(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.parquet"))}


def test_the_shipped_configuration_is_valid() -> None:
    config, _ = load(shipped_config("served.yaml"))
    assert config.policy.server is not None
    assert config.policy.server.in_flight == 64


def test_a_model_and_a_server_together_are_refused(config: Path) -> None:
    with pytest.raises(BadInput, match="either `model` or `server`"):
        load(config, overrides=("policy.model=embedded",))


def test_a_server_that_is_not_there_ends_it_before_it_starts(config: Path, cotmill: Cotmill) -> None:
    done = cotmill("run", config, "--out", config.parent / "out", *little("http://127.0.0.1:9"))
    assert done.returncode == 2
    assert "no server answers at http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lost_server_stops_the_run_and_the_same_command_goes_on(config: Path, cotmill: Cotmill) -> None:
    out, kept = config.parent / "out", config.parent / "answers"
    told = ModelServer(think)
    told.faults = lambda n, body: "404" if told.answered.total() > 30 else None
    with serving(told):
        run = (
            "run",
            config,
            "--out",
            out,
            "--workers",
            1,
            *little(told.url, **{"policy.server.journal": kept}),
        )
        stopped = cotmill(*run)
        assert stopped.returncode == 1, stopped.stderr
        assert "the model server was lost: HTTP 404" in stopped.stderr
        assert not (out / "manifest.json").exists()
        answered = told.answered.copy()

        told.faults = lambda n, body: None
        finished = cotmill(*run)
        assert finished.returncode == 0, finished.stderr
        assert not [b for b, times in answered.items() if times and told.answered[b] > times]
        # Only the probe's own few requests may come twice.
        assert {json.loads(b)["prompt"] for b, times in told.answered.items() if times > 1} <= {
            "What is 1 + 1?\n1 + 1 =",
            "1 + 1 = 2",
        }
        asked = told.asked.total()

        # A new folder, the same journal: the probe asks, the run does not.
        again = cotmill(*run[:3], config.parent / "again", *run[4:])
        assert again.returncode == 0, again.stderr
        assert told.asked.total() - asked <= 4
        assert shards(config.parent / "again") == shards(out)
        manifest = (out / "manifest.json").read_text()
        assert told.url not in manifest
        assert str(config.parent) not in manifest
    assert cotmill(*run).returncode == 0  # finished is finished, server or not
