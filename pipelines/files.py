"""Rows in and out: JSONL (plain, .gz, .zst) and Parquet. A bad row is a value, never an end."""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..schemas import BadInput

if TYPE_CHECKING:
    from pyarrow import RecordBatch

MAX_LINE_BYTES = 4 << 20
MAX_DEPTH = 64
_QUOTED = 300
_BOM = b"\xef\xbb\xbf"
_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_PART = ".part"


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


Rows = Iterator[tuple[int, dict[str, Any] | BadRow]]


def read_rows(path: Path) -> Rows:
    """The rows of a file, each with its line from 1 (Parquet, or one JSON list: its row).

    Blank lines are passed over. A row holds JSON values alone, whatever the file's format, and can be
    written again; memory is bounded but for one JSON list, which is read whole.

    Raises BadInput for a file that is missing, unreadable, cut short or holds no row at all.
    """
    if not path.exists():
        raise BadInput("no such file", file=path)
    if path.is_dir():
        raise BadInput("is a folder, expected a file", file=path)
    empty = True
    try:
        plain = path.with_suffix("") if path.suffix in _COMPRESSION else path
        for row in {".parquet": _parquet, ".json": _json}.get(plain.suffix, _jsonl)(path):
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


def quoted(row: Any) -> str:
    """How a row begins, for a person who looks for it."""
    try:
        return json.dumps(row, ensure_ascii=False)[:_QUOTED]
    except RecursionError:
        return ""


def write_json(path: Path, value: object) -> None:
    """One readable JSON document, written whole or not at all."""
    with atomic(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).encode("utf-8", "replace"))
        file.write(b"\n")


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears under its name only when it is complete.

    A killed process leaves its `.NAME.PID.part` behind, which `sweep` removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder that nobody writes into any more."""
    for part in folder.rglob(f".*{_PART}"):
        part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        yield from table_rows(pq.ParquetFile(path).iter_batches(batch_size=256))
    except pa.ArrowException as e:
        raise BadInput("not a Parquet file, or a damaged one", file=path) from e


def table_rows(batches: Iterable["RecordBatch"]) -> Rows:
    """The rows of Arrow's record batches, each with its number from 1, as JSON has them."""
    line = 0
    for batch in batches:
        for i in range(batch.num_rows):
            line += 1
            try:
                row = batch.slice(i, 1).to_pylist()[0]
            except (ValueError, OverflowError) as e:
                yield line, BadRow(line, f"holds what Python cannot: {e}")
            else:
                yield line, _checked(line, _json_value(row))


def _json_value(value: Any) -> Any:
    """A Parquet value as JSON has it: dates and decimals as texts; null for NaN and for binary data."""
    match value:
        case dict():
            return {k: _json_value(v) for k, v in value.items()}
        case list() | tuple():
            return [_json_value(v) for v in value]
        case float():
            return value if isfinite(value) else None
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def _json(path: Path) -> Rows:
    """One JSON list, or JSON lines under another name."""
    with _open(path) as file:
        first = next((data for data in _lines(file) if data is None or data.strip()), b"") or b""
    if not first.removeprefix(_BOM).lstrip().startswith(b"["):
        yield from _jsonl(path)
        return
    try:
        with _open(path) as file:
            rows = json.loads(file.read().decode("utf-8-sig"))
    except json.JSONDecodeError as e:
        raise BadInput(f"not JSON: {e.msg} at column {e.colno}", file=path, line=e.lineno) from e
    except (ValueError, RecursionError) as e:
        raise BadInput(f"not JSON: {e}", file=path) from e
    if not isinstance(rows, list):
        raise BadInput("expected a list of rows", file=path)
    for line, row in enumerate(rows, 1):
        yield line, _checked(line, row)


def _jsonl(path: Path) -> Rows:
    with _open(path) as file:
        for line, data in enumerate(_lines(file), 1):
            if data is None:
                yield line, BadRow(line, f"line longer than {MAX_LINE_BYTES >> 20} MiB")
            elif data.strip():
                yield line, _row(line, data)


def _open(path: Path) -> BinaryIO:
    if (compression := _COMPRESSION.get(path.suffix)) is None:
        return open(path, "rb")
    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(path, compression=compression), 1 << 16)


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Lines cut at "\n" alone; None for one over the limit, whose rest is read and thrown away."""
    while data := file.readline(MAX_LINE_BYTES + 1):
        if len(data) <= MAX_LINE_BYTES or data.endswith(b"\n"):
            yield data
            continue
        while data and not data.endswith(b"\n"):
            data = file.readline(MAX_LINE_BYTES)
        yield None


def _row(line: int, data: bytes) -> dict[str, Any] | BadRow:
    if line == 1:
        data = data.removeprefix(_BOM)
    raw = data[:_QUOTED].decode("utf-8", "replace").rstrip("\n")
    try:
        row = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as e:
        return BadRow(line, f"not UTF-8: byte {e.start}", raw=raw)
    except json.JSONDecodeError as e:
        return BadRow(line, f"not JSON: {e.msg} at column {e.colno}", raw=raw)
    except (ValueError, RecursionError) as e:
        return BadRow(line, f"not JSON: {e}", raw=raw)
    return _checked(line, row, raw)


def _checked(line: int, row: Any, raw: str | None = None) -> dict[str, Any] | BadRow:
    """The row, if it is an object that can be written again as it is."""
    fault, field = None, None
    if not isinstance(row, dict):
        fault = f"expected a JSON object: got {type(row).__name__}"
    else:
        for name, value in row.items():
            if fault := _fault(name) or _fault(value):
                field = name.encode("utf-8", "replace").decode()
                break
    return row if fault is None else BadRow(line, fault, field, quoted(row) if raw is None else raw)


def _fault(value: object, depth: int = 0) -> str | None:
    """What keeps a JSON value from being written again: a lone surrogate, NaN, bottomless nesting."""
    inner: Iterable[object] = ()
    match value:
        case str() if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return "holds half of a surrogate pair"
        case float() if not isfinite(value):
            return f"{value} is no JSON number"
        case dict():
            inner = (part for item in value.items() for part in item)
        case list():
            inner = value
    if depth == MAX_DEPTH and inner:
        return f"nested more than {MAX_DEPTH} deep"
    return next((fault for part in inner if (fault := _fault(part, depth + 1))), None)
