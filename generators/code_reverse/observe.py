"""The ground of a code CoT: what a program and its wrong drafts did on its examples, in one sandbox run."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from ...verifiers.sandbox import Limits, run_in_sandbox
from .examples import Example, edge_calls, entry_point, examples
from .mutate import Mutant, mutants
from .rows import CodeSeed
from .syntax import NotPython, parse

MAX_EXAMPLES = 6


class Unusable(ValueError):
    """No facts can be had from this program; the message says why."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a call: see `harness.Tracer`. `values` are reprs by variable name."""

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
    """Everything observed: outcomes aligned with `examples` and `edges`, and the drafts that failed."""

    entry: str
    examples: tuple[Example, ...]
    outcomes: tuple[Outcome, ...]
    edges: tuple[tuple[str, Outcome], ...]
    drafts: tuple[Draft, ...]


def observe(seed: CodeSeed, limits: Limits | None = None) -> Facts:
    """What one sandbox run shows; raises Unusable with the reason, SandboxMissing where there is none."""
    try:
        tree = parse(seed.code)
    except NotPython as e:
        raise Unusable(str(e)) from e
    entry = entry_point(seed.code, seed.tests, seed.entry_point)
    if not entry:
        raise Unusable("the tests call no function that the program defines")
    shown = examples(seed.tests, entry)[:MAX_EXAMPLES]
    if not shown:
        raise Unusable("no test has the form of a call and its value")
    edges = edge_calls(shown, entry)
    wrong = mutants(seed.code) if len(list(ast.walk(tree))) < 2000 else []
    job = {
        "program": seed.code,
        "setup": seed.setup,
        "calls": [e.call for e in shown] + edges,
        "tests": [e.test for e in shown],
        "recorded": len(shown),
        "asserts": list(seed.tests),
        "mutants": [m.source for m in wrong],
    }
    result = _run(job, limits or Limits(cpu_s=10, wall_s=20.0))
    own = result["program"]
    if "error" in own:
        raise Unusable(f"no facts from the program: {own['error']}")
    outcomes = [_outcome(c) for c in own["calls"]]
    if not all(own["passed"]):
        failed = own["passed"].index(False)
        raise Unusable(f"the program fails a test of its own: {seed.tests[failed][:200]}")
    return Facts(
        entry=entry,
        examples=tuple(shown),
        outcomes=tuple(outcomes[: len(shown)]),
        edges=tuple(zip(edges, outcomes[len(shown) :], strict=True)),
        drafts=tuple(_drafts(wrong, result["mutants"], shown)),
    )


def _run(job: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    data = json.dumps(job).encode()
    run = run_in_sandbox(_harness(), data, limits)
    if run.status == "wall":  # a busy machine, more likely than a hanging one: CPU time is bounded as well
        run = run_in_sandbox(_harness(), data, replace(limits, wall_s=3 * limits.wall_s))
    if run.status != "done":
        raise Unusable(f"the program ran into a limit: {run.status}")
    try:
        result = json.loads(run.stdout)
        if isinstance(result, dict) and isinstance(result["program"], dict):
            return result
    except (ValueError, KeyError, RecursionError):
        pass
    raise Unusable("the sandbox gave no readable result")


def _drafts(
    wrong: Sequence[Mutant], results: Sequence[Mapping[str, Any]], shown: Sequence[Example]
) -> list[Draft]:
    """The mutants that come to something other than the program on an example: the tests catch them there."""
    found = []
    for mutant, result in zip(wrong, results, strict=False):
        if "outcome" in result:
            number, outcome = result["call"], _outcome(result["outcome"])
            said = outcome.value or outcome.error or outcome.endless
            if said and outcome.value != shown[number].expected:
                found.append(Draft(mutant, number, outcome))
    return found


def _outcome(data: Mapping[str, Any]) -> Outcome:
    return Outcome(
        value=data.get("value") or "",
        error=data.get("error", ""),
        endless=data.get("endless", False),
        events=tuple(_event(e) for e in data.get("events", ())),
        cut=data.get("cut", False),
    )


def _event(data: Sequence[Any]) -> Event:
    kind, frame, where, what = data
    if kind == "call":
        return Event(kind, frame, 0, what, parent=where)
    if kind == "line":
        return Event(kind, frame, where, what)
    return Event(kind, frame, where, {}, text=what or "")


@lru_cache(maxsize=1)
def _harness() -> str:
    return files(__package__).joinpath("harness.py").read_text(encoding="utf-8")
