"""`cotmill loop`: rounds of run, train and evaluate; what it keeps, resumes and refuses."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, Cotmill
from cotmill.pipelines.config import shipped_config
from cotmill.pipelines.loop import _heeded
from cotmill.pipelines.loop_config import load_loop
from cotmill.pipelines.loop_problems import write_heldout, write_problems, write_seeds
from cotmill.schemas import BadInput

CONFIG = """\
seed: 1
policy: embedded
seeds: {count: 6, levels: [1], families: [word, sums]}
problems: {count: 6, levels: [1], families: [word, sums]}
heldout: {count: 8, levels: [1], families: [word, sums]}
run:
  completion: {rollouts: 2, temperature: 1.0, max_tokens: 80}
  labels: {method: first_error, rollouts: 1, max_tokens: 80, judge: {kind: contrast}}
  hygiene: {ngram: 40}
  shards: {seeds_per_shard: 16, validation_share: 0}
train:
  - {objective: sft, settings: {steps: judge, lr: 0.0003, weights: {seeds.jsonl: 1}}}
  - {objective: prm, settings: {freeze_trunk: true}}
evaluate: {methods: [greedy, prm], n: [2], resamples: 50, max_tokens: 80, level_samples: 0}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loop") / "loop.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def looped(config: Path, cotmill: Cotmill) -> Path:
    """A finished loop of two rounds. Read it, do not write into it."""
    out = config.parent / "whole"
    done = cotmill("loop", config, "--rounds", 2, "--out", out, "--workers", 1, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "8 held-out problems" in done.stdout
    return out


def table(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "loop.json").read_text())
    return loaded


def questions(path: Path) -> set[str]:
    return {json.loads(line)["question"] for line in path.read_text().splitlines()}


def test_every_round_is_a_run_a_checkpoint_and_an_evaluation(looped: Path, cotmill: Cotmill) -> None:
    start, first, second = table(looped)["rounds"]
    assert start["trained"] == {}
    for record in (first, second):
        folder = looped / f"round-{record['round']}"
        done = cotmill("check", folder / "run")
        assert done.returncode == 0, done.stdout
        assert {"sft", "prm"} == set(record["trained"])
        assert (folder / "sft" / "config.json").exists()
        assert (folder / "prm" / "reward_head.safetensors").exists()
        written = json.loads((folder / "evaluation" / "evaluation.json").read_text())
        assert written["policy_hash"] == record["trained"]["sft"]["hash"]
        methods = {p["method"] for p in record["evaluation"]["points"]}
        assert {"greedy", "prm_vote", "pass"} <= methods
    assert (looped / "loop.png").read_bytes().startswith(b"\x89PNG")


def test_each_round_goes_on_from_the_last_checkpoint(looped: Path) -> None:
    start, first, second = table(looped)["rounds"]
    assert first["run"]["policy_hash"] == start["evaluation"]["policy_hash"]
    assert second["run"]["policy_hash"] == first["trained"]["sft"]["hash"]
    assert second["trained"]["sft"]["hash"] != first["trained"]["sft"]["hash"]
    record = json.loads((looped / "round-2" / "sft" / "training.json").read_text())
    assert record["init"]["hash"] == first["trained"]["sft"]["hash"]


def test_rounds_are_held_against_the_start_problem_by_problem(looped: Path) -> None:
    start, _, second = table(looped)["rounds"]
    before, now = (
        next(p for p in r["evaluation"]["points"] if p["method"] == "greedy") for r in (start, second)
    )
    assert before["over_start"] is None
    mean, low, high = now["over_start"]
    assert mean == pytest.approx(now["accuracy"] - before["accuracy"])
    assert low <= mean <= high


def test_no_problem_stands_twice(looped: Path) -> None:
    files = ("heldout.jsonl", "seeds.jsonl", "round-1/problems.jsonl", "round-2/problems.jsonl")
    sets = [questions(looped / name) for name in files]
    assert sum(map(len, sets)) == len(set().union(*sets)) == 8 + 6 + 6 + 6
    assert "cot" not in (looped / "round-1" / "problems.jsonl").read_text()


