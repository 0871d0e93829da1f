"""Lean files as a source of rows, and Lean rows to traces by the Lean that is at hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schemas import BadInput, Source, Trace
from .config import Config, LeanSettings
from .files import BadRow, Rows
from .modules import MAX_BYTES, source_files

if TYPE_CHECKING:
    from ..generators.lean_search import Proposer
    from ..models.policy import Policy
    from ..verifiers.lean import LeanBackend

Rejection = tuple[Source, str, object]


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


def reverse_lean_rows(
    rows: Sequence[tuple[dict[str, Any], Source]],
    settings: LeanSettings,
    run_seed: int,
    policy: "Policy | None" = None,
) -> tuple[list[Trace], list[Rejection]]:
    """The traces behind proofs, and what could not be reversed with its reason.

    A Lean at hand verifies recorded proofs again and looks for missing ones.
    """
    from ..generators.lean_reverse import read_lean_row, reverse
    from ..generators.lean_search import PolicyProposer, TacticSearch, propose_generic, settled
    from ..generators.rejected import Rejected

    backend = open_lean(settings)
    search = TacticSearch(method=settings.method, budget=settings.budget)
    proposers: list[Proposer] = [propose_generic]
    if policy is not None:
        proposers.append(PolicyProposer(policy, run_seed, settings.policy_samples))
    traces: list[Trace] = []
    rejected: list[Rejection] = []
    try:
        for row, source in rows:
            seed = read_lean_row(row, source)
            ready = seed if backend is None else settled(seed, backend, search, proposers)
            made = ready if isinstance(ready, Rejected) else reverse(ready, run_seed=run_seed)
            if isinstance(made, Trace):
                traces.append(made)
            else:
                rejected.append((source, made.reason, row))
    finally:
        if backend is not None:
            backend.close()
    return traces, rejected


def with_lean(config: Config) -> Config:
    """The configuration with `auto` settled, where it has Lean rows: these depend on what is installed."""
    from ..verifiers.lean import embedded_missing

    lean = config.reverse.lean
    if lean.backend != "auto" or all(source.kind != "lean" for source in config.sources):
        return config
    lean = lean.model_copy(update={"backend": "none" if embedded_missing() else "embedded"})
    return config.model_copy(update={"reverse": config.reverse.model_copy(update={"lean": lean})})


def open_lean(settings: LeanSettings) -> "LeanBackend | None":
    """The Lean that settled settings ask for, or None."""
    from ..verifiers.lean import EmbeddedLean

    return EmbeddedLean() if settings.backend == "embedded" else None
