"""Who gives a second opinion on a run's labelled traces."""

from importlib.resources import files
from pathlib import Path
from string import Template

from ..labelers.contrast import ContrastJudge
from ..labelers.judges import PROMPT, JudgeSettings, PolicyJudge, RewardJudge
from ..labelers.opinion import StepJudge
from ..models.policy import Policy
from .config import Config, resolve
from .devices import worker_device
from .policies import EMBEDDED, model_path, open_policy, prm_path


def judge_digests(judge: JudgeSettings, base: Path) -> dict[str, str]:
    """The hash of the weights of a judge's own model, by its setting; raises BadInput."""
    path = _model(judge, base)
    if path is None:
        return {}
    from ..models.folder import content_hash_of, local_folder

    return {"labels.judge.model": content_hash_of(local_folder(path))}


def open_judge(config: Config, base: Path, policy: Policy) -> StepJudge | None:
    """The judge of steps that the settings ask for; `policy` is the run's own. Raises BadInput."""
    judge = config.labels.judge
    path = _model(judge, base)
    if judge.kind == "contrast":
        return ContrastJudge(policy)
    if judge.kind == "prm" and path is not None:
        from ..models.network import RewardModel

        device = worker_device(config.policy.device)
        return RewardJudge(RewardModel.load(path, device), Path(path).name, judge.threshold)
    if judge.kind == "policy":
        return PolicyJudge(
            _own_policy(config, path) if path is not None else policy,
            Template(_prompt(judge, base).read_text("utf-8")),
            config.seed,
            votes=judge.votes,
            temperature=judge.temperature,
            max_tokens=judge.max_tokens,
        )
    return None


def _own_policy(config: Config, path: str) -> Policy:
    settings = config.policy
    return open_policy(path, device=worker_device(settings.device), batch_rows=settings.batch_rows)


def _model(judge: JudgeSettings, base: Path) -> str | None:
    """The judge's own model; None where it is none or the run's own policy."""
    if judge.kind == "prm":
        return prm_path(judge.model or EMBEDDED, base)
    return model_path(judge.model, base) if judge.kind == "policy" and judge.model else None


def _prompt(judge: JudgeSettings, base: Path) -> Path:
    if judge.prompt is not None:
        return resolve(judge.prompt, base)
    return Path(str(files("cotmill.data"))) / "prompts" / PROMPT
