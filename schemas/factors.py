"""The inventory of thinking factors: data, not code. Users add acts or bring an inventory of their own."""

import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator

from .errors import BadInput
from .records import Record


def _regular(cue: str) -> str:
    try:
        re.compile(cue)
    except re.error as e:
        raise ValueError(f"{cue!r} is not a regular expression: {e}") from e
    return cue


Cue = Annotated[str, AfterValidator(_regular)]


class Factor(Record):
    """One act: its name (as in the tags), group, definition, examples, and cues (regular expressions)."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9]*$")
    group: str
    definition: str
    examples: tuple[str, ...] = ()
    cues: tuple[Cue, ...] = ()


class Inventory(Record):
    """All acts, in the order that numbers the policy head's outputs."""

    factors: tuple[Factor, ...] = Field(min_length=1)

    @field_validator("factors")
    @classmethod
    def _distinct(cls, factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
        names = [f.name for f in factors]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"acts named twice: {', '.join(sorted(twice))}")
        return factors

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.factors)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f.group for f in self.factors))

    def group_of(self, act: str) -> str:
        """The group of an act; raises KeyError for an act that the inventory does not have."""
        return {f.name: f.group for f in self.factors}[act]

    @classmethod
    def load(cls, path: Path | None = None) -> "Inventory":
        """The shipped inventory, or one's own YAML file; raises BadInput."""
        return _shipped() if path is None else _read(path)


def _read(path: Path) -> Inventory:
    try:
        return Inventory.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as e:
        raise BadInput(e.strerror or "cannot be read", file=path) from e
    except UnicodeDecodeError as e:
        raise BadInput(f"not UTF-8 at byte {e.start}", file=path) from e
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        raise BadInput("not YAML", file=path, line=mark.line + 1 if mark else None) from e
    except ValidationError as e:
        first = e.errors()[0]
        raise BadInput(first["msg"], file=path, field=".".join(map(str, first["loc"]))) from e


@lru_cache(maxsize=1)
def _shipped() -> Inventory:
    return _read(Path(str(files("cotmill.data") / "thinking_factors.yaml")))
