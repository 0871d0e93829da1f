"""From a question to Lean: only statements that say something are kept, and their proofs serve the seed."""

from collections.abc import Iterator

import pytest
from cotmill.generators.lean_search import TacticSearch, formalise
from cotmill.generators.lean_search.asking import Formalising
from cotmill.generators.lean_search.statements import Statement, known_answer, numbers_in, read_statement
from cotmill.models.policy import Sample
from cotmill.pipelines.invariants import faults
from cotmill.schemas import Domain, Generator, Method, Origin, Outcome, Seed, Source
from cotmill.schemas.tables import search_row, step_rows, trace_row
from cotmill.verifiers.answers import extract_answer
from cotmill.verifiers.lean import EmbeddedLean, LeanLimits, embedded_missing
from doubles import TablePolicy

_missing = embedded_missing()
needs_lean = pytest.mark.skipif(_missing is not None, reason=str(_missing))


@pytest.fixture(scope="module")
def lean() -> Iterator[EmbeddedLean]:
    backend = EmbeddedLean(LeanLimits(cpu_s=30.0, wall_s=300.0))
    backend.warm()
    yield backend
    backend.close()


def asks(question: str, answer: str) -> Seed:
    return Seed(question=question, answer=answer, source=Source(name="asked", row=3))


SUM = asks("What is 3 + 4 * 2?", "11")
LINEAR = asks("If 3x + 2 = 17, what is x?", "5")
AGAIN = asks("Ann has 5 pears, gives 2 away and finds 2. How many has she?", "5")
DIVIDES = asks("Is 91 divisible by 7?", "yes")
PRIME = asks("Does 4 divide 10?", "no")
BELOW = asks("What is 3 - 8?", "-5")


def run(seed: Seed, lean: EmbeddedLean, *statements: str | Sample):
    policy = TablePolicy(lambda *_: statements)
    asked = Formalising(share=1.0, candidates=len(statements))
    return formalise([seed], policy, lean, asked, 0, TacticSearch(budget=40))


@needs_lean
@pytest.mark.parametrize(
    ("seed", "statement"),
    [
        (SUM, "theorem q : 3 + 4 * 2 = 11"),
        (SUM, "```lean\ntheorem total :\n  3 + 4 * 2 = 11 := by sorry\n```"),
        (LINEAR, "theorem q (x : Nat) (h : 3 * x + 2 = 17) : x = 5"),
        (LINEAR, "theorem q : ∀ x : Nat, 3 * x + 2 = 17 → x = 5"),
        (AGAIN, "theorem q : 5 - 2 + 2 = 5"),
        (DIVIDES, "theorem q : 7 ∣ 91"),
        (PRIME, "theorem q : ¬ 4 ∣ 10"),
        (BELOW, "theorem q : (3 : Int) - 8 = -5"),
    ],
)
def test_a_statement_that_is_proved_serves_its_seed(lean, seed, statement):
    done = run(seed, lean, statement)
    assert done.refused == []
    [trace] = done.traces
    assert (trace.seed_id, trace.provenance.parent_id) == (seed.seed_id, seed.seed_id)
    assert (trace.question, trace.answer, trace.reference) == (seed.question, seed.answer, seed.answer)
    assert (trace.outcome, trace.generator) == (Outcome.CORRECT, Generator.LEAN_REVERSE)
    assert (trace.domain, trace.provenance.policy) == (Domain.MATH, "table")
    assert trace.acts[-1].act == "Answer"
    assert extract_answer(trace.text) in (seed.answer, f"{seed.answer}.")
    assert all((s.method, s.n_correct, s.origin) == (Method.PROOF, 1, Origin.PROOF) for s in trace.steps)
    assert "theorem q" in trace.evidence
    assert ":= by" in trace.evidence
    assert faults("traces", trace_row(trace)) == []
    assert [f for row in step_rows(trace) for f in faults("steps", row)] == []
    assert [f for state in done.states for f in faults("search", search_row(state))] == []


