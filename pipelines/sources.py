"""From source files to shards of seeds: rows checked, bad ones set aside with line, field and reason."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..generators import families
from ..schemas import (
    ActSpan,
    BadInput,
    Domain,
    Generator,
    MarkupError,
    Origin,
    Seed,
    Source,
    join_steps,
    markup,
    split_steps,
)
from .config import Config, FamilySource, FileSource, resolve
from .files import BadRow, Rows, quoted, read_rows, sha256, write_jsonl
from .hub import dataset_digest, dataset_rows, is_dataset, open_dataset
from .lean_rows import read_lean_files
from .modules import folder_digest, read_modules

_KNOWN = {
    "seeds": {"question", "answer", "cot", "id", "domain", "licence", "source"},
    "traces": {"question", "problem", "steps", "answer", "id", "domain", "licence", "source"},
}
_PATTERNS = {"code": "*.py", "lean": "*.lean"}
MAX_CHARACTERS, MAX_STEPS = 500_000, 4_000
_GSM8K_MARK = re.compile(r"<<[^<>\n]*>>")


@dataclass(frozen=True)
class Shard:
    """One shard of work: its number, what kind of rows, how many, and whether they are rolled out."""

    index: int
    kind: str
    rows: int
    roll_out: bool


@dataclass
class Read:
    """What reading the sources gave."""

    shards: list[Shard] = field(default_factory=list)
    seeds: int = 0
    bad: list[dict[str, Any]] = field(default_factory=list)
    unknown: dict[str, list[str]] = field(default_factory=dict)
    refusal: BadInput | None = None


def input_digests(config: Config, base: Path) -> dict[str, str]:
    """The hash of every input by its configured path; raises BadInput for one that is not there."""
    digests: dict[str, str] = {}
    for source in config.sources:
        if isinstance(source, FileSource):  # splits of one data set share its path
            before = digests.get(source.path, "")
            digests[source.path] = before + _source_digest(source, base)
    for path in (config.inventory, config.labels.judge.prompt):
        if path is not None:
            digests[path] = _file_digest(path, resolve(path, base))
    return digests


def _source_digest(source: FileSource, base: Path) -> str:
    file = resolve(source.path, base)
    if file.is_dir() and (pattern := _PATTERNS.get(source.kind)):
        return folder_digest(file, pattern)
    if is_dataset(source.path, file):
        return dataset_digest(open_dataset(source.path, file, source.subset, source.split))
    return _file_digest(source.path, file)


def _file_digest(path: str, file: Path) -> str:
    if not file.is_file():
        raise BadInput("no such file" if not file.exists() else "is not a file", file=path)
    return sha256(file)


def write_shards(config: Config, base: Path, folder: Path) -> Read:
    """Read every source and write `folder/00000.jsonl`, …: seeds for roll-out, rows for reversal.

    Equal seeds are taken once. Reading ends with a `refusal` where more than `max_rejected` of a file's rows
    are bad, or no row is left. Raises BadInput for a file that cannot be read.
    """
    read, seen = Read(), set[str]()
    for source in config.sources:
        rows = (
            _family_rows(source, config.seed, seen)
            if isinstance(source, FamilySource)
            else _file_rows(source, base, read, seen, config.max_rejected)
        )
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == config.shards.seeds_per_shard:
                _write(batch, source, folder, read)
                batch = []
        if batch:
            _write(batch, source, folder, read)
        if read.refusal:
            return read
    if not read.shards:
        read.refusal = BadInput("no row is left to work on", field="sources")
    return read


def _write(batch: list[dict[str, Any]], source: FamilySource | FileSource, folder: Path, read: Read) -> None:
    kind = source.kind if source.kind in ("code", "lean", "traces") else "seeds"
    shard = Shard(len(read.shards), kind, len(batch), source.roll_out)
    write_jsonl(folder / f"{shard.index:05d}.jsonl", batch)
    read.shards.append(shard)
    read.seeds += len(batch)


def _family_rows(source: FamilySource, run_seed: int, seen: set[str]) -> Iterator[dict[str, Any]]:
    index = count = 0
    while count < source.count:
        if index > 20 * source.count + 1000:
            raise BadInput(
                f"these families and levels hold fewer than {source.count} distinct problems",
                field="sources.count",
            )
        seed = families.seed_at(
            run_seed,
            index,
            families=source.families,
            levels=source.levels,
            mistake_rate=source.mistake_rate,
        )
        index += 1
        if seed.seed_id not in seen:
            seen.add(seed.seed_id)
            count += 1
            yield seed.model_dump(mode="json")


def _file_rows(
    source: FileSource, base: Path, read: Read, seen: set[str], max_rejected: float
) -> Iterator[dict[str, Any]]:
    total = bad = 0
    first: BadInput | None = None
    path = resolve(source.path, base)
    name = (path.name if path.exists() else source.path).encode("utf-8", "replace").decode()
    for line, row in _rows_of(source, path):
        total += 1
        try:
            if isinstance(row, BadRow):
                raise BadInput(row.reason, line=line, field=row.field)
            out, key = _taken(source.kind, row, name, line)
            if extra := sorted(set(row) - _KNOWN.get(source.kind, set(row))):
                known = read.unknown.setdefault(name, [])
                known += [c for c in extra if c not in known]
        except BadInput as e:
            bad += 1
            first = first or BadInput(e.what, line=line, field=e.field)
            raw = row.raw if isinstance(row, BadRow) else quoted(row)
            read.bad.append(BadRow(line, e.what, e.field, raw).as_row(name))
            continue
        if key in seen:
            read.bad.append(BadRow(line, "the same as an earlier row", raw=quoted(row)).as_row(name))
            continue
        seen.add(key)
        yield out
    if first is not None and bad > max_rejected * total:
        read.refusal = BadInput(
            f"{bad} of {total} rows are bad, more than max_rejected ({max_rejected:.0%}); "
            f"the first: {first.what}",
            file=path,
            line=first.line,
            field=first.field,
        )


def _rows_of(source: FileSource, path: Path) -> Rows:
    own = _PATTERNS.get(source.kind)
    if own is not None and (path.is_dir() or f"*{path.suffix}" == own):
        return {"code": read_modules, "lean": read_lean_files}[source.kind](path)
    if is_dataset(source.path, path):
        return dataset_rows(open_dataset(source.path, path, source.subset, source.split))
    return read_rows(path)


def _taken(kind: str, row: dict[str, Any], name: str, line: int) -> tuple[dict[str, Any], str]:
    """A row as it goes into a shard, and the key by which equal rows are known."""
    where = f"{name}:{row['id']}" if isinstance(row.get("id"), str | int) else name
    told = row.get("source")
    source = Source(
        name=f"{told} ({where})" if isinstance(told, str) and told else where,
        row=line,
        licence=_text(row, "licence", default=""),
    )
    if kind in ("seeds", "traces"):
        seed = seed_from_row(row, source) if kind == "seeds" else trace_seed_from_row(row, source)
        return seed.model_dump(mode="json"), seed.seed_id
    if kind == "code":
        from ..generators.code_reverse import read_code_row

        read_code_row(row, source)
    else:
        from ..generators.lean_reverse import read_lean_row

        read_lean_row(row, source)
    return {"row": row, "source": source.model_dump()}, json.dumps(row, sort_keys=True)


def seed_from_row(row: dict[str, Any], source: Source) -> Seed:
    """A row of a `seeds` file; raises BadInput naming the field at fault.

    GSM8K's own rows hold the CoT in `answer`, before `####`.
    """
    question, answer = _text(row, "question"), _text(row, "answer")
    cot = row.get("cot")
    if not cot and "####" in answer:
        cot, _, answer = answer.rpartition("####")
        cot = _GSM8K_MARK.sub("", cot)
    answer = answer.strip()
    if not answer:
        raise BadInput("is empty", field="answer")
    acts: tuple[ActSpan, ...] = ()
    steps: tuple[tuple[int, int], ...]
    if cot in (None, "", []):
        text, steps = "", ()
    elif isinstance(cot, list):
        if not all(isinstance(s, str) for s in cot):
            raise BadInput("expected a list of texts", field="cot")
        text, steps = join_steps(cot)
    elif not isinstance(cot, str):
        raise BadInput(f"expected text or a list of texts, got {type(cot).__name__}", field="cot")
    else:
        try:
            text, acts = markup.parse(cot.strip()) if markup.looks_like_markup(cot) else (cot, ())
        except MarkupError as e:
            raise BadInput(f"malformed markup: {e}", field="cot") from e
        text, acts = markup.trim(text, acts)
        steps = split_steps(text, acts)
    _bounded(text, steps, "cot")
    return Seed(
        question=question,
        answer=answer,
        text=text,
        acts=acts,
        steps=steps,
        domain=_domain(row),
        source=source,
    )


def trace_seed_from_row(row: dict[str, Any], source: Source) -> Seed:
    """A row of a `traces` file, to be labelled only; raises BadInput naming the field at fault."""
    question = _text(row, "problem" if row.get("question") is None and row.get("problem") else "question")
    steps = row.get("steps")
    if not isinstance(steps, list) or not steps or not all(isinstance(s, str) for s in steps):
        raise BadInput("expected a list of texts, one a step", field="steps")
    text, spans = join_steps(steps)
    if not spans:
        raise BadInput("every step is empty", field="steps")
    _bounded(text, spans, "steps")
    return Seed(
        question=question,
        answer=_text(row, "answer", default="").strip(),
        text=text,
        steps=spans,
        domain=_domain(row),
        generator=Generator.IMPORTED,
        origin=Origin.POLICY,
        source=source,
    )


def _text(row: dict[str, Any], name: str, default: str | None = None) -> str:
    value = row.get(name)
    if value is None:
        if default is None:
            raise BadInput("is missing", field=name)
        return default
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadInput(f"expected text, got {type(value).__name__}", field=name)
    text = str(value)
    if default is None and not text.strip():
        raise BadInput("is empty", field=name)
    return text


def _bounded(text: str, steps: Sequence[tuple[int, int]], name: str) -> None:
    """A CoT is rolled out from each of its steps, each time with all that stands before."""
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"longer than {MAX_CHARACTERS:,} characters", field=name)
    if len(steps) > MAX_STEPS:
        raise BadInput(f"more than {MAX_STEPS:,} steps", field=name)


def _domain(row: dict[str, Any]) -> Domain:
    value = _text(row, "domain", default=Domain.MATH)
    try:
        return Domain(value)
    except ValueError as e:
        raise BadInput(f"none of {', '.join(Domain)}: '{value}'", field="domain") from e
