"""What several command files share: options, and how an object is printed."""

import json
from typing import Annotated, Any

import typer

Set = Annotated[list[str] | None, typer.Option("--set", metavar="key.path=value", help="override a setting")]
Json = Annotated[bool, typer.Option("--json", help="print one machine-readable object")]


def print_json(value: Any) -> None:
    """One machine-readable object on standard output."""
    print(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))
