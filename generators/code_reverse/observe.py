"""The ground of a code CoT: what a program and its wrong drafts did on its examples, in one sandbox run."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from ...schemas import Outcome as Verdicts
from ...schemas import Verdict
from ...verifiers.base import correct
from ...verifiers.code import lines_of
from ...verifiers.process import Limits
from ...verifiers.programs import Task
from ...verifiers.witness import judge_and_watch
from .examples import Example, derived, edge_calls, entry_point, examples
from .mutate import Mutant, mutants
from .rows import CodeSeed
from .syntax import NotPython, parse

MAX_EXAMPLES = 6


class Unusable(ValueError):
    """No facts can be had from this program; the message says why."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a call: see `harness.Tracer`. `values` are reprs by variable name.

    `text` is the function called, the value returned or yielded, or the exception raised.
    """

    kind: str
    frame: int
    line: int
    values: Mapping[str, str]
    text: str = ""
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to: its value's repr (empty where too long), or its error, or no end in sight."""

    value: str = ""
    error: str = ""
    endless: bool = False
    events: tuple[Event, ...] = ()
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A wrong draft that the tests catch: what its first failing example came to."""

    mutant: Mutant
    example: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything observed: outcomes aligned with `examples` and `edges`, and the drafts that failed.

    `entry` is the function or class that the tests use; empty for a program that reads stdin. `tests` is how
    many assertions or cases passed.
    """

    entry: str
    examples: tuple[Example, ...]
    outcomes: tuple[Outcome, ...]
    edges: tuple[tuple[str, Outcome], ...]
    drafts: tuple[Draft, ...]
    verdict: Verdict
    tests: int


def observe(seed: CodeSeed, limits: Limits | None = None) -> Facts:
    """The verdict of the code verifier's judge and what was seen, all from one sandbox.

    Raises Unusable with the reason, SandboxMissing where there is no sandbox.
    """
    try:
        tree = parse(seed.code)
    except NotPython as e:
        raise Unusable(str(e)) from e
    try:
        task = Task.read(seed.reference)
    except ValueError as e:
        raise Unusable(f"unreadable tests: {e}") from e
    entry = "" if seed.cases else entry_point(seed.code, [*seed.tests, seed.judged], seed.entry_point)
    if not entry and not seed.cases:
        raise Unusable("the tests call no function or class that the program defines")
    shown = _shown(seed, entry)
    edges = edge_calls(shown, entry) if entry and shown and shown[0].expected else []
    wrong = mutants(seed.code) if len(list(ast.walk(tree))) < 2000 else []
    job = {
        "program": seed.code,
        "setup": seed.setup,
        "calls": [] if seed.cases else [e.call for e in shown] + edges,
        "stdins": [c.stdin for c in seed.cases],
        "tests": [e.test for e in shown],
        "recorded": len(shown),
        "derived": bool(shown) and shown[0].test < 0,
        "asserts": list(seed.tests),
        "mutants": [m.source for m in wrong],
    }
    verdict, result = _run(seed.code, task, job, limits or Limits(cpu_s=2, wall_s=20.0))
    own = result["program"]
    if "error" in own:
        raise Unusable(f"the program {own['error']}")
    if not all(own["passed"]):
        failed = own["passed"].index(False)
        raise Unusable(f"a test fails where it stands alone: {seed.tests[failed][:200]}")
    outcomes = [_outcome(c) for c in own["calls"]]
    if seed.cases:
        verdict = _printed(seed, outcomes)
    right = [i for i, (e, o) in enumerate(zip(shown, outcomes, strict=False)) if _as_expected(e, o)]
    if not right:
        raise Unusable("no test has the form of a call and its value, and no input could be derived")
    place = {old: new for new, old in enumerate(right)}
    return Facts(
        entry=entry,
        examples=tuple(shown[i] for i in right),
        outcomes=tuple(outcomes[i] for i in right),
        edges=tuple(zip(edges, outcomes[len(shown) :], strict=False)),
        drafts=tuple(_drafts(wrong, result["mutants"], shown, place)),
        verdict=verdict,
        tests=len(seed.cases) or int(verdict.evidence.split(" ")[0]),
    )


