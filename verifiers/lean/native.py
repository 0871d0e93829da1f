"""Native Lean through lean-dojo: an elan toolchain and a repository. What it says counts most.

lean-dojo is imported in a process of its own only: importing it runs git, may call GitHub and changes
logging; `Dojo` changes the working directory.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from ...schemas import BadInput
from .backend import (
    LeanError,
    LeanLost,
    LeanUnavailable,
    ProofFinished,
    ProofGivenUp,
    TacticResult,
    TacticState,
    Theorem,
)

_WORKER = "cotmill.verifiers.lean.native_worker"


def native_missing() -> str | None:
    """What keeps native Lean from running here; None where nothing does."""
    if shutil.which("lake") is None:
        return "lake is missing; install elan, which brings it"
    if find_spec("lean_dojo") is None:
        return "lean-dojo is missing; install it with: pip install 'cotmill[lean]'"
    return None


@dataclass(frozen=True, slots=True)
class Repository:
    """A Lean repository as lean-dojo names it: an address or a local folder, with a commit."""

    url: str
    commit: str
    file_path: str


class NativeLean:
    """The stepping half of LeanBackend for a repository's theorems, by lean-dojo. One proof at a time.

    It has no audit: lean-dojo's own check looks at no axioms, so a finished proof says what Lean said.
    """

    def __init__(self, repository: Repository, timeout_s: int = 600) -> None:
        self.repository, self.timeout_s = repository, timeout_s
        self._process: subprocess.Popen[str] | None = None
        self._theorem: Theorem | None = None

    @property
    def name(self) -> str:
        return "lean-native"

    def start(self, theorem: Theorem) -> TacticState:
        """Raises LeanUnavailable without lake or lean-dojo, BadInput where there is no such theorem."""
        if missing := native_missing():
            raise LeanUnavailable(missing)
        self.close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path.home(),
        )
        self._theorem = theorem
        repository = self.repository
        reply = self._ask(
            url=repository.url,
            commit=repository.commit,
            file_path=repository.file_path,
            full_name=theorem.full_name,
            timeout=self.timeout_s,
        )
        state = from_reply(reply, theorem, ())
        if not isinstance(state, TacticState):
            raise BadInput(f"lean-dojo cannot start {theorem.full_name}: {reply.get('error')}")
        return state

    def run_tac(self, state: TacticState, tactic: str) -> TacticResult:
        try:
            reply = self._ask(state=state.id, tactic=tactic)
        except LeanLost as e:
            return LeanError(str(e), undecided=True)
        return from_reply(reply, state.theorem, (*state.tactics, tactic))

    def _ask(self, **request: Any) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise LeanLost("no proof was started")
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            reply = json.loads(process.stdout.readline() or "null")
        except (BrokenPipeError, ValueError) as e:
            raise LeanLost("lean-dojo's process crashed") from e
        if not isinstance(reply, dict):
            raise LeanLost("lean-dojo's process crashed")
        return reply

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def __reduce__(self) -> tuple[type[Self], tuple[Repository, int]]:
        return type(self), (self.repository, self.timeout_s)


def to_reply(result: Any) -> dict[str, Any]:
    """A result of lean-dojo as plain data; by the name of its class, so that nothing is imported for it."""
    kind = type(result).__name__
    if kind == "TacticState":
        return {"kind": kind, "pp": result.pp, "id": result.id, "message": result.message}
    if kind == "ProofFinished":
        return {"kind": kind, "id": result.tactic_state_id, "message": result.message}
    if kind == "LeanError":
        return {"kind": kind, "error": result.error}
    if kind == "ProofGivenUp":
        return {"kind": kind}
    return {"kind": "Lost", "error": f"an unknown result {kind}"}


def from_reply(reply: dict[str, Any], theorem: Theorem, tactics: tuple[str, ...]) -> TacticResult:
    """Our value for what `to_reply` made; what is none of lean-dojo's four is undecided."""
    kind = reply.get("kind")
    if kind == "TacticState":
        return TacticState(str(reply["pp"]), theorem, int(reply["id"]), tactics, reply.get("message"))
    if kind == "ProofFinished":
        return ProofFinished(int(reply["id"]), tactics, message=reply.get("message"))
    if kind == "ProofGivenUp":
        return ProofGivenUp()
    return LeanError(str(reply.get("error", "no reply")), undecided=kind != "LeanError")
