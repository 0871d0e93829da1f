"""The command line: help at once, one line for every fault, an exit status that a script can trust."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cotmill.pipelines import cli, model_commands, tag
from cotmill.schemas import BadInput, CotmillError, MarkupError

COMMAND = [sys.executable, "-m", "cotmill.pipelines.cli"]
COMMANDS = sorted(
    c.name or c.callback.__name__
    for c in (*cli.app.registered_commands, *model_commands.models.registered_commands)
    if c.callback
)
HEAVY = {
    "accelerate",
    "dask",
    "datasets",
    "distributed",
    "math_verify",
    "pyarrow",
    "safetensors",
    "sympy",
    "tokenizers",
    "torch",
    "transformers",
}
Said = tuple[int, str, str]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Call the command line in this process: (exit status, standard output, standard error)."""

    def run(*args: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["cotmill", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def one_line(err: str) -> str:
    """Standard error, if it is one line as the contract has it."""
    assert re.fullmatch(r"cotmill: [^\n]+\n", err), err
    return err


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["nope"], *([name, "--help"] for name in COMMANDS)], ids=" ".join
)
def test_help_and_usage_errors_import_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys; from cotmill.pipelines.cli import main\n"
        "try: main()\n"
        "finally: print('\\nLOADED', *(m for m in sys.modules if '.' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)
    loaded = done.stdout.rpartition("LOADED ")[2].split()
    assert "typer" in loaded, done.stderr
    assert not HEAVY & set(loaded)


