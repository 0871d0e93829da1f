"""What holds for every text: a verdict and no exception, the same in both directions, and reflexivity."""

import json
from collections.abc import Iterator

import pytest
from cotmill.schemas import Outcome
from cotmill.verifiers.answers import extract_answer
from cotmill.verifiers.code import CodeVerifier
from cotmill.verifiers.equivalence import compare
from cotmill.verifiers.math import MathVerifier
from cotmill.verifiers.programs import Task, assemble, extract_program
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    with MathVerifier() as made:
        yield made


def _decoded(data: bytes) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [data.decode("utf-8", "surrogateescape"), data.decode("utf-8", "replace"), data.decode("latin-1")]
    )


any_text = st.one_of(st.text(alphabet=st.characters(), max_size=60), st.binary(max_size=60).flatmap(_decoded))
_atoms = st.one_of(
    st.integers(-999, 999).map(str),
    st.decimals(-99, 99, places=3).map(lambda d: f"{d:f}"),
    st.sampled_from(["x", "y", "\\pi", "n", "\\sqrt{2}", "\\frac{3}{4}", "0.\\overline{3}", "2i"]),
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " - ", " \\cdot ", "/"]), inner).map(
            lambda t: f"\\left({t[0]}\\right){t[1]}\\left({t[2]}\\right)"
        ),
        st.tuples(inner, inner).map(lambda t: f"\\frac{{{t[0]}}}{{{t[1]}}}"),
        inner.map(lambda t: f"\\sqrt{{{t}}}"),
        st.tuples(inner, st.integers(0, 5)).map(lambda t: f"\\left({t[0]}\\right)^{{{t[1]}}}"),
    )


_expressions = st.recursive(_atoms, _grown, max_leaves=5)
answers = st.one_of(
    _expressions,
    st.lists(_expressions, min_size=2, max_size=3).map(", ".join),
    st.lists(_expressions, min_size=2, max_size=3).map(lambda parts: f"({', '.join(parts)})"),
    st.lists(_expressions, min_size=1, max_size=3).map(lambda parts: f"\\{{{', '.join(parts)}\\}}"),
    st.tuples(_expressions, st.sampled_from(["<", "\\le", "="])).map(lambda t: f"x {t[1]} {t[0]}"),
)


@given(any_text, any_text)
@settings(max_examples=150)
def test_mathematics_takes_any_text_in_both_directions(verifier: MathVerifier, a: str, b: str) -> None:
    one, other = verifier.verify(a, b).outcome, verifier.verify(b, a).outcome
    if extract_answer(a) is not None and extract_answer(b) is not None:
        assert one is other
    else:
        assert Outcome.CORRECT not in (one, other)


@given(answers)
@settings(max_examples=150)
def test_an_answer_is_itself_however_it_is_wrapped(verifier: MathVerifier, answer: str) -> None:
    """Wrapped, so that the texts differ and the algebra has to say it; without a value it is undecided."""
    verdict = verifier.verify(f"\\boxed{{{answer}}}", f"\\boxed{{\\displaystyle {answer}}}")
    assert verdict.outcome is not Outcome.WRONG
    if compare(answer, answer)[0] == "same":
        assert verdict.outcome is Outcome.CORRECT


@given(answers, answers)
@settings(max_examples=150)
def test_comparison_is_symmetric(a: str, b: str) -> None:
    assert compare(a, b)[0] == compare(b, a)[0]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_columns = st.sampled_from(
    ["tests", "test", "test_list", "setup", "test_setup_code", "cases", "entry_point", "prompt"]
)
references = st.one_of(any_text, _json.map(json.dumps), st.dictionaries(_columns, _json).map(json.dumps))
_code = st.lists(
    st.sampled_from(["def f(x):\n", "    return x\n", "```python\n", "```", "\n", "(", '"""', "\\"])
    | any_text,
    max_size=6,
).map("".join)


@given(_code, references)
def test_a_row_of_code_is_read_or_refused(text: str, reference: str) -> None:
    try:
        task = Task.read(reference)
    except ValueError:
        return
    program, helpers = assemble(task, extract_program(text))
    assert isinstance(program, str)
    assert isinstance(helpers, str)


@given(_code, references | st.just("assert f(1) == 1"))
@settings(max_examples=12)
def test_code_takes_any_text(text: str, reference: str) -> None:
    assert CodeVerifier(jobs=1).verify(text, reference).outcome in Outcome
