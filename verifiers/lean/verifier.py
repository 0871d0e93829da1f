"""Proofs and whole files against Lean statements."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Self

from ...schemas import BadInput, Verdict
from ..base import Closing, Pair, correct, undecided, wrong
from .backend import Audit, LeanBackend, Theorem
from .embedded import EmbeddedLean

_PROOF_OF = re.compile(r"\A\s*(:=\s*)?by\b[ \t]*|\A\s*:=\s*")

# A theorem and the file that claims to prove it, or why there is none.
File = Verdict | tuple[Theorem, str]


class LeanVerifier(Closing):
    """Correct where the statement's theorem is proved, by its name, from no axiom but the standard three.

    Picklable where its backend is; the embedded one by default.
    """

    def __init__(self, backend: LeanBackend | None = None) -> None:
        self.backend: LeanBackend = backend or EmbeddedLean()

    @property
    def name(self) -> str:
        return self.backend.name

    def verify(self, prediction: str, reference: str) -> Verdict:
        """`reference`: `theorem NAME … : …`; `prediction`: a whole file that holds it, or a proof."""
        return self.verify_many([(prediction, reference)])[0]

    def verify_many(self, pairs: Iterable[Pair]) -> list[Verdict]:
        return list(self.verify_files(_file(prediction, reference) for prediction, reference in pairs))

    def verify_proof(self, proof: str, statement: str) -> Verdict:
        """`proof`: tactics, `by` with tactics, or `:=` and a term."""
        return next(self.verify_files([proof_file(proof, statement)]))

    def verify_submission(self, submission: str, statement: str) -> Verdict:
        return next(self.verify_files([submission_file(submission, statement)]))

    def verify_files(self, files: Iterable[File]) -> Iterator[Verdict]:
        """The verdicts on what `proof_file` and `submission_file` made, in order, as they are found."""
        verdicts: deque[Verdict | None] = deque()

        def readable() -> Iterator[tuple[Theorem, str]]:
            for file in files:
                verdicts.append(file if isinstance(file, Verdict) else None)
                if not isinstance(file, Verdict):
                    yield file

        for audit in self.backend.audit_many(readable()):
            while (ready := verdicts.popleft()) is not None:
                yield ready
            yield _verdict(audit)
        yield from (verdict for verdict in verdicts if verdict is not None)

    def close(self) -> None:
        self.backend.close()

    def __reduce__(self) -> tuple[type[Self], tuple[LeanBackend]]:
        return type(self), (self.backend,)


def proof_file(proof: str, statement: str) -> File:
    """`proof`: tactics, `by` with tactics, or `:=` and a term."""
    try:
        theorem = Theorem.read(statement)
    except BadInput as e:
        return undecided(str(e))
    return theorem, f"{theorem.statement} := {proof_text(proof)}\n"


def submission_file(submission: str, statement: str) -> File:
    """`submission`: a whole file that claims to prove `statement`."""
    try:
        return Theorem.read(statement), submission
    except BadInput as e:
        return undecided(str(e))


def _file(prediction: str, reference: str) -> File:
    """`prediction` is a file where it declares the theorem's name, else a proof."""
    file = submission_file(prediction, reference)
    if isinstance(file, Verdict):
        return file
    declares = re.compile(rf"\b(theorem|lemma|def)\s+{re.escape(file[0].full_name)}(?![\w'!?.])")
    return file if declares.search(prediction) else proof_file(prediction, reference)


def _verdict(audit: Audit) -> Verdict:
    if audit.proved:
        named = ", ".join(audit.axioms)
        return correct("proved", f"axioms named: {named}" if named else "")
    return (undecided if audit.proved is None else wrong)(audit.reason, audit.evidence)


def proof_text(proof: str) -> str:
    """What stands after `:=`. Tactics get their `by`, and lines that start at the margin an indentation."""
    lead = _PROOF_OF.match(proof)
    if lead and "by" not in lead[0]:
        return proof[lead.end() :]
    body = proof[lead.end() :] if lead else proof
    if lead and "\n" not in body.strip("\n"):
        return f"by {body.strip()}"
    margin = any(line.strip() and not line[0].isspace() for line in body.split("\n"))
    lines = [f"  {line}" if margin else line for line in body.strip("\n").split("\n")]
    return "by\n" + "\n".join(lines)
