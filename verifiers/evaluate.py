"""The value of a scalar tree at a point: exact rationals as long as they last, then many digits.

Over the reals a root or logarithm of a negative number is undefined, and an odd root of one is real; where
`i` occurs, principal values are taken.
"""

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from math import comb, factorial, gcd, isqrt, lcm
from typing import Any

import mpmath

from .nodes import Node

Value = Any  # Fraction, or mpmath's mpf or mpc

MAX_BITS = 40_000
MAX_FACTORIAL = 2_000


class Undefined(ArithmeticError):
    """No value at this point (division by zero, a logarithm of zero, outside the reals)."""


class TooLarge(ArithmeticError):
    """A value beyond the bounds of this evaluation."""


@lru_cache(maxsize=64)
def _context(digits: int) -> Any:
    context = mpmath.mp.clone()
    context.dps = digits
    return context


class Evaluator:
    """Values at one point and one precision. `spread` is the largest binary exponent met on the way."""

    def __init__(
        self, point: Mapping[str, Fraction], digits: int, *, is_complex: bool = False, log_base: int = 0
    ) -> None:
        self.point, self.is_complex, self.log_base = point, is_complex, log_base
        self.mp = _context(digits)
        self.spread = 0

    def __call__(self, node: Node) -> Value:
        """Raises Undefined or TooLarge."""
        try:
            value = self._value(node)
        except (ZeroDivisionError, ValueError) as e:
            raise Undefined(node.op) from e
        except OverflowError as e:
            raise TooLarge(node.op) from e
        return value

    def _value(self, node: Node) -> Value:
        value = self._compute(node)
        if isinstance(value, Fraction):
            size = value.numerator.bit_length() - value.denominator.bit_length()
            if value.numerator.bit_length() + value.denominator.bit_length() > MAX_BITS:
                raise TooLarge(node.op)
        else:
            if self.mp.isnan(value) or self.mp.isinf(value):
                raise Undefined(node.op)
            magnitude = self.mp.mag(value)
            size = int(magnitude) if magnitude == magnitude and abs(magnitude) != self.mp.inf else 0
        self.spread = max(self.spread, abs(size))
        return value

    def _compute(self, node: Node) -> Value:
        op, args = node.op, node.args
        if op == "num":
            return node.value
        if op == "add":
            total: Value = Fraction(0)
            for arg in args:
                total = self.join(total, self._value(arg), "add")
            return total
        if op == "mul":
            product: Value = Fraction(1)
            for arg in args:
                product = self.join(product, self._value(arg), "mul")
            return product
        if op == "pow":
            return self._power(self._value(args[0]), self._value(args[1]))
        if op == "sym":
            return self.point[str(node.value)]
        if op == "const":
            return self._constant(str(node.value))
        if op == "percent":
            return self.join(self._value(args[0]), Fraction(1, 100), "mul")
        if op == "degree":
            return self.join(self._value(args[0]), self.mp.pi / 180, "mul")
        if op in ("based", "unit"):
            return self._value(args[0])
        if op == "fn":
            return self._function(str(node.value), args)
        raise Undefined(op)

    def real(self, value: Value) -> Value:
        """As a number of the working precision."""
        if isinstance(value, Fraction):
            return self.mp.mpf(value.numerator) / value.denominator
        return value

    def join(self, a: Value, b: Value, how: str) -> Value:
        if not (isinstance(a, Fraction) and isinstance(b, Fraction)):
            if how == "mul" and (a == 0 or b == 0):
                return Fraction(0)
            a, b = self.real(a), self.real(b)
        return a + b if how == "add" else a * b

    def _constant(self, name: str) -> Value:
        if name == "pi":
            return +self.mp.pi
        if name == "e":
            return +self.mp.e
        if name == "i":
            return self.mp.mpc(0, 1)
        raise Undefined(name)

    def _power(self, base: Value, exponent: Value) -> Value:
        if isinstance(exponent, Fraction):
            if exponent.denominator == 1:
                return self._whole_power(base, exponent.numerator)
            if isinstance(base, Fraction) and (exact := _exact_root(base, exponent.denominator)) is not None:
                return self._whole_power(exact, exponent.numerator)
            if not self.is_complex and base < 0:
                if exponent.denominator % 2 == 0:
                    raise Undefined("pow")
                root = self.mp.power(-self.real(base), self.real(exponent))
                return -root if exponent.numerator % 2 else root
        elif not self.is_complex and base < 0:
            raise Undefined("pow")
        if base == 0:
            if self.real(exponent).real <= 0:
                raise Undefined("pow")
            return Fraction(0)
        self._bound_exponent(base, exponent)
        return self.mp.power(self.real(base), self.real(exponent))

    def _whole_power(self, base: Value, exponent: int) -> Value:
        if base == 0 and exponent <= 0:
            if exponent == 0:
                return Fraction(1)
            raise Undefined("pow")
        if isinstance(base, Fraction):
            bits = max(base.numerator.bit_length(), base.denominator.bit_length())
            if bits <= 1 or bits * abs(exponent) <= MAX_BITS:
                return base**exponent if bits > 1 else Fraction(1 if exponent % 2 == 0 else base)
        self._bound_exponent(base, Fraction(exponent))
        return self.mp.power(self.real(base), exponent)

    def _bound_exponent(self, base: Value, exponent: Value) -> None:
        size = abs(self.mp.log(abs(self.real(base)))) * abs(self.real(exponent))
        if size > MAX_BITS:
            raise TooLarge("pow")

    def _function(self, name: str, args: tuple[Node, ...]) -> Value:
        if name == "det":
            return self._determinant(args[0])
        values = [self._value(arg) for arg in args]
        x = values[0]
        if name == "abs":
            return abs(x)
        if name == "root":
            order = values[1]
            if not isinstance(order, Fraction) or order.denominator != 1 or order <= 0:
                raise Undefined(name)
            return self._power(x, Fraction(1, order.numerator))
        if name == "factorial":
            return self._factorial(x)
        if name == "binom":
            n, k = values
            whole = all(isinstance(v, Fraction) and v.denominator == 1 for v in values)
            if whole and 0 <= n <= MAX_FACTORIAL:
                return Fraction(comb(n.numerator, k.numerator)) if k >= 0 else Fraction(0)
            if abs(n) > MAX_FACTORIAL or abs(k) > MAX_FACTORIAL:
                raise TooLarge(name)
            return self.mp.binomial(self.real(n), self.real(k))
        if name in ("floor", "ceil", "gcd", "lcm", "max", "min", "sgn"):
            return self._arithmetic(name, values)
        return self._transcendental(name, values)

    def _factorial(self, x: Value) -> Value:
        if abs(x) > MAX_FACTORIAL:
            raise TooLarge("factorial")
        if isinstance(x, Fraction) and x.denominator == 1:
            if x < 0:
                raise Undefined("factorial")
            return Fraction(factorial(x.numerator))
        return self.mp.gamma(self.real(x) + 1)

    def _arithmetic(self, name: str, values: list[Value]) -> Value:
        if not all(isinstance(v, Fraction) for v in values):
            if name in ("max", "min") and not any(isinstance(v, self.mp.mpc) for v in values):
                return (max if name == "max" else min)(self.real(v) for v in values)
            if name in ("floor", "ceil"):
                return Fraction(int((self.mp.floor if name == "floor" else self.mp.ceil)(values[0])))
            raise Undefined(name)
        x = values[0]
        if name == "floor":
            return Fraction(x.numerator // x.denominator)
        if name == "ceil":
            return Fraction(-(-x.numerator // x.denominator))
        if name == "sgn":
            return Fraction((x > 0) - (x < 0))
        if name in ("max", "min"):
            return (max if name == "max" else min)(values)
        if any(v.denominator != 1 for v in values):
            raise Undefined(name)
        return Fraction((gcd if name == "gcd" else lcm)(*(v.numerator for v in values)))

    def _transcendental(self, name: str, values: list[Value]) -> Value:
        mp = self.mp
        x = self.real(values[0])
        if name in ("ln", "log", "lg"):
            if x == 0 or (not self.is_complex and x < 0):
                raise Undefined(name)
            if len(values) > 1:
                return mp.log(x) / mp.log(self.real(values[1]))
            base = 10 if name == "lg" else self.log_base if name == "log" else 0
            return mp.log(x) / mp.log(base) if base else mp.log(x)
        if name == "exp":
            return self._power(+mp.e, values[0])
        if abs(x) > mp.mpf(10) ** 60:
            raise TooLarge(name)
        function = _MPMATH.get(name)
        if function is None or len(values) != 1:
            raise Undefined(name)
        if name.endswith("h") and abs(mp.re(x)) > MAX_BITS:
            raise TooLarge(name)
        value = getattr(mp, function)(x)
        if not self.is_complex and isinstance(value, mp.mpc):
            raise Undefined(name)
        return value

    def _determinant(self, matrix: Node) -> Value:
        rows = [[self._value(cell) for cell in row.args] for row in matrix.args]
        if matrix.op != "matrix" or any(len(row) != len(rows) for row in rows) or len(rows) > 6:
            raise Undefined("det")
        return self._expand(rows)

    def _expand(self, rows: list[list[Value]]) -> Value:
        if not rows:
            return Fraction(1)
        total: Value = Fraction(0)
        for j, cell in enumerate(rows[0]):
            minor = self._expand([row[:j] + row[j + 1 :] for row in rows[1:]])
            term = self.join(cell, minor, "mul")
            total = self.join(total, -term if j % 2 else term, "add")
        return total


_MPMATH = {name: name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth")}
_MPMATH |= {f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "cot", "sinh", "cosh", "tanh")}


def _exact_root(base: Fraction, order: int) -> Fraction | None:
    """The real root of a rational, where it is rational (odd roots of negative numbers are negative)."""
    if order > 64 or (base < 0 and order % 2 == 0):
        return None
    roots = [_integer_root(abs(base.numerator), order), _integer_root(base.denominator, order)]
    if roots[0] is None or roots[1] is None:
        return None
    return Fraction(-roots[0] if base < 0 else roots[0], roots[1])


def _integer_root(n: int, order: int) -> int | None:
    if order == 2:
        root = isqrt(n)
        return root if root * root == n else None
    if n < 2:
        return n
    root = 1 << -(-n.bit_length() // order)
    while True:
        better = ((order - 1) * root + n // root ** (order - 1)) // order
        if better >= root:
            return root if root**order == n else None
        root = better
