"""`cotmill verify`: a verdict for every row of a file, in order. A bad row is undecided and says why."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ..schemas import BadInput, CotmillError, Verdict
from ..verifiers.base import Pair, undecided
from ..verifiers.code import CodeVerifier
from ..verifiers.lean import LeanBackend, LeanVerifier, NativeLean, Repository, toolchain_missing
from ..verifiers.lean.verifier import File, proof_file, submission_file
from ..verifiers.math import MathVerifier
from ..verifiers.programs import Task, extract_program
from ..verifiers.rubric.verifier import RubricVerifier
from .files import BadRow, read_rows, write_jsonl

Row = dict[str, Any]
Timed = tuple[Verdict, float]
_BATCH = 64
_PROGRAM_COLUMNS = ("completion", "code", "solution")


def verify_file(
    kind: Literal["math", "code", "lean", "rubric"],
    source: Path,
    target: Path,
    progress: Callable[[int], None] | None = None,
    unsafe_no_sandbox: bool = False,
    rubric: RubricVerifier | None = None,
    lean: LeanBackend | None = None,
) -> dict[str, int]:
    """Rows of `source` to `target`, each with `verdict`, `reason` and `seconds` (wall clock).

    Math rows are `{gold, pred}`, code rows `{prompt?, completion, tests, entry_point?}` or `{completion,
    cases}`, Lean rows `{statement, proof}` or `{statement, submission}`; rows `{task, text}` are judged by
    `rubric`, and their reason names the score of each criterion. `lean`: the embedded one by default.
    `progress` is called with the number of rows done.

    Returns the counts `rows`, `correct`, `wrong`, `undecided`. Raises BadInput for an unreadable or empty
    source.
    """
    counts: Counter[str] = Counter(rows=0, correct=0, wrong=0, undecided=0)

    def rows(verdicts: Callable[[list[Row | BadRow]], Iterator[Timed]]) -> Iterator[Row]:
        read = (row for _, row in read_rows(source))
        while batch := list(islice(read, _BATCH)):
            for row, (verdict, seconds) in zip(batch, verdicts(batch), strict=True):
                counts["rows"] += 1
                counts[verdict.outcome.value] += 1
                if progress:
                    progress(counts["rows"])
                fields = row if isinstance(row, dict) else {"line": row.line, "raw": row.raw}
                yield fields | {
                    "verdict": verdict.outcome.value,
                    "reason": verdict.reason,
                    "seconds": round(seconds, 6),
                }

    if kind == "math":
        with MathVerifier() as verifier:
            write_jsonl(target, rows(partial(_math, verifier)))
    elif kind == "lean":
        with LeanVerifier(lean) as prover:
            write_jsonl(target, rows(partial(_lean, prover)))
    elif kind == "rubric":
        if rubric is None:
            raise BadInput("missing", field="--rubric")
        write_jsonl(target, rows(partial(_rubric, rubric)))
    else:
        with CodeVerifier(unsafe_no_sandbox=unsafe_no_sandbox) as judge:
            write_jsonl(target, rows(partial(_code, judge)))
    return dict(counts)


def native_lean(repository: Path, file: str = "") -> LeanBackend:
    """The Lean of a built repository, rows getting the imports of its `file`.

    Raises BadInput where there is no such folder or file, CotmillError without a toolchain.
    """
    if not repository.is_dir():
        raise BadInput("no such folder", file=repository, field="--repository")
    if file and not (repository / file).is_file():
        raise BadInput("no such file", file=repository / file, field="--imports-of")
    if missing := toolchain_missing():
        raise CotmillError(missing)
    return NativeLean(Repository(str(repository), file_path=file))


def _math(verifier: MathVerifier, batch: list[Row | BadRow]) -> Iterator[Timed]:
    for row in batch:
        start = time.perf_counter()
        try:
            verdict = verifier.verify(_text(row, "pred"), _text(row, "gold"))
        except BadInput as e:
            verdict = undecided(str(e))
        yield verdict, time.perf_counter() - start


def _lean(verifier: LeanVerifier, batch: list[Row | BadRow]) -> Iterator[Timed]:
    """The seconds are those since the verdict before: one row is elaborated while another is judged."""
    start = time.perf_counter()
    for verdict in verifier.verify_files(map(_lean_file, batch)):
        now = time.perf_counter()
        yield verdict, now - start
        start = now


def _lean_file(row: Row | BadRow) -> File:
    try:
        statement = _text(row, "statement", numbers=False)
        if isinstance(row, dict) and row.get("submission") is not None:
            return submission_file(_text(row, "submission", numbers=False), statement)
        return proof_file(_text(row, "proof", numbers=False), statement)
    except BadInput as e:
        return undecided(str(e))


def _rubric(verifier: RubricVerifier, batch: list[Row | BadRow]) -> Iterator[Timed]:
    """A batch's votes are asked for together; its seconds are shared by its rows."""
    faults: dict[int, Verdict] = {}
    pairs: list[Pair] = []
    for number, row in enumerate(batch):
        try:
            pairs.append((_text(row, "text", numbers=False), _text(row, "task", numbers=False)))
        except BadInput as e:
            faults[number] = undecided(str(e))
    start = time.perf_counter()
    judged = iter(verifier.verify_many(pairs))
    seconds = (time.perf_counter() - start) / max(1, len(pairs))
    for number in range(len(batch)):
        if number in faults:
            yield faults[number], 0.0
            continue
        verdict = next(judged)
        reason = "; ".join(part for part in (verdict.reason, verdict.evidence) if part)
        yield verdict.model_copy(update={"reason": reason}), seconds


def _code(verifier: CodeVerifier, batch: list[Row | BadRow]) -> Iterator[Timed]:
    faults: dict[int, Verdict] = {}
    jobs: list[tuple[str, Task]] = []
    for number, row in enumerate(batch):
        try:
            jobs.append(_job(row))
        except BadInput as e:
            faults[number] = undecided(str(e))
    judged = iter(verifier.verify_tasks(jobs))
    for number in range(len(batch)):
        yield (faults[number], 0.0) if number in faults else next(judged)


def _job(row: Row | BadRow) -> tuple[str, Task]:
    """The program and its task; raises BadInput."""
    column = next((c for c in _PROGRAM_COLUMNS if isinstance(row, dict) and c in row), _PROGRAM_COLUMNS[0])
    program = extract_program(_text(row, column, numbers=False))
    assert isinstance(row, dict)
    try:
        return program, Task.from_row(row)
    except ValueError as e:
        raise BadInput(str(e)) from e


def _text(row: Row | BadRow, field: str, *, numbers: bool = True) -> str:
    """A row's text (or number); raises BadInput for anything else."""
    if isinstance(row, BadRow):
        raise BadInput(row.reason, field=row.field)
    value = row.get(field)
    if value is None:
        raise BadInput("missing", field=field)
    if isinstance(value, bool) or not isinstance(value, str | int | float if numbers else str):
        raise BadInput(f"expected a text, got {type(value).__name__}", field=field)
    return str(value)
