"""The judge of written criteria: as a run's settings ask for it, and for the rows of a file."""

from pathlib import Path

from ..models.policy import Policy
from ..models.server_settings import ServerSettings
from ..verifiers.rubric.criteria import Rubric
from ..verifiers.rubric.settings import RubricSettings
from ..verifiers.rubric.verifier import RubricVerifier
from .config import Config, resolve
from .devices import worker_device
from .policies import model_path, open_policy


def rubric_digests(settings: RubricSettings | None, base: Path) -> dict[str, str]:
    """The hashes of the criteria and of the judge's own model, by setting; raises BadInput."""
    if settings is None:
        return {}
    digests = {"rubric.criteria": Rubric.read(resolve(settings.criteria, base)).hash}
    if settings.model is not None:
        from ..models.folder import content_hash_of, local_folder

        digests["rubric.model"] = content_hash_of(local_folder(model_path(settings.model, base)))
    return digests


def open_rubric(config: Config, base: Path, policy: Policy) -> RubricVerifier | None:
    """Who judges open questions, as the settings ask; `policy` is the run's own. Raises BadInput."""
    settings = config.rubric
    if settings is None:
        return None
    if settings.model is not None:
        path, own = model_path(settings.model, base), config.policy
        policy = open_policy(path, device=worker_device(own.device), batch_rows=own.batch_rows)
    return RubricVerifier(
        policy,
        Rubric.read(resolve(settings.criteria, base)),
        votes=settings.votes,
        agreement=settings.agreement,
        run_seed=config.seed,
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
    )


def rubric_verifier(criteria: str, model: str, server: str | None = None, votes: int = 5) -> RubricVerifier:
    """For `cotmill verify rubric`: `criteria` is a file or a shipped rubric's name.

    `model` is a policy as in a run's settings, or the name of a model that `server` serves. Raises BadInput.
    """
    path = Path(criteria)
    rubric = Rubric.read(path) if path.suffix or path.exists() else Rubric.shipped(criteria)
    policy: Policy
    if server is None:
        policy = open_policy(model_path(model, Path()), device="auto", batch_rows=256)
    else:
        from ..models.served import ServedPolicy, find_server

        settings = ServerSettings(url=server, model=model)
        policy = ServedPolicy(settings, find_server(settings))
    return RubricVerifier(policy, rubric, votes=votes)
