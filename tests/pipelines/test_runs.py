"""Whole runs: the same bytes always, nothing lost or doubled, whatever happens on the way."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

Cotmill = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "cotmill.pipelines.cli"]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def start(configs: Path, out: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "run", str(configs / "tiny.yaml"), "--out", str(out)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts() -> None:
    """A shell's background job, which the tests may be, is started deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(run: "subprocess.Popen[str]", reached: Callable[[], bool]) -> None:
    while run.poll() is None and not reached():
        time.sleep(0.01)
    assert run.poll() is None, f"the run ended first: {run.communicate()}"


def markers(out: Path) -> int:
    return len(list((out / ".work" / "done").glob("*.json")))


def test_one_worker_gives_the_bytes_of_two(
    tiny_run: Path, tmp_path: Path, cotmill: Cotmill, configs: Path
) -> None:
    done = cotmill("run", configs / "tiny.yaml", "--out", tmp_path / "run", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "run") == digests(tiny_run)


def test_killed_twice_and_resumed_gives_the_same_bytes(
    tiny_run: Path, tmp_path: Path, cotmill: Cotmill, configs: Path
) -> None:
    out = tmp_path / "run"
    for reached in (lambda: (out / ".work" / "plan.json").exists(), lambda: markers(out) >= 2):
        run = start(configs, out)
        wait_for(run, reached)
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    done = cotmill("run", configs / "tiny.yaml", "--out", out)
    assert done.returncode == 0, done.stderr
    assert digests(out) == digests(tiny_run)


def test_interrupt_ends_with_130_and_keeps_what_is_finished(
    tiny_run: Path, tmp_path: Path, cotmill: Cotmill, configs: Path
) -> None:
    out = tmp_path / "run"
    run = start(configs, out)
    wait_for(run, lambda: markers(out) >= 1)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "Traceback" not in err
    assert markers(out) >= 1
    assert cotmill("run", configs / "tiny.yaml", "--out", out).returncode == 0
    assert digests(out) == digests(tiny_run)


def test_no_row_stands_twice_and_every_seed_is_a_row(tiny_run: Path) -> None:
    for table, key in (("traces", "trace_id"), ("steps", "step_id"), ("search", "state_id")):
        rows = datasets.load_dataset(str(tiny_run), table)
        ids = [row for split in rows.values() for row in split[key]]
        assert ids, f"{table} is empty"
        assert max(Counter(ids).values()) == 1
    traces = datasets.load_dataset(str(tiny_run), "traces")
    both = {name: set(split["seed_id"]) for name, split in traces.items()}
    assert not both["train"] & both["validation"]
    ids = {i for split in traces.values() for i in split["trace_id"]}
    assert set().union(*both.values()) <= ids


@pytest.mark.parametrize("table", ["traces", "steps", "search"])
def test_streams_the_rows_that_it_loads(tiny_run: Path, table: str) -> None:
    whole = datasets.load_dataset(str(tiny_run), table, split="train")
    stream = datasets.load_dataset(str(tiny_run), table, split="train", streaming=True)
    assert list(stream) == list(whole)


def test_a_folder_made_anew_is_not_read_from_a_cache(tmp_path: Path, cotmill: Cotmill) -> None:
    config = tmp_path / "own.yaml"
    config.write_text("policy: {model: none}\nsources:\n  - {kind: families, count: 5, roll_out: false}\n")
    seen = []
    for seed in (1, 2):
        done = cotmill("run", config, "--out", tmp_path / "run", "--set", f"seed={seed}", "--fresh")
        assert done.returncode == 0, done.stderr
        traces = datasets.load_dataset(str(tmp_path / "run"), "traces")
        seen.append({i for split in traces.values() for i in split["trace_id"]})
    assert len(seen[0]) == len(seen[1]) == 5
    assert not seen[0] & seen[1]


def test_a_finished_run_is_not_made_again(tiny_run: Path, cotmill: Cotmill, configs: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in tiny_run.rglob("*.parquet")}
    assert cotmill("run", configs / "tiny.yaml", "--out", tiny_run).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in tiny_run.rglob("*.parquet")} == before


def test_another_configuration_is_refused_by_name(tiny_run: Path, cotmill: Cotmill, configs: Path) -> None:
    done = cotmill("run", configs / "tiny.yaml", "--out", tiny_run, "--set", "completion.rollouts=3")
    assert done.returncode == 2
    assert "completion.rollouts: there 2, now 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, cotmill: Cotmill, configs: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    for extra in ([], ["--fresh"]):
        done = cotmill("run", configs / "tiny.yaml", "--out", tmp_path, *extra)
        assert done.returncode == 2
        assert "holds no run of cotmill" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_bad_rows_are_named_and_the_good_ones_go_on(tmp_path: Path, cotmill: Cotmill) -> None:
    good = [
        {"question": f"What is {i} plus 1?", "answer": str(i + 1), "cot": f"Answer: {i + 1}"}
        for i in range(30)
    ]
    lines = [json.dumps(row).encode() for row in good]
    lines[3:3] = [b'{"question": "cut off', json.dumps({"question": "No answer?"}).encode()]
    lines[9:9] = [b"\x00\xff\xfe binary", b'{"question": "' + b"x" * (10 << 20) + b'", "answer": "1"}']
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_bytes(b"\n".join(lines) + b"\n")
    config = tmp_path / "own.yaml"
    config.write_text(
        "policy: {model: none}\nmax_rejected: 0.2\n"
        "sources:\n  - {kind: seeds, path: seeds.jsonl, roll_out: false}\n"
    )
    out = tmp_path / "run"
    done = cotmill("run", config, "--out", out)
    assert done.returncode == 0, done.stderr
    rejected = [json.loads(line) for line in (out / "rejected" / "sources.jsonl").open()]
    assert [(r["line"], r["field"]) for r in rejected] == [(4, None), (5, "answer"), (10, None), (11, None)]
    traces = datasets.load_dataset(str(out), "traces")
    assert sum(map(len, traces.values())) == len(good)

    strict = cotmill("run", config, "--out", tmp_path / "other", "--set", "max_rejected=0.05")
    assert strict.returncode == 2
    assert "seeds.jsonl, line 4" in strict.stderr
    assert "Traceback" not in strict.stderr


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_an_empty_or_unreadable_file_is_refused(content: bytes, tmp_path: Path, cotmill: Cotmill) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_bytes(content)
    done = cotmill("run", "--out", tmp_path / "run", "--source", f"seeds={seeds}")
    assert done.returncode == 2
    assert "seeds.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_sandbox_code_rows_are_rejected_with_the_reason(tmp_path: Path, cotmill: Cotmill) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(
        "policy: {model: none}\nsources:\n  - {kind: code, path: 'cotmill:code/programs.jsonl'}\n"
    )
    done = cotmill("run", config, "--out", tmp_path / "run", PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    rejected = [json.loads(line) for p in (tmp_path / "run" / "rejected").iterdir() for line in p.open()]
    assert rejected
    assert all("bubblewrap" in r["reason"] for r in rejected)


def test_the_manifest_names_every_file_and_no_path(tiny_run: Path, cotmill: Cotmill, tmp_path: Path) -> None:
    manifest = (tiny_run / "manifest.json").read_text()
    listed = {s["path"] for s in json.loads(manifest)["shards"]}
    assert listed == {str(p.relative_to(tiny_run)) for p in tiny_run.rglob("*.parquet")}
    assert str(tiny_run.parent) not in manifest
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    assert cotmill("check", copy).returncode == 0
