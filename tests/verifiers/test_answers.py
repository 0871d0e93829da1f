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
        ("The largest is 3^32.", "3^32"),
        ("Then 3^16 < 2^32. So the sum is 2^{10} - 1.", "2^{10} - 1"),
        ("Seven days later, with 1 left.\nIt is Monday.", "Monday"),
        ("The cat belongs to Ada or Quin, since 4 is out. So: Quin.", "Quin"),
        ("Order: D, S, W, I, P", "D, S, W, I, P"),
        ("There are 5 of them.\nCem, Ana, Eli", "Cem, Ana, Eli"),
        ("Probability 61/216.", "61/216"),
        ("July 4", "July 4"),
        ("Last two digits: 78.", "78"),
        ("The bus goes at 9:50.\nHe arrives at 10:05", "10:05"),
        ("The length is 5 cm.", "5 cm"),
        ("The set is {1, 2, 3}.", "{1, 2, 3}"),
        ("A cake takes one cup, and two take two.\nShe needs 3 1/3 cups of flour.", "3 1/3"),
        ("The hats and the coats add up.\nHe pays $20 + $4 = $24 for 3 hats.", "$24"),
        ("That makes 265 * 400 = 106,000 gallons in 10 days.", "106,000"),
        ("150 - 84 = 66 squares are green.", "66"),
        ("Total: 4+8+40=52 years", "52 years"),
        ("x = 5. This is correct.", "5"),
        ("So x = 5.\nCheck: 2 * 5 = 10.", "5"),
        ("So x = 5.\nVerification: correct", "5"),
        ("It is 2/3. <|im_start|>user", "2/3"),
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
    for piece in (
        "\\boxed{",
        "the answer is ",
        "$",
        "\\[",
        "#### ",
        "1,",
        "(A) ",
        "**",
        "{",
        "1 + ",
        "A, ",
        "is 5. ",
        "ab:c ",
    ):
        extract_answer(piece * (1_000_000 // len(piece)))
