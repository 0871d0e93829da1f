"""What the tests ask: calls with their values; edge cases like them; inputs where none is given.

A call is source whose last statement is an expression: `f(3)`, or `s = Stack(); s.push(1); s.pop()`.
"""

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from .syntax import NotPython, parse

MAX_CALL = 120
MAX_DERIVED = 6
_PLAIN = {"set", "frozenset", "tuple", "list", "dict", "float", "complex", "range", "bytes", "bytearray"}
_SAMPLES = {
    "int": ["3", "0", "7"],
    "float": ["2.5", "0.0"],
    "str": ["'abca'", "''", "'x'"],
    "bool": ["True", "False"],
    "list": ["[3, 1, 2]", "[1, 2]", "[]", "[5]"],
    "tuple": ["(3, 1, 2)", "()"],
    "set": ["{1, 2}", "set()"],
    "dict": ["{'a': 1, 'b': 2}", "{}"],
}  # fmt: skip
_ITEMS = {
    "str": ["['b', 'a', 'b']", "[]"],
    "float": ["[1.5, 0.5]", "[]"],
    "list": ["[[1, 2], [3]]", "[]"],
    "tuple": ["[(1, 2), (0, 3)]", "[]"],
}


@dataclass(frozen=True, slots=True)
class Example:
    """A call, and the value (an expression) that it should equal; `test` is the assertion's number.

    Without an assertion behind it (`test` is -1) `expected` is empty: an input that was derived. `near`: the
    value need only be close.
    """

    call: str
    expected: str
    test: int
    near: bool = False


