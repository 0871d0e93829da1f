"""Code rows as published: MBPP's and HumanEval's columns, stdin/stdout cases, doctests."""

import ast
import builtins
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...schemas import BadInput, Source
from ...verifiers.programs import Case
from .modules import doctest_assertions

_EXAMPLES = re.compile(r"\n\s*(?:>>>|For example|Examples?\b[^\n]*:)")


@dataclass(frozen=True, slots=True)
class CodeSeed:
    """A task in words, a program for it, and what the program must pass.

    `tests` are single assertions; `judged` is the tests' whole source where that says more (HumanEval's
    `check`, doctests). A program that reads stdin has `cases` instead.
    """

    task_id: str
    text: str
    code: str
    tests: tuple[str, ...]
    source: Source
    setup: str = ""
    entry_point: str = ""
    judged: str = ""
    cases: tuple[Case, ...] = ()

    @property
    def question(self) -> str:
        """The task as it is asked, with a first example."""
        if self.cases:
            first = self.cases[0]
            shown = f"Input:\n{first.stdin.rstrip()}\n\nOutput:\n{first.stdout.rstrip()}"
        else:
            shown = self.tests[0].strip() if self.tests else ""
            shown = "" if "\n" in shown else shown
        return f"{self.text}\n\nFor example:\n{shown}" if shown and len(shown) < 200 else self.text

    @property
    def reference(self) -> str:
        """The tests as JSON, as the code verifier reads them."""
        return json.dumps({k: v for k, v in self._tested().items() if v}, ensure_ascii=False)

    def _tested(self) -> dict[str, Any]:
        if self.cases:
            return {"cases": [{"stdin": c.stdin, "stdout": c.stdout} for c in self.cases]}
        if self.judged:
            return {"tests": self.judged, "entry_point": self.entry_point, "setup": self.setup}
        return {"tests": list(self.tests), "setup": self.setup}


def read_code_row(row: Mapping[str, Any], source: Source) -> CodeSeed:
    """A seed from a row; raises BadInput naming the line and the field.

    HumanEval: `prompt, canonical_solution, test, entry_point`. MBPP: `text` (`prompt` in the sanitized file),
    `code, test_list`, and `test_setup_code` or `test_imports` where there are any. Stdin and stdout:
    `question, solution, cases`. Doctests: `text, code, doctest, entry_point`. `solution` may stand for
    `code`, `tests` for `test_list`.
    """
    if "canonical_solution" in row:
        return _humaneval(row, source)
    if row.get("cases"):
        return _cases(row, source)
    if "doctest" in row:
        return _doctest(row, source)
    named = "test_list" if "test_list" in row or "tests" not in row else "tests"
    tests = row.get(named)
    tests = tests.split("\n") if isinstance(tests, str) and _assertions_alone(tests) else tests
    if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
        raise BadInput("expected a list of assertions", line=source.row, field=named)
    return CodeSeed(
        task_id=_task_id(row, source),
        text=_asked(row, source),
        code=_lines(_text(row, "solution" if "code" not in row and "solution" in row else "code", source)),
        tests=tuple(_lines(t) for t in tests if t.strip()),
        source=source,
        setup=_setup(row, source),
    )


def _setup(row: Mapping[str, Any], source: Source) -> str:
    setup, imports = row.get("test_setup_code") or "", row.get("test_imports") or []
    if not isinstance(setup, str):
        raise BadInput("expected text", line=source.row, field="test_setup_code")
    if not isinstance(imports, list) or not all(isinstance(i, str) for i in imports):
        raise BadInput("expected a list of import statements", line=source.row, field="test_imports")
    return _lines("\n".join([*imports, setup]))


def _cases(row: Mapping[str, Any], source: Source) -> CodeSeed:
    try:
        cases = tuple(Case(str(c["stdin"]), str(c["stdout"])) for c in row["cases"])
    except (TypeError, KeyError) as e:
        raise BadInput("expected a list of {stdin, stdout}", line=source.row, field="cases") from e
    return CodeSeed(
        task_id=_task_id(row, source),
        text=_asked(row, source),
        code=_lines(_text(row, "code" if "code" in row else "solution", source)),
        tests=(),
        source=source,
        cases=cases,
    )


def _doctest(row: Mapping[str, Any], source: Source) -> CodeSeed:
    examples = _text(row, "doctest", source)
    return CodeSeed(
        task_id=_task_id(row, source),
        text=_asked(row, source),
        code=_lines(_text(row, "code", source)),
        tests=tuple(doctest_assertions(examples)),
        source=source,
        entry_point=_text(row, "entry_point", source),
        judged=examples,
    )


def _humaneval(row: Mapping[str, Any], source: Source) -> CodeSeed:
    prompt, entry = _text(row, "prompt", source), _text(row, "entry_point", source)
    test = _lines(_text(row, "test", source))
    code = _lines(prompt + _text(row, "canonical_solution", source))
    return CodeSeed(
        task_id=_task_id(row, source),
        text=_described(prompt, entry) or prompt.strip(),
        code=_without_docstring(code, entry),
        tests=_assertions(test, entry, source),
        source=source,
        entry_point=entry,
        judged=test,
    )


def _assertions(test: str, entry: str, source: Source) -> tuple[str, ...]:
    """Of HumanEval's `check(candidate)`, the assertions that stand alone, about the function itself."""
    try:
        tree = ast.parse(test)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
        raise BadInput(f"not Python: {e}", line=source.row, field="test") from e
    if not any(isinstance(n, ast.Assert) for n in ast.walk(tree)):
        raise BadInput("holds no assertion", line=source.row, field="test")
    return tuple(
        ast.unparse(ast.Assert(_Renamed(entry).visit(node.test)))
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for node in function.body
        if isinstance(node, ast.Assert) and _names(node.test) - set(dir(builtins)) == {"candidate"}
    )


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


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
    return " ".join(_EXAMPLES.split(f"\n{doc}")[0].split())


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


def _assertions_alone(tests: str) -> bool:
    try:
        return all(isinstance(n, ast.Assert) and n.lineno == n.end_lineno for n in ast.parse(tests).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _task_id(row: Mapping[str, Any], source: Source) -> str:
    return str(row.get("task_id", row.get("id", source.row)))


def _asked(row: Mapping[str, Any], source: Source) -> str:
    name = next((n for n in ("text", "prompt", "question") if n in row), "text")
    return _text(row, name, source).strip()


def _text(row: Mapping[str, Any], name: str, source: Source) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BadInput("expected text", line=source.row, field=name)
    return value


def _lines(text: str) -> str:
    """Line ends as "\\n", no white space at line ends, no empty lines around."""
    lines = (line.rstrip() for line in text.replace("\r\n", "\n").expandtabs(4).split("\n"))
    return "\n".join(lines).strip("\n")
