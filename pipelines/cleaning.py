"""The last stages of a run that asks for hygiene: sign every shard, decide once, write clean shards again.

`sign` reads a labelled shard and finds what it can alone; `decide` compares the questions of all; `clean`
writes the shard without what is removed. Each may be run again: what it reads is left as it is until then.
"""

import json
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from ..schemas import BadInput, Trace
from ..schemas.tables import TABLES, Row, trace_from_row
from .browse import Run
from .config import resolve
from .files import BadRow, atomic, quoted, read_rows, sha256, write_json, write_jsonl
from .hygiene import (
    Evaluation,
    HygieneSettings,
    Removal,
    Signature,
    contaminated,
    duplicates,
    outside,
    repeated,
    sign,
    solve_rate,
)
from .manifest import NAME, read_manifest
from .shards import write_shard
from .sources import Shard
from .totals import Totals

if TYPE_CHECKING:
    from .stages import Job

_COLUMNS = ("question", "problem", "prompt", "text")
_RATES = ("0", "0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1", "1")


def sign_shard(job: "Job", shard: Shard) -> dict[str, Any]:
    """Signatures of a shard's questions, and what is removed whatever the other shards hold."""
    settings = job.config.hygiene
    evaluation = read_evaluation(settings, Path(job.base))
    removed: list[Removal] = []
    signatures: list[Signature] = []
    rates: Counter[str] = Counter()
    for own, traces in _by_question(_traces(job, shard)):
        found = contaminated(own, traces, evaluation)
        rate = solve_rate(traces)
        if rate is not None:
            rates[_bin(rate)] += 1
        if settings.solve_rate is not None and not any(r.whole for r in found):
            found += outside(own, traces, settings.solve_rate)
        whole = [r for r in found if r.whole]
        removed += whole or found
        if settings.duplicates != "none" and not whole:
            signatures.append(sign(own.trace_id, own.question, settings))
            gone = {r.id for r in found}
            removed += repeated([t for t in traces if t.trace_id not in gone], settings)
    with atomic(_signatures(job, shard)) as file:
        pickle.dump((signatures, removed), file)
    return {"totals": Totals(solve_rates={k: rates[k] for k in _RATES if rates[k]}).model_dump(mode="json")}


def decide(job: "Job", shards: Sequence[Shard]) -> None:
    """One reduce over all signatures: which questions repeat another of the run or of an earlier one."""
    settings = job.config.hygiene
    if _decided(job).exists():
        return
    signatures: list[Signature] = []
    removed: list[Removal] = []
    for shard in shards:
        signed, found = pickle.loads(_signatures(job, shard).read_bytes())
        signatures += signed
        removed += found
    earlier = _earlier(settings, Path(job.base))
    for key, reason, match in duplicates(signatures, settings, earlier):
        removed.append(Removal(key, f"{reason} of a question", match, whole=True))
    write_json(_decided(job), {r.id: [r.reason, r.match, r.whole] for r in removed})


def clean_shard(job: "Job", shard: Shard) -> dict[str, Any]:
    """The shard's files without what is removed, its totals counted again."""
    removed = _removed(job)
    labelled = json.loads(job.marker("label", shard.index).read_text("utf-8"))
    rows = {name: _rows(job, shard, name) for name in TABLES}
    gone = {r["trace_id"]: why for r in rows["traces"] if (why := _why(r, removed)) is not None}
    record = job.out / "rejected" / f"hygiene-{shard.index:05d}.jsonl"
    # Where it stands, an earlier attempt wrote it and may have removed the rows already.
    if gone and not record.exists():
        write_jsonl(
            record, (_as_row(r, gone[r["trace_id"]]) for r in rows["traces"] if r["trace_id"] in gone)
        )
    kept = {
        name: [r for r in table if r["trace_id"] not in gone and _why(r, removed) is None]
        for name, table in rows.items()
    }
    totals = Totals.model_validate(labelled["totals"]).recounted(
        [trace_from_row(r) for r in kept["traces"]], job.config.labels.threshold
    )
    if record.exists():
        totals.rejected = dict(Counter(_reason(row) for _, row in read_rows(record)))
    files = [
        file.model_dump()
        for name, left in kept.items()
        for file in write_shard(job.out, name, shard.index, left, job.config.shards.validation_share)
    ]
    written = {f["path"] for f in files}
    for old in labelled["files"]:
        if old["path"] not in written:
            (job.out / old["path"]).unlink(missing_ok=True)
    return {"totals": totals.model_dump(mode="json"), "files": files}


