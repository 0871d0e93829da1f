"""Laws of the step checker, over random seeds and random text."""

import re

from cotmill.generators.families import answer_of, check, seed_at
from cotmill.schemas import Seed, split_steps
from hypothesis import assume, given, settings
from hypothesis import strategies as st

SEEDS = [seed_at(31, i, mistake_rate=0.3) for i in range(150)]
CLEAN = [seed_at(37, i, mistake_rate=0.0) for i in range(400)]
LINES = sorted({line for seed in SEEDS for line in seed.text.split("\n")})
indices = st.integers(0, len(CLEAN) - 1)
# A perturbed number may by chance make another true claim about the same problem where no result of its
# own contradicts it. Doubts and summaries refer to what was said before, so that they go wrong with it.
CHANCY, REFERRING = {"Decompose", "Compare"}, {"Uncertain", "Summarize"}


@given(st.sampled_from(SEEDS), st.text(max_size=80))
def test_any_text_is_judged_without_fault(seed: Seed, text: str) -> None:
    truth = check(seed.question, text)
    assert truth is not None
    assert len(truth.right) == len(truth.clean) == len(split_steps(text))


@given(st.text(max_size=80))
def test_any_question_is_read_without_fault(question: str) -> None:
    assert (answer_of(question) is None) == (check(question, "") is None)


@given(st.sampled_from(SEEDS), st.integers(0, 200), st.text("0123456789+-*/()=<>.:, xynTomABis", max_size=6))
def test_any_change_of_a_question_is_read_without_fault(seed: Seed, at: int, inserted: str) -> None:
    at %= len(seed.question)
    answer_of(seed.question[:at] + inserted + seed.question[at:])
    answer_of(seed.question[:at] + inserted + seed.question[at + 1 :])


@given(st.sampled_from(SEEDS), st.lists(st.sampled_from(LINES), max_size=12))
def test_lines_of_other_problems_are_judged_consistently(seed: Seed, lines: list[str]) -> None:
    truth = check(seed.question, "\n".join(lines))
    assert truth is not None
    clean = True
    for right, after in zip(truth.right, truth.clean, strict=True):
        assert right or not after
        clean = after
    assert (truth.first_error is None) == clean
    if truth.first_error is not None:
        assert not truth.right[truth.first_error]
        assert not any(truth.clean[truth.first_error :])


@given(st.sampled_from(SEEDS), st.integers(0, 30))
def test_the_judgement_of_a_step_does_not_look_ahead(seed: Seed, cut: int) -> None:
    lines = seed.text.split("\n")[:cut]
    whole, part = check(seed.question, seed.text), check(seed.question, "\n".join(lines))
    assert whole is not None
    assert part is not None
    assert part.right == whole.right[:cut]
    assert part.clean == whole.clean[:cut]


@settings(max_examples=200)
@given(indices, st.integers(0, 99), st.integers(0, 99), st.integers(-12, 12).filter(bool))
def test_one_wrong_number_is_wrong_exactly_where_it_stands(seed: int, step: int, place: int, by: int) -> None:
    acts, lines = [a.act for a in CLEAN[seed].acts], CLEAN[seed].text.split("\n")
    at = step % len(lines)
    numbers = list(re.finditer("[0-9]+", lines[at]))
    assume(numbers and acts[at] not in CHANCY and REFERRING.isdisjoint(acts))
    number = numbers[-1 if " mod " in lines[at] else place % len(numbers)]
    assume(int(number.group()) + by >= 0)
    spoilt = lines[at][: number.start()] + str(int(number.group()) + by) + lines[at][number.end() :]
    truth = check(CLEAN[seed].question, "\n".join([*lines[:at], spoilt, *lines[at + 1 :]]))
    assert truth is not None
    assert [i for i, right in enumerate(truth.right) if not right] == [at]
    assert not truth.clean[at]
    # A later line that says the same, or works out the same, mends it.
    later = {_claim(side) for line in lines[at + 1 :] for side in (line, line.split("=")[0])}
    if "Check" not in acts[at:] and later.isdisjoint({_claim(lines[at]), _claim(spoilt.split("=")[0])}):
        assert truth.first_error == at


def _claim(line: str) -> tuple[str, ...]:
    """What a line says, whatever the order of its words and numbers."""
    return tuple(sorted(re.findall("[0-9]+|[A-Za-z]{3,}|[-+*/]", re.sub("^(So|Then|Now) ", "", line))))


@given(indices, st.integers(0, 1000), st.text("abc dé", min_size=1, max_size=12))
def test_a_line_of_nonsense_is_wrong_exactly_where_it_stands(seed: int, step: int, nonsense: str) -> None:
    assume(nonsense.strip())
    lines = CLEAN[seed].text.split("\n")
    at = step % (len(lines) + 1)
    truth = check(CLEAN[seed].question, "\n".join([*lines[:at], nonsense.strip(), *lines[at:]]))
    assert truth is not None
    assert [i for i, right in enumerate(truth.right) if not right] == [at]
    assert truth.first_error == at
    assert truth.answer_right


@given(indices)
def test_spaces_and_full_stops_change_nothing(seed: int) -> None:
    question, text = CLEAN[seed].question, CLEAN[seed].text
    spaced = [re.sub(r"(?<=[0-9])([+*=])(?=[0-9])", r" \1 ", x) if "=" in x else x for x in text.split("\n")]
    loose = "\n".join(f" {line} " for line in spaced)
    assert check(question, loose) == check(question, text)
