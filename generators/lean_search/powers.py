"""Powers that go round modulo m: lemmas about them, each with its proof by induction, and their use."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..lean_reverse.states import Goal
from ..lean_reverse.terms import Infix, Name, Term
from .shapes import Proposal, any_of, facts_of, fresh, inside, literal, objects_of

_MAX_ORBIT = 12


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


def powers(goal: Goal, terms: list[Term], moduli: list[int]) -> Iterator[Proposal]:
    """The powers of a number go round modulo m."""
    said = " ".join(h.type for h in facts_of(goal))
    for whole in terms:
        for power in _powers_in(whole, moduli, {x.name for x in objects_of(goal) if x.type == "Nat"}):
            orbit, b, m, s = power.orbit, power.base, power.modulus, power.slope
            k = fresh(goal, "k")
            if len(orbit) > _MAX_ORBIT or f"∀ ({k} : Nat), {b} ^" in said or f"{b} ^ {k} % {m}" in said:
                continue
            here = f"{b} ^ {power.exponent(k)}"
            cases = any_of([f"{here} % {m} = {r}" for r in orbit])
            grown = f"{power.exponent(f'({k} + 1)')} = {power.exponent(k)} + {s}"
            unfold = (
                f"rw [show {grown} by omega, Nat.pow_add]" if s > 1 or power.offset else "rw [Nat.pow_succ]"
            )
            lemma = (
                f"have {fresh(goal, 'hp')} : ∀ {k} : Nat, {cases} := by\n  intro {k}\n  induction {k} with\n"
                f"  | zero => decide\n  | succ {k} ih =>\n    {unfold}\n    omega"
            )
            yield Proposal(lemma, 5)
            yield from _period(goal, power, k)
    yield from _by_period(goal, said)


def _by_period(goal: Goal, said: str) -> Iterator[Proposal]:
    """From a period to a variable's remainder, and from that to the goal, case after case."""
    for h in facts_of(goal):
        if found := re.match(r"∀ \(j r : Nat\), (\d+) \^ \((\d+) \* j \+ r\) % (\d+) =", h.type):
            b, period, m = found.groups()
            for v in objects_of(goal):
                power_of = f"{b} ^ {v.name} % {m} = {b} ^ ({v.name} % {period}) % {m}"
                if v.type == "Nat" and power_of not in said:
                    proof = f"rw [← {h.name} ({v.name} / {period}) ({v.name} % {period}), Nat.div_add_mod]"
                    yield Proposal(f"have {fresh(goal, 'hx')} : {power_of} := by\n  {proof}", 25)
        if found := re.match(r"\d+ \^ (\S+) % \d+ = \d+ \^ \(\1 % (\d+)\) % \d+$", h.type):
            x, p = found[1], int(found[2])
            hr = fresh(goal, "hr")
            split = f"have {hr} : {any_of([f'{x} % {p} = {i}' for i in range(p)])} := by\n  omega"
            if f"{x} % {p} = 0" not in said:
                yield Proposal(split, 25)
            for known in facts_of(goal):
                if known.type.startswith(f"{x} % {p} = 0 ∨"):
                    cases = f"rcases {known.name} with {' | '.join([known.name] * p)}"
                    yield Proposal(f"{cases} <;> simp [{known.name}] at {h.name} <;> omega", 40)


def _period(goal: Goal, power: _Power, k: str) -> Iterator[Proposal]:
    """b^(p j + r) and b^r agree modulo m, where b^p leaves 1."""
    b, m = power.base, power.modulus
    period = next((p for p in range(1, _MAX_ORBIT + 1) if pow(b, p, m) == 1), None)
    if period is None or period < 2 or (power.slope, power.offset) != (1, 0):
        return
    yield Proposal(
        f"have {fresh(goal, 'hc')} : ∀ j r : Nat, {b} ^ ({period} * j + r) % {m} = {b} ^ r % {m} := by\n"
        "  intro j r\n  induction j with\n  | zero => simp\n  | succ j ih =>\n"
        f"    rw [show {period} * (j + 1) + r = {period} * j + r + {period} by omega, Nat.pow_add]\n"
        "    omega",
        3,
    )


def _powers_in(whole: Term, moduli: list[int], variables: set[str]) -> Iterator[_Power]:
    for t in inside(whole):
        if isinstance(t, Infix) and t.operator == "^" and (base := literal(t.left)) is not None:
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
