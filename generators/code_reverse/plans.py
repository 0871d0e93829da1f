"""The plan behind a function, read from its structure: which kind of algorithm it is."""

import ast

from .shape import Loop, is_class, listed, loops, methods

Comprehension = ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp
MAX_CODE = 60


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
        changed = listed(sorted(_changed(direct[0]))[:3])
        return "plan_loop", {"changed": changed} if changed else {}
    if any(_called(n, "sorted") or _method(n, "sort") for n in walked):
        calls = [n for n in walked if isinstance(n, ast.Call)]
        key = next((k.value for n in calls for k in n.keywords if k.arg == "key"), None)
        return "plan_sort", _code("key", key)
    built = [n for n in walked if isinstance(n, Comprehension)]
    if built:
        first = built[0].generators[0]
        return "plan_comprehend", {**_code("over", first.iter), **_code("kept", next(iter(first.ifs), None))}
    computed = sum(isinstance(n, ast.BinOp | ast.Compare) for n in walked)
    if computed < 2 and (called := _functions(function)):
        return "plan_library", {"calls": called}
    ends = [n.value for n in walked if isinstance(n, ast.Return)]
    returned = [value for value in ends if isinstance(value, ast.BinOp | ast.Compare)]
    return "plan_formula", _code("formula", returned[-1] if returned else None)


def _code(name: str, node: ast.expr | None) -> dict[str, str]:
    """A slot with a node's source, where there is one and it is short."""
    text = ast.unparse(node) if node is not None else ""
    return {name: f"`{text}`"} if 0 < len(text) <= MAX_CODE and "`" not in text else {}


def _functions(function: ast.FunctionDef) -> str:
    """The functions and methods that are called, a few of them."""
    found = [n.func for n in ast.walk(function) if isinstance(n, ast.Call)]
    names = [f.attr for f in found if isinstance(f, ast.Attribute)]
    names += [f.id for f in found if isinstance(f, ast.Name)]
    return listed(names[:3])


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
