"""What the step checker makes of texts that no family wrote."""

import pytest
from cotmill.generators.families import StepTruth, answer_of, check

WORD = "Tom has 12 apples. Tom buys 3 boxes of 4. Tom gives away 5. Find the number of apples."
LINEAR = "Solve 5x+3=2x+18."
MODULAR = "What is 23*17+5 mod 7?"
CHAIN = "Compute 4*6+9-5."
SERIES = "Add the first 6 terms of 3, 7, 11, ..."
UNITS = "How many minutes are 2 hours 35 minutes?"
ORDER = "Ann is taller than Ben. Kim is shorter than Ben. Kim is taller than Leo. Who is the second tallest?"
COUNT = "How many of these are true? A: 7+5=13. B: 9<11. C: 8 is even."


def truth(question: str, *lines: str) -> StepTruth:
    result = check(question, "\n".join(lines))
    assert result is not None
    assert len(result.right) == len(result.clean)
    return result


GOOD = [
    (WORD, "3*4=12", "12+12=24", "24-5=19", "The answer is 19."),
    (WORD, "4*3 = 12", "So 12-5=7.", "12+7=19", "Answer: 19"),
    (WORD, "Plan: 12-5+4*3.", "12=3*4", "12+12=24.", "Check: 24-12=12, ok.", "19+5=24, good", "Answer: 19."),
    (WORD, "12+3*4=24", "24-5=19", "Answer: 19."),
    (LINEAR, "5x-2x=18-3", "3x=15", "x=5", "5*5+3=28", "2*5+18=28", "The answer is 5."),
    (LINEAR, "5x=2x+15", "3x-15=0", "15/3=5", "Answer: 5."),
    (MODULAR, "23 mod 7=2", "17 mod 7=3", "2*3=6", "6+5=11", "11 mod 7=4", "Answer: 4."),
    (MODULAR, "17*23=391", "391+5=396", "396 mod 7=4", "Answer: 4."),
    (MODULAR, "23*17=391", "391 mod 7=6", "5+6=11", "11 mod 7=4", "Check: 1*7+4=11, ok.", "Answer: 4."),
    (CHAIN, "9-5=4", "6*4=24", "4+24=28", "Answer: 28."),
    (CHAIN, "24+9-5", "24-5=19", "19+9=28", "Answer: 28."),
    (SERIES, "11-7=4", "Terms: 3, 7, 11, 15, 19, 23", "3+23=26", "6/2=3", "3*26=78", "Answer: 78."),
    (SERIES, "3+7=10", "10+11=21", "11+4=15", "21+15=36", "36+19=55", "55+23=78", "Answer: 78."),
    (UNITS, "One hour is 60 minutes.", "60*2=120", "120+35=155", "So far 155.", "Answer: 155."),
    (ORDER, "Ben>Kim", "Ann>Kim", "Ann>Ben>Kim>Leo", "Answer: Ben."),
    (COUNT, "7+5=12", "A: false", "9<11", "B: true", "C: true", "True: C, B", "So the answer is 2."),
]


@pytest.mark.parametrize("case", GOOD)
def test_right_ways_are_accepted_whoever_took_them(case: tuple[str, ...]) -> None:
    question, *lines = case
    result = truth(question, *lines)
    assert result.right == (True,) * len(lines)
    assert result.clean == result.right
    assert result.first_error is None
    assert result.answer_right


