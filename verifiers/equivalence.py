"""Whether two answers say the same. Exact where values are rational; else agreement to many digits at many
points, which grows with the size of what is compared. Symmetric in its arguments.

Conventions where conventions differ are in `docs/design/answers.md`.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from .evaluate import TooLarge
from .expressions import parse
from .nodes import SCALARS, Node, is_infinite, neg, num
from .scalars import Finding, ratio, scalars
from .simplify import FLIPPED, is_named, same_head, simplify, unnamed
from .tokens import Unreadable
from .wording import normal_text, plain_words


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
    a, b = simplify(a), simplify(b)
    if a == b:
        return "same"
    first = _structures(a, b)
    if first == "same":
        return first
    # `x = 5` names what `5` leaves unnamed.
    if is_named(a) != is_named(b):
        stripped = unnamed(a), unnamed(b)
        if stripped != (a, b):
            second = _structures(*stripped)
            return second if second == "same" or first == "different" else first
    elif a.op == b.op == "chain":
        stripped = unnamed(a), unnamed(b)
        if stripped[0].op != "chain" and stripped[1].op != "chain" and same_head(a.args[0], b.args[0]):
            return _structures(*stripped)
    return first


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
    return scalars(a, b)


def _open_ends(a: Node, b: Node) -> set[str]:
    """Brackets at infinity do not matter: the set of both, where they differ only there."""
    if len(a.args) != 2 or len(b.args) != 2:
        return set()
    for i, end in enumerate((0, 1)):
        if str(a.value)[i : i + 1] != str(b.value)[i : i + 1] and not all(
            is_infinite(n.args[end]) for n in (a, b)
        ):
            return set()
    return {str(a.value), str(b.value)}


def _vector(node: Node) -> tuple[Node, ...] | None:
    if node.op == "tuple" and node.value == "()":
        return node.args
    if node.op == "matrix" and all(len(row.args) == 1 for row in node.args):
        return tuple(row.args[0] for row in node.args)
    return node.args[0].args if node.op == "matrix" and len(node.args) == 1 else None


def _flat(node: Node, op: str) -> tuple[Node, ...]:
    return tuple(x for arg in node.args for x in (_flat(arg, op) if arg.op == op else (arg,)))


def _all(same: Callable[[Node, Node], Finding], pairs: Iterable[tuple[Node, Node]]) -> Finding:
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
    if not a or not b:
        return "different" if a or b else "same"
    # Each pair once: asked again from the other side, the work would double with every level of nesting.
    findings = [[_answers(one, other) for other in b] for one in a]
    result: Finding = "same"
    for line in (*findings, *zip(*findings, strict=True)):
        if "same" not in line:
            if "unknown" not in line:
                return "different"
            result = "unknown"
    return result


def _texts(a: Node, b: Node) -> Finding:
    if a.op != b.op:
        return "different"
    return "same" if normal_text(str(a.value)) == normal_text(str(b.value)) else "different"


def _relations(a: Node, b: Node) -> Finding:
    """Equations whose two sides differ by one constant factor; inequalities by one of the right sign."""
    ops = str(a.value).split(), str(b.value).split()
    if len(a.args) != len(b.args):
        return "different"
    if len(a.args) > 2:
        if ops[0] == ops[1]:
            return _in_order(a.args, b.args)
        if ops[0] == [FLIPPED.get(op, "") for op in reversed(ops[1])]:
            return _in_order(a.args, b.args[::-1])
        return "different"
    if not all(arg.op in SCALARS for node in (a, b) for arg in node.args):
        return _in_order(a.args, b.args) if ops[0] == ops[1] else "different"
    f, g = (Node("add", (node.args[0], neg(node.args[1]))) for node in (a, b))
    sign = ratio(f, g)
    if sign is None:
        return "unknown"
    if sign == 0:
        return "different"
    other = ops[1][0] if sign > 0 else FLIPPED.get(ops[1][0], "")
    return "same" if ops[0][0] == other else "different"
