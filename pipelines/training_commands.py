"""`cotmill train` and `cotmill evaluate-prm`: settings from the command line, rows from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from ..schemas import BadInput
from .files import BadRow, read_rows
from .policies import model_path, prm_path

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
    from ..training.checkpoint import writes
    from ..training.orm import ORMSettings, train_orm
    from ..training.policy_value import PolicyValueSettings, train_policy_value
    from ..training.ppo import train_ppo
    from ..training.ppo_settings import PPOSettings
    from ..training.prm import PRMSettings, train_prm
    from ..training.sft import SFTSettings, train_sft
    from .ppo_plots import write_curves

    given: dict[str, Any] = {"device": device} | dict(map(setting, overrides))
    if init is not None:
        given["init"] = model_path(init, Path())
    try:
        if objective == "ppo":
            done = train_ppo(data, out, PPOSettings.model_validate(_judged(given)), fresh=fresh)
            if writes():
                write_curves(out)
            return done
        if objective == "sft":
            return train_sft(data, out, SFTSettings.model_validate(given), fresh=fresh)
        if objective == "orm":
            return train_orm(data, out, ORMSettings.model_validate(given), fresh=fresh)
        if objective == "policy-value":
            return train_policy_value(data, out, PolicyValueSettings.model_validate(given), fresh=fresh)
        return train_prm(data, out, PRMSettings.model_validate(given), fresh=fresh)
    except ValidationError as e:
        error = e.errors()[0]
        what = "no such setting" if error["type"] == "extra_forbidden" else error["msg"]
        raise BadInput(what, file="command line", field=".".join(map(str, error["loc"]))) from e


def _judged(given: dict[str, Any]) -> dict[str, Any]:
    """Settings with the models that judge as folders."""
    prm, orm = given.get("prm"), given.get("orm")
    found = {"prm": prm_path(prm)} if isinstance(prm, str) else {}
    return given | found | ({"orm": model_path(orm, Path())} if isinstance(orm, str) else {})


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
