"""A run's manifest: its configuration and hash, every shard with rows and checksum, the totals."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..schemas import BadInput
from .files import write_json
from .shards import ShardFile
from .totals import Totals

NAME = "manifest.json"


class Manifest(BaseModel):
    """What `manifest.json` holds. No clock, host or path enters it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    code_version: str
    config: dict[str, str]
    config_hash: str
    policy: str
    policy_hash: str
    shards: tuple[ShardFile, ...]
    totals: Totals

    def write(self, folder: Path) -> None:
        write_json(folder / NAME, self.model_dump(mode="json"))

    def rows(self, table: str) -> int:
        return sum(s.rows for s in self.shards if s.table == table)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished run; raises BadInput where there is none, or none that can be read."""
    path = folder / NAME
    try:
        return Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as e:
        what = "no such folder" if not folder.exists() else "not the folder of a finished run: no manifest"
        raise BadInput(what, file=folder) from e
    except (OSError, ValueError, ValidationError) as e:
        first = e.errors()[0] if isinstance(e, ValidationError) else None
        raise BadInput(
            f"not a manifest: {first['msg'] if first else e}",
            file=path,
            field=".".join(map(str, first["loc"])) if first else None,
        ) from e
