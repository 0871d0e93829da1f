"""What can be trained: each objective's settings and its function, imported when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from .policies import model_path, prm_path

if TYPE_CHECKING:
    from ..training.checkpoint import TrainResult

_WHERE = {
    "sft": ("sft.SFTSettings", "sft.train_sft"),
    "orm": ("orm.ORMSettings", "orm.train_orm"),
    "prm": ("prm.PRMSettings", "prm.train_prm"),
    "policy-value": ("policy_value.PolicyValueSettings", "policy_value.train_policy_value"),
    "ppo": ("ppo_settings.PPOSettings", "ppo.train_ppo"),
}
NAMES = tuple(_WHERE)
POLICIES = ("sft", "policy-value", "ppo")
"""Objectives whose checkpoints write."""

MODELS: dict[str, Callable[[str, Path], str]] = {"init": model_path, "orm": model_path, "prm": prm_path}
"""Settings that name a model, and how its folder is found."""


def settings_of(objective: str) -> type[BaseModel]:
    """The settings of an objective, one of `NAMES`."""
    found: type[BaseModel] = _found(_WHERE[objective][0])
    return found


def train_objective(
    objective: str, data: Path, out: Path, settings: BaseModel, **options: Any
) -> "TrainResult":
    """Train an objective with its settings; `options` are the training function's (`progress`, `fresh`)."""
    done: TrainResult = _found(_WHERE[objective][1])(data, out, settings, **options)
    if objective == "ppo":
        from ..training.checkpoint import writes
        from .ppo_plots import write_curves

        if writes():
            write_curves(out)
    return done


def with_models(given: dict[str, Any], base: Path) -> dict[str, Any]:
    """Settings with the models that they name as folders."""
    return given | {k: MODELS[k](v, base) for k, v in given.items() if k in MODELS and isinstance(v, str)}


def _found(place: str) -> Any:
    module, _, name = place.partition(".")
    return getattr(import_module(f"..training.{module}", __package__), name)
