"""Plausible wrong drafts: a program with one small edit of the kind that people make.

Edits are spliced into the source text, so that a draft looks like the program it goes wrong from.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .syntax import NotPython, parse

MAX_MUTANTS, MAX_PAIRS = 14, 4


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong draft: its source, the kind of slip, and the line (from 1) with its wrong and its right text.

    Where the slip is a missing guard or a pair of swapped branches, `wrong` is empty and `right` holds the
    lines as they should be. A draft with two slips is of the kind "pair" and holds both in `slips`, the one
    to be mended first before the other.
    """

    kind: str
    source: str
    line: int
    wrong: str
    right: str
    slips: "tuple[Mutant, ...]" = ()


_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+"), ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
}  # fmt: skip
_TWINS = {"max": "min", "min": "max", "any": "all", "all": "any"}


def mutants(code: str) -> list[Mutant]:
    """Wrong drafts of a program that parses: one per line and kind, up to `MAX_MUTANTS`, and a few pairs."""
    tree, lines = parse(code), code.split("\n")
    found: dict[tuple[int, str], Mutant] = {}
    for kind, node, replacement in _edits(tree, lines):
        if made := _spliced(kind, node, replacement, lines):
            found.setdefault((made.line, kind), made)
    for made in _missing_guards(tree, lines):
        found.setdefault((made.line, made.kind), made)
    for made in (*_early_returns(tree, lines), *_swapped(tree, lines)):
        found.setdefault((made.line, made.kind), made)
    usable = [m for m in found.values() if m.source != code and _parses(m.source)]
    kept = usable[:: max(1, -(-len(usable) // MAX_MUTANTS))]
    return [*kept, *_pairs(kept, lines)]


def _pairs(found: list[Mutant], lines: list[str]) -> Iterator[Mutant]:
    """Drafts with two slips, on different lines."""
    in_place = sorted(
        (m for m in found if m.kind not in ("guard", "early_return", "swapped")), key=lambda m: m.line
    )
    pairs = [(a, b) for a in in_place for b in in_place if a.line < b.line and a.kind != b.kind]
    for one, other in pairs[:: max(1, -(-len(pairs) // MAX_PAIRS))]:
        wrong = list(lines)
        for slip in (one, other):
            wrong[slip.line - 1] = slip.source.split("\n")[slip.line - 1]
        yield Mutant("pair", "\n".join(wrong), one.line, one.wrong, one.right, (one, other))


def _parses(source: str) -> bool:
    try:
        parse(source)
    except NotPython:
        return False
    return True


def _edits(tree: ast.AST, lines: list[str]) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
    """Kind, node, and the node's new text (empty where there is none)."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                yield "boundary", node, _exchanged(node, left, right, _COMPARISONS[type(op)], lines)
            case ast.Call(func=ast.Name(id="range"), args=args) if 1 <= len(args) <= 2:
                yield from _ranges(node, args)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(n))) if n in (0, 1):
                if isinstance(n, bool):
                    continue
                yield "start", node, f"{name} = {1 - n}"
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add() | ast.Mult(), value=value):
                yield "overwrite", node, f"{name} = {ast.unparse(value)}"
            case ast.BinOp(left=ast.Constant(value=str())):
                continue
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                yield "operator", node, _exchanged(node, left, right, _OPERATORS[type(op)], lines)
            case ast.BoolOp(op=op, values=[first, second]):
                words = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                yield "connective", node, _exchanged(node, first, second, words, lines)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _TWINS:
                yield "twin", node.func, _TWINS[name]
            case ast.UnaryOp(op=ast.Not(), operand=ast.Name() | ast.Attribute() | ast.Call()):
                yield "negation", node, ast.unparse(node.operand)
            case ast.Call(func=ast.Attribute(attr="pop"), args=[], keywords=[]):
                yield "end", node, f"{ast.unparse(node.func)}(0)"
            case ast.Return(value=ast.Constant(value=bool(b))):
                yield "truth", node, f"return {not b}"
            case ast.Subscript(
                value=value, slice=ast.BinOp(left=index, op=ast.Sub(), right=ast.Constant(value=1))
            ):
                yield "index", node, f"{ast.unparse(value)}[{ast.unparse(index)}]"


def _ranges(node: ast.expr, args: list[ast.expr]) -> Iterator[tuple[str, ast.expr, str]]:
    *start, end = args
    match end:
        case ast.BinOp(left=bound, op=ast.Add(), right=ast.Constant(value=1)):
            yield "range_end", end, ast.unparse(bound)
        case ast.BinOp(left=bound, op=ast.Sub(), right=ast.Constant(value=1)):
            yield "range_far", end, ast.unparse(bound)
        case _:
            yield "range_end", end, f"{ast.unparse(end)} - 1"
    if start and isinstance(start[0], ast.Constant) and start[0].value == 1:
        yield "range_start", node, f"range({ast.unparse(end)})"


def _exchanged(
    node: ast.expr, left: ast.expr, right: ast.expr, words: tuple[str, str], lines: list[str]
) -> str:
    """A node as it is written, with another operator between two of its operands; empty across lines.

    What is written, not what it means: with other precedence the operands may group differently, as they do
    for somebody who mistypes.
    """
    if node.lineno != node.end_lineno or left.end_col_offset is None:
        return ""
    raw = lines[left.lineno - 1].encode()
    between = raw[left.end_col_offset : right.col_offset].decode()
    if words[0] not in between:
        return ""
    start, end = raw[node.col_offset : left.end_col_offset], raw[right.col_offset : node.end_col_offset]
    return start.decode() + between.replace(*words, 1) + end.decode()


def _spliced(kind: str, node: ast.expr | ast.stmt, new: str, lines: list[str]) -> Mutant | None:
    if not new or node.end_lineno != node.lineno or node.end_col_offset is None:
        return None
    old = lines[node.lineno - 1]
    raw = old.encode()
    start, end = node.col_offset, node.end_col_offset
    wrong = (raw[:start] + new.encode() + raw[end:]).decode()
    source = "\n".join([*lines[: node.lineno - 1], wrong, *lines[node.lineno :]])
    return Mutant(kind, source, node.lineno, wrong.strip(), old.strip())


def _missing_guards(tree: ast.AST, lines: list[str]) -> Iterator[Mutant]:
    """A leading `if …: return …` left out."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or len(function.body) < 2:
            continue
        first = function.body[0]
        if isinstance(first, ast.If) and not first.orelse and isinstance(first.body[-1], ast.Return):
            assert first.end_lineno
            source = "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :])
            guard = "\n".join(lines[first.lineno - 1 : first.end_lineno])
            yield Mutant("guard", source, first.lineno, "", guard)


def _early_returns(tree: ast.AST, lines: list[str]) -> Iterator[Mutant]:
    """The `return` behind a loop indented into it."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or len(function.body) < 2:
            continue
        loop, last = function.body[-2:]
        if isinstance(loop, ast.For) and isinstance(last, ast.Return) and last.end_lineno == last.lineno:
            old = lines[last.lineno - 1]
            wrong = " " * (loop.body[0].col_offset - last.col_offset) + old
            source = "\n".join([*lines[: last.lineno - 1], wrong, *lines[last.lineno :]])
            yield Mutant("early_return", source, last.lineno, wrong, old)


def _swapped(tree: ast.AST, lines: list[str]) -> Iterator[Mutant]:
    """The two one-line branches of an `if` and its `else` in each other's place."""
    for node in ast.walk(tree):
        match node:
            case ast.If(body=[one], orelse=[other]) if not isinstance(other, ast.If):
                first, second = one.lineno, other.lineno
                short = one.end_lineno == first and other.end_lineno == second
                if not short or first == node.lineno or lines[first - 1] == lines[second - 1]:
                    continue
                wrong = list(lines)
                wrong[first - 1], wrong[second - 1] = lines[second - 1], lines[first - 1]
                right = "\n".join(lines[node.lineno - 1 : second])
                yield Mutant("swapped", "\n".join(wrong), first, "", right)
