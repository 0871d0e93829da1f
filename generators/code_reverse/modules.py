"""Python modules with doctests as code rows, one for each function or class with examples."""

import ast
import doctest
from collections.abc import Iterator
from typing import Any

from .syntax import parse

Definition = ast.FunctionDef | ast.ClassDef


def module_rows(source: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and row (`text, code, doctest, entry_point, id`) of each documented definition; raises NotPython.

    A row's code is the definition with all that it uses of its module, docstrings apart.
    """
    source = source.replace("\r\n", "\n")
    body = parse(source).body
    for node in body:
        if not isinstance(node, Definition):
            continue
        doc = ast.get_docstring(node) or ""
        if ">>>" not in doc:
            continue
        said, _, _ = doc.partition(">>>")
        yield (
            node.lineno,
            {
                "text": " ".join(said.split()) or f"Write {node.name}.",
                "code": _with_needs(source, body, node),
                "doctest": doc[doc.index(">>>") :],
                "entry_point": node.name,
                "id": f"{name}:{node.name}",
            },
        )


def doctest_assertions(text: str) -> Iterator[str]:
    """The examples whose value is a literal, as assertions; what was done before stands in front of each."""
    before: list[str] = []
    for example in doctest.DocTestParser().get_examples(text):
        asked = example.source.strip()
        try:
            node = ast.parse(asked).body[0]
            value = ast.unparse(ast.parse(example.want.strip(), mode="eval").body)
            ast.literal_eval(value)
            wanted = isinstance(node, ast.Expr)
        except (SyntaxError, ValueError, IndexError):
            wanted, value = False, ""
        if wanted and value:
            test = f"assert {asked} is {value}" if value == "None" else f"assert {asked} == {value}"
            yield "\n".join([*before, test])
        if not (wanted and _plain_call(node)) and "\n" not in asked and not example.exc_msg:
            before.append(asked)


def _plain_call(node: ast.stmt) -> bool:
    """A call of a function by its name, taken to leave nothing behind that later examples need."""
    return isinstance(node, ast.Expr) and not any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) for n in ast.walk(node)
    )


def _with_needs(source: str, body: list[ast.stmt], node: Definition) -> str:
    """The statements of the module that a definition reaches by name, in their order."""
    bound = [(_bound(n), n) for n in body]
    kept = {id(node)}
    todo: list[ast.stmt] = [node]
    while todo:
        used = {n.id for n in ast.walk(todo.pop()) if isinstance(n, ast.Name)}
        for names, other in bound:
            if id(other) not in kept and names & used:
                kept.add(id(other))
                todo.append(other)
    lines = source.split("\n")
    pieces = [_undocumented(lines, n) for n in body if id(n) in kept]
    return "\n\n\n".join(pieces) if len(pieces) > 1 else pieces[0]


def _bound(node: ast.stmt) -> set[str]:
    match node:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(a.asname or a.name).partition(".")[0] for a in names}
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign() | ast.AnnAssign():
            return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return set()


def _undocumented(lines: list[str], node: ast.stmt) -> str:
    """A statement's source without the docstrings in it."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    dropped: set[int] = set()
    for inner in ast.walk(node):
        if isinstance(inner, Definition) and len(inner.body) > 1 and ast.get_docstring(inner) is not None:
            doc = inner.body[0]
            dropped |= set(range(doc.lineno, (doc.end_lineno or doc.lineno) + 1))
    kept = [n for n in range(first, (node.end_lineno or first) + 1) if n not in dropped]
    out: list[str] = []
    for number in kept:
        if lines[number - 1].strip() or (out and not out[-1].rstrip().endswith(":")):
            out.append(lines[number - 1].rstrip())
    return "\n".join(out)
