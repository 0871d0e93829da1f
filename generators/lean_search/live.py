"""Lean rows with a Lean at hand: recorded proofs verified again, bare statements proved, states recorded."""

import re
from collections.abc import Sequence
from dataclasses import replace

from ...schemas import BadInput
from ...verifiers.lean import Audit, LeanBackend, LeanLost, LeanUnavailable, Theorem
from ..lean_reverse.failures import explain
from ..lean_reverse.rows import FailedTactic, LeanSeed, RecordedCheck, TracedTactic
from ..lean_reverse.states import BadState, Goal, parse_state
from ..lean_reverse.story import proof_text
from ..rejected import Rejected
from .game import SEARCH_LIBRARY, Attempt, Proposer
from .search import DEFAULT, Found, TacticSearch, propose_generic, prove, whole_file

_TOLD_CHARS = 1500


def settled(
    seed: LeanSeed,
    backend: LeanBackend,
    search: TacticSearch = DEFAULT,
    proposers: Sequence[Proposer] = (propose_generic,),
    told: int = 2,
) -> LeanSeed | Rejected:
    """The seed with a proof that this Lean took and the states it went through; or why there is none.

    A proof that comes with the row is audited again; a statement without one is searched, and at most `told`
    of the refused attempts on the proof's way are kept. A recorded trace that this Lean cannot settle (a
    library that it lacks, a limit) stays as it was recorded; one that Lean refuses is rejected.
    """
    if seed.proof or seed.traced:
        return _replayed(seed, backend)
    try:
        theorem = _theorem(seed)
        found = prove(theorem, backend, search, proposers)
    except BadInput as e:
        return Rejected(f"the statement cannot be read: {e.what}", seed.source.row)
    except LeanUnavailable as e:
        return Rejected(f"no Lean to search with: {e}", seed.source.row)
    if found.tactics is None:
        return Rejected(f"no proof: {found.reason} ({found.run} tactics run)", seed.source.row)
    return recorded(seed, found, backend, told)


def recorded(seed: LeanSeed, found: Found, backend: LeanBackend, told: int = 2) -> LeanSeed | Rejected:
    """A found proof as a seed of the reversal: its states, and refused attempts with Lean's own words."""
    assert found.tactics is not None
    code = whole_file(found.theorem, found.tactics)
    try:
        traced = _states(code, backend, found.theorem)
    except LeanLost as e:
        return Rejected(f"Lean gave no states: {e}", seed.source.row)
    return replace(
        seed,
        full_name=found.theorem.full_name,
        proof="\n".join(found.tactics),
        traced=traced,
        failed=_told(found.attempts, traced, told),
        check=RecordedCheck(version(backend), found.axioms),
        replayed=backend.name,
        searched=found.searched,
    )


def version(backend: LeanBackend) -> str:
    """The version that the backend's Lean says it has; the backend's name where it does not say."""
    try:
        messages = backend.check("#eval Lean.versionString")
    except LeanLost:
        return backend.name
    said = next((m.text for m in messages if m.severity == "information"), "")
    return match[1] if (match := re.match(r'"([^",\s]+)', said.strip())) else backend.name


def _replayed(seed: LeanSeed, backend: LeanBackend) -> LeanSeed | Rejected:
    """A recorded proof, audited and traced by this Lean where it can."""
    row = seed.source.row
    try:
        theorem = _theorem(seed)
        code = f"{_before(seed)}{proof_text(seed)}\n"
        audit = backend.audit(theorem, code)
        if not audit.proved:
            return _unproved(seed, audit)
        traced = _states(code, backend, theorem)
        if not traced:
            raise LeanLost("its trace is empty")
    except (BadInput, BadState) as e:
        return seed if seed.traced else Rejected(f"the statement cannot be read: {e}", row)
    except (LeanLost, LeanUnavailable) as e:
        return seed if seed.traced else Rejected(f"Lean gave no states: {e}", row)
    check = RecordedCheck(version(backend), audit.axioms)
    return replace(seed, traced=traced, failed=_kept(seed, traced), check=check, replayed=backend.name)


def _unproved(seed: LeanSeed, audit: Audit) -> LeanSeed | Rejected:
    why = f"{audit.reason}: {audit.evidence}".strip(": ").split("\n")[0]
    if audit.proved is False:
        return Rejected(f"Lean refuses the proof: {why}", seed.source.row)
    return seed if seed.traced else Rejected(f"this Lean cannot settle the proof: {why}", seed.source.row)


def _theorem(seed: LeanSeed) -> Theorem:
    """The statement behind what stands before it; raises BadInput."""
    theorem = Theorem.read(seed.statement)
    if not seed.preamble:
        return theorem
    return Theorem(seed.full_name or theorem.full_name, f"{_before(seed)}{theorem.statement}")


def _before(seed: LeanSeed) -> str:
    return f"{seed.preamble}\n\n" if seed.preamble else ""


def _states(code: str, backend: LeanBackend, theorem: Theorem) -> tuple[TracedTactic, ...]:
    """The tactics below the statement, with their states."""
    lines_before = theorem.statement.count("\n") + 1
    return tuple(
        TracedTactic(t.tactic, t.state_before, t.state_after)
        for t in backend.trace(code)
        if t.start[0] > lines_before
    )


def _kept(seed: LeanSeed, traced: Sequence[TracedTactic]) -> tuple[FailedTactic, ...]:
    """Recorded failures whose state this Lean met again."""
    met = {t.state_before for t in traced}
    return tuple(f for f in seed.failed if f.state_before in met)


def _told(attempts: Sequence[Attempt], traced: Sequence[TracedTactic], told: int) -> tuple[FailedTactic, ...]:
    """Refused attempts at states of the proof: one a state, first those whose message has words."""
    states: dict[tuple[Goal, ...], str] = {}
    for t in traced:
        states.setdefault(parse_state(t.state_before), t.state_before)
    best: dict[str, tuple[bool, int, FailedTactic]] = {}
    for at, attempt in enumerate(attempts):
        try:
            goals = parse_state(attempt.state.pp)
        except BadState:
            continue
        state = states.get(goals)
        long = len(attempt.error) > _TOLD_CHARS or "\n" in attempt.tactic
        if state is None or attempt.undecided or long or attempt.tactic == SEARCH_LIBRARY:
            continue
        plain = explain(attempt.error, goals[0])[0] == "failed"
        choice = (plain, at, FailedTactic(state, attempt.tactic, attempt.error))
        if state not in best or choice[:2] < best[state][:2]:
            best[state] = choice
    chosen = sorted(best.values(), key=lambda c: c[:2])[:told]
    return tuple(c[2] for c in chosen)
