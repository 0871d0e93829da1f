"""Lean's notation read into terms and said in English: nothing lost, nothing confused."""

import pytest
from cotmill.generators.lean_reverse.english import quoted, say
from cotmill.generators.lean_reverse.states import BadState, Goal, Hypothesis, parse_state
from cotmill.generators.lean_reverse.terms import (
    Apply,
    Binder,
    Infix,
    Name,
    Prefix,
    Term,
    Unreadable,
    parse_term,
)
from hypothesis import given
from hypothesis import strategies as st

LOCALS = frozenset(["a", "b", "n", "p", "q", "x", "y", "f"])

values = st.recursive(
    st.sampled_from([Name("a"), Name("b"), Name("n"), Name("0"), Name("2")]),
    lambda inner: st.one_of(
        st.builds(Infix, st.sampled_from(["+", "-", "*", "/", "%", "^", "::", "++"]), inner, inner),
        st.builds(lambda t: Apply(Name("f"), (t,)), inner),
        st.builds(Prefix, st.just("-"), inner),
    ),
    max_leaves=5,
)
statements = st.recursive(
    st.one_of(
        st.sampled_from([Name("p"), Name("q")]),
        st.builds(Infix, st.sampled_from(["=", "≠", "<", "≤", "∣", "∈"]), values, values),
    ),
    lambda inner: st.one_of(
        st.builds(Infix, st.sampled_from(["∧", "∨", "→", "↔"]), inner, inner),
        st.builds(Prefix, st.just("¬"), inner),
        st.builds(
            lambda kind, name, type_, body: Binder(kind, (name,), type_, body),
            st.sampled_from(["∀", "∃"]),
            st.sampled_from("xy"),
            st.sampled_from([None, Name("Nat"), Name("Int")]),
            inner,
        ),
    ),
    max_leaves=5,
)


def written(term: Term) -> str:
    """The term in Lean's notation with every bracket there can be."""
    match term:
        case Name(text):
            return text
        case Infix(operator, left, right):
            return f"({written(left)} {operator} {written(right)})"
        case Prefix(operator, operand):
            return f"({operator}{written(operand)})"
        case Apply(function, arguments):
            return f"({written(function)} {' '.join(map(written, arguments))})"
        case Binder(kind, names, type_, body):
            typed = f"({' '.join(names)} : {written(type_)})" if type_ else " ".join(names)
            return f"({kind} {typed}, {written(body)})"
    raise AssertionError(term)


@given(statements)
def test_what_is_written_is_read(term):
    assert parse_term(written(term)) == term


@given(statements, statements)
def test_distinct_statements_are_said_differently(one, other):
    if one != other:
        assert say(written(one), LOCALS) != say(written(other), LOCALS)


@given(st.text(max_size=60))
def test_any_text_is_said_or_quoted(text):
    said = say(text, LOCALS)
    assert said


@pytest.mark.parametrize(
    ("lean", "english"),
    [
        ("p ∧ q → q ∧ p", "if p and q, then q and p"),
        ("(p → q) → p", "if (p implies q), then p"),
        ("∀ (n : Nat), n + 0 = n", "for every natural number n, n + 0 = n"),
        ("∀ (x y : Int), x * y = y * x", "for all integers x and y, x * y = y * x"),
        ("∃ k, n = 2 * k", "there is some k with n = 2 * k"),
        ("¬∃ x, p x", "there is no x with p(x)"),
        ("¬a ∣ b", "a does not divide b"),
        ("n * n % 4 = 0 ∨ n % 4 + 1 = 2", "(n * n) mod 4 = 0 or (n mod 4) + 1 = 2"),
        ("a - (b - n) = a - b - n", "a - (b - n) = a - b - n"),
        ("(x :: xs).length = xs.length + 1", "length(x :: xs) = length(xs) + 1"),
        ("List.map f (x :: xs) = []", "map(f, x :: xs) = []"),
        ("f = fun n => !(f n)", "f = (n ↦ !f(n))"),
    ],
)
def test_mathematics_in_words(lean, english):
    assert say(lean, LOCALS | {"xs"}) == english


@pytest.mark.parametrize(
    "lean",
    [
        "∑ i ∈ s, f i = 3", "{x | x < 6} ⊆ s", "a ≡ b [MOD 5]", "x ∈ Set.Icc 0 1 ∩ t", "a < b < n",
        "(" * 100 + "p" + ")" * 100, "Nat.Prime n ∧ f ⁻¹' s = t", "∀ (s : Finset Nat), p", "⟨a, b⟩ = n",
        "p ∧",
    ],
)  # fmt: skip
def test_unknown_notation_is_quoted_whole(lean):
    assert say(lean, LOCALS) == quoted(lean)


def test_a_long_term_is_refused():
    with pytest.raises(Unreadable):
        parse_term("a + " * 3000 + "a")


def test_states_are_read_as_lean_prints_them():
    state = "case inl.h\np q : Prop\nh : p ∧\n  q\nx : Nat := 5\n⊢ q ∧\n  p\n\ncase inr\n⊢ True"
    assert parse_state(state) == (
        Goal(
            "inl.h",
            (
                Hypothesis("p", "Prop"),
                Hypothesis("q", "Prop"),
                Hypothesis("h", "p ∧ q"),
                Hypothesis("x", "Nat", "5"),
            ),
            "q ∧ p",
        ),
        Goal("inr", (), "True"),
    )
    assert parse_state("no goals") == ()


@pytest.mark.parametrize("state", ["p", "h : p", "⊢ p\n⊢ q", "3 4 5\n⊢ p"])
def test_other_texts_are_no_states(state):
    with pytest.raises(BadState):
        parse_state(state)


@pytest.mark.parametrize("text", ["xs[0] = 1", "xs[n]! = xs[m]!", "(xs ++ ys)[0] = 1", "m[n][n] = 2"])
def test_an_entry_is_not_told_as_a_function_applied_to_a_list(text):
    assert say(text, frozenset({"xs", "ys", "m", "n"})) == f"`{text}`"
    assert say("f [0] = 1", frozenset({"f"})) == "f([0]) = 1"


@pytest.mark.parametrize(("text", "local"), [("xs.length = 3", "length"), ("List.map f xs = xs", "map")])
def test_a_word_that_is_also_a_variables_name_is_not_used_for_something_else(text, local):
    assert "`" not in say(text, frozenset({"xs", "f"}))
    assert "`" in say(text, frozenset({"xs", "f", local}))


@pytest.mark.parametrize(
    ("line", "type_", "value"),
    [
        ("x : Nat := 2", "Nat", "2"),
        ("h : have x := 2;\n  x + x = 4", "have x := 2; x + x = 4", None),
        ("h : f (n := 3) = 2", "f (n := 3) = 2", None),
        ("h : let y := 1;\n  y = 1", "let y := 1; y = 1", None),
        ("letter : Nat := 2", "Nat", "2"),
    ],
)
def test_only_a_local_definition_has_a_value(line, type_, value):
    [goal] = parse_state(f"{line}\n⊢ True")
    assert [(h.type, h.value) for h in goal.hypotheses] == [(type_, value)]