def test_interrupted_it_goes_on_to_the_same_table(looped: Path, config: Path, cotmill: Cotmill) -> None:
    out = config.parent / "cut"
    arguments = ("loop", config, "--rounds", 2, "--out", out, "--workers", 1, "--device", "cpu")
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
        start_new_session=True,
    )
    while not (out / "round-1" / "run" / "manifest.json").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert "interrupted" in process.communicate()[1]
    assert process.returncode == 130
    assert len(table(out)["rounds"]) == 1
    done = cotmill(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == table(out) == table(looped)


def test_a_swallowed_interruption_is_heeded_later() -> None:
    with _heeded() as heed:
        heed()
        with suppress(KeyboardInterrupt):  # as a finaliser would
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            heed()


def test_another_configuration_is_refused(looped: Path, config: Path, cotmill: Cotmill) -> None:
    done = cotmill("loop", config, "--rounds", 2, "--out", looped, "--set", "problems.count=7")
    assert done.returncode == 2
    assert "holds a loop of another configuration (problems: there" in done.stderr
    assert "--fresh" in done.stderr


def test_a_foreign_folder_is_left_alone(config: Path, cotmill: Cotmill, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    done = cotmill("loop", config, "--out", tmp_path)
    assert done.returncode == 2
    assert "holds 'thesis.tex' and no loop of cotmill" in done.stderr
    assert {p.name for p in tmp_path.iterdir()} <= {"thesis.tex", ".loop.lock"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("problems: {count: 6", "problems: {cuont: 6", "line 4, field 'problems.cuont': no such setting"),
        (
            "problems: {count: 6, ",
            "problems: {",
            "field 'problems': give the `path` of a file, or the `count`",
        ),
        (
            "count: 8, levels: [1]",
            "count: 8, levels: [7]",
            "field 'heldout.levels': no such family or level: 7",
        ),
        ("rollouts: 2,", "rollouts: -2,", "line 7, field 'run.completion.rollouts'"),
        ("  completion:", "  sources: []\n  completion:", "line 7, field 'run.sources': the loop sets this"),
        ("  completion:", "  policy: {model: x}\n  completion:", "field 'run.policy.model': the loop sets"),
        ("lr: 0.0003", "rl: 0.0003", "line 12, field 'train.0.settings.rl': no such setting"),
        ("objective: prm", "objective: pmr", "field 'train.1.objective': there is no 'pmr': there are sft"),
        ("objective: prm", "objective: sft", "`train` holds an objective twice"),
        ("objective: sft, settings: {steps: judge, ", "objective: orm, settings: {", "makes a policy"),
        ("n: [2]", "n: [0]", "line 14, field 'evaluate.n.0'"),
        ("policy: embedded\n", "", "give a `policy`, or `start`"),
        (
            "policy: embedded\nseeds: {count: 6, levels: [1], families: [word, sums]}",
            "start: {}",
            "needs `seeds`",
        ),
        ("seeds: {count: 6, levels: [1], families: [word, sums]}", "seeds: {path: no.jsonl}", "no such file"),
        ("seeds: {count: 6", "seeds: {path: a.jsonl, count: 6", "a file has no families"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert CONFIG.count(old) >= 1
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG.replace(old, new, 1))
    with pytest.raises(BadInput) as e:
        load_loop(path)
    assert said in str(e.value)
    assert str(path) in str(e.value)


def test_a_mistake_on_the_command_line_is_named(config: Path) -> None:
    with pytest.raises(BadInput, match=r"command line, field 'train.0.settings.lr'"):
        load_loop(config, ("train.0.settings.lr=-1",))


def test_the_shipped_configuration_is_sound() -> None:
    loop = load_loop(shipped_config("loop.yaml"))
    assert loop.start is not None
    assert load_loop(shipped_config("loop.yaml"), policy="embedded").start is None


def test_without_seeds_a_loop_has_none(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text(CONFIG.replace("seeds: {count: 6, levels: [1], families: [word, sums]}\n", ""))
    loop = load_loop(path)
    heldout = write_heldout(loop, tmp_path / "heldout.jsonl")
    assert write_seeds(loop, tmp_path / "seeds.jsonl", heldout) == set()
    assert not (tmp_path / "seeds.jsonl").exists()


def test_problems_of_a_file_are_dealt_out(tmp_path: Path) -> None:
    def rows(name: str, numbers: range) -> str:
        lines = (
            json.dumps({"question": f"{i} + 0?", "answer": str(i), "cot": f"It is {i}."}) for i in numbers
        )
        (tmp_path / name).write_text("\n".join(lines))
        return f"{{path: {name}, count: 3}}"

    heldout, seeds, problems = (
        rows("h.jsonl", range(3)),
        rows("s.jsonl", range(2, 8)),
        rows("p.jsonl", range(20, 25)),
    )
    path = tmp_path / "loop.yaml"
    path.write_text(
        f"policy: embedded\nheldout: {heldout}\nseeds: {seeds}\nproblems: {problems}\n"
        "train: [{objective: sft}]\n"
    )
    loop = load_loop(path)
    out = tmp_path / "out"
    held = write_heldout(loop, out / "heldout.jsonl")
    assert held == {"0 + 0?", "1 + 0?", "2 + 0?"}
    assert write_seeds(loop, out / "seeds.jsonl", held) == {"3 + 0?", "4 + 0?", "5 + 0?"}
    rounds = [write_problems(loop, out / f"{k}.jsonl", k, held | {"21 + 0?"}, set()) for k in (1, 2)]
    assert rounds == [{"20 + 0?", "22 + 0?", "23 + 0?"}, {"24 + 0?", "20 + 0?", "22 + 0?"}]
