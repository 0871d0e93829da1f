"""The final answer of a chain of thought is found where people put it."""

import pytest
from cotmill.verifiers.answers import extract_answer
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{42}.", "42"),
        ("\\boxed{\\frac{1}{2}} and later \\boxed{\\{x : y\\}}", "\\{x : y\\}"),
        ("First \\boxed{1}. But that is wrong. Then \\boxed{2}.", "2"),
        ("the values are \\boxed{-2} and \\boxed{1}.", "-2, 1"),
        ("\\fbox{7}", "7"),
        ("\\boxed 7", "7"),
        ("\\boxed{\\text{(C)}}", "\\text{(C)}"),
        ("\\boxed{unclosed", "unclosed"),
        ("He has 3 + 4 = <<3+4=7>>7 left.\n#### 7", "7"),
        ("#### 1,234", "1,234"),
        ("The answer is 12.", "12"),
        ("The final answer is: $\\frac{3}{4}$. I hope it is correct.", "\\frac{3}{4}"),
        ("Therefore the answer is **18 dollars**.", "18 dollars"),
        ("Answer: B. Because the rest fails.", "B"),
        ("the correct option is (D)", "D"),
        ("The answer is 3.5 because of the half.", "3.5"),
        ("First the answer is 5. Wait, no. The answer is 6.", "6"),
        ("\n\n  x = 5  \n", "x = 5"),
        ("$x^2$", "x^2"),
        ("Adding them gives $2x$, so we get $4x + 1$.", "4x + 1"),
        ("We divide 12 by 4 and so there are 3 apples in each bag.", "3"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("No numbers are here, and that is all there is to say.", None),
        ("", None),
        ("   \n", None),
    ],
)
def test_extraction(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


@given(st.text(alphabet="\\boxed{}#$ answer is:7.\n()[]<|>*", max_size=200))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_text_is_taken(text: str) -> None:
    found = extract_answer(text)
    assert found is None or found.strip()


@given(st.integers(), st.text(alphabet="abc def,.\n", max_size=80))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_box_is_found_behind_any_prose(n: int, prose: str) -> None:
    assert extract_answer(f"{prose} \\boxed{{{n}}} {prose}") == str(n)


def test_long_texts_take_linear_time() -> None:
    """A megabyte of what the patterns look for; a quadratic search would not end."""
    for piece in ("\\boxed{", "the answer is ", "$", "\\[", "#### ", "1,", "(A) ", "**", "{"):
        extract_answer(piece * (1_000_000 // len(piece)))