@needs_lean
@pytest.mark.parametrize(
    ("seed", "statement", "reason"),
    [
        (SUM, "theorem q : 3 + 4 * 2 = eleven 11", "does not elaborate"),
        (SUM, "theorem q : 3 + 4 * 2 + = 11", "does not elaborate"),
        (SUM, "theorem q : True", "without a number of the question"),
        (SUM, "theorem q (x : Nat) : x = x", "without a number of the question"),
        (SUM, "theorem q : 3 + 4 * 2 = 3 + 4 * 2", "does not name the answer"),
        (SUM, "theorem q : 3 + 4 * 2 = 14", "does not name the answer"),
        (SUM, "theorem q : 3 + 4 + 2 = 11", "whose negation is provable"),
        (SUM, "theorem q : 3 + 4 * 2 = 11 ∨ True", "holds for wrong answers"),
        (SUM, "theorem q : 3 + 4 * 2 ≤ 11", "holds for wrong answers"),
        (SUM, "theorem q : 11 = 11 ∧ 3 + 4 * 2 = 3 + 4 * 2", "holds for wrong answers"),
        (SUM, "theorem q : ∃ n, n = 11 ∧ 3 * 4 * 2 = 24", "holds for wrong answers"),
        (SUM, "theorem q (h : 3 + 4 * 2 = 11) : 3 + 4 * 2 = 11", "among its own hypotheses"),
        (SUM, "theorem q (h : 3 + 4 * 2 = 12) : 3 + 4 * 2 = 11", "negation is provable"),
        (SUM, "theorem q (n : Nat) (h : n < 0) : 3 + 4 * 2 + n = 11", "negation is provable"),
        (SUM, "theorem q : 3 + 4 * 2 = 11 → 3 + 4 * 2 = 11", "both sides|among its own"),
        (LINEAR, "theorem q (x : Nat) (h : 3 * x + 2 = 17) (g : x = 4) : x = 5", "negation is provable"),
        (LINEAR, "theorem q (x : Nat) (h : 3 * x + 2 = 17) (g : x = 5) : x = 5", "among its own"),
        (LINEAR, "theorem q (x : Nat) (h : 3 * x + 2 ≤ 17) : x = 5", "without a proof"),
        (DIVIDES, "theorem q : 91 = 91 ∧ 7 = 7", "holds for other numbers"),
        (DIVIDES, "theorem q : ¬ 7 ∣ 91", "the other way"),
        (DIVIDES, "theorem q : 91 = 91", "without a number"),
        (PRIME, "theorem q : 4 ∣ 10", "the other way"),
        (BELOW, "theorem q : 3 - 8 = 0", "does not name the answer"),
        (asks("How much is a third?", "1/3"), "theorem q : 1 / 3 = 1 / 3", "no whole number"),
        (SUM, "theorem q : 3 + 4 * 2 = 11 := by native_decide theorem r : False", "more than a statement"),
        (SUM, "theorem q : (by exact 3 + 4 * 2 = 11)", "more than a statement"),
        (SUM, "theorem q (h : sorry) : 3 + 4 * 2 = 11", "more than a statement"),
        (SUM, "axiom q : 3 + 4 * 2 = 11", "is no theorem"),
        (SUM, "The theorem is that 3 + 4 * 2 = 11", "is no theorem"),
        (SUM, "", "is no theorem"),
        (SUM, Sample("", 0, "error", error="gone"), "the policy failed"),
    ],
)
def test_what_says_nothing_or_something_else_is_refused_with_that_reason(lean, seed, statement, reason):
    done = run(seed, lean, statement)
    assert done.traces == []
    [(place, why, _)] = done.refused
    assert place == 0
    assert any(part in why for part in reason.split("|")), why


@needs_lean
def test_the_first_statement_that_holds_serves_and_those_before_it_are_counted(lean):
    done = run(SUM, lean, "theorem q : True", "theorem q : 3 + 4 * 2 = 11", "theorem q : 4 * 2 + 3 = 11")
    assert (len(done.traces), len(done.refused), done.sampled) == (1, 1, 3)


def test_the_policy_is_asked_with_the_question_and_its_answer():
    policy = TablePolicy(lambda *_: [""])
    formalise([SUM], policy, None, Formalising(candidates=2), 0)  # type: ignore[arg-type]
    [request] = policy.requests
    assert SUM.question in request.prompt
    assert "Answer: 11" in request.prompt
    assert request.n == 2


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("theorem q : 1 = 1", Statement("", "1 = 1")),
        ("lemma foo_1 (x : Nat) {y : Nat} : x = y := by", Statement("(x : Nat) {y : Nat}", "x = y")),
        ("`theorem q : ∀ x : Nat, x = 1`", Statement("", "∀ x : Nat, x = 1")),
        ("theorem q (f : Nat → Nat) :\n    f 1 = 2", Statement("(f : Nat → Nat)", "f 1 = 2")),
    ],
)
def test_statements_are_read(text, statement):
    assert read_statement(text) == statement


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,200 and 3, 4", {1200, 3, 4}),
        ("x1 h₂ 2.5 a.1", set()),
        ("3x + 2 = 17", {3, 2, 17}),
        ("the 4th of 9", {9}),
        ("$5", {5}),
    ],
)
def test_numbers_are_those_that_stand_by_themselves(text, numbers):
    assert numbers_in(text) == numbers


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ("11", 11),
        ("-3", -3),
        ("1,200", 1200),
        ("$7$.", 7),
        ("Yes", True),
        ("false", False),
        ("1/2", None),
        ("Ann", None),
    ],
)
def test_answers_are_whole_numbers_or_yes_or_no(answer, known):
    assert known_answer(answer) == known


def test_a_number_is_changed_everywhere_or_at_the_last_place():
    statement = Statement("(h : x = 5)", "5 + x15 = 5")
    assert statement.with_number(5, 6) == Statement("(h : x = 6)", "6 + x15 = 6")
    assert statement.with_number(5, 6, last=True) == Statement("(h : x = 5)", "5 + x15 = 6")
    assert statement.with_number(15, 6) is None
