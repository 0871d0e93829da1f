"""Lean rows: recorded tactic traces (LeanDojo's benchmark form) and bare statements."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...schemas import BadInput, Domain, Source

_STATEMENT = ("statement", "formal_statement")
_PROOF = ("proof", "formal_proof")
_INFORMAL = ("informal", "informal_prefix")


@dataclass(frozen=True, slots=True)
class TracedTactic:
    """One tactic with the pretty-printed states around it; LeanDojo's own name and fields."""

    tactic: str
    state_before: str
    state_after: str


@dataclass(frozen=True, slots=True)
class FailedTactic:
    """An attempt that Lean refused in `state_before`, with Lean's own message."""

    state_before: str
    tactic: str
    error: str


@dataclass(frozen=True, slots=True)
class RecordedCheck:
    """Lean took the whole proof when the trace was recorded: its version, and the axioms that an audit saw.

    An audit need not see what the library's own theorems rest on (the embedded Lean's does not).
    """

    lean: str
    axioms: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing was assumed beyond Lean's three standard axioms."""
        return set(self.axioms) <= {"propext", "Classical.choice", "Quot.sound"}


@dataclass(frozen=True, slots=True)
class SearchedState:
    """A state on a proof search's way: its tactics, their priors, visits and mean values Q, aligned.

    `ran` is the tactic that Lean was given for each, empty for one that was not tried; `chosen` led to the
    proof.
    """

    state: str
    actions: tuple[str, ...]
    prior: tuple[float, ...]
    visits: tuple[int, ...]
    q: tuple[float, ...]
    ran: tuple[str, ...]
    chosen: str


@dataclass(frozen=True, slots=True)
class Task:
    """A seed's question with its known answer, which a theorem was stated for."""

    seed_id: str
    question: str
    answer: str
    domain: Domain


@dataclass(frozen=True, slots=True)
class LeanSeed:
    """A theorem with its recorded proof; `traced` is empty where nobody recorded one.

    `replayed` names the Lean that audited the proof and gave the states in this run; empty for a record.
    `preamble` is what stands before the theorem in its file, `searched` how a tree search found the proof.
    `task` is the question that the theorem serves; without one, its proof is what is asked for.
    """

    full_name: str
    statement: str
    source: Source
    informal: str = ""
    proof: str = ""
    traced: tuple[TracedTactic, ...] = ()
    failed: tuple[FailedTactic, ...] = ()
    check: RecordedCheck | None = None
    replayed: str = ""
    preamble: str = ""
    premises: Mapping[str, str] = field(default_factory=dict)
    searched: tuple[SearchedState, ...] = ()
    task: Task | None = None

    @property
    def question(self) -> str:
        """What is asked: the task, or what the theorem says in words, where known, and its statement."""
        if self.task is not None:
            return self.task.question
        words = f"{self.informal}\n\n" if self.informal else ""
        before = f"{self.preamble}\n\n" if self.preamble else ""
        return f"{words}Prove in Lean 4:\n\n{before}{self.statement}"

    @property
    def reference(self) -> str:
        """What an answer is held against."""
        return self.statement if self.task is None else self.task.answer


def read_lean_row(row: Mapping[str, Any], source: Source) -> LeanSeed:
    """A seed from a row; raises BadInput naming the line and the field.

    Columns: `full_name` | `name`, `statement`, `proof`, `informal`, `traced_tactics` (list of `{tactic,
    state_before, state_after}`), `failed` (list of `{state_before, tactic, error}`), `check` (`{lean,
    axioms}`), `premises` (`{name: type}`), `preamble`. One of `statement` and `traced_tactics` is needed.
    """
    traced = tuple(
        TracedTactic(*_texts(item, f"traced_tactics.{i}", ("tactic", "state_before", "state_after"), source))
        for i, item in enumerate(_list(row, "traced_tactics", source))
    )
    failed = tuple(
        FailedTactic(*_texts(item, f"failed.{i}", ("state_before", "tactic", "error"), source))
        for i, item in enumerate(_list(row, "failed", source))
    )
    name = _text(row, ("full_name", "name"), source)
    statement = re.sub(r"\s*(:=\s*(by\b)?)?\s*$", "", _text(row, _STATEMENT, source))
    if not statement:
        if not traced:
            raise BadInput(
                "neither a statement nor a recorded trace", line=source.row, field="traced_tactics"
            )
        statement = _statement(name, traced[0].state_before)
    return LeanSeed(
        full_name=name,
        statement=statement,
        source=source,
        informal=_text(row, _INFORMAL, source).removeprefix("/--").removesuffix("-/").strip(),
        proof=_text(row, _PROOF, source),
        traced=traced,
        failed=failed,
        check=_check(row, source),
        premises=_premises(row, source),
        preamble=_text(row, ("preamble",), source),
    )


def _statement(name: str, state: str) -> str:
    """A trace without a statement is asked about by its first state."""
    lines = "\n".join(f"  {line}" for line in state.strip().split("\n"))
    return f"theorem {name or '_'}, from the state\n{lines}"


def _text(row: Mapping[str, Any], names: tuple[str, ...], source: Source) -> str:
    for name in names:
        if (value := row.get(name)) is not None:
            if not isinstance(value, str):
                raise BadInput("expected text", line=source.row, field=name)
            return value.strip("\n")
    return ""


def _list(row: Mapping[str, Any], name: str, source: Source) -> list[Any]:
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadInput("expected a list", line=source.row, field=name)
    return value


def _texts(item: Any, where: str, names: tuple[str, ...], source: Source) -> list[str]:
    if not isinstance(item, dict):
        raise BadInput("expected an object", line=source.row, field=where)
    for name in names:
        if not isinstance(item.get(name), str):
            raise BadInput("expected text", line=source.row, field=f"{where}.{name}")
    return [item[name] for name in names]


def _check(row: Mapping[str, Any], source: Source) -> RecordedCheck | None:
    value = row.get("check")
    if value is None:
        return None
    axioms = value.get("axioms") if isinstance(value, dict) else None
    if not isinstance(axioms, list) or not isinstance(value.get("lean"), str):
        raise BadInput("expected {lean, axioms}", line=source.row, field="check")
    return RecordedCheck(value["lean"], tuple(map(str, axioms)))


def _premises(row: Mapping[str, Any], source: Source) -> dict[str, str]:
    value = row.get("premises") or {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise BadInput("expected {name: type}", line=source.row, field="premises")
    return {str(k): v for k, v in value.items()}
