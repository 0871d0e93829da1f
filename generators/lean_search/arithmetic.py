"""What the numbers of a goal suggest: remainders, powers that go round, small ranges, divisors.

Each proposal states a lemma with its own proof (or uses one), so that Lean checks what is only computed here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

from ..lean_reverse.states import Goal, Hypothesis
from ..lean_reverse.terms import Apply, Binder, Field, Infix, ListOf, Name, Prefix, Term
from .proposals import Proposal, facts_of, fresh, objects_of, read

_MAX_MODULUS, _MAX_RANGE, _MAX_ORBIT, _MAX_DIVIDED, _MAX_DIVISORS = 30, 20, 12, 1000, 30
_REMAINDERS = {
    "Nat": "Nat.dvd_iff_mod_eq_zero, Nat.pow_succ, Nat.mul_mod, Nat.add_mod",
    "Int": "Int.dvd_iff_emod_eq_zero, Int.pow_succ, Int.mul_emod, Int.add_emod, Int.sub_emod",
}


@dataclass(frozen=True, slots=True)
class _Power:
    """`base ^ (slope * name + offset)`, modulo `modulus`."""

    base: int
    name: str
    slope: int
    offset: int
    modulus: int

    def exponent(self, n: str) -> str:
        text = n if self.slope == 1 else f"{self.slope} * {n}"
        return f"({text} + {self.offset})" if self.offset else text if self.slope == 1 else f"({text})"

    @property
    def orbit(self) -> list[int]:
        """The remainders that occur, in the order of their first occurrence."""
        seen: list[int] = []
        x, factor = pow(self.base, self.offset, self.modulus), pow(self.base, self.slope, self.modulus)
        while x not in seen:
            seen.append(x)
            x = x * factor % self.modulus
        return seen


def arithmetic(goal: Goal) -> Iterator[Proposal]:
    """Lemmas and case splits about numbers, for the first goal of a state."""
    terms = [t for text in (goal.target, *(h.type for h in facts_of(goal))) if (t := read(text))]
    moduli = sorted({m for t in terms for m in _moduli(t)})
    yield from _remainders(goal, terms, moduli)
    yield from _by_remainder(goal)
    yield from _powers(goal, terms, moduli)
    yield from _ranges(goal)
    yield from _divisors(goal)


def _inside(term: Term) -> Iterator[Term]:
    """The term and all terms in it."""
    yield term
    parts: tuple[Term, ...] = ()
    match term:
        case Infix(_, left, right):
            parts = (left, right)
        case Prefix(_, operand):
            parts = (operand,)
        case Apply(function, arguments):
            parts = (function, *arguments)
        case Field(subject, _):
            parts = (subject,)
        case Binder(_, _, _, body):
            parts = (body,)
        case ListOf(items):
            parts = items
    for part in parts:
        yield from _inside(part)


def _literal(term: Term) -> int | None:
    return int(term.text) if isinstance(term, Name) and term.text.isdigit() else None


def _moduli(term: Term) -> Iterator[int]:
    for t in _inside(term):
        match t:
            case Infix("%", _, by) | Infix("∣", by, _):
                if (m := _literal(by)) is not None and 2 <= m <= _MAX_MODULUS:
                    yield m


def _names(term: Term) -> set[str]:
    return {t.text for t in _inside(term) if isinstance(t, Name)}


def _nonlinear(terms: list[Term]) -> set[str]:
    """Variables that occur in a product with another one, or under a power."""
    found: set[str] = set()
    for whole in terms:
        for t in _inside(whole):
            match t:
                case Infix("^", base, _):
                    found |= _names(base)
                case Infix("*", left, right) if _literal(left) is None and _literal(right) is None:
                    found |= _names(left) | _names(right)
    return found


def _any_of(cases: list[str]) -> str:
    return " ∨ ".join(cases)


def _remainders(goal: Goal, terms: list[Term], moduli: list[int]) -> Iterator[Proposal]:
    """A variable leaves one of m remainders: worth saying where it stands in a product or a power."""
    nonlinear = _nonlinear(terms)
    for x in objects_of(goal):
        if x.type not in _REMAINDERS or x.name not in nonlinear:
            continue
        for m in moduli:
            if m > 12 or any(f"{x.name} % {m}" in h.type for h in facts_of(goal)):
                continue
            cases = _any_of([f"{x.name} % {m} = {i}" for i in range(m)])
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
                yield Proposal(f"{cases} <;> simp [{rules}]", 8)


def _powers(goal: Goal, terms: list[Term], moduli: list[int]) -> Iterator[Proposal]:
    """The powers of a number go round modulo m."""
    said = " ".join(h.type for h in facts_of(goal))
    for whole in terms:
        for power in _powers_in(whole, moduli, {x.name for x in objects_of(goal) if x.type == "Nat"}):
            orbit, b, m, s = power.orbit, power.base, power.modulus, power.slope
            k = fresh(goal, "k")
            if len(orbit) > _MAX_ORBIT or f"∀ ({k} : Nat), {b} ^" in said or f"{b} ^ {k} % {m}" in said:
                continue
            here, later = f"{b} ^ {power.exponent(k)}", f"{b} ^ {power.exponent(f'({k} + 1)')}"
            cases = _any_of([f"{here} % {m} = {r}" for r in orbit])
            unfold = f"rw [show {later} = {here} * {b**s} by rw [← Nat.pow_add_one, Nat.pow_add]]"
            grown = f"{power.exponent(f'({k} + 1)')} = {power.exponent(k)} + {s}"
            unfold = f"rw [show {grown} by omega, Nat.pow_add]" if s > 1 or power.offset else "rw [Nat.pow_succ]"
            lemma = (
                f"have {fresh(goal, 'hp')} : ∀ {k} : Nat, {cases} := by\n  intro {k}\n  induction {k} with\n"
                f"  | zero => decide\n  | succ {k} ih =>\n    {unfold}\n    omega"
            )
            yield Proposal(lemma, 5)
            yield from _period(goal, power, k)
    for h in facts_of(goal):
        if found := re.match(r"∀ \(j r : Nat\), (\d+) \^ \((\d+) \* j \+ r\) % (\d+) =", h.type):
            b, p, m = found.groups()
            for x in objects_of(goal):
                power_of = f"{b} ^ {x.name} % {m} = {b} ^ ({x.name} % {p}) % {m}"
                if x.type == "Nat" and power_of not in said:
                    proof = f"rw [← {h.name} ({x.name} / {p}) ({x.name} % {p}), Nat.div_add_mod]"
                    yield Proposal(f"have {fresh(goal, 'hx')} : {power_of} := by\n  {proof}", 6)
        if found := re.match(r"\d+ \^ (\S+) % \d+ = \d+ \^ \(\1 % (\d+)\) % \d+$", h.type):
            x, p = found[1], int(found[2])
            hr = fresh(goal, "hr")
            cases = f"rcases {hr} with {' | '.join([hr] * p)}"
            split = f"have {hr} : {_any_of([f'{x} % {p} = {i}' for i in range(p)])} := by\n  omega"
            if f"{x} % {p} = 0" not in said:
                yield Proposal(split, 7)
            for known in facts_of(goal):
                if known.type.startswith(f"{x} % {p} = 0 ∨"):
                    cases = f"rcases {known.name} with {' | '.join([known.name] * p)}"
                    yield Proposal(f"{cases} <;> simp [{known.name}] at {h.name} <;> omega", 9)


def _period(goal: Goal, power: _Power, k: str) -> Iterator[Proposal]:
    """b^(p j + r) and b^r agree modulo m, where b^p leaves 1."""
    b, m = power.base, power.modulus
    period = next((p for p in range(1, _MAX_ORBIT + 1) if pow(b, p, m) == 1), None)
    if period is None or period < 2 or (power.slope, power.offset) != (1, 0):
        return
    yield Proposal(
        f"have {fresh(goal, 'hc')} : ∀ j r : Nat, {b} ^ ({period} * j + r) % {m} = {b} ^ r % {m} := by\n"
        "  intro j r\n  induction j with\n  | zero => simp\n  | succ j ih =>\n"
        f"    rw [show {period} * (j + 1) + r = {period} * j + r + {period} by omega, Nat.pow_add]\n    omega",
        3,
    )


def _powers_in(whole: Term, moduli: list[int], variables: set[str]) -> Iterator[_Power]:
    for t in _inside(whole):
        if isinstance(t, Infix) and t.operator == "^" and (base := _literal(t.left)) is not None:
            linear = _linear(t.right)
            if linear and linear[0] in variables and 1 <= linear[1] <= 6 and linear[2] <= 12:
                yield from (_Power(base, *linear, m) for m in moduli if 2 <= base <= 10**6)


def _linear(term: Term) -> tuple[str, int, int] | None:
    """(name, slope, offset) of `slope * name + offset`."""
    match term:
        case Name(text) if not text.isdigit():
            return text, 1, 0
        case Infix("*", Name(a), Name(b)) if a.isdigit() != b.isdigit():
            return (b, int(a), 0) if a.isdigit() else (a, int(b), 0)
        case Infix("+", left, Name(c)) if c.isdigit():
            inner = _linear(left)
            return (inner[0], inner[1], inner[2] + int(c)) if inner else None
    return None


def _ranges(goal: Goal) -> Iterator[Proposal]:
    """A variable between two numbers near each other is one of few; where no bound is said, omega may find it."""
    for x in objects_of(goal):
        if x.type not in ("Nat", "Int") or any(f"{x.name} = " in h.type and "∨" in h.type for h in facts_of(goal)):
            continue
        low, high = _bounds(goal, x)
        ends = [high] if high is not None else [10, _MAX_RANGE] if x.name in _nonlinear(_all(goal)) else []
        for end in ends:
            if 0 < end - low <= _MAX_RANGE:
                cases = [f"{x.name} = {i}" for i in range(low, end + 1)]
                name = fresh(goal, "hv")
                yield Proposal(f"have {name} : {_any_of(cases)} := by\n  omega", 3 if high is not None else 0.7)
    for h in facts_of(goal):
        cases = h.type.split(" ∨ ")
        if len(cases) > 3 and all(re.fullmatch(r"\S+ = -?\d+", c) for c in cases):
            split = f"rcases {h.name} with {' | '.join(['rfl'] * len(cases))}"
            yield from (Proposal(f"{split} <;> omega", 6), Proposal(f"{split} <;> simp_all <;> omega", 2))


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
                    every = "(by decide +kernel : ∀ k, k < {} → k ∣ {} → {})".format(
                        n + 1, n, _any_of([f"k = {d}" for d in divisors])
                    )
                    term = f"{every} {x} (Nat.lt_succ_of_le (Nat.le_of_dvd (by decide) {h.name})) {h.name}"
                    cases = _any_of([f"{x} = {d}" for d in divisors])
                    yield Proposal(f"have {fresh(goal, 'hv')} : {cases} :=\n  {term}", 7)