def read_evaluation(settings: HygieneSettings, base: Path) -> Evaluation:
    """The problems of the evaluation files: their columns `question`, `problem`, `prompt` or `text`.

    Raises BadInput for a file that holds none of these.
    """
    out = Evaluation(settings.ngram)
    for path in settings.evaluation:
        file, found = resolve(path, base), False
        for line, row in read_rows(file):
            text = None if isinstance(row, BadRow) else next((row[c] for c in _COLUMNS if row.get(c)), None)
            if isinstance(text, str):
                found = True
                out.add(text, f"{file.name}, line {line}")
        if not found:
            raise BadInput(f"has none of the columns {', '.join(_COLUMNS)}", file=file)
    return out


def hygiene_digests(settings: HygieneSettings, base: Path) -> dict[str, str]:
    """The hashes of what a run is held against, by configured path; raises BadInput."""
    digests = {}
    for path in settings.evaluation:
        file = resolve(path, base)
        if not file.is_file():
            raise BadInput("no such file", file=file)
        digests[path] = sha256(file)
    for path in settings.earlier:
        folder = resolve(path, base)
        read_manifest(folder)
        digests[path] = sha256(folder / NAME)
    return digests


def _earlier(settings: HygieneSettings, base: Path) -> Iterator[tuple[str, Signature]]:
    """The questions of earlier runs, under names that say where they stand."""
    for path in settings.earlier if settings.duplicates != "none" else ():
        run = Run(resolve(path, base))
        for batch in run.batches("traces", ("trace_id", "seed_id", "question")):
            for row in batch.to_pylist():
                if row["trace_id"] == row["seed_id"]:
                    key = row["trace_id"]
                    yield f"{run.folder.resolve().name} {key}", sign(key, row["question"], settings)


def _by_question(traces: Sequence[Trace]) -> Iterator[tuple[Trace, list[Trace]]]:
    """Each seed's own trace (else its first), and all of its traces."""
    of_seed: dict[str, list[Trace]] = {}
    for trace in traces:
        of_seed.setdefault(trace.seed_id, []).append(trace)
    for key, some in of_seed.items():
        yield next((t for t in some if t.trace_id == key), some[0]), some


def _why(row: Row, removed: dict[str, Removal]) -> Removal | None:
    """Why a row goes: its question goes, or its trace."""
    whole = removed.get(row["seed_id"])
    return whole if whole is not None and whole.whole else removed.get(row["trace_id"])


def _as_row(row: Row, why: Removal) -> dict[str, Any]:
    source, shown = row["source"], {"trace_id": row["trace_id"], "question": row["question"]}
    bad = BadRow(source["row"], f"{why.reason}: {why.match}", raw=quoted(shown))
    return bad.as_row(source["name"]) | {"trace_id": row["trace_id"], "seed_id": row["seed_id"]}


def _reason(row: dict[str, Any] | BadRow) -> str:
    return "" if isinstance(row, BadRow) else str(row["reason"]).partition(":")[0]


def _traces(job: "Job", shard: Shard) -> list[Trace]:
    return [trace_from_row(r) for r in _rows(job, shard, "traces")]


def _rows(job: "Job", shard: Shard, table: str) -> list[Row]:
    """A labelled shard's rows of one table; a file that a killed attempt has emptied is gone."""
    labelled = json.loads(job.marker("label", shard.index).read_text("utf-8"))
    paths = [job.out / f["path"] for f in labelled["files"] if f["table"] == table]
    return [row for path in paths if path.exists() for row in pq.read_table(path).to_pylist()]


def _signatures(job: "Job", shard: Shard) -> Path:
    return job.work / "hygiene" / f"{shard.index:05d}.pickle"


def _removed(job: "Job") -> dict[str, Removal]:
    raw: dict[str, list[Any]] = json.loads(_decided(job).read_text("utf-8"))
    return {key: Removal(key, *what) for key, what in raw.items()}


def _decided(job: "Job") -> Path:
    return job.work / "hygiene" / "removed.json"


def _bin(rate: float) -> str:
    """A fifth of the solve rates; never and always stand apart."""
    return _RATES[0] if rate == 0 else _RATES[-1] if rate == 1 else _RATES[1 + int(rate * 5)]
