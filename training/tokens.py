"""Tokenised rows on disk, made once, for all processes of a training, its resumptions and later trainings.

An Arrow file per set of rows, mapped into memory, so that rows take no more of it than is being read. Its
name is a hash of all that they depend on: data, tokenizer, settings, and this package's code. Files are kept
in the folder that COTMILL_TOKENS names, else in the user's cache, and go when not used for a month.
"""

import fcntl
import json
import os
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..schemas import BadInput, content_hash
from .checkpoint import manifest_hash
from .settings import TrainSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")
_ROWS_PER_BATCH = 1000
_LEFT_OUT = b"left_out"
_FREE = set(TrainSettings.model_fields) - {"seed"} | {"head_lr", "freeze_trunk"}  # how rows are trained on
_UNUSED_S = 30 * 24 * 3600.0


class Codec(Protocol[T]):
    """How rows of one kind are written; lists come back as arrays. Their tokens are the column "ids"."""

    schema: pa.Schema

    def to_row(self, example: T) -> dict[str, Any]: ...

    def of_row(self, row: dict[str, Any]) -> T: ...


class TokenRows(Sequence[T]):
    """Rows of a file that `tokenised` wrote; `left_out` counts what was not taken, by reason."""

    def __init__(self, path: Path, codec: Codec[T]) -> None:
        self._file, self._codec = pa.ipc.open_file(pa.memory_map(str(path))), codec
        last = self._file.get_batch_with_custom_metadata(self._file.num_record_batches - 1)
        self.left_out: dict[str, int] = json.loads(last.custom_metadata[_LEFT_OUT])
        self._batches = [self._file.get_batch(i) for i in range(self._file.num_record_batches - 1)]
        self._starts = np.cumsum([0, *(b.num_rows for b in self._batches)]).tolist()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        at = bisect_right(self._starts, i % len(self)) - 1
        batch, row = self._batches[at], i % len(self) - self._starts[at]
        return self._codec.of_row({name: _value(batch[name][row]) for name in batch.schema.names})

    def lengths(self, column: str = "ids") -> list[int]:
        """How many values each row has in a column of lists: of "ids", tokens."""
        return [n for batch in self._batches for n in pc.list_value_length(batch[column]).to_pylist()]

    def total(self, column: str) -> float:
        """The sum of all values in a column of lists."""
        return sum(pc.sum(batch[column].flatten()).as_py() or 0 for batch in self._batches)


def depends_on(
    objective: str, data: Path, tokenizer: "PreTrainedTokenizerBase", context: int, settings: TrainSettings
) -> dict[str, Any]:
    """What tokenised rows depend on: the data, the tokenizer, and the settings that choose and order rows."""
    backend: Any = tokenizer
    return {
        "objective": objective,
        "data": manifest_hash(data),
        "tokenizer": content_hash(backend.backend_tokenizer.to_str(), str(tokenizer.chat_template)),
        "context": context,
        "settings": settings.model_dump(mode="json", exclude=_FREE),
    }


def tokenised(
    whose: Mapping[str, Any], codec: Codec[T], build: Callable[[Counter[str]], Iterable[T]]
) -> TokenRows[T]:
    """The rows that `build` makes, from the disk where they were made before.

    `whose` names all that they depend on, but for the code. `build` counts what it leaves out. Where several
    processes ask, one builds and the others wait. Raises BadInput where the folder cannot be written.
    """
    folder = tokens_folder()
    path = folder / f"{content_hash(json.dumps([whose, _code()], sort_keys=True))}.arrow"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not path.exists():
                _write(path, codec, build)
            os.utime(path)
            _forget(folder)
            return TokenRows(path, codec)
    except OSError as e:
        raise BadInput(f"tokenised rows cannot be kept here ({e.strerror})", file=folder) from e


def tokens_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("COTMILL_TOKENS") or Path(home).expanduser() / "cotmill" / "tokens")


def _value(found: pa.Scalar) -> Any:
    return found.values.to_numpy(zero_copy_only=False) if isinstance(found, pa.ListScalar) else found.as_py()


def _write(path: Path, codec: Codec[T], build: Callable[[Counter[str]], Iterable[T]]) -> None:
    left_out: Counter[str] = Counter()
    rows, part = iter(build(left_out)), path.with_suffix(".part")
    with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, codec.schema) as writer:
        while chunk := list(islice(rows, _ROWS_PER_BATCH)):
            writer.write_batch(pa.RecordBatch.from_pylist([codec.to_row(e) for e in chunk], codec.schema))
        # What was left out is known by now: an empty batch at the end bears it.
        nothing = pa.RecordBatch.from_pylist([], codec.schema)
        writer.write_batch(nothing, custom_metadata={_LEFT_OUT: json.dumps(left_out)})
    part.replace(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget(folder: Path) -> None:
    oldest = time.time() - _UNUSED_S
    for file in folder.iterdir():
        if file.suffix in (".arrow", ".part") and file.stat().st_mtime < oldest:
            file.unlink()


@lru_cache(maxsize=1)
def _code() -> str:
    """A hash of the code, and of the prompts, that rows may depend on."""
    root = Path(__file__).parents[1]
    rooms = ("schemas/*.py", "models/*.py", "training/*.py", "data/prompts/*.md", "data/*.yaml")
    files = sorted(p for room in rooms for p in root.glob(room))
    return content_hash("\0".join(p.read_text(encoding="utf-8") for p in files))
