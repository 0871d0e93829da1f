"""Code rows: MBPP's and HumanEval's columns, read into programs with tests and examples."""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...schemas import BadInput, Source


@dataclass(frozen=True, slots=True)
class CodeSeed:
    """A task in words, a program for it, and the assertions that it must pass."""

    task_id: str
    text: str
    code: str
    tests: tuple[str, ...]
    source: Source
    setup: str = ""
    entry_point: str = ""

    @property
    def question(self) -> str:
        """The task as it is asked, with a first example."""
        shown = self.tests[0].strip() if self.tests else ""
        example = f"\n\nFor example:\n{shown}" if shown and "\n" not in shown and len(shown) < 200 else ""
        return f"{self.text}{example}"

    @property
    def reference(self) -> str:
        """The tests as JSON, as the code verifier reads them."""
        tests = {"tests": list(self.tests), "setup": self.setup}
        return json.dumps({k: v for k, v in tests.items() if v}, ensure_ascii=False)


def read_code_row(row: Mapping[str, Any], source: Source) -> CodeSeed:
    """A seed from a row in MBPP's columns (`text`, `code`, `test_list`, `test_setup_code?`) or HumanEval's
    (`prompt`, `canonical_solution`, `test`, `entry_point`); raises BadInput naming the line and the field.
    """
    if "canonical_solution" in row:
        return _humaneval(row, source)
    tests = row.get("test_list")
    if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
        raise BadInput("expected a list of assertions", line=source.row, field="test_list")
    setup = row.get("test_setup_code") or ""
    if not isinstance(setup, str):
        raise BadInput("expected text", line=source.row, field="test_setup_code")
    return CodeSeed(
        task_id=str(row.get("task_id", source.row)),
        text=_text(row, "text", source).strip(),
        code=_lines(_text(row, "code", source)),
        tests=tuple(_lines(t) for t in tests),
        source=source,
        setup=_lines(setup),
    )


def _humaneval(row: Mapping[str, Any], source: Source) -> CodeSeed:
    prompt, entry = _text(row, "prompt", source), _text(row, "entry_point", source)
    code = _lines(prompt + _text(row, "canonical_solution", source))
    return CodeSeed(
        task_id=str(row.get("task_id", source.row)),
        text=_described(prompt, entry) or prompt.strip(),
        code=_without_docstring(code, entry),
        tests=_assertions(_text(row, "test", source), entry, source),
        source=source,
        entry_point=entry,
    )


def _assertions(test: str, entry: str, source: Source) -> tuple[str, ...]:
    """HumanEval's `check(candidate)` as assertions about the function itself."""
    try:
        tree = ast.parse(test)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise BadInput(f"not Python: {e}", line=source.row, field="test") from e
    found = [
        ast.unparse(_Renamed(entry).visit(node))
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for node in function.body
        if isinstance(node, ast.Assert) and any(isinstance(n, ast.Name) for n in ast.walk(node.test))
    ]
    if not found:
        raise BadInput("holds no assertion", line=source.row, field="test")
    return tuple(found)


class _Renamed(ast.NodeTransformer):
    def __init__(self, entry: str) -> None:
        self.entry = entry

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self.entry, node.ctx) if node.id == "candidate" else node


def _described(prompt: str, entry: str) -> str:
    """The prompt's docstring without its examples."""
    try:
        tree = ast.parse(prompt + "\n    pass\n")
    except (SyntaxError, ValueError):
        return ""
    function = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == entry), None)
    doc = (ast.get_docstring(function) if function else None) or ""
    return " ".join(re.split(r"\n\s*(?:>>>|For example|Examples?:)", doc)[0].split())


def _without_docstring(code: str, entry: str) -> str:
    """The program without the entry point's docstring, which the question already holds."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == entry and ast.get_docstring(node) is not None:
            first = node.body[0]
            if len(node.body) > 1 and first.end_lineno:
                lines = code.split("\n")
                return "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :]).strip("\n")
    return code


def _text(row: Mapping[str, Any], name: str, source: Source) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BadInput("expected text", line=source.row, field=name)
    return value


def _lines(text: str) -> str:
    """Line ends as "\\n", no white space at line ends, no empty lines around."""
    lines = (line.rstrip() for line in text.replace("\r\n", "\n").expandtabs(4).split("\n"))
    return "\n".join(lines).strip("\n")
