"""Proofs and whole files against Lean statements."""

import re
from collections.abc import Iterable
from typing import Self

from ...schemas import BadInput, Verdict
from ..base import Closing, Pair, correct, undecided, wrong
from .backend import LeanBackend, LeanUnavailable, Theorem
from .embedded import EmbeddedLean

_PROOF_OF = re.compile(r"\A\s*(:=\s*)?by\b[ \t]*|\A\s*:=\s*")


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
        try:
            theorem = Theorem.read(reference)
        except BadInput as e:
            return undecided(str(e))
        declares = re.compile(rf"\b(theorem|lemma|def)\s+{re.escape(theorem.full_name)}(?![\w'!?.])")
        if declares.search(prediction):
            return self.verify_submission(prediction, reference)
        return self.verify_proof(prediction, reference)

    def verify_proof(self, proof: str, statement: str) -> Verdict:
        """`proof`: tactics, `by` with tactics, or `:=` and a term."""
        try:
            theorem = Theorem.read(statement)
        except BadInput as e:
            return undecided(str(e))
        return self._judge(theorem, f"{theorem.statement} := {proof_text(proof)}\n")

    def verify_submission(self, submission: str, statement: str) -> Verdict:
        try:
            return self._judge(Theorem.read(statement), submission)
        except BadInput as e:
            return undecided(str(e))

    def _judge(self, theorem: Theorem, submission: str) -> Verdict:
        try:
            audit = self.backend.audit(theorem, submission)
        except LeanUnavailable as e:
            return undecided(str(e))
        if audit.proved:
            named = ", ".join(audit.axioms)
            return correct("proved", f"axioms named: {named}" if named else "")
        return (undecided if audit.proved is None else wrong)(audit.reason, audit.evidence)

    def verify_many(self, pairs: Iterable[Pair]) -> list[Verdict]:
        return [self.verify(prediction, reference) for prediction, reference in pairs]

    def close(self) -> None:
        self.backend.close()

    def __reduce__(self) -> tuple[type[Self], tuple[LeanBackend]]:
        return type(self), (self.backend,)


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
