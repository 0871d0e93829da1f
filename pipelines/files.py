"""Rows in and out: JSONL (plain, .gz, .zst) and Parquet. A bad row is a value, never an end."""

import gzip
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..schemas import BadInput

MAX_LINE_BYTES = 4 << 20
_QUOTED = 300


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be taken: its line (from 1), why, the field at fault, and how it began."""

    line: int
    reason: str
    field: str | None = None
    raw: str = ""

    def as_row(self, source: str) -> dict[str, Any]:
        return {
            "source": source,
            "line": self.line,
            "field": self.field,
            "reason": self.reason,
            "raw": self.raw,
        }


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """The rows of a file, each with its line from 1 (Parquet, or one JSON list: its row).

    Blank lines are passed over.

    Raises BadInput for a file that is missing, unreadable or holds no row at all.
    """
    if not path.exists():
        raise BadInput("no such file", file=path)
    if path.is_dir():
        raise BadInput("is a folder, expected a file", file=path)
    empty = True
    try:
        for row in {".parquet": _parquet, ".json": _json}.get(path.suffix, _jsonl)(path):
            empty = False
            yield row
    except (OSError, EOFError) as e:
        raise BadInput(f"cannot be read: {getattr(e, 'strerror', None) or e}", file=path) from e
    if empty:
        raise BadInput("holds no row", file=path)


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Rows as JSON lines under a temporary name that is then renamed; returns how many."""
    n = 0
    with atomic(path) as file:
        for n, row in enumerate(rows, 1):  # noqa: B007
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
            file.write(b"\n")
    return n


def write_json(path: Path, value: object) -> None:
    """One readable JSON document, written whole or not at all."""
    with atomic(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).encode())
        file.write(b"\n")


class atomic:
    """A binary file that appears under its name only when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, path.with_name(f".{path.name}.{os.getpid()}.part")

    def __enter__(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.part, "wb")
        return self.file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        if kind is None:
            os.replace(self.part, self.path)
        else:
            self.part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file, line = pq.ParquetFile(path), 0
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                line += 1
                yield line, row
    except pa.ArrowInvalid as e:
        raise BadInput("not a Parquet file", file=path) from e


def _json(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise BadInput(f"not JSON: {e}", file=path) from e
    if not isinstance(rows, list):
        raise BadInput("expected a list of rows", file=path)
    for line, row in enumerate(rows, 1):
        yield line, row if isinstance(row, dict) else BadRow(line, "expected a JSON object")


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    with _open(path) as file:
        for line, data in enumerate(_lines(file), 1):
            if data is None:
                yield line, BadRow(line, f"line longer than {MAX_LINE_BYTES >> 20} MiB")
            elif data.strip():
                yield line, _row(line, data)


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        import zstandard

        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(open(path, "rb")))  # type: ignore[no-any-return]
    return open(path, "rb")


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Lines cut at "\\n" alone; None for one over the limit, whose rest is read and thrown away."""
    while data := file.readline(MAX_LINE_BYTES + 1):
        if len(data) <= MAX_LINE_BYTES:
            yield data
            continue
        while data and not data.endswith(b"\n"):
            data = file.readline(MAX_LINE_BYTES)
        yield None


def _row(line: int, data: bytes) -> dict[str, Any] | BadRow:
    if line == 1:
        data = data.removeprefix(b"\xef\xbb\xbf")
    raw = data[:_QUOTED].decode("utf-8", "replace").rstrip("\n")
    try:
        row = json.loads(data.decode("utf-8"), parse_constant=_not_json)
    except UnicodeDecodeError as e:
        return BadRow(line, f"not UTF-8 at byte {e.start}", raw=raw)
    except json.JSONDecodeError as e:
        return BadRow(line, f"not JSON: {e.msg} at column {e.colno}", raw=raw)
    except (ValueError, RecursionError) as e:
        return BadRow(line, f"not JSON: {e}", raw=raw)
    if not isinstance(row, dict):
        return BadRow(line, f"expected a JSON object, got {type(row).__name__}", raw=raw)
    return row


def _not_json(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
