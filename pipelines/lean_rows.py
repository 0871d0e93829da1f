"""Lean files as a source of rows, and Lean rows to traces by the Lean that is at hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..labelers.round_trip import Travelled
from ..schemas import BadInput, CotmillError, SearchState, Seed, Source, Trace, content_hash
from .config import Config, LeanSettings, ReverseSettings, resolve
from .files import BadRow, Rows, sha256
from .modules import MAX_BYTES, source_files

if TYPE_CHECKING:
    from ..generators.lean_search import Proposer, TacticSearch
    from ..generators.rejected import Rejected
    from ..generators.written import Written
    from ..models.policy import Policy
    from ..verifiers.lean import LeanBackend

Rejection = tuple[Source, str, object]
# What tells a repository's Lean and libraries.
_PINS = ("lean-toolchain", "lake-manifest.json")


def read_lean_files(path: Path) -> Rows:
    """The line and row of each theorem, file by file in the order of their names.

    A file that cannot be read, and a theorem without a tactic proof, is a BadRow. Raises BadInput where there
    is no theorem at all.
    """
    from ..generators.lean_reverse.files import lean_rows

    empty = True
    for file in source_files(path, "*.lean"):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        name = name.encode("utf-8", "replace").decode()
        try:
            if file.stat().st_size > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as e:
            empty = False
            yield 1, BadRow(1, f"{name}: cannot be read: {getattr(e, 'strerror', None) or e}")
            continue
        for line, row in lean_rows(text):
            empty = False
            yield line, BadRow(line, f"{name}: {row}") if isinstance(row, str) else row | {"id": name}
    if empty:
        raise BadInput("holds no Lean theorem", file=path)


@dataclass
class LeanRows:
    """What Lean gave for rows or seeds: traces, the states of proof searches that they go through, what was
    rejected with its reason, and what the policy wrote for them.
    """

    traces: list[Trace] = field(default_factory=list)
    states: list[SearchState] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    sampled: int = 0
    tokens: int = 0


def reverse_lean_rows(
    rows: Sequence[tuple[dict[str, Any], Source]],
    settings: ReverseSettings,
    run_seed: int,
    policy: "Policy | None" = None,
) -> LeanRows:
    """The traces behind proofs, and what could not be reversed with its reason.

    A Lean at hand verifies recorded proofs again and looks for missing ones. The writer `policy` writes the
    CoTs, each text of its that is refused being a rejection of its own.
    """
    from ..generators.lean_reverse import LeanSeed, informalise, read_lean_row, reverse
    from ..generators.lean_search import settled, tactic_states
    from ..generators.rejected import Rejected

    lean = settings.lean
    backend = open_lean(lean)
    search, proposers = _search(lean, run_seed, policy)
    done = LeanRows()
    ready: list[tuple[LeanSeed, Source, dict[str, Any]]] = []
    try:
        for row, source in rows:
            seed = read_lean_row(row, source)
            proved = seed if backend is None else settled(seed, backend, search, proposers)
            if isinstance(proved, Rejected):
                done.rejected.append((source, proved.reason, row))
            else:
                ready.append((proved, source, row))
    finally:
        if backend is not None:
            backend.close()
    seeds = [seed for seed, *_ in ready]
    if settings.writer == "policy":
        assert policy is not None
        written = informalise(seeds, policy, settings.asked, run_seed)
    else:
        written = [_in_grammar(reverse(seed, run_seed=run_seed)) for seed in seeds]
    for (seed, source, row), one in zip(ready, written, strict=True):
        done.traces += one.traces
        done.states += [state for trace in one.traces for state in tactic_states(trace, seed)]
        done.rejected += [(source, why, row) for why in one.refused]
        done.sampled += one.sampled
        done.tokens += one.tokens
    return done


def formalise_seeds(seeds: Sequence[Seed], policy: "Policy", config: Config) -> LeanRows:
    """Traces of seeds whose questions the policy states in Lean and whose statements are proved there."""
    from ..generators.lean_search import formalise

    lean, done = config.reverse.lean, LeanRows()
    backend = open_lean(lean)
    if backend is None:
        done.rejected = [(s.source, "no Lean to hold a formal statement against", s.seed_id) for s in seeds]
        return done
    search, proposers = _search(lean, config.seed, policy)
    try:
        made = formalise(seeds, policy, backend, lean.formalise, config.seed, search, proposers)
    finally:
        backend.close()
    done.rejected = [(seeds[place].source, why, text) for place, why, text in made.refused]
    done.traces, done.states = made.traces, made.states
    done.sampled, done.tokens = made.sampled, made.tokens
    return done


def _search(
    lean: LeanSettings, run_seed: int, policy: "Policy | None"
) -> "tuple[TacticSearch, list[Proposer]]":
    """How proofs are looked for, and who proposes tactics."""
    from ..generators.lean_search import PolicyProposer, TacticSearch, propose_generic

    proposers: list[Proposer] = [propose_generic]
    if policy is not None and lean.policy_samples:
        proposers.append(PolicyProposer(policy, run_seed, lean.policy_samples))
    return TacticSearch(method=lean.method, budget=lean.budget), proposers


def _in_grammar(made: "Trace | Rejected") -> "Written":
    from ..generators.written import Written

    return Written([made]) if isinstance(made, Trace) else Written(refused=[made.reason])


def prove_back(traces: Sequence[Trace], policy: "Policy", config: Config) -> Travelled:
    """Tries at the tactics behind the CoTs of Lean proofs, by the Lean at hand; without one none."""
    from ..labelers.lean_round_trip import label_proof_trips

    backend = open_lean(config.reverse.lean)
    if backend is None:
        return Travelled(list(traces))
    try:
        return label_proof_trips(traces, policy, backend, config.reverse.round_trip, config.seed)
    finally:
        backend.close()


def lean_digests(lean: LeanSettings, base: Path) -> dict[str, str]:
    """Which Lean and which library a repository stands for, in one hash.

    Raises BadInput where it is no repository of this machine, CotmillError without a toolchain.
    """
    from ..verifiers.lean import toolchain_missing

    if lean.repository is None:
        return {}
    root = resolve(lean.repository, base)
    if not root.is_dir():
        raise BadInput("no such folder", file=root, field="reverse.lean.repository")
    if lean.file and not (root / lean.file).is_file():
        raise BadInput("no such file", file=root / lean.file, field="reverse.lean.file")
    if missing := toolchain_missing():
        raise CotmillError(missing)
    there = [name for name in (*_PINS, lean.file) if name and (root / name).is_file()]
    return {"reverse.lean.repository": content_hash(*(f"{name} {sha256(root / name)}" for name in there))}


def with_lean(config: Config, base: Path) -> Config:
    """The configuration with `auto` settled, where Lean makes rows: these depend on what is installed.

    A repository's path no longer starts from `base`.
    """
    from ..verifiers.lean import embedded_missing

    lean = config.reverse.lean
    if lean.repository is not None:
        lean = lean.model_copy(update={"repository": str(resolve(lean.repository, base).resolve())})
        return config.model_copy(update={"reverse": config.reverse.model_copy(update={"lean": lean})})
    used = lean.formalise.share > 0 or any(source.kind == "lean" for source in config.sources)
    if lean.backend != "auto" or not used:
        return config
    lean = lean.model_copy(update={"backend": "none" if embedded_missing() else "embedded"})
    return config.model_copy(update={"reverse": config.reverse.model_copy(update={"lean": lean})})


def open_lean(settings: LeanSettings) -> "LeanBackend | None":
    """The Lean that settled settings ask for, or None."""
    from ..verifiers.lean import EmbeddedLean, NativeLean, Repository

    if settings.repository is not None:
        return NativeLean(Repository(settings.repository, file_path=settings.file))
    return EmbeddedLean() if settings.backend == "embedded" else None
