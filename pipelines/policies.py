"""Which policy a run uses: the embedded one, a local folder, or a hub name."""

from importlib.resources import files
from pathlib import Path

from ..models.policy import Policy
from .config import NO_POLICY

EMBEDDED = "embedded"


def model_path(model: str, base: Path) -> str:
    """What `models` opens: an absolute folder, or the hub name as it is.

    A relative folder starts from the configuration's folder, then from the current one.
    """
    if model == EMBEDDED:
        return str(files("cotmill.models") / "embedded")
    for folder in (base / Path(model).expanduser(), Path(model).expanduser()):
        if folder.is_dir():
            return str(folder.resolve())
    return model


def prm_path(prm: str) -> str:
    """The folder of a PRM: the one that ships with cotmill, or a checkpoint of one's own."""
    return str(files("cotmill.models") / "embedded_prm") if prm == EMBEDDED else prm


def policy_identity(model: str, base: Path) -> tuple[str, str]:
    """The policy's name (never a path) and the hash of its weights; raises BadInput."""
    if model == NO_POLICY:
        return model, ""
    from ..models.folder import content_hash_of, local_folder, model_name

    path = model_path(model, base)
    return model_name(path), content_hash_of(local_folder(path))


def open_policy(model: str, *, device: str, batch_rows: int) -> Policy:
    from ..models.local import LocalPolicy

    return LocalPolicy.load(model, device=device, batch_rows=batch_rows)
