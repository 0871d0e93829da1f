"""A policy as tagger: what is read of its replies, and who tags where it says nothing."""

from collections.abc import Callable
from string import Template

import pytest
from cotmill.labelers.policy_tagger import PolicyTagger, read_acts
from cotmill.labelers.tagger import Tagger
from cotmill.models.policy import Sample
from cotmill.schemas import Inventory
from doubles import TablePolicy

INVENTORY = Inventory.load()
TEXT = "First I add them.\n\n3 + 4 = 8.\n\nWait, that is wrong.\n\nThe answer is 7."


def tagger(says: Callable[[str], list[str | Sample]], votes: int = 1) -> tuple[PolicyTagger, TablePolicy]:
    """One that answers with its word put in."""

    def reply(question: str, prefix: str) -> list[str | Sample]:
        word = question.partition("|")[0]
        return [s.replace("WORD", word) if isinstance(s, str) else s for s in says(question)]

    policy = TablePolicy(reply)
    template = Template("$word|$acts|$pieces")
    return PolicyTagger(policy, INVENTORY, Tagger.load(), template, votes=votes), policy


def block(*lines: str) -> str:
    return "<acts WORD>\n" + "\n".join(lines) + "\n</acts WORD>"


def test_the_policys_acts_are_taken() -> None:
    one, policy = tagger(lambda q: [block("1 Recall", "2 Estimate", "3 Compare", "4 Propose")])
    assert [s.act for s in one.tag(TEXT)] == ["Recall", "Estimate", "Compare", "Propose"]
    assert {s.score for s in one.tag(TEXT)} == {1.0}
    shown = policy.requests[0].prompt
    assert "2. 3 + 4 = 8." in shown
    assert "- DetectError: " in shown


def test_spans_lie_as_the_learned_taggers_units_do() -> None:
    one, _ = tagger(lambda q: ["nothing"])
    assert one.tag(TEXT) == Tagger.load().tag(TEXT)
    assert one.tag("  \n") == ()


def test_votes_are_counted_piece_by_piece() -> None:
    replies: list[str | Sample] = [block("1 Recall"), block("1 Plan"), block("1 Plan", "2 Check"), "?"]
    one, _ = tagger(lambda q: replies, votes=4)
    first, second, *_ = one.tag(TEXT)
    assert (first.act, first.score) == ("Plan", 0.5)
    assert (second.act, second.score) == ("Check", 0.25)


@pytest.mark.parametrize(
    ("reply", "acts"),
    [
        (
            "<acts w>\n1 Plan\n2. detecterror\n 3: Check \n</acts w>",
            {1: "Plan", 2: "DetectError", 3: "Check"},
        ),
        ("<acts w>1 Plan</acts w>", {1: "Plan"}),
        ("<acts w>\n1 Sing\n0 Plan\nPlan\n2 Plan and more\n</acts w>", {}),
        ("<acts w>\n1 Plan\n1 Check\n</acts w>", {1: "Plan"}),
        ("<acts w>1 Plan</acts w><acts w>1 Check</acts w>", {}),
        ("<acts other>1 Plan</acts other>", {}),
        ("", {}),
    ],
)
def test_what_is_read_of_a_reply(reply: str, acts: dict[int, str]) -> None:
    assert dict(read_acts(reply, "w", INVENTORY)) == acts


def test_a_long_text_is_shown_in_parts() -> None:
    text = "\n\n".join(f"{i} + 1 = {i + 1}." for i in range(95))
    one, policy = tagger(lambda q: [block("1 Recall")])
    acts = [s.act for s in one.tag(text)]
    assert len(policy.requests) == 3
    assert [i for i, act in enumerate(acts) if act == "Recall"] == [0, 40, 80]
    assert len({r.key for r in policy.requests}) == 3
