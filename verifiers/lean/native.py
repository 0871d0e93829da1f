"""Native Lean through lean-dojo: an elan toolchain and a repository. What it says counts most.

lean-dojo is imported in a process of its own only: importing it runs git, may call GitHub and changes
logging; `Dojo` changes the working directory. Whole files go to the repository's own `lean`.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from ...schemas import BadInput
from ..process import Limits, Run
from . import stepping
from .backend import (
    Audit,
    LeanError,
    LeanLost,
    LeanUnavailable,
    Message,
    ProofFinished,
    ProofGivenUp,
    TacticResult,
    TacticState,
    Theorem,
    TracedTactic,
    messages_of,
)
from .header import imports
from .toolchain import Toolchain, audit_files
from .tracing import traced_tactics

_WORKER = "cotmill.verifiers.lean.native_worker"
# What runs code of its own while it is elaborated could write the compiled file that is audited.
_RUNS_CODE = re.compile(
    r"#(?!print\b|check\b|\[)|\[[^\[\]]*\btactic\b|"
    r"\b(?:run_\w+|by_elab|eval\w*|elab\w*|init\w*|builtin_\w+|d?simproc\w*|macro\w*|syntax|declare_\w+|"
    r"unsafe\w*|implemented_by|extern|export|\w+_elab|native_decide|include_str|\w*MetaM|\w+ElabM|"
    r"TacticM|CoreM|IO)\b"
)
_EVIDENCE_CHARS = 600


def toolchain_missing() -> str | None:
    """What keeps native Lean from checking whole files here; None where nothing does."""
    return None if shutil.which("lake") else "lake is missing; install elan, which brings it"


def native_missing() -> str | None:
    """What keeps native Lean from stepping through proofs here; None where nothing does."""
    if missing := toolchain_missing():
        return missing
    if find_spec("lean_dojo") is None:
        return "lean-dojo is missing; install it with: pip install 'cotmill[lean]'"
    return None


@dataclass(frozen=True, slots=True)
class Repository:
    """A Lean repository as lean-dojo names it: an address or a local folder, with a commit.

    `file_path`: the file in it whose theorems are meant, and whose imports other files get; empty: no file.
    """

    url: str
    commit: str = ""
    file_path: str = ""


class NativeLean:
    """Implements LeanBackend for a repository. One proof at a time.

    For a theorem of the repository's file `start` and `run_tac` are lean-dojo's, whose own check looks at no
    axioms: a finished proof of theirs says what Lean said. Other theorems are stepped through by whole files.
    `check`, `trace` and `audit` take whole files, with the imports of the repository's file where they have
    none, and need a sandbox; `audit` is the word that counts.
    """

    def __init__(self, repository: Repository, timeout_s: int = 600, limits: Limits | None = None) -> None:
        self.repository, self.timeout_s = repository, timeout_s
        self.limits = limits or Limits(
            cpu_s=timeout_s, wall_s=2.0 * timeout_s, memory_bytes=16 << 30, output_bytes=16 << 20
        )
        self._process: subprocess.Popen[str] | None = None
        self._theorem: Theorem | None = None

    @property
    def name(self) -> str:
        return "lean-native"

    def start(self, theorem: Theorem) -> TacticState:
        """Raises LeanUnavailable without what it needs, BadInput where the theorem cannot be started."""
        self.close()
        if not self._holds(theorem):
            return stepping.start(self, theorem)
        if missing := native_missing():
            raise LeanUnavailable(missing)
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

    def _holds(self, theorem: Theorem) -> bool:
        """Whether lean-dojo may find the theorem; of a repository elsewhere that is not known."""
        root = Path(self.repository.url).expanduser()
        if not root.is_dir():
            return True
        try:
            text = (root / self.repository.file_path).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        name = theorem.full_name.rpartition(".")[2]
        return re.search(rf"\b(theorem|lemma)\s+(\S+\.)?{re.escape(name)}(?![\w'!?.])", text) is not None

    def run_tac(self, state: TacticState, tactic: str) -> TacticResult:
        if self._process is None:
            return stepping.run_tac(self, state, tactic)
        try:
            reply = self._ask(state=state.id, tactic=tactic)
        except LeanLost as e:
            return LeanError(str(e), undecided=True)
        return from_reply(reply, state.theorem, (*state.tactics, tactic))

    def check(self, code: str) -> list[Message]:
        """Raises LeanUnavailable without a toolchain or a sandbox, LeanLost at a limit."""
        return self._elaborate(code)

    def trace(self, code: str) -> list[TracedTactic]:
        """Raises as `check` does."""
        return traced_tactics(code, self._elaborate(code, "-Dtrace.Elab.info=true"))

    def audit(self, theorem: Theorem, submission: str) -> Audit:
        if found := _RUNS_CODE.search(submission):
            return Audit(None, f"it may run code of its own while it is elaborated: {found[0].strip()}")
        try:
            return self._audit(theorem, submission)
        except (LeanLost, LeanUnavailable) as e:
            return Audit(None, str(e))

    def audit_many(self, jobs: Iterable[tuple[Theorem, str]]) -> Iterator[Audit]:
        return (self.audit(theorem, submission) for theorem, submission in jobs)

    def _audit(self, theorem: Theorem, submission: str) -> Audit:
        toolchain = self._toolchain()
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            statement, proof = Path(one), Path(other)
            stated = self._compile(toolchain, statement, f"{theorem.statement} := by\n  sorry\n")
            if faults := [m for m in stated if m.severity == "error"]:
                return Audit(None, "the statement does not elaborate", faults[0].text[:_EVIDENCE_CHARS])
            if faults := [m for m in self._compile(toolchain, proof, submission) if m.severity == "error"]:
                shown = f"line {faults[0].line}: {faults[0].text}"[:_EVIDENCE_CHARS]
                if stepping.timed_out(faults[0]) or "maximum recursion depth" in shown:
                    return Audit(None, "limit: Lean's own", shown)
                return Audit(False, "Lean reports an error", shown)
            verdict, words = audit_files(
                toolchain, statement / "Main.olean", proof / "Main.olean", theorem.full_name, self.limits
            )
        if verdict == "proved":
            return Audit(True, "", axioms=tuple(words))
        return Audit(False if verdict == "refused" else None, " ".join(words))

    def _elaborate(self, code: str, *options: str) -> list[Message]:
        with tempfile.TemporaryDirectory() as scratch:
            return self._compile(self._toolchain(), Path(scratch), code, *options)

    def _compile(self, toolchain: Toolchain, folder: Path, code: str, *options: str) -> list[Message]:
        """`folder/Main.olean` from `code`, where it has no errors, and Lean's messages."""
        (folder / "Main.lean").write_text(self._with_imports(code), "utf-8")
        arguments = ["--json", *options, "-o", str(folder / "Main.olean"), str(folder / "Main.lean")]
        return _messages(toolchain.run(folder, arguments, self.limits))

    def _with_imports(self, code: str) -> str:
        """`code` with the imports of the repository's file before its first line, where it has none."""
        if _imports(code) or not self.repository.file_path:
            return code
        file = self._root() / self.repository.file_path
        try:
            header = " ".join(_imports(file.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as e:
            raise LeanUnavailable(f"{self.repository.file_path} cannot be read") from e
        return f"{header} {code}" if header else code

    def _toolchain(self) -> Toolchain:
        if missing := toolchain_missing():
            raise LeanUnavailable(missing)
        return Toolchain.of(self._root())

    def _root(self) -> Path:
        """The repository's folder; raises LeanUnavailable for one that is not on this machine."""
        root = Path(self.repository.url).expanduser()
        if not root.is_dir():
            raise LeanUnavailable("whole files need the repository as a folder of this machine, built")
        return root.resolve()

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

    def __reduce__(self) -> tuple[type[Self], tuple[Repository, int, Limits]]:
        return type(self), (self.repository, self.timeout_s, self.limits)


def _imports(code: str) -> list[str]:
    """The imports at the top of a file."""
    return [f"import {found[1]}" for found in imports(code)]


def _messages(run: Run) -> list[Message]:
    """Lean's messages from its JSON lines; raises LeanLost for an output that is none."""
    lines = run.stdout.decode("utf-8", "replace").splitlines()
    try:
        messages = messages_of(json.loads(line) for line in lines if line.startswith("{"))
    except (ValueError, LookupError, TypeError) as e:
        raise LeanLost("Lean's messages cannot be read") from e
    if run.returncode and not any(message.severity == "error" for message in messages):
        raise LeanLost(f"Lean failed: {run.stderr.decode('utf-8', 'replace').strip()[-200:]}")
    return messages


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
