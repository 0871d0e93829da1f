"""`cotmill train` and `cotmill evaluate-prm`: settings from the command line, rows from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from ..schemas import BadInput
from .files import BadRow, read_rows
from .objectives import settings_of, train_objective, with_models
from .policies import prm_path

if TYPE_CHECKING:
    from ..training.checkpoint import TrainResult
    from ..training.evaluate_prm import PRMFigures


def train(
    objective: str,
    data: Path,
    out: Path,
    *,
    init: str | None,
    device: str,
    overrides: Sequence[str] = (),
    fresh: bool = False,
) -> "TrainResult":
    """Train, or go on from the last checkpoint in `out`. Raises BadInput."""
    given: dict[str, Any] = {"device": device} | dict(map(setting, overrides))
    if init is not None:
        given["init"] = init
    try:
        settings = settings_of(objective).model_validate(with_models(given, Path()))
    except ValidationError as e:
        error = e.errors()[0]
        what = "no such setting" if error["type"] == "extra_forbidden" else error["msg"]
        raise BadInput(what, file="command line", field=".".join(map(str, error["loc"]))) from e
    return train_objective(objective, data, out, settings, fresh=fresh)


def evaluate_prm(prm: str, data: Path, *, device: str) -> "PRMFigures":
    """A PRM's figures on ProcessBench-format rows; raises BadInput naming file, line and field."""
    from ..models.network import RewardModel
    from ..training.evaluate_prm import evaluate_prm as evaluate

    rows, lines = [], []
    for line, row in read_rows(data):
        if isinstance(row, BadRow):
            raise BadInput(row.reason, file=data, line=line, field=row.field)
        rows.append(row)
        lines.append(line)
    model = RewardModel.load(prm_path(prm), device)
    try:
        return evaluate(model, rows)
    except BadInput as e:
        raise BadInput(e.what, file=data, line=lines[e.line - 1] if e.line else None, field=e.field) from e


def setting(text: str) -> tuple[str, Any]:
    """A key and its value from `key=value`, the value in YAML; raises BadInput."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise BadInput(f"'{text}' is not key=value", field="--set")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as e:
        raise BadInput(f"the value of '{key}' is not YAML", field="--set") from e
