"""Duplicates, evaluation problems, difficulty: what is found, what is kept, and that a run obeys."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cotmill.pipelines.browse import Run
from cotmill.pipelines.check import check
from cotmill.pipelines.config import Config
from cotmill.pipelines.hygiene import (
    Evaluation,
    HygieneSettings,
    contaminated,
    duplicates,
    outside,
    repeated,
    sign,
    solve_rate,
    words,
)
from cotmill.pipelines.run import run
from cotmill.schemas import (
    BadInput,
    Domain,
    Generator,
    Method,
    Origin,
    Outcome,
    Provenance,
    Source,
    Step,
    Trace,
    trace_id,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

Cotmill = Callable[..., "subprocess.CompletedProcess[str]"]

NEAR = HygieneSettings(duplicates="near")
EXACT = HygieneSettings(duplicates="exact")
TEXT = (
    "A farmer has 12 hens and buys 30 more at the market. Each hen lays two eggs a day, and he sells "
    "a dozen eggs for three dollars. How much does he earn in a week?"
)
OTHER = "A train leaves at nine and travels for five hours at 80 kilometres an hour. How far does it get?"


def pairs(texts: dict[str, str], settings: HygieneSettings = NEAR) -> list[tuple[str, str]]:
    found = duplicates([sign(k, t, settings) for k, t in texts.items()], settings)
    return [(key, reason) for key, reason, _ in found]


@pytest.mark.parametrize(
    "again",
    [TEXT, TEXT.upper(), TEXT.replace(" ", "\n  "), TEXT.replace("30", "３０")],
    ids=["the same", "case", "white space", "full width digits"],
)
def test_the_same_words_are_a_duplicate(again: str) -> None:
    assert pairs({"a": TEXT, "b": again, "c": OTHER}, EXACT) == [("b", "duplicate")]


def test_a_reworded_text_is_a_near_duplicate_only_where_that_is_asked_for() -> None:
    near = TEXT.replace("farmer", "peasant")
    assert pairs({"a": TEXT, "b": near}) == [("b", "near duplicate")]
    assert pairs({"a": TEXT, "b": near}, EXACT) == []
    [(_, _, match)] = duplicates([sign("a", TEXT, NEAR), sign("b", near, NEAR)], NEAR)
    assert match.startswith("a (similarity 0.")


def test_other_numbers_make_another_text() -> None:
    assert pairs({"a": TEXT, "b": OTHER, "c": OTHER.replace("five", "six").replace("80", "95")}) == []


def test_the_smallest_id_is_kept_whatever_the_order() -> None:
    near = {"c": TEXT, "a": TEXT.replace("hens", "ducks", 1), "b": TEXT, "d": OTHER}
    expected = pairs(near)
    assert {key for key, _ in expected} == {"b", "c"}
    keys = list(near)
    for i in range(6):
        random.Random(i).shuffle(keys)
        assert pairs({k: near[k] for k in keys}) == expected


def test_what_an_earlier_run_holds_is_a_duplicate_of_it() -> None:
    found = duplicates([sign("a", TEXT, NEAR)], NEAR, [("earlier z", sign("z", TEXT, NEAR))])
    assert found == [("a", "duplicate", "earlier z")]


@given(st.lists(st.text(max_size=40), max_size=12))
def test_after_removal_nothing_repeats(texts: list[str]) -> None:
    named = {f"{i:02d}": t for i, t in enumerate(texts)}
    gone = {key for key, _ in pairs(named)}
    left = [words(t) for k, t in named.items() if k not in gone]
    assert len({tuple(w) for w in left}) == len(left)
    assert pairs({k: t for k, t in named.items() if k not in gone}) == []


@given(st.text())
def test_any_text_has_words(text: str) -> None:
    assert words(text) == words(text.upper().lower()) or text.casefold() != text.upper().lower().casefold()


def trace(text: str = "", *, question: str = TEXT, own: bool = False, **given: Any) -> Trace:
    seed = trace_id(question, "", "human")
    return Trace(
        seed_id=seed,
        domain=Domain.MATH,
        question=question,
        text=text,
        generator=Generator.HUMAN if own else Generator.COMPLETION,
        source=Source(name="test"),
        provenance=Provenance(parent_id="" if own else seed),
        **given,
    )


def test_texts_of_a_question_are_compared_and_the_seeds_own_stays() -> None:
    own = trace(own=True)
    first, again = trace("So 42 hens."), trace("so 42  HENS.", outcome=Outcome.WRONG)
    gone = {r.id for r in repeated([own, first, again], EXACT)}
    assert gone == {max(first.trace_id, again.trace_id)}


def test_a_labelled_text_is_kept_before_one_without_labels() -> None:
    plain = [trace(f"So 42 hens{'.' * i}") for i in range(4)]
    step = Step(start=0, end=2, origin=Origin.POLICY, n_rollouts=8, method=Method.ROLLOUTS)
    for i, chosen in enumerate(plain):
        labelled = chosen.model_copy(update={"text": f"so 42 HENS{' ' * i}", "steps": (step,)})
        same = plain[0]
        assert {r.id for r in repeated([labelled, same], EXACT)} == {same.trace_id}


def test_thirteen_words_miss_a_rewording_that_eight_find() -> None:
    reworded = "At a fair, " + TEXT.replace("buys 30 more at the market", "gets 30 more there")
    for n, found in ((13, True), (40, False)):
        evaluation = Evaluation(n)
        evaluation.add(TEXT, "eval.jsonl, line 1")
        assert (evaluation.match(reworded) is not None) == found
    short = "He sells a dozen eggs for three dollars each morning before the sun comes up over the hill."
    eight, thirteen = Evaluation(8), Evaluation(13)
    for evaluation in (eight, thirteen):
        evaluation.add(TEXT, "eval.jsonl, line 1")
    assert thirteen.match(short) is None
    assert eight.match(short) == "eval.jsonl, line 1: 'he sells a dozen eggs for three dollars'"


def test_a_short_problem_counts_whole_and_a_tiny_one_not_at_all() -> None:
    evaluation = Evaluation(13)
    evaluation.add("What is 3 + 4?", "line 1")
    evaluation.add("Why?", "line 2")
    assert evaluation.match("Tell me: what is 3 + 4? Now.") == "line 1: 'what is 3 + 4 ?'"
    assert evaluation.match("What is 3 + 5?") is None
    assert evaluation.match("Why?") is None


def test_a_contaminated_question_takes_everything_with_it_and_a_text_itself_alone() -> None:
    evaluation = Evaluation(8)
    evaluation.add(TEXT, "line 1")
    own = trace(own=True)
    [whole] = contaminated(own, [own, trace("fine")], evaluation)
    assert (whole.whole, whole.reason) == (True, "question of an evaluation file")
    clean, quoting = trace(own=True, question=OTHER), trace(f"Like this: {TEXT}", question=OTHER)
    [one] = contaminated(clean, [clean, quoting], evaluation)
    assert (one.id, one.whole, one.reason) == (quoting.trace_id, False, "text of an evaluation file")


def test_difficulty_is_the_share_of_right_completions_of_the_question() -> None:
    own = trace(own=True)
    some = [
        own,
        trace("a", outcome=Outcome.CORRECT, count=3),
        trace("b", outcome=Outcome.WRONG),
        trace("c", outcome=Outcome.UNDECIDED),
        trace("d", outcome=Outcome.CORRECT, prefix_steps=1),
    ]
    assert solve_rate(some) == 0.75
    assert solve_rate([own]) is None
    assert outside(own, some, (0.2, 0.8)) == []
    [gone] = outside(own, some, (0.2, 0.7))
    assert (gone.reason, gone.match, gone.whole) == ("solved too often", "solve rate 0.75", True)
    assert outside(own, [own], (0.2, 0.7)) == []


@pytest.mark.parametrize("band", [(0.8, 0.2), (-0.1, 0.5), (0.5, 1.5)])
def test_a_band_is_two_shares_in_order(band: tuple[float, float]) -> None:
    with pytest.raises(ValidationError):
        HygieneSettings(solve_rate=band)


def config(path: Path, **hygiene: Any) -> Config:
    return Config.model_validate(
        {
            "policy": {"model": "none"},
            "sources": [{"kind": "seeds", "path": str(path), "roll_out": False}],
            "shards": {"seeds_per_shard": 2},
            "hygiene": hygiene,
        }
    )


def seeds(folder: Path, *questions: str) -> Path:
    path = folder / "seeds.jsonl"
    rows = ({"question": q, "answer": "1", "cot": f"Think of it.\n\nThe answer is {1}."} for q in questions)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def questions(out: Path) -> set[str]:
    return {row["question"] for row in Run(out).draw("traces", n=100)}


def test_a_run_without_duplicates_and_evaluation_problems(tmp_path: Path) -> None:
    evaluation = tmp_path / "eval.jsonl"
    evaluation.write_text(json.dumps({"problem": OTHER}) + "\n")
    path = seeds(tmp_path, TEXT, TEXT.replace("farmer", "peasant"), OTHER, "What is 3 + 4?", "How many legs?")
    out = tmp_path / "out"
    asked = config(path, duplicates="near", evaluation=[str(evaluation)])
    manifest = run(asked, tmp_path, out, workers=1)
    left = questions(out)
    assert len(left) == 3
    assert OTHER not in left
    assert manifest.rows("traces") == 3 == sum(sum(c.values()) for c in manifest.totals.traces.values())
    assert manifest.totals.rejected == {
        "near duplicate of a question": 1,
        "question of an evaluation file": 1,
    }
    lines = "".join(p.read_text() for p in sorted((out / "rejected").glob("hygiene-*.jsonl"))).splitlines()
    reasons = sorted(json.loads(line)["reason"] for line in lines)
    assert reasons[0].startswith("near duplicate of a question: ")
    assert reasons[1].startswith("question of an evaluation file: eval.jsonl, line 1: 'a train leaves")
    assert check(out).ok
    assert "near duplicate of a question" in (out / "README.md").read_text()

    again = tmp_path / "again"
    more = config(
        seeds(tmp_path, TEXT, "Something else entirely, is it?"), duplicates="exact", earlier=[str(out)]
    )
    second = run(more, tmp_path, again, workers=1)
    assert len(questions(again)) == 2 - (TEXT in left)
    assert second.config["hygiene.earlier"].startswith("out ")


def test_an_evaluation_file_without_problems_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        run(config(seeds(tmp_path, TEXT), evaluation=["gone.jsonl"]), tmp_path, tmp_path / "out", workers=1)


def test_killed_while_it_cleans_and_resumed_gives_the_same_bytes(tmp_path: Path, cotmill: Cotmill) -> None:
    farmers = [TEXT.replace("farmer", f"farmer {i}") for i in range(8)]
    path = seeds(tmp_path, *farmers, *(f"What is {i} + {i + 1}?" for i in range(32)))
    asked = tmp_path / "asked.yaml"
    asked.write_text(
        f"policy: {{model: none}}\nsources: [{{kind: seeds, path: {path}, roll_out: false}}]\n"
        "shards: {seeds_per_shard: 1}\nhygiene: {duplicates: near}\n"
    )
    command = ("run", asked, "--workers", 1, "--out")
    assert cotmill(*command, tmp_path / "whole").returncode == 0
    out = tmp_path / "killed"
    for cleaned in (1, 12):
        killed = subprocess.Popen(
            [sys.executable, "-m", "cotmill.pipelines.cli", *map(str, (*command, out))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while killed.poll() is None and len(list((out / ".work" / "done").glob("clean-*"))) < cleaned:
            time.sleep(0.002)
        assert killed.poll() is None, "the run ended first"
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        assert not (out / "manifest.json").exists()
    assert cotmill(*command, out).returncode == 0
    whole, resumed = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (tmp_path / "whole", out)
    )
    assert any(p.parent.name == "rejected" for p in whole)
    assert resumed == whole
