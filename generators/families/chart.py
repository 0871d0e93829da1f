"""Which equations a problem calls for: its quantities, and the ways in which each follows from others."""

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .expressions import Expr, Num, Op, apply, evaluate

_MAX_TERMS = 6


@dataclass(frozen=True, slots=True)
class Way:
    """The quantity `key` follows as `left sign right` (two other quantities' keys)."""

    sign: str
    left: str
    right: str
    key: str


class Chart:
    """The quantities of one problem. A given number is a quantity that follows from nothing.

    Two quantities may have the same value; a number in somebody's text then stands for either.
    """

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.givens: set[str] = set()
        self.ways: list[Way] = []
        self.root = ""
        self._with_value: defaultdict[int, set[str]] = defaultdict(set)
        self._results: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)

    @classmethod
    def of(cls, tree: Expr) -> "Chart":
        """The chart of an expression; sums and products may be worked out in any order."""
        chart = cls()
        chart.root = chart.enter(tree)
        return chart

    def given(self, value: int) -> str:
        key = str(value)
        self.values[key] = value
        self.givens.add(key)
        self._with_value[value].add(key)
        return key

    def add(self, sign: str, left: str, right: str, key: str = "") -> str:
        """Enter a way; a new quantity is named by `key`, or by how it was first made.

        Raises ValueError where the operation has no whole result.
        """
        value = apply(sign, self.values[left], self.values[right])
        if value is None:
            raise ValueError(f"{left} {sign} {right} has no whole result")
        key = key or f"({left} {sign} {right})"
        if self.values.setdefault(key, value) != value:
            raise ValueError(f"{key} is {self.values[key]} and {value}")
        self._with_value[value].add(key)
        for a, b in ((left, right), (right, left)) if sign in "+*" else ((left, right),):
            self._results[sign, a, b].add(key)
        self.ways.append(Way(sign, left, right, key))
        return key

    def enter(self, tree: Expr) -> str:
        """Enter every quantity of an expression; returns the key of the whole."""
        if isinstance(tree, Num):
            return self.given(tree.value)
        if tree.sign in "+-":
            return self._total([(sign, self.enter(term)) for sign, term in _terms(tree)])
        if tree.sign == "*":
            return self._total([("*", self.enter(factor)) for factor in _factors(tree)])
        return self.add(tree.sign, self.enter(tree.left), self.enter(tree.right))

    def _total(self, terms: Sequence[tuple[str, str]]) -> str:
        """Every partial sum (or product) of the terms, and every way to join two of them."""
        if len(terms) > _MAX_TERMS:
            head = self._total(terms[:_MAX_TERMS])
            return self._total([("*" if terms[0][0] == "*" else "+", head), *terms[_MAX_TERMS:]])
        made: dict[int, tuple[str, str]] = {1 << i: term for i, term in enumerate(terms)}
        masks = sorted(range(1, 1 << len(terms)), key=int.bit_count)
        for mask in masks[len(terms) :]:
            names = sorted(sign + key for i, (sign, key) in enumerate(terms) if mask >> i & 1)
            name = "{" + " ".join(names) + "}"
            for one, two in _halves(mask):
                (sign1, key1), (sign2, key2) = made[one], made[two]
                if sign1 == sign2:
                    self.add("*" if sign1 == "*" else "+", key1, key2, name)
                    made[mask] = (sign1, name)
                else:
                    plus, minus = (key1, key2) if sign1 == "+" else (key2, key1)
                    self.add("-", plus, minus, name)
                    made[mask] = ("+", name)
        return made[masks[-1]][1]

    def denotes(self, expr: Expr, among: Container[str] | None = None) -> frozenset[str]:
        """The quantities that an expression over true values may stand for; empty if it is not called for.

        `among` bounds the quantities that its numbers may stand for.
        """
        if isinstance(expr, Num):
            keys = self._with_value.get(expr.value, set())
            return frozenset(keys if among is None else (key for key in keys if key in among))
        found: set[str] = set()
        for left in self.denotes(expr.left, among):
            for right in self.denotes(expr.right, among):
                found |= self._results.get((expr.sign, left, right), set())
        return frozenset(found)

    def nearest(self, expr: Op, held: Mapping[str, int]) -> tuple[str, bool] | None:
        """The quantity that a wrong expression was most likely meant for, and whether that is certain.

        Two of sign and operands must agree; with all three it is certain. An operand agrees with a
        quantity's true value, or with the wrong one held for it. Quantities not yet stated come first.
        """
        left, right = evaluate(expr.left), evaluate(expr.right)

        def agrees(number: int | None, key: str) -> bool:
            return number is not None and number in (self.values[key], held.get(key))

        best, best_rank = None, (1, False)
        for way in self.ways:
            straight = agrees(left, way.left) + agrees(right, way.right)
            crossed = agrees(left, way.right) + agrees(right, way.left) if way.sign in "+*" else 0
            rank = ((way.sign == expr.sign) + max(straight, crossed), way.key not in held)
            if rank[0] > 1 and rank > best_rank:
                best, best_rank = way.key, rank
        return None if best is None else (best, best_rank[0] == 3)

    def inverses(self, key: str, value: int) -> Iterator[tuple[Op, int]]:
        """How to test `value` for a quantity: expressions, and what each must come to."""
        for way in self.ways:
            if way.key == key:
                yield from inverse(way.sign, self.values[way.left], self.values[way.right], value)


def inverse(sign: str, left: int, right: int, value: int) -> Iterator[tuple[Op, int]]:
    """Tests of `left sign right = value`: expressions, and what each comes to if it holds."""
    v, a, b = Num(value), Num(left), Num(right)
    if sign == "+":
        yield Op("-", v, b), left
        yield Op("-", v, a), right
    elif sign == "-":
        yield Op("+", v, b), left
    elif sign == "*":
        yield from ((Op("/", v, Num(n)), other) for n, other in ((right, left), (left, right)) if n)
    elif sign == "/":
        yield Op("*", v, b), left
    elif left >= right:
        yield Op("+", Op("*", Num(left // right), b), v), left


def _terms(tree: Expr) -> list[tuple[str, Expr]]:
    """The signed terms of a sum; what is taken away as a whole stays whole."""
    if isinstance(tree, Op) and tree.sign == "+":
        return _terms(tree.left) + _terms(tree.right)
    if isinstance(tree, Op) and tree.sign == "-":
        return [*_terms(tree.left), ("-", tree.right)]
    return [("+", tree)]


def _factors(tree: Expr) -> list[Expr]:
    if isinstance(tree, Op) and tree.sign == "*":
        return _factors(tree.left) + _factors(tree.right)
    return [tree]


def _halves(mask: int) -> Iterator[tuple[int, int]]:
    """The ways to split a set of bits in two, each once."""
    part = (mask - 1) & mask
    while part > mask ^ part:
        yield part, mask ^ part
        part = (part - 1) & mask