def _shown(seed: CodeSeed, entry: str) -> list[Example]:
    """The examples to run: those of the tests, or inputs derived from the signature."""
    if seed.cases:
        return [Example(c.stdin, c.stdout, n) for n, c in enumerate(seed.cases)][:MAX_EXAMPLES]
    return examples(seed.tests, entry)[:MAX_EXAMPLES] or derived(seed.code, entry)


def _as_expected(example: Example, outcome: Outcome) -> bool:
    """Whether a right program came literally to what the example says; a derived input needs a value."""
    if example.test < 0 or example.near:
        return bool(outcome.value)
    if outcome.error or outcome.endless:
        return False
    if not outcome.value or outcome.value == example.expected:
        return True
    try:
        return bool(ast.literal_eval(outcome.value) == ast.literal_eval(example.expected))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return "(" in example.expected  # a constructor's call: the assertion itself has passed


def _printed(seed: CodeSeed, outcomes: Sequence[Outcome]) -> Verdict:
    """Every case's output held against what it should be, here, outside the sandbox."""
    for number, (case, outcome) in enumerate(zip(seed.cases, outcomes, strict=True), 1):
        where = f"case {number} of {len(seed.cases)}"
        if outcome.error or lines_of(outcome.value) != lines_of(case.stdout):
            raise Unusable(
                f"the program does not pass its tests: {outcome.error or 'another output'}, {where}"
            )
    return correct("every case printed what it should", f"{len(seed.cases)} cases, run twice")


def _run(code: str, task: Task, job: Mapping[str, Any], limits: Limits) -> tuple[Verdict, dict[str, Any]]:
    """The verdict (`correct` for cases, which are judged by their outputs) and the witness's report."""
    verdict, run = judge_and_watch(code, task, _harness(), json.dumps(job).encode(), limits)
    if verdict is not None and verdict.outcome is not Verdicts.CORRECT:
        raise Unusable(f"the program does not pass its tests: {verdict.reason}")
    if run.status != "done":
        raise Unusable(f"the program ran into a limit: {run.status}")
    try:
        result = json.loads(run.stdout)
        if isinstance(result, dict) and isinstance(result["program"], dict):
            return verdict or correct(""), result
    except (ValueError, KeyError, RecursionError):
        pass
    raise Unusable("the sandbox gave no readable result")


def _drafts(
    wrong: Sequence[Mutant],
    results: Sequence[Mapping[str, Any]],
    shown: Sequence[Example],
    place: Mapping[int, int],
) -> list[Draft]:
    """The mutants that come to something other than the program on an example: the tests catch them there.

    Of two slips the one is mended first whose mending shows, because what is left then fails in another way;
    a pair of which neither shows is left out.
    """
    found: dict[Mutant, Draft] = {}
    for mutant, result in zip(wrong, results, strict=False):
        if "outcome" in result and result["call"] in place and shown[result["call"]].test >= 0:
            number, outcome = result["call"], _outcome(result["outcome"])
            said = outcome.value or outcome.error or outcome.endless
            if said and outcome.value != shown[number].expected and not shown[number].near:
                found[mutant] = Draft(mutant, place[number], outcome)
    return [ordered for draft in found.values() if (ordered := _in_order(draft, found)) is not None]


def _in_order(draft: Draft, found: Mapping[Mutant, Draft]) -> Draft | None:
    if not draft.mutant.slips:
        return draft
    for first, left in (draft.mutant.slips, draft.mutant.slips[::-1]):
        if left in found and _seen(found[left]) != _seen(draft):
            return replace(draft, mutant=replace(draft.mutant, slips=(first, left)))
    return None


def _seen(draft: Draft) -> tuple[int, str, str, bool]:
    return draft.example, draft.outcome.value, draft.outcome.error, draft.outcome.endless


def _outcome(data: Mapping[str, Any]) -> Outcome:
    return Outcome(
        value=data.get("value") or "",
        error=data.get("error", ""),
        endless=data.get("endless", False),
        events=tuple(_event(e) for e in data.get("events", ())),
        cut=data.get("cut", False),
    )


def _event(data: Sequence[Any]) -> Event:
    kind, frame, where, what = data[:4]
    if kind == "call":
        return Event(kind, frame, 0, what, text=data[4], parent=where)
    if kind == "line":
        return Event(kind, frame, where, what)
    return Event(kind, frame, where, {}, text=what or "")


@lru_cache(maxsize=1)
def _harness() -> str:
    return files(__package__).joinpath("harness.py").read_text(encoding="utf-8")
