"""What the tests ask: calls with the values they should give, and edge cases like them."""

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .syntax import NotPython, parse

MAX_CALL = 120


@dataclass(frozen=True, slots=True)
class Example:
    """A call from assertion number `test`, and the value (an expression) that it should equal."""

    call: str
    expected: str
    test: int


def entry_point(code: str, tests: Sequence[str], given: str = "") -> str:
    """The function that the tests call most and the program defines; empty where there is none."""
    defined = {n.name for n in parse(code).body if isinstance(n, ast.FunctionDef)}
    if given in defined:
        return given
    called = Counter(
        node.func.id
        for test in tests
        for node in ast.walk(_parsed(test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined
    )
    return max(called, key=lambda name: (called[name], name)) if called else ""


def examples(tests: Sequence[str], entry: str) -> list[Example]:
    """Assertions of the form `f(…) == value`, `f(…) is value`, `f(…)`, `not f(…)`; others are left out."""
    found = []
    for number, test in enumerate(tests):
        body = _parsed(test).body
        if len(body) != 1 or not isinstance(body[0], ast.Assert):
            continue
        pair = _pair(body[0].test, entry)
        if pair and max(map(len, pair)) <= MAX_CALL and "`" not in "".join(pair):
            found.append(Example(*pair, number))
    return found


def edge_calls(shown: Sequence[Example], entry: str) -> list[str]:
    """Calls that nobody asked for: an example's arguments with one made empty, zero, or a single item."""
    if not shown:
        return []
    call = ast.parse(shown[0].call, mode="eval").body
    assert isinstance(call, ast.Call)
    asked = {e.call for e in shown}
    calls: list[str] = []
    for index, argument in enumerate(call.args):
        for smaller in _smaller(argument):
            args = [*call.args[:index], smaller, *call.args[index + 1 :]]
            source = ast.unparse(ast.Call(call.func, args, call.keywords))
            if source not in asked and source not in calls:
                calls.append(source)
    return calls[:4]


def _parsed(test: str) -> ast.Module:
    try:
        return parse(test)
    except NotPython:
        return ast.Module([], [])


def _pair(test: ast.expr, entry: str) -> tuple[str, str] | None:
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
        left, right = test.left, test.comparators[0]
        for call, value in ((left, right), (right, left)):
            if _calls(call, entry) and not any(isinstance(n, ast.Call | ast.Name) for n in ast.walk(value)):
                return ast.unparse(call), ast.unparse(value)
        return None
    if _calls(test, entry):
        return ast.unparse(test), "True"
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and _calls(test.operand, entry):
        return ast.unparse(test.operand), "False"
    return None


def _calls(node: ast.expr, entry: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == entry


def _smaller(argument: ast.expr) -> list[ast.expr]:
    match argument:
        case ast.List(elts=[_, _, *_]):
            return [ast.List([], ast.Load()), ast.List(argument.elts[:1], ast.Load())]
        case ast.Constant(value=str(text)) if len(text) > 1:
            return [ast.Constant(""), ast.Constant(text[0])]
        case ast.Constant(value=int(n)) if type(n) is int and n > 1:
            return [ast.Constant(0), ast.Constant(1)]
    return []
