"""Open questions are judged by written criteria, in a file's rows and in a run, by any policy."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Cotmill
from cotmill.pipelines.config import load
from cotmill.pipelines.policies import model_path
from cotmill.pipelines.rubric import rubric_digests
from cotmill.pipelines.verify import verify_file
from cotmill.schemas import BadInput
from cotmill.verifiers.rubric.criteria import Rubric
from cotmill.verifiers.rubric.verifier import RubricVerifier
from doubles import TablePolicy
from model_server import Body, ModelServer, completion, serving

CRITERIA = """# Advice
Pass: 0.6
## Kind
Is it kind?
- 0: unkind
- 1: kind
"""
GOOD, BAD = "I hope that you feel better soon.", "Nobody will ever help you with this."
THOUGHT = f"<ACT_Plan_Start>{GOOD}<ACT_Plan_End>\n<ACT_Answer_Start>rest<ACT_Answer_End><Think_End>"


def vote(prompt: str) -> str:
    """A judge that finds kind what hopes."""
    word = re.findall(r"<verdict (\w+)>", prompt)[-1]
    judged = prompt.rpartition("## Kind")[0] + prompt
    said = GOOD if GOOD in judged else BAD
    return f'<verdict {word}>\nKind | {int(said == GOOD)} | "{said}"\n</verdict {word}>'


def test_rows_are_judged_in_order_and_show_their_evidence(tmp_path: Path) -> None:
    rows = [{"task": "Console me.", "text": GOOD}, {"task": "Console me.", "text": BAD}, {"text": "x"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = RubricVerifier(TablePolicy(lambda prompt, _: [vote(prompt)]), Rubric.parse(CRITERIA))
    counts = verify_file("rubric", tmp_path / "in.jsonl", tmp_path / "out.jsonl", rubric=judge)
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [row["verdict"] for row in out] == ["correct", "wrong", "undecided"]
    assert f'Kind 1: "{GOOD}"' in out[0]["reason"]
    assert counts == {"rows": 3, "correct": 1, "wrong": 1, "undecided": 1}


def test_the_command_says_what_is_missing(cotmill: Cotmill, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"task": "t", "text": "x"}\n')
    done = cotmill("verify", "rubric", tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert (done.returncode, "--rubric" in done.stderr) == (2, True)
    done = cotmill(
        "verify", "rubric", tmp_path / "in.jsonl", tmp_path / "o", "--rubric", "none", "--policy", "embedded"
    )
    assert (done.returncode, "no shipped rubric" in done.stderr) == (2, True)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows = [
        {"question": "Console me.", "cot": f"{BAD}\n\nSo be it.", "answer": "so be it", "domain": "open"},
        {"question": "Compute 2+3.", "cot": "2+3=5", "answer": "5"},
    ]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "advice.md").write_text(CRITERIA)
    file = tmp_path / "run.yaml"
    file.write_text(
        "sources: [{kind: seeds, path: seeds.jsonl}]\n"
        "policy: {server: {url: 'http://localhost:1', model: m, retries: 1}}\n"
        "completion: {rollouts: 2}\nlabels: {rollouts: 2}\n"
        "rubric: {criteria: advice.md, votes: 3}\n"
    )
    return file


def test_a_run_judges_open_questions_by_its_rubric(cotmill: Cotmill, config: Path, tmp_path: Path) -> None:
    def answer(body: Body) -> Body:
        prompt = str(body["prompt"])
        return completion(vote(prompt) if "<verdict" in prompt else THOUGHT)

    with serving(ModelServer(answer)) as server:
        done = cotmill(
            *("run", config, "--out", tmp_path / "run", "--set", f"policy.server.url={server.url}"),
            *("--set", f"policy.server.tokenizer={model_path('embedded', Path())}"),
        )
    assert done.returncode == 0, done.stderr
    rows = [
        row
        for file in (tmp_path / "run" / "traces").glob("*.parquet")
        for row in pq.read_table(file).to_pylist()
    ]
    judged = {(row["text"].split("\n")[0], row["outcome"], row["provenance"]["verifier"]) for row in rows}
    assert (GOOD, "correct", "rubric") in judged
    assert {verifier for text, _, verifier in judged if text == "2+3=5"} == {"math"}
    assert all("Kind" in row["evidence"] for row in rows if row["provenance"]["verifier"] == "rubric")


def test_the_criteria_are_part_of_what_decides_a_run(config: Path) -> None:
    settings, base = load(config)
    before = rubric_digests(settings.rubric, base)
    (base / "advice.md").write_text(CRITERIA.replace("0.6", "0.9"))
    assert rubric_digests(settings.rubric, base) != before
    (base / "advice.md").write_text("no criteria")
    with pytest.raises(BadInput):
        rubric_digests(settings.rubric, base)
