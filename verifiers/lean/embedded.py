"""The embedded Lean: a WebAssembly build of Lean 4 under Node, for core Lean without Mathlib.

A submission is elaborated in one process; what it declares leaves that process as data, and the kernel of
another process, in which no submission ever ran, checks it against the statement.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Self

from . import stepping
from .backend import (
    Audit,
    LeanLost,
    LeanUnavailable,
    Message,
    TacticResult,
    TacticState,
    Theorem,
    TracedTactic,
    messages_of,
)
from .header import imports
from .process import LeanLimits, LeanProcess
from .tracing import traced_tactics

# By default the kernel of the other process checks alone.
_WITH_KERNEL = {"debug.skipKernelTC": False}
# So many submissions may be elaborated before they are judged: neither process waits for the other while that
# one has a hard proof.
_AHEAD = 16
_SOURCE_CHARS = 200_000
_EVIDENCE_CHARS = 600
# This build lacks code for some library functions; proofs do not need any.
_NO_CODE = re.compile(r"failed to compile|_boxed|noncomputable|failed to generate code|code generator")
# What may write where it should not, in the elaborating process.
_UNSAFE = re.compile(r"unsafe|extern|implemented_by|export|initialize|\blc[A-Z]|\bcsimp\b")

# A submission's source without imports, with Lean's reply; or why it was not elaborated.
_Elaborated = Audit | tuple[str, dict[str, Any]]


class EmbeddedLean:
    """Implements LeanBackend. Two processes of about 0.5 GB, started when first needed. Picklable."""

    def __init__(self, limits: LeanLimits | None = None, imports: tuple[str, ...] = ()) -> None:
        self.limits, self.imports = limits or LeanLimits(), imports
        header = "".join(f"import {module}\n" for module in imports)
        self._lean = LeanProcess(self.limits, header)
        self._kernel = LeanProcess(self.limits, header)

    @property
    def name(self) -> str:
        return "lean-embedded"

    @property
    def restarts(self) -> int:
        """How often a process was replaced: after its share of requests, at a limit, after a crash."""
        return sum(max(0, process.starts - 1) for process in (self._lean, self._kernel))

    def cpu_seconds(self) -> tuple[float, float]:
        """Used so far by the process that elaborates and by the one that judges."""
        return self._lean.cpu_seconds(), self._kernel.cpu_seconds()

    def warm(self) -> None:
        """Start both processes now."""
        self._lean.start()
        self._kernel.start()

    def start(self, theorem: Theorem) -> TacticState:
        return stepping.start(self, theorem)

    def run_tac(self, state: TacticState, tactic: str) -> TacticResult:
        return stepping.run_tac(self, state, tactic)

    def check(self, code: str) -> list[Message]:
        return self._messages(code, _WITH_KERNEL)

    def trace(self, code: str) -> list[TracedTactic]:
        options = {**_WITH_KERNEL, "trace.Elab.info": True}
        return traced_tactics(code, self._messages(code, options))

    def _messages(self, code: str, options: dict[str, bool]) -> list[Message]:
        return messages_of(self._lean.request(op="elaborate", code=code, options=options)["messages"])

    def audit(self, theorem: Theorem, submission: str) -> Audit:
        return next(self.audit_many([(theorem, submission)]))

    def audit_many(self, jobs: Iterable[tuple[Theorem, str]]) -> Iterator[Audit]:
        """In order. While one submission is judged, the next ones are elaborated."""
        with ThreadPoolExecutor(1) as lean:
            waiting: deque[tuple[Theorem, str, Future[_Elaborated]]] = deque()
            try:
                for theorem, submission in jobs:
                    job = lean.submit(self._elaborate, theorem.full_name, submission)
                    waiting.append((theorem, submission, job))
                    if len(waiting) > _AHEAD:
                        yield self._audited(lean, *waiting.popleft())
                while waiting:
                    yield self._audited(lean, *waiting.popleft())
            finally:
                for _, _, job in waiting:
                    job.cancel()

    def _audited(self, lean: Executor, theorem: Theorem, submission: str, job: Future[_Elaborated]) -> Audit:
        audit = self._judge(theorem, job.result())
        if not audit.proved and _NO_CODE.search(audit.evidence):
            again = lean.submit(self._elaborate, theorem.full_name, submission, "noncomputable section ")
            audit = self._judge(theorem, again.result())
        return audit

    def _elaborate(self, target: str, submission: str, before: str = "") -> _Elaborated:
        if len(submission) > _SOURCE_CHARS:
            return Audit(None, f"limit: more than {_SOURCE_CHARS:,} characters")
        code, foreign = self._body(submission)
        if foreign:
            return Audit(None, f"it imports {foreign}, which this Lean does not have")
        try:
            return code, self._lean.request(op="elaborate", code=before + code, target=target)
        except (LeanLost, LeanUnavailable) as e:
            return Audit(None, str(e))
        finally:
            if _UNSAFE.search(code):
                self._lean.close()

    def _judge(self, theorem: Theorem, elaborated: _Elaborated) -> Audit:
        if isinstance(elaborated, Audit):
            return elaborated
        code, reply = elaborated
        try:
            verdict = self._kernel.request(
                op="judge", statement=theorem.statement, target=theorem.full_name, proof=reply["proof"]
            )
        except (LeanLost, LeanUnavailable) as e:
            return Audit(None, str(e))
        errors = [
            m for m in messages_of(reply["messages"]) if m.severity == "error" and not _only_prints(code, m)
        ]
        shown = f"line {errors[0].line}: {errors[0].text}" if errors else str(verdict.get("detail", ""))
        shown = shown[:_EVIDENCE_CHARS]
        if verdict["verdict"] == "undecided":
            return Audit(None, verdict["reason"], str(verdict.get("detail", ""))[:_EVIDENCE_CHARS])
        if any(map(stepping.timed_out, errors)):
            return Audit(None, "limit: Lean's heartbeats", shown)
        if verdict["verdict"] == "proved":
            axioms = tuple(verdict["axioms"])
            return Audit(False, "Lean reports an error", shown) if errors else Audit(True, "", "", axioms)
        return Audit(False, verdict["reason"], shown)

    def _body(self, submission: str) -> tuple[str, str | None]:
        """The submission without its imports, line by line as it was, and an import that is not here."""
        code = submission
        for found in imports(submission):
            module = found[1]
            if module.split(".")[0] != "Init" and module not in self.imports:
                return code, module
            code = code[: found.start()] + re.sub(r"\S", " ", found[0]) + code[found.end() :]
        return code, None

    def close(self) -> None:
        self._lean.close()
        self._kernel.close()

    def __reduce__(self) -> tuple[type[Self], tuple[LeanLimits, tuple[str, ...]]]:
        return type(self), (self.limits, self.imports)


def _only_prints(code: str, message: Message) -> bool:
    """A command such as `#print axioms` proves nothing, whatever it says."""
    lines = code.split("\n")
    return message.line <= len(lines) and lines[message.line - 1].lstrip().startswith("#")
