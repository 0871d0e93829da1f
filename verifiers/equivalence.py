"""Whether two answers say the same. Exact where values are rational; else agreement to many digits at many
points, which grows with the size of what is compared. Symmetric in its arguments.

Conventions where conventions differ are in `docs/design/answers.md`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from .evaluate import Evaluator, TooLarge, Undefined, Value
from .expressions import Node, neg, num, parse
from .tokens import Unreadable
from .units import parse_unit
import contextlib

Finding = Literal["same", "different", "unknown"]

_DIGITS = 50
_CONFIRM_DIGITS = 120
_MAX_DIGITS = 6000
_TEXT_COMMAND = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mbox|textnormal|operatorname)(?![A-Za-z])|\\[ ,]"
)
_WORDS = re.compile(r"[\s({]*[A-Za-z][A-Za-z0-9\s'.:{}()-]*")
# Where symbols are compared: whole numbers, fractions of both signs, numbers below one. Any symbol takes
# its own column, so that no two agree by chance.
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
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_SCALARS = frozenset(
    {"num", "sym", "const", "add", "mul", "pow", "fn", "percent", "degree", "based", "pm", "mp"}
)


def compare(a: str, b: str) -> tuple[Finding, str]:
    """Compare two written answers. The reason names what decided; "unknown" says what could not be read."""
    findings: list[Finding] = []
    words = plain_words(a), plain_words(b)
    if words[0] and words[0] == words[1]:
        return "same", "the same words"
    try:
        lefts, rights = _readings(a), _readings(b)
    except Unreadable as e:
        return "unknown", f"not readable as an answer: {e}"
    for left in lefts:
        for right in rights:
            try:
                finding = _answers(left, right)
            except (TooLarge, RecursionError):
                finding = "unknown"
            if finding == "same":
                return "same", "equivalent"
            findings.append(finding)
    if "unknown" in findings:
        return "unknown", "beyond the bounds of comparison"
    return "different", "not equivalent"


@lru_cache(maxsize=512)
def _readings(text: str) -> tuple[Node, ...]:
    """The trees that a text may stand for: digits grouped by commas or listed."""
    out: list[Node] = []
    error: Unreadable | None = None
    for grouping in (True, False):
        try:
            node = parse(text, grouping)
        except Unreadable as e:
            error = error or e
            continue
        if node not in out:
            out.append(node)
    if not out and "=" in text.strip("= "):
        # An answer may end a chain of equalities whose beginning nobody can read.
        with contextlib.suppress(Unreadable):
            out.append(parse(text[text.rindex("=") + 1 :]))
    if not out:
        raise error or Unreadable("empty")
    return tuple(out)


def _answers(a: Node, b: Node) -> Finding:
    a, b = _simplify(a), _simplify(b)
    if a == b:
        return "same"
    first = _structures(a, b)
    if first == "same":
        return first
    # `x = 5` names what `5` leaves unnamed.
    if _is_named(a) != _is_named(b):
        stripped = _unnamed(a), _unnamed(b)
        if stripped != (a, b):
            second = _structures(*stripped)
            return second if second == "same" or first == "different" else first
    elif a.op == b.op == "chain":
        stripped = _unnamed(a), _unnamed(b)
        if stripped[0].op != "chain" and stripped[1].op != "chain" and _same_head(a.args[0], b.args[0]):
            return _structures(*stripped)
    return first


def _simplify(node: Node) -> Node:
    """Chains of bounds as intervals, membership as the set, `±` as two answers, one-element groups opened."""
    if node.op == "chain":
        return _chain(node)
    if node.op in ("list", "set"):
        items = [_simplify(arg) for arg in node.args]
        flat: list[Node] = []
        for item in items:
            flat += item.args if item.op == "list" else [item]
        if node.op == "list" and len(flat) == 1:
            return flat[0]
        return Node(node.op, tuple(flat))
    if node.op in ("tuple", "matrix", "row", "union", "inter", "minus"):
        return Node(node.op, tuple(_simplify(arg) for arg in node.args), node.value)
    if any(n.op in ("pm", "mp") for n in node.walk()):
        return Node("list", (_signed(node, 1), _signed(node, -1)))
    return node


def _signed(node: Node, sign: int) -> Node:
    if node.op in ("pm", "mp"):
        inner = _signed(node.args[0], sign)
        return inner if (node.op == "pm") == (sign > 0) else neg(inner)
    return Node(node.op, tuple(_signed(arg, sign) for arg in node.args), node.value) if node.args else node


def _chain(node: Node) -> Node:
    relations, args = str(node.value).split(), node.args
    if relations == ["in"]:
        return _simplify(args[1]) if _is_name(args[0]) else node
    if "~" in relations:
        # Rounded values follow the exact one; a name alone before them leaves the rounding.
        cut = relations.index("~")
        kept = args[: cut + 1] if not (cut == 0 and _is_name(args[0])) else args[:2]
        ops = relations[:cut] if len(kept) == cut + 1 and not (cut == 0 and _is_name(args[0])) else ["="]
        if not ops:
            return _simplify(kept[0])
        return _chain(Node("chain", kept, " ".join(ops)))
    if relations[-1] == "=>":
        return _simplify(args[-1])
    if set(relations) == {":"}:
        return Node("tuple", args, ":")
    if len(args) == 2 and relations[0] == "=" and any(n.op in ("pm", "mp") for n in args[1].walk()):
        return Node("list", tuple(Node("chain", (args[0], _signed(args[1], s)), "=") for s in (1, -1)))
    bounds = _bounds(relations, args)
    return bounds if bounds is not None else node


def _bounds(relations: list[str], args: tuple[Node, ...]) -> Node | None:
    """`a < x <= b`, `x > a` with a bare symbol as the interval it describes."""
    infinity = Node("const", value="infinity")
    if len(args) == 2 and relations[0] in ("<", ">", "<=", ">="):
        solved = _solved(args[0], args[1], relations[0])
        if solved is None:
            return None
        bound, relation = solved
        closed = "=" in relation
        if relation[0] == "<":
            return Node("tuple", (neg(infinity), bound), "(]" if closed else "()")
        return Node("tuple", (bound, infinity), "[)" if closed else "()")
    if len(args) == 3 and args[1].op == "sym" and not _symbols(args[0]) and not _symbols(args[2]):
        if relations[0][0] == relations[1][0] and relations[0][0] in "<>":
            low, high = (args[0], args[2]) if relations[0][0] == "<" else (args[2], args[0])
            ends = relations if relations[0][0] == "<" else relations[::-1]
            brackets = ("[" if "=" in ends[0] else "(") + ("]" if "=" in ends[1] else ")")
            return Node("tuple", (low, high), brackets)
    return None


def _solved(left: Node, right: Node, relation: str) -> tuple[Node, str] | None:
    """A bound on a symbol alone, or on one that stands linearly with rational coefficients."""
    for name, bound, turned in ((left, right, relation), (right, left, _FLIPPED[relation])):
        if name.op == "sym" and not _symbols(bound):
            return bound, turned
    if len(names := _symbols(left) | _symbols(right)) != 1:
        return None
    (name_,) = names
    difference = Node("add", (left, neg(right)))
    try:
        f = [Evaluator({name_: Fraction(x)}, _DIGITS)(difference) for x in (0, 1, 2, 7)]
    except (Undefined, TooLarge):
        return None
    if not all(isinstance(v, Fraction) for v in f):
        return None
    slope = f[1] - f[0]
    if slope == 0 or f[2] != f[0] + 2 * slope or f[3] != f[0] + 7 * slope:
        return None
    return num(-f[0] / slope), relation if slope > 0 else _FLIPPED[relation]


def _symbols(node: Node) -> frozenset[str]:
    return frozenset(str(n.value) for n in node.walk() if n.op == "sym")


def _is_name(node: Node) -> bool:
    """Whether a side of an equation only names the answer: x, a_n, f(x), AB, |AB|, (p, q)."""
    if node.op in ("sym", "text"):
        return True
    if node.op == "const":
        return node.value in ("e", "i")
    if node.op == "tuple":
        return all(_is_name(arg) for arg in node.args)
    if node.op == "fn":
        return node.value == "abs" and bool(_symbols(node))
    if node.op == "mul":
        # f(x), f(2) and AB parse as products; 2x is an expression.
        return node.args[0].op == "sym" and all(
            arg.op in ("sym", "const", "num", "tuple") for arg in node.args
        )
    return False


def _is_named(node: Node) -> bool:
    return node.op == "chain" or (node.op == "list" and any(arg.op == "chain" for arg in node.args))


def _same_head(a: Node, b: Node) -> bool:
    heads = [n.args[0] if n.op == "mul" else n for n in (a, b)]
    return heads[0] == heads[1] and a.op == b.op == "mul"


def _unnamed(node: Node) -> Node:
    if node.op == "list":
        return Node("list", tuple(_unnamed(arg) for arg in node.args))
    if node.op == "chain" and set(str(node.value).split()) == {"="} and _is_name(node.args[0]):
        return _simplify(node.args[-1])
    if node.op == "chain" and set(str(node.value).split()) == {"="} and len(node.args) > 2:
        return _simplify(node.args[-1])
    return node


def _structures(a: Node, b: Node) -> Finding:
    if a.op == "text" or b.op == "text":
        return _texts(a, b)
    if a.op == "chain" and b.op == "chain":
        return _relations(a, b)
    if a.op == "chain" or b.op == "chain":
        return "different"
    if a.op in ("list", "set") and b.op in ("list", "set"):
        return _as_sets(a.args, b.args)
    if {a.op, b.op} == {"tuple", "list"}:
        ordered = a if a.op == "tuple" else b
        return _in_order(a.args, b.args) if ordered.value == "()" else "different"
    if a.op in ("list", "set") or b.op in ("list", "set"):
        many, one = (a, b) if a.op in ("list", "set") else (b, a)
        return _as_sets(many.args, (one,)) if many.args else "different"
    if a.op in ("union", "inter", "minus") or b.op in ("union", "inter", "minus"):
        if a.op != b.op:
            return "different"
        parts = (_flat(a, a.op), _flat(b, b.op)) if a.op != "minus" else (a.args, b.args)
        return _in_order(*parts) if a.op == "minus" else _as_sets(*parts)
    if a.op == "tuple" and b.op == "tuple":
        if a.value != b.value and not {a.value, b.value} <= {"()", "[]"} | _open_ends(a, b):
            return "different"
        if a.value != b.value and not _open_ends(a, b):
            return "different"
        return _in_order(a.args, b.args)
    if a.op == "matrix" or b.op == "matrix":
        rows = [n.args if n.op == "matrix" else (Node("row", n.args),) for n in (a, b)]
        if a.op != b.op:
            # A column or row matrix may be written as a tuple.
            vectors = [_vector(a), _vector(b)]
            if vectors[0] is None or vectors[1] is None:
                return "different"
            return _in_order(vectors[0], vectors[1])
        if [len(row.args) for row in rows[0]] != [len(row.args) for row in rows[1]]:
            return "different"
        pairs = zip(rows[0], rows[1], strict=True)
        return _all(lambda x, y: _in_order(x.args, y.args), pairs)
    if a.op == "tuple" or b.op == "tuple":
        box, one = (a, b) if a.op == "tuple" else (b, a)
        if box.value == ":" and len(box.args) == 2:
            return _structures(Node("mul", (box.args[0], Node("pow", (box.args[1], num(-1))))), one)
        return _structures(box.args[0], one) if len(box.args) == 1 else "different"
    return _scalars(a, b)


def _open_ends(a: Node, b: Node) -> set[str]:
    """Brackets at infinity do not matter: the set of both, where they differ only there."""
    if len(a.args) != 2 or len(b.args) != 2:
        return set()
    for i, end in enumerate((0, 1)):
        if str(a.value)[i : i + 1] != str(b.value)[i : i + 1] and not all(
            _is_infinite(n.args[end]) for n in (a, b)
        ):
            return set()
    return {str(a.value), str(b.value)}


def _is_infinite(node: Node) -> bool:
    return any(n.op == "const" and n.value == "infinity" for n in node.walk())


def _vector(node: Node) -> tuple[Node, ...] | None:
    if node.op == "tuple" and node.value == "()":
        return node.args
    if node.op == "matrix" and all(len(row.args) == 1 for row in node.args):
        return tuple(row.args[0] for row in node.args)
    return node.args[0].args if node.op == "matrix" and len(node.args) == 1 else None


def _flat(node: Node, op: str) -> tuple[Node, ...]:
    return tuple(x for arg in node.args for x in (_flat(arg, op) if arg.op == op else (arg,)))


def _all(same: Callable[[Node, Node], Finding], pairs: Iterator[tuple[Node, Node]]) -> Finding:
    result: Finding = "same"
    for x, y in pairs:
        finding = same(x, y)
        if finding == "different":
            return "different"
        if finding == "unknown":
            result = "unknown"
    return result


def _in_order(a: Sequence[Node], b: Sequence[Node]) -> Finding:
    if len(a) != len(b):
        return "different"
    return _all(_answers, zip(a, b, strict=True))


def _as_sets(a: Sequence[Node], b: Sequence[Node]) -> Finding:
    if len(a) * len(b) > 10_000:
        return "unknown"
    result: Finding = "same"
    for ones, others in ((a, b), (b, a)):
        for one in ones:
            findings = [_answers(one, other) for other in others]
            if "same" not in findings:
                if "unknown" not in findings:
                    return "different"
                result = "unknown"
    return result


def _texts(a: Node, b: Node) -> Finding:
    if a.op != b.op:
        return "different"
    return "same" if normal_text(str(a.value)) == normal_text(str(b.value)) else "different"


def plain_words(text: str) -> str:
    """The words of an answer that is nothing but words; a letter alone keeps its case. Else empty."""
    text = _TEXT_COMMAND.sub(" ", text)
    if not _WORDS.fullmatch(text):
        return ""
    words = " ".join("".join(c if c.isalnum() else " " for c in text).split())
    return words if len(words) < 4 else normal_text(words)


def normal_text(text: str) -> str:
    """Words without case, punctuation and articles."""
    words = "".join(c.lower() if c.isalnum() else " " for c in text).split()
    return " ".join(w for w in words if w not in ("the", "a", "an")) or " ".join(words)


def _relations(a: Node, b: Node) -> Finding:
    """Equations whose two sides differ by one constant factor; inequalities by one of the right sign."""
    ops = str(a.value).split(), str(b.value).split()
    if len(a.args) != len(b.args):
        return "different"
    if len(a.args) > 2:
        if ops[0] == ops[1]:
            return _in_order(a.args, b.args)
        if ops[0] == [_FLIPPED.get(op, "") for op in reversed(ops[1])]:
            return _in_order(a.args, b.args[::-1])
        return "different"
    if not all(arg.op in _SCALARS for node in (a, b) for arg in node.args):
        return _in_order(a.args, b.args) if ops[0] == ops[1] else "different"
    f, g = (Node("add", (node.args[0], neg(node.args[1]))) for node in (a, b))
    ratio = _ratio(f, g)
    if ratio is None:
        return "unknown"
    if ratio == 0:
        return "different"
    other = ops[1][0] if ratio > 0 else _FLIPPED.get(ops[1][0], "")
    return "same" if ops[0][0] == other else "different"


def _ratio(f: Node, g: Node) -> int | None:
    """The sign of f/g where it is one constant, 0 where it is none, None where too few points tell."""
    names = sorted(_symbols(f) | _symbols(g))
    is_complex = _has_i(f) or _has_i(g)
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


def _has_i(node: Node) -> bool:
    return any(n.op == "const" and n.value == "i" for n in node.walk())


def _points(names: Sequence[str]) -> Iterator[dict[str, Fraction]]:
    if not names:
        yield {}
        return
    for row in (*_POINTS, *_WHOLE):
        yield {name: row[k % len(row)] + k // len(row) for k, name in enumerate(names)}


def _scalars(a: Node, b: Node) -> Finding:
    """Two scalars, with what may be left unsaid: units, percent, degrees."""
    (a, unit_a), (b, unit_b) = _split_unit(a), _split_unit(b)
    if unit_a and unit_b and unit_a != unit_b:
        return _with_units(a, unit_a, b, unit_b)
    if _is_infinite(a) or _is_infinite(b):
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


def _infinities(a: Node, b: Node) -> Finding:
    signs = []
    for node in (a, b):
        if not _is_infinite(node):
            return "different"
        signs.append(-1 if any(n.op == "num" and Fraction(n.value) < 0 for n in node.walk()) else 1)
    return "same" if signs[0] == signs[1] else "different"


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
    names = sorted(_symbols(a) | _symbols(b))
    modes = [True] if _has_i(a) or _has_i(b) else [False, True]
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
