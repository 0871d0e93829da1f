"""What a prediction and its tests say as programs: fences opened, prompt and completion put together."""

import ast
import json
import re
import textwrap
from dataclasses import dataclass
from typing import Any

_FENCE = re.compile(
    r"^[ \t]*```[ \t]*(?:python|py|python3)?[ \t]*\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Case:
    """One run of a whole program: what it reads, what it should print."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class Task:
    """What a program is tested by: `tests` (assertions, HumanEval's check, doctests) or `cases`.

    `prompt` is code that the program continues (HumanEval) or a text that is no code (MBPP).
    """

    tests: str = ""
    cases: tuple[Case, ...] = ()
    entry_point: str | None = None
    prompt: str = ""

    @classmethod
    def read(cls, reference: str) -> "Task":
        """A JSON object {"tests": str or list, "entry_point"?, "prompt"?, "setup"?} or {"cases": [...]}, or
        the tests' source itself. Raises ValueError for anything else."""
        try:
            data = json.loads(reference)
        except ValueError:
            return cls(tests=reference)
        if not isinstance(data, dict):
            raise ValueError("the tests are not a JSON object")
        return cls.from_row(data)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Task":
        """From the columns of an input row; raises ValueError naming the column at fault."""
        tests = row.get("tests", row.get("test", row.get("test_list")))
        if isinstance(tests, (list, tuple)):
            tests = "\n".join(map(str, tests))
        if tests is not None and not isinstance(tests, str):
            raise ValueError("'tests' is neither a text nor a list of texts")
        setup = row.get("setup", row.get("test_setup_code")) or ""
        cases = row.get("cases") or ()
        try:
            made = tuple(Case(str(c["stdin"]), str(c["stdout"])) for c in cases)
        except (TypeError, KeyError) as e:
            raise ValueError("'cases' is not a list of {stdin, stdout}") from e
        entry = row.get("entry_point")
        prompt = row.get("prompt")
        return cls(
            tests=f"{setup}\n{tests}" if setup and tests else tests or "",
            cases=made,
            entry_point=entry if isinstance(entry, str) and entry else None,
            prompt=prompt if isinstance(prompt, str) else "",
        )


def extract_program(prediction: str) -> str:
    """The program in a prediction: its last fenced block, or all of it (a completion's indent counts)."""
    blocks = _FENCE.findall(prediction)
    return textwrap.dedent(str(blocks[-1])) if blocks else prediction


def assemble(task: Task, completion: str) -> tuple[str, str]:
    """The whole program, and the prompt's own helpers, which the tests may use without asking the program.

    A completion that defines the entry point itself stands after the prompt; else it continues the prompt.
    """
    helpers = _stub(task.prompt)
    if helpers is None:
        return completion, ""
    if task.entry_point and task.entry_point in _definitions(completion):
        return f"{helpers}\n\n{completion}", helpers
    return task.prompt + completion, helpers


def _stub(prompt: str) -> str | None:
    """A prompt as a module of its own (an open function gets an empty body); None where it is no code."""
    if not prompt.strip():
        return None
    for text in (prompt, f"{prompt.rstrip()}\n    pass\n"):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return text if any(not isinstance(node, ast.Expr) for node in tree.body) else None
    return None


def _definitions(program: str) -> set[str]:
    try:
        body = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {
        node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    } | {
        target.id
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
