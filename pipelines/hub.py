"""Rows of data sets: folders that the `datasets` library opens, and names that its hub knows."""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schemas import BadInput
from .files import Rows, table_rows

if TYPE_CHECKING:
    from datasets import Dataset

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILE = re.compile(r"\.(jsonl?|parquet|py|lean)(\.(gz|zst))?$")


def is_dataset(path: str, file: Path) -> bool:
    """Whether a source is a data set: a folder, or no path that is there but a name as the hub has them."""
    return file.is_dir() or not (file.exists() or _FILE.search(path) or not _HUB_NAME.fullmatch(path))


def open_dataset(path: str, file: Path, subset: str | None, split: str) -> "Dataset":
    """One split, downloaded where it is neither a folder nor cached; raises BadInput.

    A folder holds JSONL, Parquet or whatever else `datasets` reads, or is what `save_to_disk` wrote.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        if (file / "dataset_dict.json").exists() or (file / "state.json").exists():
            saved = datasets.load_from_disk(str(file))
            return saved[split] if isinstance(saved, datasets.DatasetDict) else saved
        return datasets.load_dataset(str(file) if file.is_dir() else path, subset, split=split)
    except KeyError as e:
        raise BadInput(f"has no split '{split}'", file=path, field="split") from e
    except Exception as e:  # the library, and what it opens, raise anything
        line = (str(e).strip() or type(e).__name__).splitlines()[0][:300]
        what = "`datasets` cannot open it" if file.is_dir() else "neither a file nor a data set of the hub"
        raise BadInput(f"{what} ({line})", file=path) from e


def dataset_rows(data: "Dataset") -> Rows:
    """Its rows, each with its number from 1, as JSON has them; raises BadInput where there is none."""
    if not len(data):
        raise BadInput("holds no row")
    tables = data.with_format("arrow").iter(256)
    yield from table_rows(batch for table in tables for batch in table.to_batches())


def dataset_digest(data: "Dataset") -> str:
    """A hash of its rows: what they are, wherever they came from and however they are stored."""
    whole = hashlib.sha256()
    for _, row in dataset_rows(data):
        told: Any = row if isinstance(row, dict) else row.reason
        whole.update(json.dumps(told, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace") + b"\n")
    return whole.hexdigest()
