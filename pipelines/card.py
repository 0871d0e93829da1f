"""The dataset card: front matter that `load_dataset` reads, and the run's own figures."""

from pathlib import Path

import yaml

from ..schemas import content_hash
from ..schemas.tables import TABLES
from .figures import figures
from .files import atomic
from .manifest import Manifest
from .shards import SPLITS


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write the folder's `README.md`."""
    with atomic(folder / "README.md") as file:
        file.write(card(manifest).encode())


def _filled(manifest: Manifest) -> dict[str, list[str]]:
    """The tables that have rows, and of each the splits that have."""
    there = {(s.table, s.split) for s in manifest.shards}
    splits = {name: [s for s in SPLITS if (name, s) in there] for name in TABLES}
    return {name: found for name, found in splits.items() if found}


def _contents(manifest: Manifest) -> str:
    return content_hash("shards", *(s.sha256 for s in manifest.shards))


def card(manifest: Manifest) -> str:
    front = {
        "tags": ["chain-of-thought", "process-reward-model", "cotmill"],
        "configs": [
            {
                "config_name": name,
                # `datasets` keeps what it once read under a hash of this front matter: other shards must
                # change it, or a folder that was made anew would be read as it was.
                "description": f"cotmill schema {manifest.schema_version}, shards {_contents(manifest)}",
                "data_files": [{"split": s, "path": f"{name}/{s}-*.parquet"} for s in splits],
                **({"default": True} if name == "traces" else {}),
            }
            for name, splits in _filled(manifest).items()
        ],
    }
    rows = "\n".join(f"- `{name}`: {manifest.rows(name):,} rows" for name in TABLES)
    settings = "\n".join(f"{k}: {v}" for k, v in sorted(manifest.config.items()))
    sections = "\n".join(s.markdown() for s in figures(manifest))
    return f"""---
{yaml.safe_dump(front, sort_keys=False).strip()}
---

# Chains of thought made by cotmill {manifest.code_version}

```python
from datasets import load_dataset

traces = load_dataset("DIR", "traces", split="train")  # DIR: this folder
```

{rows}

`split` is decided by a hash of `seed_id`: nothing of one seed stands on both sides. Each row's `source`
names the data set, row and licence it comes from; `provenance` says how it was made. Schema version
{manifest.schema_version}, configuration {manifest.config_hash}.

## Figures

{sections}
## Configuration

```
{settings}
```
"""
