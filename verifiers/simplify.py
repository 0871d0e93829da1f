"""Answers in fewer forms: bounds as intervals, membership as the set, `±` as two answers, names left off."""

from fractions import Fraction

from .evaluate import Evaluator, TooLarge, Undefined
from .nodes import Node, neg, num, symbols

FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}


def simplify(node: Node) -> Node:
    """Chains of bounds as intervals, membership as the set, `±` as two answers, one-element groups opened."""
    if node.op == "chain":
        return _chain(node)
    if node.op in ("list", "set"):
        items = [simplify(arg) for arg in node.args]
        flat: list[Node] = []
        for item in items:
            flat += item.args if item.op == "list" else [item]
        if node.op == "list" and len(flat) == 1:
            return flat[0]
        return Node(node.op, tuple(flat))
    if node.op in ("tuple", "matrix", "row", "union", "inter", "minus"):
        return Node(node.op, tuple(simplify(arg) for arg in node.args), node.value)
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
        return simplify(args[1]) if _is_name(args[0]) else node
    if "~" in relations:
        # Rounded values follow the exact one; a name alone before them leaves the rounding.
        cut = relations.index("~")
        kept = args[: cut + 1] if not (cut == 0 and _is_name(args[0])) else args[:2]
        ops = relations[:cut] if len(kept) == cut + 1 and not (cut == 0 and _is_name(args[0])) else ["="]
        if not ops:
            return simplify(kept[0])
        return _chain(Node("chain", kept, " ".join(ops)))
    if relations[-1] == "=>":
        return simplify(args[-1])
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
    if len(args) != 3 or args[1].op != "sym" or symbols(args[0]) or symbols(args[2]):
        return None
    direction = relations[0][0]
    if direction != relations[1][0] or direction not in "<>":
        return None
    low, high = (args[0], args[2]) if direction == "<" else (args[2], args[0])
    ends = relations if direction == "<" else relations[::-1]
    brackets = ("[" if "=" in ends[0] else "(") + ("]" if "=" in ends[1] else ")")
    return Node("tuple", (low, high), brackets)


def _solved(left: Node, right: Node, relation: str) -> tuple[Node, str] | None:
    """A bound on a symbol alone, or on one that stands linearly with rational coefficients."""
    for name, bound, turned in ((left, right, relation), (right, left, FLIPPED[relation])):
        if name.op == "sym" and not symbols(bound):
            return bound, turned
    if len(names := symbols(left) | symbols(right)) != 1:
        return None
    (name_,) = names
    difference = Node("add", (left, neg(right)))
    try:
        f = [Evaluator({name_: Fraction(x)}, 50)(difference) for x in (0, 1, 2, 7)]
    except (Undefined, TooLarge):
        return None
    if not all(isinstance(v, Fraction) for v in f):
        return None
    slope = f[1] - f[0]
    if slope == 0 or f[2] != f[0] + 2 * slope or f[3] != f[0] + 7 * slope:
        return None
    return num(-f[0] / slope), relation if slope > 0 else FLIPPED[relation]


def _is_name(node: Node) -> bool:
    """Whether a side of an equation only names the answer: x, a_n, f(x), AB, |AB|, (p, q)."""
    if node.op in ("sym", "text"):
        return True
    if node.op == "const":
        return node.value in ("e", "i")
    if node.op == "tuple":
        return all(_is_name(arg) for arg in node.args)
    if node.op == "fn":
        return node.value == "abs" and bool(symbols(node))
    if node.op == "mul":
        # f(x), f(2) and AB parse as products; 2x is an expression.
        return node.args[0].op == "sym" and all(
            arg.op in ("sym", "const", "num", "tuple") for arg in node.args
        )
    return False


def is_named(node: Node) -> bool:
    return node.op == "chain" or (node.op == "list" and any(arg.op == "chain" for arg in node.args))


def same_head(a: Node, b: Node) -> bool:
    heads = [n.args[0] if n.op == "mul" else n for n in (a, b)]
    return heads[0] == heads[1] and a.op == b.op == "mul"


def unnamed(node: Node) -> Node:
    if node.op == "list":
        return Node("list", tuple(unnamed(arg) for arg in node.args))
    if node.op == "chain" and set(str(node.value).split()) == {"="} and _is_name(node.args[0]):
        return simplify(node.args[-1])
    if node.op == "chain" and set(str(node.value).split()) == {"="} and len(node.args) > 2:
        return simplify(node.args[-1])
    return node
