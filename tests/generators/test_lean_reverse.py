"""Lean proofs reversed: every shipped theorem gives a faithful trace, and falsehoods are caught."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from cotmill.generators.lean_reverse import LeanSeed, read_lean_row, reverse, unfaithful
from cotmill.generators.rejected import Rejected
from cotmill.schemas import BadInput, Inventory, Method, Outcome, Source, Trace, markup

ROWS = json.loads((files("cotmill.data") / "lean" / "traces.json").read_text(encoding="utf-8"))
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def seed_of(row: dict, number: int = 1) -> LeanSeed:
    return read_lean_row(row, Source(name="traces.json", row=number, licence="Apache-2.0"))


def trace_of(row: dict, run_seed: int = 0) -> Trace:
    trace = reverse(seed_of(row), run_seed=run_seed)
    assert isinstance(trace, Trace), trace
    return trace


def named(name: str) -> dict:
    return next(r for r in ROWS if r["full_name"] == name)


def test_every_shipped_theorem_gives_a_faithful_trace():
    for row in ROWS:
        for run_seed in range(3):
            assert unfaithful(trace_of(row, run_seed), seed_of(row)) == []


def test_theorems_and_traces_are_the_same_list():
    lines = (files("cotmill.data") / "lean" / "theorems.jsonl").read_text(encoding="utf-8").split("\n")
    theorems = [json.loads(line) for line in lines if line]
    keys = ("statement", "proof", "informal", "level")
    assert [[t["name"], *(t[k] for k in keys)] for t in theorems] == [
        [r["full_name"], *(r[k] for k in keys)] for r in ROWS
    ]
    assert len({t["name"] for t in theorems}) >= 120


def test_acts_tile_the_text_and_are_of_the_inventory():
    names = set(Inventory.load().names)
    for row in ROWS:
        trace = trace_of(row)
        assert {a.act for a in trace.acts} <= names
        assert markup.parse(markup.render(trace.text, trace.acts)) == (trace.text, trace.acts)


def test_no_sentence_is_badly_spaced():
    for row in ROWS:
        for run_seed in range(4):
            text = trace_of(row, run_seed).text
            prose = re.sub(r"```.*?```|`[^`]*`", "X", text, flags=re.DOTALL)
            assert not re.search(r"^ |\S  | $| [.,;:](?!:)|\.\.", prose, re.MULTILINE), prose


def test_the_same_key_gives_the_same_trace_and_another_key_another():
    row = named("even_or_odd")
    assert trace_of(row, 7) == trace_of(row, 7)
    assert len({trace_of(row, seed).text for seed in range(20)}) == 20


def test_a_trace_is_its_own_seed():
    trace = trace_of(ROWS[0])
    assert trace.seed_id == trace.trace_id


def test_a_refused_attempt_is_a_wrong_step_and_what_follows_is_right_again():
    trace = trace_of(named("triangular_double"))
    wrong = [i for i, s in enumerate(trace.steps) if s.n_correct == 0]
    assert len(wrong) == 1
    assert all(s.method is Method.PROOF and s.n_rollouts == 1 for s in trace.steps)
    acts = [[a.act for a in trace.acts if s.start <= a.start < s.end] for s in trace.steps]
    assert acts[wrong[0]] == ["Propose"]
    assert acts[wrong[0] + 1] == ["DetectError", "Backtrack"]


def test_only_a_recorded_check_makes_a_trace_correct():
    row = named("and_swap")
    assert trace_of(row).outcome is Outcome.CORRECT
    unchecked = trace_of({k: v for k, v in row.items() if k != "check"})
    assert unchecked.outcome is Outcome.UNDECIDED
    assert unchecked.evidence == "recorded trace, not replayed"
    assert "accepts" not in unchecked.text
    cheating = trace_of(row | {"check": {"lean": "4.28.0", "axioms": ["sorryAx"]}})
    assert cheating.outcome is Outcome.UNDECIDED


def test_leandojo_rows_need_no_more_than_their_traced_tactics():
    row = {"full_name": named("iff_symm_of")["full_name"]}
    row["traced_tactics"] = named("iff_symm_of")["traced_tactics"]
    trace = trace_of(row | {"url": "…", "commit": "…", "file_path": "A.lean"})
    assert trace.domain == "lean"
    assert unfaithful(trace, seed_of(row)) == []


def test_a_statement_without_states_is_rejected_with_that_reason():
    rejected = reverse(seed_of({"statement": "theorem t : 1 = 1 := by"}, 9), run_seed=0)
    assert rejected == Rejected("no recorded tactic states, and no Lean backend to make them", 9)


def test_a_record_that_breaks_off_is_rejected():
    row = named("even_add_even")
    rejected = reverse(seed_of(row | {"traced_tactics": row["traced_tactics"][:-1]}), run_seed=0)
    assert isinstance(rejected, Rejected)
    assert "open" in rejected.reason


@pytest.mark.parametrize("state", ["nonsense", "⊢ a\n⊢ b", "h : ⊢ p\nq", "x y", "\n\n⊢", "case\n"])
def test_unreadable_states_are_rejected(state):
    row = {
        "full_name": "t",
        "traced_tactics": [{"tactic": "simp", "state_before": state, "state_after": "p"}],
    }
    assert isinstance(reverse(seed_of(row), run_seed=0), Rejected)


def test_unknown_notation_stays_between_backquotes():
    before = "s : Finset ℕ\nh : ∑ i ∈ s, f i = 3\n⊢ ∏ i ∈ s, (f i)! = {x | x < 6} ∪ ∅"
    row = {
        "full_name": "t",
        "traced_tactics": [{"tactic": "aesop", "state_before": before, "state_after": "no goals"}],
    }
    text = trace_of(row).text
    assert "`∏ i ∈ s, (f i)! = {x | x < 6} ∪ ∅`" in text
    assert "`∑ i ∈ s, f i = 3`" in text


def test_mathlib_rows_without_states_are_rejected_not_crashed_on():
    path = SHARED / "minif2f_lean4_proofs_67.jsonl"
    if not path.exists():
        pytest.skip("needs ../shared/data beside the project")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert all(isinstance(reverse(seed_of(r, i), run_seed=0), Rejected) for i, r in enumerate(rows, 1))


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({}, "traced_tactics"),
        ({"statement": 3}, "statement"),
        ({"statement": "theorem t : p", "traced_tactics": {}}, "traced_tactics"),
        ({"traced_tactics": [{"tactic": "simp", "state_before": "⊢ p"}]}, "traced_tactics.0.state_after"),
        ({"traced_tactics": ["simp"]}, "traced_tactics.0"),
        ({"statement": "theorem t : p", "check": {"lean": 4}}, "check"),
        ({"statement": "theorem t : p", "premises": ["x"]}, "premises"),
    ],
)
def test_a_bad_row_is_named_by_line_and_field(row, field):
    with pytest.raises(BadInput) as e:
        read_lean_row(row, Source(name="x.jsonl", row=12))
    assert (e.value.line, e.value.field) == (12, field)


def plant(trace: Trace) -> list[Trace]:
    """Falsehoods: each number, relation and variable of the prose changed by itself."""
    answer = trace.acts[-1].start
    swaps = {"=": "≠", "≤": "<", "<": "≤", "and": "or", "or": "and", "mod": "+", "true": "false", "+": "-"}
    planted = []
    for match in re.finditer(
        r"\d+|[=≤<+]|\b(?:and|or|mod|true)\b|\b[a-z]\b|\bh[a-z0-9]\b", trace.text[:answer]
    ):
        old = match.group()
        new = str(int(old) + 1) if old.isdigit() else swaps.get(old, old + "'" if old != "a" else old)
        if new == old:
            continue
        planted.append(_replaced(trace, match.start(), match.end(), new))
    return planted


def _replaced(trace: Trace, start: int, end: int, new: str) -> Trace:
    moved = len(new) - (end - start)

    def shift(span):
        return span.model_copy(
            update={
                "start": span.start + (moved if span.start >= end else 0),
                "end": span.end + (moved if span.end >= end else 0),
            }
        )

    text = trace.text[:start] + new + trace.text[end:]
    return trace.model_copy(
        update={
            "text": text,
            "acts": tuple(map(shift, trace.acts)),
            "steps": tuple(map(shift, trace.steps)),
        }
    )


def test_planted_falsehoods_are_caught():
    caught = total = 0
    for row in ROWS[::4]:
        seed = seed_of(row)
        for false in plant(trace_of(row))[::5]:
            total += 1
            caught += bool(unfaithful(false, seed))
    assert total > 150
    assert caught / total > 0.98


def test_a_trace_of_another_theorem_is_refused():
    assert unfaithful(trace_of(named("and_swap")), seed_of(named("or_swap")))


def test_a_mark_on_the_wrong_step_is_refused():
    trace = trace_of(named("or_swap"))
    steps = tuple(s.model_copy(update={"n_correct": 1}) for s in trace.steps)
    assert unfaithful(trace.model_copy(update={"steps": steps}), seed_of(named("or_swap")))


def traced(*steps: tuple[str, str, str]) -> dict:
    return {
        "full_name": "t",
        "statement": "theorem t : goal",
        "traced_tactics": [
            {"tactic": t, "state_before": before, "state_after": after} for t, before, after in steps
        ],
    }


P = "p q : Prop\nhp : p\nh : p → q\n"
COMBINED = {
    "suffices": traced(
        ("suffices g : p by\n  exact h g", f"{P}⊢ q", f"{P}⊢ p"),
        ("exact h g", f"{P}g : p\n⊢ q", ""),
        ("exact hp", f"{P}⊢ p", ""),
    ),
    "first": traced(
        ("first | exact hp | exact h hp", f"{P}⊢ q", ""),
        ("exact h hp", f"{P}⊢ q", ""),
    ),
    "first with a failed alternative": traced(
        ("first | (left; exact h) | (right; exact hp)", f"{P}⊢ q ∨ p", ""),
        ("(left; exact h)", f"{P}⊢ q ∨ p", f"{P}⊢ q"),
        ("left; exact h", f"{P}⊢ q ∨ p", f"{P}⊢ q"),
        ("left", f"{P}⊢ q ∨ p", f"{P}⊢ q"),
        ("(right; exact hp)", f"{P}⊢ q ∨ p", ""),
        ("right", f"{P}⊢ q ∨ p", f"{P}⊢ p"),
        ("exact hp", f"{P}⊢ p", ""),
    ),
    "repeat": traced(
        ("repeat' constructor", f"{P}⊢ p ∧ p ∧ p", f"{P}⊢ p\n\n{P}⊢ p\n\n{P}⊢ p"),
        ("constructor", f"{P}⊢ p ∧ p ∧ p", f"{P}⊢ p\n\n{P}⊢ p ∧ p"),
        ("constructor", f"{P}⊢ p ∧ p", f"{P}⊢ p\n\n{P}⊢ p"),
        ("all_goals exact hp", f"{P}⊢ p\n\n{P}⊢ p\n\n{P}⊢ p", ""),
    ),
}


@pytest.mark.parametrize("row", COMBINED.values(), ids=COMBINED)
def test_what_tactics_do_that_run_others_is_told_from_the_states_at_worst(row):
    for run_seed in range(4):
        assert unfaithful(trace_of(row, run_seed), seed_of(row)) == []


def test_an_induction_by_another_rule_is_not_told_to_have_a_base_case():
    state = "P : Nat → Prop\nn : Nat\n⊢ P n"
    case = "case ind\nP : Nat → Prop\nn : Nat\nih : ∀ (m : Nat), m < n → P m\n⊢ P n"
    row = traced(
        ("induction n using Nat.strongRecOn with\n| ind n ih => exact f n ih", state, ""),
        ("exact f n ih", case, ""),
    )
    for run_seed in range(8):
        text = trace_of(row, run_seed).text.partition("```")[0]
        assert "base" not in text
        assert "one case to start from" not in text
        assert "(`using`" not in text
