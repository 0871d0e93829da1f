"""`cotmill solve`: a question, thought about aloud."""

import json

import pytest
from conftest import Cotmill
from cotmill.pipelines.solve import acts_of

QUESTION = (
    "Ann starts with 7 pens. Ann gets 4 from a friend. Ann sells 2. What is the number of pens in the end?"
)
SEARCH = ("--policy", "embedded", "--prm", "embedded", "--set", "simulations=4", "--set", "candidates=2")


def test_a_search_shows_acts_summary_and_answer(cotmill: Cotmill) -> None:
    done = cotmill("solve", QUESTION, *SEARCH)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("Answer ") for line in lines)
    assert any(line.startswith("summary  ") for line in lines)
    assert any(line.startswith("answer   ") for line in lines)
    assert "search" in lines[-1]
    assert "thinking" in done.stderr


def test_json_holds_what_was_thought(cotmill: Cotmill) -> None:
    done = cotmill("solve", QUESTION, *SEARCH, "--json")
    found = json.loads(done.stdout)
    assert found["method"] == "search"
    assert found["answer"] in found["text"]
    assert [text for _, text in found["acts"]][-1] in found["text"]
    assert found["acts"][-1][0] == "Answer"
    again = cotmill("solve", QUESTION, *SEARCH, "--json")
    assert json.loads(again.stdout) == found


def test_a_token_budget_ends_the_search_by_its_best_line(cotmill: Cotmill) -> None:
    long, short = (
        json.loads(cotmill("solve", QUESTION, *SEARCH, *budget, "--json").stdout)
        for budget in ((), ("--set", "max_spent=1"))
    )
    assert short["tokens"] < long["tokens"]
    assert short["text"]


def test_without_a_judge_the_most_frequent_answer_is_taken(cotmill: Cotmill) -> None:
    done = cotmill("solve", QUESTION, "--policy", "embedded", "--n", "4", "--json")
    found = json.loads(done.stdout)
    assert (found["method"], found["answer"]) == ("vote", "9")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((" ", "--policy", "embedded"), "is empty"),
        (("q", "--policy", "no/such/folder"), "neither a model folder"),
        (("q", "--policy", "embedded", "--pool", "embedded"), "give --prm"),
        (("q", "--policy", "embedded", "--set", "simulation=2"), "no such setting"),
    ],
)
def test_bad_calls(cotmill: Cotmill, arguments: tuple[str, ...], said: str) -> None:
    done = cotmill("solve", *arguments, HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert said in done.stderr


def test_a_question_beyond_the_context_is_a_failure(cotmill: Cotmill) -> None:
    done = cotmill("solve", "Compute 1 + 1. " * 2000, "--policy", "embedded")
    assert done.returncode == 1
    assert "a prompt of" in done.stderr


def test_acts_of_markup_and_of_text() -> None:
    one = "<Think_Start><ACT_Plan_Start>Add.<ACT_Plan_End>"
    assert acts_of(one) == acts_of(one + "<Think_End>") == [("Plan", "Add.")]
    assert acts_of("<Think_Start>") == []
    assert acts_of("one\n\ntwo") == [("", "one"), ("", "two")]
