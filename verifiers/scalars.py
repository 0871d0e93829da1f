"""Whether two scalars agree, and whether two equations have one ratio: exact where values are rational, else
to many digits at many points.

The digits grow with the size of what is met on the way, so that a small difference beside a large number
still counts. Where symbols occur, expressions are the same when they agree wherever both are defined.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Literal

from .evaluate import Evaluator, Undefined, Value
from .nodes import Node, has_i, is_infinite, num, symbols
from .units import parse_unit

Finding = Literal["same", "different", "unknown"]

_DIGITS = 50
_CONFIRM_DIGITS = 120
_MAX_DIGITS = 6000
# Where symbols are compared: fractions of both signs, above and below one, then whole numbers (for n! and
# (-1)^n). Every symbol has its own column.
_POINTS: tuple[tuple[Fraction, ...], ...] = tuple(
    tuple(Fraction(sign * (a * 37 + k * 101) % 991 + offset, bottom) * sign for k in range(12))
    for a, (sign, offset, bottom) in enumerate(
        [(1, 7, 311), (1, 991, 173), (-1, 5, 89), (1, 3, 1009), (1, 1013, 61), (-1, 17, 997)]
    )
)
_WHOLE: tuple[tuple[Fraction, ...], ...] = tuple(
    tuple(Fraction(n) for n in row)
    for row in (
        (7, 4, 2, 9, 5, 3, 11, 6, 8, 13, 10, 12),
        (8, 3, 5, 4, 9, 7, 12, 10, 6, 11, 14, 13),
        (11, 6, 4, 5, 2, 8, 3, 13, 9, 7, 12, 10),
    )
)


def scalars(a: Node, b: Node) -> Finding:
    """Two scalars, with what may be left unsaid: units, percent, degrees."""
    (a, unit_a), (b, unit_b) = _split_unit(a), _split_unit(b)
    if unit_a and unit_b and unit_a != unit_b:
        return _with_units(a, unit_a, b, unit_b)
    if is_infinite(a) or is_infinite(b):
        return _infinities(a, b)
    result = _values(a, b)
    if result == "same" or a.op == b.op:
        return result
    for x, y in ((a, b), (b, a)):
        if x.op == "percent" and y.op != "percent" and _values(x.args[0], y) == "same":
            return "same"
    if (bare := (_without_degrees(a), _without_degrees(b))) != (a, b):
        return _values(*bare)
    return result


def _without_degrees(node: Node) -> Node:
    """Angles as their numbers, but for those that a function is applied to."""
    if node.op == "degree":
        return _without_degrees(node.args[0])
    if node.op in ("add", "mul"):
        return Node(node.op, tuple(_without_degrees(arg) for arg in node.args), node.value)
    return node


def _split_unit(node: Node) -> tuple[Node, str]:
    if node.op == "unit":
        inner, unit = _split_unit(node.args[0])
        if str(node.value).strip().lower() in ("degree", "degrees", "deg"):
            return Node("degree", (inner,)), unit
        return inner, f"{node.value} {unit}".strip()
    return node, ""


def _with_units(a: Node, unit_a: str, b: Node, unit_b: str) -> Finding:
    dims_a, factor_a, words_a = parse_unit(unit_a)
    dims_b, factor_b, words_b = parse_unit(unit_b)
    if dims_a and dims_b and dims_a != dims_b:
        return "different"
    if dims_a and dims_b:
        a, b = Node("mul", (a, num(factor_a))), Node("mul", (b, num(factor_b)))
    result = _values(a, b)
    if result != "same":
        return result
    if words_a <= words_b or words_b <= words_a:
        return "same"
    return "unknown"


def _infinities(a: Node, b: Node) -> Finding:
    signs = []
    for node in (a, b):
        if not is_infinite(node):
            return "different"
        signs.append(-1 if any(n.op == "num" and Fraction(n.value) < 0 for n in node.walk()) else 1)
    return "same" if signs[0] == signs[1] else "different"


def _values(a: Node, b: Node) -> Finding:
    """Two scalars as numbers or functions."""
    if a == b:
        return "same"
    bases = {0} if _logs(a) == _logs(b) else {0, 10}
    findings = [_agree(a, b, base) for base in sorted(bases)]
    return "same" if "same" in findings else findings[0]


def _logs(node: Node) -> bool:
    return any(n.op == "fn" and n.value == "log" and len(n.args) == 1 for n in node.walk())


def _agree(a: Node, b: Node, log_base: int) -> Finding:
    names = sorted(symbols(a) | symbols(b))
    modes = [True] if has_i(a) or has_i(b) else [False, True]
    for is_complex in modes:
        seen = 0
        for point in _points(names):
            finding = _agree_at(a, b, point, is_complex, log_base)
            if finding == "different" or (finding == "unknown" and not names):
                return finding
            seen += finding == "same"
        if seen >= (3 if names else 1):
            return "same"
    return "unknown"


def _agree_at(
    a: Node, b: Node, point: dict[str, Fraction], is_complex: bool, log_base: int
) -> Finding | None:
    """None where either side is undefined at the point."""
    digits = _DIGITS
    for _ in range(2):
        evaluate = Evaluator(point, digits, is_complex=is_complex, log_base=log_base)
        try:
            x = evaluate(a)
        except Undefined:
            x = None
        try:
            y = evaluate(b)
        except Undefined:
            y = None
        if x is None or y is None:
            return None if point or (x is None and y is None) else ("different" if is_complex else None)
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return "same" if x == y else "different"
        mp = evaluate.mp
        x, y = evaluate.real(x), evaluate.real(y)
        # What cancels on the way leaves noise of the largest value's last digits.
        scale = max(abs(x), abs(y), 1)
        noise = mp.mpf(10) ** (12 - digits) * scale
        if abs(x - y) > noise and abs(x - y) > mp.mpf(10) ** (-(digits // 2)) * scale:
            return "different"
        if digits > _DIGITS:
            return "same" if abs(x - y) <= noise else "different"
        digits = _CONFIRM_DIGITS + int(0.7 * evaluate.spread)
        if digits > _MAX_DIGITS:
            return "unknown"
    return "unknown"


def _points(names: Sequence[str]) -> Iterator[dict[str, Fraction]]:
    if not names:
        yield {}
        return
    for row in (*_POINTS, *_WHOLE):
        yield {name: row[k % len(row)] + k // len(row) for k, name in enumerate(names)}


def ratio(f: Node, g: Node) -> int | None:
    """The sign of f/g where it is one constant, 0 where it is none, None where too few points tell."""
    names = sorted(symbols(f) | symbols(g))
    is_complex = has_i(f) or has_i(g)
    base: tuple[Value, Value] | None = None
    seen, sign = 0, 0
    for point in _points(names):
        try:
            evaluate = Evaluator(point, _DIGITS * 2, is_complex=is_complex)
            x, y = evaluate(f), evaluate(g)
        except Undefined:
            continue
        if base is None:
            if _tiny(x) or _tiny(y):
                if _tiny(x) != _tiny(y):
                    return 0
                continue
            base = x, y
            if isinstance(x, evaluate.mp.mpc) or isinstance(y, evaluate.mp.mpc):
                sign = 1
            else:
                sign = 1 if (x > 0) == (y > 0) else -1
            continue
        p, q = _product(x, base[1], evaluate), _product(y, base[0], evaluate)
        if isinstance(p, Fraction) and isinstance(q, Fraction):
            if p != q:
                return 0
        elif abs(p - q) > evaluate.mp.mpf(10) ** (-_DIGITS) * max(abs(p), abs(q), 1):
            return 0
        seen += 1
    return sign if seen >= 2 or (base is not None and not names) else None


def _tiny(x: Value) -> bool:
    return bool(abs(x) == 0 if isinstance(x, Fraction) else abs(x) < 10**-60)


def _product(x: Value, y: Value, evaluate: Evaluator) -> Value:
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x * y
    return evaluate.join(x, y, "mul")
