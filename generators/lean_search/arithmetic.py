"""What the numbers of a goal suggest: remainders, powers that go round, small ranges, divisors.

Each proposal states a lemma with its own proof (or uses one), so that Lean checks what is only computed here.
"""

import re
from collections.abc import Iterator
from math import isqrt

from ..lean_reverse.states import Goal, Hypothesis
from ..lean_reverse.terms import Infix, Name, Term
from .powers import powers
from .shapes import Proposal, any_of, facts_of, fresh, inside, literal, objects_of, read

_MAX_MODULUS, _MAX_RANGE, _MAX_DIVIDED, _MAX_DIVISORS = 30, 20, 1000, 30
_REMAINDERS = {
    "Nat": "Nat.dvd_iff_mod_eq_zero, Nat.pow_succ, Nat.mul_mod, Nat.add_mod",
    "Int": "Int.dvd_iff_emod_eq_zero, Int.pow_succ, Int.mul_emod, Int.add_emod, Int.sub_emod",
}


def arithmetic(goal: Goal) -> Iterator[Proposal]:
    """Lemmas and case splits about numbers, for the first goal of a state."""
    terms = [t for text in (goal.target, *(h.type for h in facts_of(goal))) if (t := read(text))]
    moduli = sorted({m for t in terms for m in _moduli(t)})
    yield from _remainders(goal, terms, moduli)
    yield from _by_remainder(goal)
    yield from powers(goal, terms, moduli)
    yield from _ranges(goal)
    yield from _divisors(goal)


def _moduli(term: Term) -> Iterator[int]:
    for t in inside(term):
        match t:
            case Infix("%", _, by) | Infix("∣", by, _):
                if (m := literal(by)) is not None and 2 <= m <= _MAX_MODULUS:
                    yield m


def _names(term: Term) -> set[str]:
    return {t.text for t in inside(term) if isinstance(t, Name)}


def _nonlinear(terms: list[Term]) -> set[str]:
    """Variables that occur in a product with another one, or under a power."""
    found: set[str] = set()
    for whole in terms:
        for t in inside(whole):
            match t:
                case Infix("^", base, _):
                    found |= _names(base)
                case Infix("*", left, right) if literal(left) is None and literal(right) is None:
                    found |= _names(left) | _names(right)
    return found


def _remainders(goal: Goal, terms: list[Term], moduli: list[int]) -> Iterator[Proposal]:
    """A variable leaves one of m remainders: worth saying where it stands in a product or a power."""
    nonlinear = _nonlinear(terms)
    for x in objects_of(goal):
        if x.type not in _REMAINDERS or x.name not in nonlinear:
            continue
        for m in moduli:
            if m > 12 or any(f"{x.name} % {m}" in h.type for h in facts_of(goal)):
                continue
            cases = any_of([f"{x.name} % {m} = {i}" for i in range(m)])
            yield Proposal(f"have {fresh(goal, 'hr')} : {cases} := by\n  omega", 5)


def _by_remainder(goal: Goal) -> Iterator[Proposal]:
    """The goal from known remainders, one case after another."""
    known = [h for h in facts_of(goal) if re.match(r"\S+ % \d+ = \d+", h.type)]
    kinds = {x.type for x in objects_of(goal)} & set(_REMAINDERS)
    for kind in sorted(kinds):
        sure = [h.name for h in known if " ∨ " not in h.type]
        if sure:
            yield Proposal(f"simp [{_REMAINDERS[kind]}, {', '.join(sure)}]", 4)
        for h in known:
            if count := h.type.count(" ∨ "):
                cases = f"rcases {h.name} with {' | '.join([h.name] * (count + 1))}"
                rules = ", ".join([_REMAINDERS[kind], h.name])
                yield Proposal(f"{cases} <;> simp [{rules}]", 25)


def _ranges(goal: Goal) -> Iterator[Proposal]:
    """A variable between two near numbers is one of few; where no bound is said, omega may find one."""
    for x in objects_of(goal):
        if x.type not in ("Nat", "Int") or any(
            f"{x.name} = " in h.type and "∨" in h.type for h in facts_of(goal)
        ):
            continue
        low, high = _bounds(goal, x)
        ends = [high] if high is not None else [10, _MAX_RANGE] if x.name in _nonlinear(_all(goal)) else []
        for end in ends:
            if 0 < end - low <= _MAX_RANGE:
                cases = [f"{x.name} = {i}" for i in range(low, end + 1)]
                name = fresh(goal, "hv")
                yield Proposal(
                    f"have {name} : {any_of(cases)} := by\n  omega", 3 if high is not None else 0.7
                )
    for h in facts_of(goal):
        cases = h.type.split(" ∨ ")
        if len(cases) > 3 and all(re.fullmatch(r"\S+ = -?\d+", c) for c in cases):
            split = f"rcases {h.name} with {' | '.join(['rfl'] * len(cases))}"
            yield from (Proposal(f"{split} <;> omega", 20), Proposal(f"{split} <;> simp_all <;> omega", 2))


def _all(goal: Goal) -> list[Term]:
    return [t for text in (goal.target, *(h.type for h in facts_of(goal))) if (t := read(text))]


def _bounds(goal: Goal, x: Hypothesis) -> tuple[int, int | None]:
    """The bounds that hypotheses say: the lower one 0 where none does."""
    low, high = 0, None
    for h in facts_of(goal):
        for left, relation, right in re.findall(r"(?<![\w.'])(\S+) ([<≤]) ([^\s()]+)", h.type):
            strict = relation == "<"
            if left == x.name and right.isdigit():
                high = min(int(right) - strict, high if high is not None else 10**9)
            elif right == x.name and left.isdigit():
                low = max(int(left) + strict, low)
    return low, high


def _divisors(goal: Goal) -> Iterator[Proposal]:
    """A factor of a number divides it; a divisor of a number is one of a list."""
    said = {h.type for h in facts_of(goal)}
    for h in facts_of(goal):
        match read(h.type):
            case Infix("=", Infix("*", Name(a), Name(b)), Name(c)) if c.isdigit() and not b.isdigit():
                for x in (a, b):
                    if f"{x} ∣ {c}" not in said and not x.isdigit() and int(c) <= _MAX_DIVIDED:
                        way = "Nat.dvd_mul_right" if x == a else "Nat.dvd_mul_left"
                        other = b if x == a else a
                        proof = f"rw [← {h.name}]\n  exact {way} {x} {other}"
                        yield Proposal(f"have {fresh(goal, 'hd')} : {x} ∣ {c} := by\n  {proof}", 3)
            case Infix("∣", Name(x), Name(c)) if c.isdigit() and not x.isdigit() and int(c) <= _MAX_DIVIDED:
                n = int(c)
                divisors = sorted({d for i in range(1, isqrt(n) + 1) if n % i == 0 for d in (i, n // i)})
                if len(divisors) <= _MAX_DIVISORS and not any(f"{x} = 1 ∨" in s for s in said):
                    cases = any_of([f"{x} = {d}" for d in divisors])
                    proof = (
                        f"have hk : ∀ k, k < {n + 1} → k ∣ {n} → k ∈ {divisors} := by\n    decide +kernel\n"
                        f"  have hl : {x} ≤ {n} := Nat.le_of_dvd (Nat.succ_pos {n - 1}) {h.name}\n"
                        f"  simpa using hk {x} (Nat.lt_succ_of_le hl) {h.name}"
                    )
                    yield Proposal(f"have {fresh(goal, 'hv')} : {cases} := by\n  {proof}", 25)