def entry_point(code: str, tests: Sequence[str], given: str = "") -> str:
    """The function or class that the tests use most and the program defines; empty where there is none."""
    body = parse(code).body
    defined = {n.name: n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    if given in defined:
        return given
    called = Counter(
        node.func.id
        for test in tests
        for node in ast.walk(_parsed(test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined
    )
    functions = {n: c for n, c in called.items() if isinstance(defined[n], ast.FunctionDef)}
    pool = functions or dict(called)
    return max(pool, key=lambda name: (pool[name], name)) if pool else ""


def examples(tests: Sequence[str], entry: str) -> list[Example]:
    """What assertions ask of a call: `… == value`, `… is value`, a bare one or its `not`, closeness.

    Statements before the assertion belong to the call. Tests of another form are left out.
    """
    found = []
    for number, test in enumerate(tests):
        body = _parsed(test).body
        if not body or not isinstance(body[-1], ast.Assert):
            continue
        if any(not isinstance(n, ast.Assign | ast.Expr | ast.AugAssign) for n in body[:-1]):
            continue
        before = "; ".join(ast.unparse(n) for n in body[:-1])
        if not (asked := _asked(body[-1].test, entry if not before else "")):
            continue
        call, expected, near = asked
        call = f"{before}; {call}" if before else call
        if before and not any(_uses(n, entry) for n in body):
            continue
        if max(len(call), len(expected)) <= MAX_CALL and "`" not in call + expected:
            found.append(Example(call, expected, number, near))
    return found


def edge_calls(shown: Sequence[Example], entry: str) -> list[str]:
    """Calls that nobody asked for: an example's arguments with one made empty, zero, or a single item."""
    call = next((c for e in shown if (c := _single_call(e.call, entry)) is not None), None)
    if call is None:
        return []
    asked = {e.call for e in shown}
    calls: list[str] = []
    for index, argument in enumerate(call.args):
        for smaller in _smaller(argument):
            args = [*call.args[:index], smaller, *call.args[index + 1 :]]
            source = ast.unparse(ast.Call(call.func, args, call.keywords))
            if source not in asked and source not in calls:
                calls.append(source)
    return calls[:4]


def derived(code: str, entry: str) -> list[Example]:
    """Inputs from the types that a function's signature states; ints, texts and lists where it states none.

    Not every one need suit the function: what it refuses tells nothing and is left out by the caller.
    """
    node = next((n for n in parse(code).body if isinstance(n, ast.FunctionDef) and n.name == entry), None)
    if node is None or len(node.args.posonlyargs) + len(node.args.args) > 3:
        return []
    needed = [*node.args.posonlyargs, *node.args.args]
    needed = needed[: len(needed) - len(node.args.defaults)]
    columns = [_samples(a.annotation) for a in needed]
    if all(columns):
        width = max(map(len, columns), default=1)
        rows = [tuple(c[min(i, len(c) - 1)] for c in columns) for i in range(width)]
    else:
        guesses = [c or [_SAMPLES[k][0] for k in ("int", "list", "str")] for c in columns]
        rows = list(product(*guesses))
    return [Example(f"{entry}({', '.join(row)})", "", -1) for row in rows[:MAX_DERIVED]]


def _samples(annotation: ast.expr | None) -> list[str]:
    match annotation:
        case ast.Name(id=name) if name.lower() in _SAMPLES:
            return _SAMPLES[name.lower()]
        case ast.Subscript(value=ast.Name(id="List" | "list" | "Sequence" | "Iterable"), slice=inner):
            name = inner.id if isinstance(inner, ast.Name) else ""
            if isinstance(inner, ast.Subscript) and isinstance(inner.value, ast.Name):
                name = inner.value.id.lower()
            return _ITEMS.get(name, _SAMPLES["list"])
        case ast.Subscript(value=ast.Name(id=name)) if name.lower() in _SAMPLES:
            return _SAMPLES[name.lower()]
    return []


def _single_call(source: str, entry: str) -> ast.Call | None:
    body = _parsed(source).body
    if len(body) == 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Call):
        call = body[0].value
        return call if isinstance(call.func, ast.Name) and call.func.id == entry else None
    return None


def _parsed(test: str) -> ast.Module:
    try:
        return parse(test)
    except NotPython:
        return ast.Module([], [])


def _asked(test: ast.expr, entry: str) -> tuple[str, str, bool] | None:
    """The call, its value and whether closeness is enough; an empty `entry` takes any expression."""
    match test:
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]):
            for call, value in ((left, right), (right, left)):
                if _uses(call, entry) and _literal(value):
                    return ast.unparse(call), ast.unparse(value), False
            return None
        case ast.Compare(
            left=ast.Call(func=ast.Name(id="abs"), args=[ast.BinOp(left=call, op=ast.Sub(), right=value)]),
            ops=[ast.Lt() | ast.LtE()],
        ) if _uses(call, entry) and _literal(value):
            return ast.unparse(call), ast.unparse(value), True
        case ast.Call(func=ast.Attribute(attr="isclose") | ast.Name(id="isclose"), args=[call, value, *_]):
            if _uses(call, entry) and _literal(value):
                return ast.unparse(call), ast.unparse(value), True
            return None
        case ast.UnaryOp(op=ast.Not(), operand=operand) if isinstance(operand, ast.Call):
            return (ast.unparse(operand), "False", False) if _uses(operand, entry) else None
        case ast.Call() if _uses(test, entry):
            return ast.unparse(test), "True", False
    return None


def _literal(node: ast.expr) -> bool:
    """Whether it holds no name but those of plain types that are called."""
    called = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
    return all(
        isinstance(n.ctx, ast.Load) and id(n) in called and n.id in _PLAIN
        for n in ast.walk(node)
        if isinstance(n, ast.Name)
    ) and not any(isinstance(n, ast.Attribute | ast.Lambda | ast.comprehension) for n in ast.walk(node))


def _uses(node: ast.AST, entry: str) -> bool:
    """Whether a function or class of that name is called in it; any will do where `entry` is empty."""
    return not entry or any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == entry
        for n in ast.walk(node)
    )


def _smaller(argument: ast.expr) -> list[ast.expr]:
    match argument:
        case ast.List(elts=[_, _, *_]):
            return [ast.List([], ast.Load()), ast.List(argument.elts[:1], ast.Load())]
        case ast.Constant(value=str(text)) if len(text) > 1:
            return [ast.Constant(""), ast.Constant(text[0])]
        case ast.Constant(value=int(n)) if type(n) is int and n > 1:
            return [ast.Constant(0), ast.Constant(1)]
    return []
