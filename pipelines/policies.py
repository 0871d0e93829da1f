"""Which policy a run uses: the embedded one, a local folder, a hub name, or a model server."""

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from ..models.dialect import Dialect
from ..models.policy import Policy
from ..models.probe import Server, model_name
from ..models.server_settings import ServerSettings
from .config import NO_POLICY, PolicySettings, SearchStage
from .files import write_json
from .manifest import NAME, read_manifest

EMBEDDED = "embedded"
SERVER_FILE = ".work/server.json"


@dataclass(frozen=True)
class Served:
    """A model server that writes: how to reach it, its paths resolved, and what a probe found."""

    settings: ServerSettings
    server: Server

    def journal(self, work: Path, shard: int) -> Path:
        """Where a shard's answers are kept: in one's own folder, or with the run's work."""
        kept = self.settings.journal
        return (Path(kept) if kept else work / "journal") / f"{shard:05d}.sqlite"

    def remember(self, out: Path) -> None:
        """Keep what the probe found, so that a run is taken up again without asking."""
        known = {"settings": _identifying(self.settings), "server": asdict(self.server)}
        write_json(out / SERVER_FILE, known)


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


def prm_path(prm: str, base: Path = Path()) -> str:
    """The folder of a PRM: the one that ships with cotmill, or a checkpoint of one's own."""
    return str(files("cotmill.models") / "embedded_prm") if prm == EMBEDDED else model_path(prm, base)


def policy_identity(model: str, base: Path) -> tuple[str, str]:
    """The policy's name (never a path) and the hash of its weights; raises BadInput."""
    if model == NO_POLICY:
        return model, ""
    from ..models.folder import content_hash_of, local_folder
    from ..models.folder import model_name as folder_name

    path = model_path(model, base)
    return folder_name(path), content_hash_of(local_folder(path))


def model_digests(search: SearchStage, base: Path) -> dict[str, str]:
    """The hashes of the models that the search uses beside the policy, by their settings; raises BadInput."""
    from ..models.folder import content_hash_of, local_folder

    paths = {f"search.pool.{i}": model_path(m, base) for i, m in enumerate(search.pool)}
    if search.prm is not None:
        paths["search.prm"] = prm_path(search.prm, base)
    return {setting: content_hash_of(local_folder(path)) for setting, path in paths.items()}


def open_policy(model: str, *, device: str, batch_rows: int) -> Policy:
    """A local policy, with its heads where its folder has them."""
    from ..models.policy_value import open_local

    return open_local(model, device=device, batch_rows=batch_rows)


def served_by(policy: PolicySettings, base: Path, out: Path | None) -> Served | None:
    """The server that writes; None for a local policy. Raises BadInput where the server cannot serve.

    It is probed, unless the run in `out` is finished or keeps what the probe of it found.
    """
    if policy.server is None:
        return None
    given = policy.server
    settings = given.model_copy(
        update={
            "tokenizer": given.tokenizer and model_path(given.tokenizer, base),
            "journal": given.journal and str((base / Path(given.journal).expanduser()).resolve()),
        }
    )
    if out is not None and (out / NAME).exists():
        done = read_manifest(out)
        if done.policy == model_name(settings.model):  # nothing will be asked
            return Served(settings, Server(settings.model, done.policy, done.policy_hash, Dialect("chat")))
    server = _remembered(out / SERVER_FILE, settings) if out is not None else None
    if server is None:
        from ..models.served import find_server

        server = find_server(settings)
    return Served(settings, server)


def _remembered(file: Path, settings: ServerSettings) -> Server | None:
    """What an earlier probe of the same server found, where the run's folder keeps it."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if known["settings"] != _identifying(settings):
        return None
    found = known["server"]
    return Server(**{**found, "dialect": Dialect(**found["dialect"])})


def _identifying(settings: ServerSettings) -> dict[str, str | None]:
    return settings.model_dump(include={"url", "model", "tokenizer", "chat"})