WRONG = [
    (WORD, "3*4=13"),
    (WORD, "12+6=18"),
    (WORD, "24-5=18"),
    (WORD, "Plan: 12+3*4+5."),
    (WORD, "We want the number of coins."),
    (WORD, "Tom has 13 apples at first."),
    (WORD, "3*4=12=12"),
    (WORD, "Check: 25-12=13, ok."),
    (WORD, "So far 7."),
    (WORD, "12"),
    (WORD, "apples apples"),
    (WORD, "First 3*5, then the rest."),
    (LINEAR, "3x=21"),
    (LINEAR, "5x+3=5x+3"),
    (LINEAR, "y=5"),
    (LINEAR, "18+3=21"),
    (MODULAR, "23 mod 5=3"),
    (MODULAR, "23 mod 7=9"),
    (SERIES, "Terms: 3, 7, 12"),
    (UNITS, "One hour is 61 minutes."),
    (UNITS, "2*100=200"),
    (ORDER, "Kim>Ben"),
    (ORDER, "Ann>Leo>Kim"),
    (ORDER, "Ann>Zoe"),
    (ORDER, "Ann>Ann"),
    (COUNT, "A: true"),
    (COUNT, "D: true"),
    (COUNT, "9>11"),
    (COUNT, "True: A, B"),
    (COUNT, "9<14"),
]


@pytest.mark.parametrize(("question", "line"), WRONG)
def test_wrong_steps_are_wrong_and_stay_pending(question: str, line: str) -> None:
    result = truth(question, line, f"Answer: {answer_of(question)}.")
    assert result.right == (False, True)
    assert result.clean == (False, False)
    assert result.first_error == 0
    assert result.answer_right


def test_going_on_from_a_wrong_value_is_wrong() -> None:
    result = truth(WORD, "3*4=14", "12+14=26", "26-5=21", "Answer: 21.")
    assert result.right == (False,) * 4
    assert result.first_error == 0
    assert not result.answer_right


def test_what_came_from_a_wrong_value_must_be_redone() -> None:
    start = ("3*4=14", "12+14=26", "Wait, 3*4=14 is wrong.", "No, 3*4=12.")
    mended = truth(WORD, *start, "Redo: 12+12=24.", "24-5=19", "Answer: 19.")
    assert mended.right == (False, False, True, True, True, True, True)
    assert mended.clean == (False, False, False, False, True, True, True)
    assert mended.first_error is None
    left = truth(WORD, *start, "26-5=21", "Answer: 21.")
    assert left.right == (False, False, True, True, False, False)
    assert left.first_error == 1


def test_the_first_error_is_the_first_that_is_never_mended() -> None:
    result = truth(WORD, "3*4=14", "No, 3*4=12.", "12+12=25", "25-5=20", "Answer: 20.")
    assert result.clean == (False, True, False, False, False)
    assert result.first_error == 2


def test_an_error_may_be_noticed_by_its_value_or_by_a_test() -> None:
    for notice in ("Hmm, 25 is not right.", "Hmm, 25-12=13, not 12.", "Wait, something is off."):
        result = truth(WORD, "3*4=12", "12+12=25", notice, "It should be 12+12=24.")
        assert result.right == (True, False, True, True)
        assert result.clean == (True, False, False, True)


def test_a_doubt_is_no_claim() -> None:
    lines = ("3*4=12", "Hmm, is 3*4=12?", "Yes, 3*4=12.")
    assert truth(WORD, *lines).right == (True, True, True)
    assert truth(WORD, "Not sure about 99.").right == (False,)


def test_a_false_alarm_is_wrong_until_it_is_confirmed() -> None:
    result = truth(WORD, "3*4=12", "Wait, 3*4=12 is wrong.", "Yes, 3*4=12.", "12+12=24")
    assert result.right == (True, False, True, True)
    assert result.clean == (True, False, True, True)
    assert truth(WORD, "3*4=12", "Wait, something is off.", "12+12=24").first_error == 1


def test_noticing_alone_mends_nothing() -> None:
    result = truth(WORD, "3*4=13", "Wait, 3*4=13 is wrong.", "Answer: 19.")
    assert result.right == (False, True, True)
    assert result.first_error == 0


def test_a_correction_that_is_wrong_mends_nothing() -> None:
    result = truth(WORD, "3*4=13", "No, 3*4=14.", "No, 3*4=12.")
    assert result.right == (False, False, True)
    assert result.clean == (False, False, True)


