"""A program's shape, read from its structure: which algorithm it is, and the parts in which one writes it."""

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


def shape(function: ast.FunctionDef) -> tuple[str, dict[str, str]]:
    """The plan behind a function: a kind of phrase (`plan_…`) and its slots."""
    if is_class(function):
        names = [m.name for m in methods(function) if m.name[:2] != "__"][:5]
        return ("plan_class", {"methods": listed(names)}) if names else ("plan_type", {})
    if any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(function)):
        return "plan_yield", {}
    if any(isinstance(n, ast.Try) for n in ast.walk(function)):
        return "plan_try", {}
    for detect in (_recursion, _table, _pointers, _counting, _stack, _memory, _digits, _best, _accumulate):
        if (slots := detect(function)) is not None:
            halves = detect is _pointers and any(isinstance(n, ast.FloorDiv) for n in ast.walk(function))
            return "plan_halving" if halves else f"plan_{detect.__name__.strip('_')}", slots
    walked = list(ast.walk(function))
    direct = loops(function)
    if any(isinstance(inner, Loop) and inner is not outer for outer in direct for inner in ast.walk(outer)):
        return "plan_nested", {}
    if any(isinstance(n, ast.Return) for loop in direct for n in ast.walk(loop)):
        return "plan_search", {}
    if collected := [_method(n, "append") for n in walked if _method(n, "append")]:
        return "plan_collect", {"list": f"`{collected[0]}`"}
    if direct:
        return "plan_loop", {}
    if any(_called(n, "sorted") or _method(n, "sort") for n in walked):
        return "plan_sort", {}
    if any(isinstance(n, ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp) for n in walked):
        return "plan_comprehend", {}
    computed = sum(isinstance(n, ast.BinOp | ast.Compare) for n in walked)
    if computed < 2 and any(isinstance(n, ast.Call) for n in walked):
        return "plan_library", {}
    return "plan_formula", {}


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
        if not groups or isinstance(node, Loop) or isinstance(groups[-1][-1], Loop):
            groups.append([node])
        else:
            groups[-1].append(node)
    if len(groups) == 1 and len(groups[0]) > 2:
        return [groups[0][:-1], groups[0][-1:]]
    return groups


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
    if first:
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


def _called(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _method(node: ast.AST, name: str) -> str:
    """The variable on which a method of that name is called; empty where it isn't."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
        return node.func.value.id if isinstance(node.func.value, ast.Name) else ""
    return ""


def _recursion(function: ast.FunctionDef) -> dict[str, str] | None:
    name = function.name
    return {"name": f"`{name}`"} if any(_called(n, name) for n in ast.walk(function)) else None


def _table(function: ast.FunctionDef) -> dict[str, str] | None:
    """Dynamic programming: a list whose entries are made from its earlier entries, inside a loop."""
    for loop in (n for n in ast.walk(function) if isinstance(n, Loop)):
        for node in ast.walk(loop):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                name, value = _base(node.targets[0]), node.value
                steps = any(isinstance(n, ast.BinOp) or _called(n, "min") for n in ast.walk(value))
                if name and steps and name in {_base(n) for n in ast.walk(value)}:
                    return {"table": f"`{name}`"}
            if (name := _method(node, "append")) and isinstance(node, ast.Call):
                inner = [_base(n) for n in ast.walk(node.args[0])]
                if inner.count(name) > 1:
                    return {"table": f"`{name}`"}
    return None


def _base(node: ast.AST) -> str:
    """The variable under subscripts: `t` of `t[i][j]`."""
    if not isinstance(node, ast.Subscript):
        return ""
    inner = node.value
    while isinstance(inner, ast.Subscript):
        inner = inner.value
    return inner.id if isinstance(inner, ast.Name) else ""


def _changed(loop: Loop) -> set[str]:
    return {
        name.id
        for node in ast.walk(loop)
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }


def _pointers(function: ast.FunctionDef) -> dict[str, str] | None:
    """Two indices that a loop moves towards each other, or that walk along two sequences."""
    for loop in ast.walk(function):
        if not isinstance(loop, ast.While):
            continue
        for compare in ast.walk(loop.test):
            match compare:
                case ast.Compare(left=ast.Name(id=a), comparators=[ast.Name(id=b)]) if {a, b} <= _changed(
                    loop
                ):
                    return {"first": f"`{a}`", "second": f"`{b}`"}
    return None


def _counting(function: ast.FunctionDef) -> dict[str, str] | None:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name))], value=ast.BinOp(op=ast.Add())):
                if any(_method(n, "get") == name for n in ast.walk(node.value)):
                    return {"counts": f"`{name}`"}
            case ast.Call() if _called(node, "Counter"):
                return {"counts": "`Counter`"}
    return None


def _stack(function: ast.FunctionDef) -> dict[str, str] | None:
    pushed = {_method(n, "append") for n in ast.walk(function)} - {""}
    popped = {_method(n, "pop") for n in ast.walk(function)} - {""}
    both = sorted(pushed & popped)
    return {"stack": f"`{both[0]}`"} if both else None


def _memory(function: ast.FunctionDef) -> dict[str, str] | None:
    """A set or dictionary of what was met before, asked and fed in one loop."""
    for loop in (n for n in ast.walk(function) if isinstance(n, ast.For)):
        asked = {
            right.id
            for n in ast.walk(loop)
            if isinstance(n, ast.Compare) and isinstance(n.ops[0], ast.In | ast.NotIn)
            for right in n.comparators
            if isinstance(right, ast.Name)
        }
        fed = {_method(n, "add") for n in ast.walk(loop)}
        fed |= {
            _base(n) for n in ast.walk(loop) if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store)
        }
        if both := sorted(asked & fed):
            return {"seen": f"`{both[0]}`"}
    return None


def _digits(function: ast.FunctionDef) -> dict[str, str] | None:
    for loop in ast.walk(function):
        if not isinstance(loop, ast.While):
            continue
        for node in ast.walk(loop):
            match node:
                case ast.AugAssign(
                    target=ast.Name(id=name), op=ast.FloorDiv(), value=ast.Constant(value=base)
                ):
                    if any(isinstance(n, ast.Mod) for n in ast.walk(loop)):
                        return {"number": f"`{name}`", "base": str(base)}
    return None


def _best(function: ast.FunctionDef) -> dict[str, str] | None:
    """The best value so far: `best = max(best, …)` or `if x > best: best = x`."""
    for loop in loops(function):
        for node in ast.walk(loop):
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="max" | "min"), args=args)
                ):
                    if any(isinstance(a, ast.Name) and a.id == name for a in args):
                        return {"best": f"`{name}`"}
                case ast.If(
                    test=ast.Compare(comparators=[ast.Name(id=name)]),
                    body=[ast.Assign(targets=[ast.Name(id=assigned)]), *_],
                ):
                    if name == assigned:
                        return {"best": f"`{name}`"}
    return None


def _accumulate(function: ast.FunctionDef) -> dict[str, str] | None:
    """One running value that every turn of a single loop may change."""
    returned = {
        n.value.id for n in ast.walk(function) if isinstance(n, ast.Return) and isinstance(n.value, ast.Name)
    }
    for loop in loops(function):
        if any(isinstance(n, Loop) and n is not loop for n in ast.walk(loop)):
            continue
        for node in ast.walk(loop):
            if (
                isinstance(node, ast.AugAssign)
                and isinstance(node.target, ast.Name)
                and node.target.id in returned
            ):
                return {"total": f"`{node.target.id}`"}
    return None
