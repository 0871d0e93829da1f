"""A program's structure: what of it is told, and the parts in which one writes it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ..phrasing import Slots
from .syntax import parse

Loop = ast.For | ast.While


@dataclass(frozen=True, slots=True)
class Part:
    """Some lines of the program that are written in one go; `kind` is what they are."""

    kind: str
    code: str
    slots: Slots


def unit_of(code: str, entry: str) -> ast.FunctionDef:
    """What is told: the entry point's function, a class as if its body were one, or a program's main part.

    The main part of a program that reads stdin is the function that its last statement calls, where there is
    one, else the module itself, named `<module>`. A class's unit is named after it in angle brackets.
    """
    body = parse(code).body
    definitions = {n.name: n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    node = definitions.get(entry)
    if isinstance(node, ast.FunctionDef):
        return node
    if isinstance(node, ast.ClassDef):
        return _as_function(f"<{entry}>", node.body)
    called = [n for n in ast.walk(body[-1]) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    for call in called:
        assert isinstance(call.func, ast.Name)
        if isinstance(main := definitions.get(call.func.id), ast.FunctionDef) and not main.args.args:
            return main
    return _as_function("<module>", body)


def is_class(unit: ast.FunctionDef) -> bool:
    return unit.name.startswith("<") and unit.name != "<module>"


def _as_function(name: str, body: list[ast.stmt]) -> ast.FunctionDef:
    none = ast.arguments([], [], None, [], [], None, [])
    return ast.FunctionDef(name, none, body, [], lineno=body[0].lineno, end_lineno=body[-1].end_lineno)


def signature(unit: ast.FunctionDef) -> str:
    """`name(arguments)`; a class's are those of its `__init__`. Empty for a whole program."""
    if unit.name == "<module>":
        return ""
    if not is_class(unit):
        return f"{unit.name}({ast.unparse(unit.args)})"
    made = next((n for n in methods(unit) if n.name == "__init__"), None)
    if made is None:
        fields = [
            n.target.id for n in unit.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        ]
        return f"{unit.name[1:-1]}({', '.join(fields)})"
    arguments = ast.unparse(made.args).partition(", ")[2]
    return f"{unit.name[1:-1]}({arguments})"


def methods(unit: ast.FunctionDef) -> list[ast.FunctionDef]:
    return [n for n in unit.body if isinstance(n, ast.FunctionDef)]


def loops(function: ast.FunctionDef) -> list[Loop]:
    """The loops that stand directly in the function's body."""
    return [node for node in function.body if isinstance(node, ast.For | ast.While)]


def parts(code: str, entry: str) -> list[Part]:
    """The program in the parts in which one writes it; their code, joined by newlines, gives it back."""
    unit, body = unit_of(code, entry), parse(code).body
    whole = unit.name == "<module>"
    before = (
        []
        if whole
        else [n for n in body if _end(n) < (unit.lineno if not is_class(unit) else _head(body, unit))]
    )
    groups = _members(unit) if is_class(unit) else _groups(unit)
    pieces: list[tuple[str, Slots, int]] = []
    if before:
        helpers = [n.name for n in before if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        slots = {"names": listed(helpers)} if helpers else {}
        pieces.append(("write_helpers" if helpers else "write_preface", slots, _end(before[-1])))
    if len(groups) < 2 or (len(unit.body) < 2 and not is_class(unit)):
        pieces.append(("write_function" if before else "write_whole", {}, 0))
    else:
        for number, group in enumerate(groups):
            first, last = number == 0, number == len(groups) - 1
            written, named = _kind(group, first, last, unit, code)
            pieces.append((written, named, 0 if last else _end(group[-1])))
    lines, out, start = code.split("\n"), [], 0
    for piece, said, end in pieces:
        out.append(Part(piece, "\n".join(lines[start : end or len(lines)]), said))
        start = end
    return out


def _head(body: list[ast.stmt], unit: ast.FunctionDef) -> int:
    """The line on which a class begins."""
    return next((n.lineno for n in body if isinstance(n, ast.ClassDef) and n.body is unit.body), 1)


def _members(unit: ast.FunctionDef) -> list[list[ast.stmt]]:
    """A class's methods, what stands before the first of them with it."""
    groups: list[list[ast.stmt]] = []
    for node in unit.body:
        if groups and not any(isinstance(n, ast.FunctionDef) for n in groups[-1]):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _groups(function: ast.FunctionDef) -> list[list[ast.stmt]]:
    """Statements in runs: what comes before the first loop, each loop, what lies between and behind."""
    groups: list[list[ast.stmt]] = []
    for node in function.body:
        apart = function.name == "<module>" and groups and _sort(node) != _sort(groups[-1][-1])
        if not groups or apart or isinstance(node, Loop) or isinstance(groups[-1][-1], Loop):
            groups.append([node])
        else:
            groups[-1].append(node)
    if len(groups) == 1 and len(groups[0]) > 2:
        return [groups[0][:-1], groups[0][-1:]]
    return groups


def _sort(node: ast.stmt) -> str:
    """Of a module's statements: imports, definitions, and what is done."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "import"
    return "definition" if isinstance(node, ast.FunctionDef | ast.ClassDef) else "statement"


def _kind(
    group: list[ast.stmt], first: bool, last: bool, function: ast.FunctionDef, code: str
) -> tuple[str, dict[str, str]]:
    node = group[0]
    if is_class(function):
        named = listed([n.name for n in group if isinstance(n, ast.FunctionDef)])
        return ("write_class" if first else "write_method"), {"names": named} if named else {}
    if all(isinstance(n, ast.Import | ast.ImportFrom | ast.FunctionDef) for n in group) and not last:
        named = listed([n.name for n in group if isinstance(n, ast.FunctionDef)])
        return ("write_helpers", {"names": named}) if named else ("write_preface", {})
    if isinstance(node, Loop):
        asked = node.iter if isinstance(node, ast.For) else node.test
        where = " ".join((ast.get_source_segment(code, asked) or ast.unparse(asked)).split())
        kind = "write_for" if isinstance(node, ast.For) else "write_while"
        return kind + ("_first" if first else ""), {"over": f"`{where}`"}
    reading = function.name == "<module>" and not any(isinstance(n, Loop) for n in _before(function, node))
    if first or reading:
        names = [t for n in group for t in _targets(n)]
        guard = any(isinstance(n, ast.If) for n in group)
        slots = {"names": listed(names)} if names else {}
        if function.name == "<module>":
            return ("write_read", slots) if names else ("write_start", {})
        kind = "write_head_guard" if guard else "write_head_names" if names else "write_head"
        return kind, slots
    if last:
        return "write_end", {}
    names = [t for n in group for t in _targets(n)]
    return ("write_between", {"names": listed(names)}) if names else ("write_more", {})


def _before(function: ast.FunctionDef, node: ast.stmt) -> list[ast.stmt]:
    return function.body[: function.body.index(node)]


def listed(names: list[str]) -> str:
    """`a`, `b` and `c`, each once; empty for none."""
    if not names:
        return ""
    unique = [f"`{n}`" for n in dict.fromkeys(names)]
    return f"{', '.join(unique[:-1])} and {unique[-1]}" if len(unique) > 1 else unique[0]


def _targets(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))