def test_going_back_abandons_what_came_after() -> None:
    result = truth(WORD, "3*4=12", "12+12=24", "24+5=29", "Wait, 24+5=29 is wrong.", "Back to 24.", "24-5=19")
    assert result.right == (True, True, False, True, True, True)
    assert result.clean == (True, True, False, False, True, True)
    for line in ("Start again.", "Back to the start."):
        assert truth(WORD, "3*4=13", "12+13=25", line).clean == (False, False, True)
    assert truth(ORDER, "Ben>Kim", "Kim>Ann", "Back to Ben>Kim.").clean == (True, False, True)


def test_going_back_to_what_was_never_there_is_wrong() -> None:
    assert truth(WORD, "3*4=12", "Back to 77.").right == (True, False)
    assert truth(ORDER, "Back to Leo>Ann.").right == (False,)


def test_going_back_keeps_errors_from_before() -> None:
    result = truth(WORD, "Plan: 12+3*4+5.", "3*4=12", "12+12=24", "24+5=29", "Back to 24.", "24-5=19")
    assert result.first_error == 0


def test_nonsense_is_mended_by_a_correction() -> None:
    result = truth(WORD, "purple", "No, 3*4=12.", "12+12=24")
    assert result.right == (False, True, True)
    assert result.clean == (False, True, True)
    assert truth(WORD, "purple", "3*4=12").first_error == 0


def test_a_guess_at_what_was_meant_is_mended_by_a_correction_only() -> None:
    # 12+13 was meant for 12+3*4, as far as one can tell; the plain step may have been taken anyhow.
    assert truth(WORD, "12+13=25", "12+12=24").first_error == 0
    assert truth(WORD, "12+13=25", "No, 12+12=24.").first_error is None
    assert truth(WORD, "12+13=25", "Wait, 12+13=25 is wrong.", "12+12=24").first_error is None


def test_a_wrong_answer_can_be_taken_back() -> None:
    result = truth(WORD, "3*4=12", "12+12=24", "24-5=19", "Answer: 18.", "No, something", "Answer: 19.")
    assert result.right == (True, True, True, False, False, True)
    assert result.first_error == 4
    assert result.answer_right
    assert not truth(WORD, "Answer: 19.", "Answer: 18.").answer_right


def test_the_last_answer_counts_and_none_is_not_right() -> None:
    assert not truth(WORD, "3*4=12").answer_right
    assert truth(WORD).right == ()
    assert not truth(WORD).answer_right


def test_a_step_of_several_lines_is_right_if_all_are() -> None:
    result = truth(WORD, "3*4=12", "12+12=24", "", "24-5=18", "24-5=19")
    assert result.right == (True, False)


def test_an_answer_is_compared_as_it_is_written() -> None:
    for wrong in (
        "Answer: 119.",
        "Answer: 19 coins and 3.",
        "Answer: -19.",
        "Answer: .",
        "The answer is nineteen.",
    ):
        assert not truth(WORD, wrong).answer_right


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Why is the sky blue?",
        "Solve 2x+3=2x+8.",
        "Solve 2x+3=8.",
        "Solve 5x+3=2y+18.",
        "What is 3*4 mod 0?",
        "Compute 7.",
        "Add the first 6 terms of 3, 7, 12, ...",
        "How many miles are 2 hours 35 minutes?",
        "Ann is taller than Ben. Kim is taller than Ben. Who is the tallest?",
        "Ann is taller than Ben. Ben is taller than Ann. Who is the tallest?",
        "Ann is taller than Ben. Kim is older than Ben. Who is the tallest?",
        "How many of these are true? A: 7 is nice. B: 9<11.",
        "Tom has 12 apples. Ann buys 3 more. Find the number of apples.",
        "Tom has 12 apples. Tom buys some more. Find the number of apples.",
        "Tom has 12 apples. Tom buys 3 more. Find the number of coins.",
        "Tom has 12 apples. Tom shares them equally among 5 friends. How many apples does each friend get?",
    ],
)
def test_other_questions_are_of_no_family(question: str) -> None:
    assert check(question, "Answer: 1.") is None
    assert answer_of(question) is None