def test_the_contracts_commands_are_there() -> None:
    contract = {"check", "doctor", "evaluate", "evaluate-prm", "inspect", "review", "run", "solve", "tag"}
    assert contract | {"train", "verify"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_of_its_own_options(
    name: str, call: Callable[..., Said]
) -> None:
    code, out, _ = call(name, "--help")
    assert code == 0
    text = " ".join(out.split())
    found = re.search(rf"Example: (cotmill {name}\b.*?) (?:Arguments|Options):", text)
    assert found, text
    options = text.partition("Options:")[2]
    for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", found.group(1)):
        assert re.search(rf"(?<!\S){option}\b", options), option


def test_a_bare_call_shows_the_help(call: Callable[..., Said]) -> None:
    code, _, err = call()
    assert code == 2
    assert "Commands:" in err
    assert all(name in err for name in COMMANDS)


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["nope"], "nope"),
        (["run", "--nope"], "--nope"),
        (["run"], "--out"),
        (["run", "--out"], "--out"),
        (["run", "--out", "x", "--workers", "0"], "--workers"),
        (["run", "--out", "x", "--workers", "two"], "--workers"),
        (["verify", "lead", "a", "b"], "KIND"),
        (["train", "grpo", "--data", "a", "--out", "b"], "OBJECTIVE"),
        (["tag", "only-one"], "OUT.jsonl"),
        (["inspect", "DIR", "--table", "rows"], "--table"),
        (["check"], "DIR"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_a_usage_error_is_one_line_and_status_2(
    args: list[str], what: str, call: Callable[..., Said]
) -> None:
    code, out, err = call(*args)
    assert (code, out) == (2, "")
    assert what in one_line(err)
    assert "--help`" in err


class TestBadInput:
    @pytest.mark.parametrize(
        "args",
        [
            ["check", "absent"],
            ["inspect", "absent"],
            ["review", "absent", "--no-browser"],
            ["tag", "absent", "out.jsonl"],
            ["verify", "math", "absent", "out.jsonl"],
            ["verify", "code", "absent", "out.jsonl"],
            ["run", "absent", "--out", "out"],
            ["train", "prm", "--data", "absent", "--out", "out", "--init", "absent"],
            ["evaluate-prm", "--prm", "absent", "--data", "absent"],
        ],
        ids=" ".join,
    )
    def test_a_missing_file_is_named(
        self, args: list[str], call: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        code, out, err = call(*args)
        assert (code, out) == (2, "")
        assert "absent" in one_line(err)
        assert list(tmp_path.iterdir()) == []

    def test_an_unfinished_run_is_no_run_to_look_at(self, call: Callable[..., Said], tmp_path: Path) -> None:
        for command in ("check", "inspect"):
            code, _, err = call(command, tmp_path)
            assert code == 2
            assert "manifest" in one_line(err)

    @pytest.mark.parametrize(
        ("text", "extra", "said"),
        [
            ("sources: [\n", [], "own.yaml, line 2: not YAML"),
            ("", [], "own.yaml: expected settings"),
            (
                "sources:\n- kind: seeds\n  pth: x\n",
                [],
                "own.yaml, line 2, field 'sources.0.path': Field required",
            ),
            (
                "sources:\n- {kind: families, count: 1}\nsed: 1\n",
                [],
                "own.yaml, line 3, field 'sed': no such setting",
            ),
            ("sources:\n- {kind: families, count: 1}\n", ["--set", "seed=x"], "command line, field 'seed': "),
            ("sources:\n- {kind: families, count: 1}\n", ["--set", "seed"], "field '--set': 'seed' is not"),
            (
                "sources:\n- {kind: families, count: 1}\n",
                ["--source", "x=y"],
                "field '--source': 'x=y' is not",
            ),
            (
                "sources:\n- {kind: seeds, path: no.jsonl}\npolicy: {model: none}\n",
                [],
                "policy.model is none",
            ),
            (
                "sources:\n- {kind: seeds, path: no.jsonl, roll_out: false}\npolicy: {model: none}\n",
                [],
                "no.jsonl: no such file",
            ),
        ],
    )
    def test_a_fault_of_the_configuration_is_named_and_nothing_is_made(
        self, text: str, extra: list[str], said: str, call: Callable[..., Said], tmp_path: Path
    ) -> None:
        (tmp_path / "own.yaml").write_text(text)
        code, out, err = call("run", tmp_path / "own.yaml", "--out", tmp_path / "out", *extra)
        assert (code, out) == (2, "")
        assert said in one_line(err)
        assert not (tmp_path / "out").exists()

    def run_on(self, call: Callable[..., Said], folder: Path, seeds: bytes) -> Said:
        (folder / "seeds.jsonl").write_bytes(seeds)
        (folder / "own.yaml").write_text(
            "sources:\n- {kind: seeds, path: seeds.jsonl, roll_out: false}\npolicy: {model: none}\n"
        )
        return call("run", folder / "own.yaml", "--out", folder / "out")

    def test_too_many_bad_rows_stop_a_run_that_names_the_first_and_keeps_them_all(
        self, call: Callable[..., Said], tmp_path: Path
    ) -> None:
        good = b"".join(b'{"question": "%d?", "answer": "1"}\n' % i for i in range(4))
        code, out, err = self.run_on(
            call, tmp_path, good + b'{"question": "q"}\n{"question": "q", "answer": [1]}\n'
        )
        assert (code, out) == (2, "")
        # The last line is the verdict; before it the rejected rows are told one by one.
        assert "seeds.jsonl, line 5, field 'answer': 2 of 6 rows are bad" in err.splitlines()[-1]
        assert "Traceback" not in err
        rejected = [json.loads(x) for x in (tmp_path / "out" / "rejected" / "sources.jsonl").open()]
        assert [(r["line"], r["field"]) for r in rejected] == [(5, "answer"), (6, "answer")]
        assert not (tmp_path / "out" / "manifest.json").exists()

    @pytest.mark.parametrize(
        "seeds", [b"", b"\n\n", b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe{\0", b"[" * 100_000]
    )
    def test_a_file_that_holds_no_seed_is_refused(
        self, seeds: bytes, call: Callable[..., Said], tmp_path: Path
    ) -> None:
        code, out, err = self.run_on(call, tmp_path, seeds)
        assert (code, out) == (2, "")
        assert "seeds.jsonl" in err.splitlines()[-1]
        assert "Traceback" not in err

    def test_a_refused_run_goes_on_once_its_seeds_are_mended(
        self, call: Callable[..., Said], tmp_path: Path
    ) -> None:
        assert self.run_on(call, tmp_path, b"nothing\n")[0] == 2
        code, _, err = self.run_on(call, tmp_path, b'{"question": "1+1?", "answer": "2", "cot": "1+1=2"}\n')
        assert code == 0, err
        assert not (tmp_path / "out" / "rejected").exists()
        assert call("check", tmp_path / "out")[0] == 0


class TestFaults:
    """What a command raises, and what the shell sees."""

    @pytest.fixture
    def raising(self, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Said]) -> Callable[..., Said]:
        def run(error: BaseException) -> Said:
            def tag_file(*_: Any, **__: Any) -> None:
                raise error

            monkeypatch.setattr(tag, "tag_file", tag_file)
            return call("tag", "in", "out")

        return run

    @pytest.mark.parametrize(
        ("error", "status", "said"),
        [
            (BadInput("is empty", file="a", line=3, field="b"), 2, "a, line 3, field 'b': is empty"),
            (CotmillError("stage label, shard 3: its worker died"), 1, "its worker died"),
            (MarkupError("text outside an act", 7), 1, "text outside an act at character 7"),
            (CotmillError("several\n  lines\tlong"), 1, "several lines long"),
            (OSError(28, "No space left on device", "/data/x"), 1, "/data/x: No space left on device"),
            (PermissionError(13, "Permission denied", "/data/x"), 1, "/data/x: Permission denied"),
            (KeyboardInterrupt(), 130, "interrupted; what is finished is kept"),
        ],
        ids=lambda x: type(x).__name__,
    )
    def test_a_fault_is_one_line_and_a_status(
        self, error: BaseException, status: int, said: str, raising: Callable[..., Said]
    ) -> None:
        code, out, err = raising(error)
        assert (code, out) == (status, "")
        assert said in one_line(err)

    def test_a_fault_of_our_own_is_not_hidden(self, raising: Callable[..., Said]) -> None:
        with pytest.raises(ZeroDivisionError):
            raising(ZeroDivisionError())


def test_ctrl_c_ends_with_130_and_leaves_no_half_file(tmp_path: Path) -> None:
    """The command waits for its input; it is interrupted once it has opened it."""
    os.mkfifo(tmp_path / "in.jsonl")
    run = subprocess.Popen(
        [*COMMAND, "tag", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, which the tests may be, is started deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with open(tmp_path / "in.jsonl", "wb"):
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=120)
    assert run.returncode == 130
    one_line(err)
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "run", "--help"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_the_version_is_that_of_the_package(call: Callable[..., Said]) -> None:
    from importlib.metadata import version

    assert call("--version") == (0, version("cotmill") + "\n", "")


def test_json_is_one_object_on_standard_output(call: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "So 2 + 2 = 4."}\n{"text": 3}\nnothing\n')
    code, out, _ = call("tag", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--json")
    assert code == 0
    assert json.loads(out).items() >= {"rows": 3, "tagged": 1, "errors": 2}.items()
    (tmp_path / "pairs.jsonl").write_text(
        '{"gold": "1/2", "pred": "0.5"}\n{"gold": "1", "pred": "2"}\nnothing\n'
    )
    code, out, _ = call("verify", "math", tmp_path / "pairs.jsonl", tmp_path / "verdicts.jsonl", "--json")
    assert code == 0
    assert json.loads(out) == {"rows": 3, "correct": 1, "wrong": 1, "undecided": 1}
