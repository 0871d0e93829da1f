"""The configuration of a loop: what it starts from, what each round makes, learns and is held against."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from ..generators.families import FAMILIES, LEVELS
from .config import Config, ConfigFile, Settings, flat, known, resolve
from .evaluation_commands import SEARCH
from .files import sha256
from .objectives import MODELS, NAMES, POLICIES, settings_of, with_models
from .policies import policy_identity

if TYPE_CHECKING:
    from ..training.evaluate import EvaluateSettings

_SET_BY_THE_LOOP = ("sources", "seed")


class Problems(Settings):
    """Rows of a file as `seeds`, or so many problems of the built-in families.

    Of a file the first `count` rows, or all; as `problems` of a loop each round takes the next `count`.
    """

    path: str | None = None
    count: int | None = Field(default=None, ge=1)
    families: tuple[str, ...] = Field(default=FAMILIES, min_length=1)
    levels: tuple[int, ...] = Field(default=LEVELS, min_length=1)
    mistake_rate: float = Field(default=0.12, ge=0, le=1)

    _known = field_validator("families", "levels")(known)

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        if self.path is None and self.count is None:
            raise ValueError("give the `path` of a file, or the `count` of problems to draw")
        if self.path is not None and self.model_fields_set & {"families", "levels", "mistake_rate"}:
            raise ValueError("a file has no families, levels or mistake_rate")
        return self


class Training(Settings):
    """One objective of every round, and its settings."""

    objective: str
    settings: dict[str, Any] = Field(default={})

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NAMES:
            raise ValueError(f"there is no '{name}': there are {', '.join(NAMES)}")
        return name


class LoopConfig(Settings):
    """A loop. `run`, `start`, `evaluate` and each `train.N.settings` are checked by their own models.

    `policy` starts it; with `start` it is trained on the seeds first, from scratch where there is none. The
    seeds, problems with a human's chain of thought, stand in every round's run beside what it samples.
    """

    seed: int = Field(default=0, ge=0)
    policy: str | None = None
    start: dict[str, Any] | None = None
    seeds: Problems | None = None
    problems: Problems
    heldout: Problems
    run: dict[str, Any] = Field(default={})
    train: tuple[Training, ...] = Field(min_length=1)
    evaluate: dict[str, Any] = Field(default={})

    @model_validator(mode="after")
    def _closes(self) -> Self:
        if self.policy is None and self.start is None:
            raise ValueError("give a `policy`, or `start`, the settings of training one on the seeds")
        if self.start is not None and self.seeds is None:
            raise ValueError("`start` needs `seeds` to train on")
        names = [t.objective for t in self.train]
        if not set(names) & set(POLICIES):
            raise ValueError(f"`train` holds no objective that makes a policy ({', '.join(POLICIES)})")
        if len(set(names)) < len(names):
            raise ValueError("`train` holds an objective twice")
        return self


@dataclass(frozen=True)
class Loop:
    """A checked configuration, and what each of its parts asks for."""

    config: LoopConfig
    base: Path
    run: Config
    start: BaseModel | None
    train: tuple[tuple[str, BaseModel], ...]
    evaluate: "EvaluateSettings"

    def identity(self) -> dict[str, str]:
        """What decides a loop's results, as `key.path: value`; of files and models their hashes."""
        out = flat(self.run, {}, "")
        out = {f"run.{k}": v for k, v in out.items() if not k.startswith(_SET_BY_THE_LOOP)}
        out |= {"seed": str(self.config.seed)}
        for name in ("seeds", "problems", "heldout"):
            part: Problems | None = getattr(self.config, name)
            out[name] = str(part and part.model_dump(mode="json", exclude={"path"}))
            if part is not None and part.path is not None:
                out[name] = f"{Path(part.path).name} {sha256(resolve(part.path, self.base))} {part.count}"
        if self.config.policy is not None:
            out["policy"] = " ".join(policy_identity(self.config.policy, self.base))
        out["start"] = str(self.start and _changed(self.start))
        out |= {f"train.{name}": str(_changed(settings)) for name, settings in self.train}
        out["evaluate"] = str(self.evaluate.model_dump(mode="json", exclude_defaults=True))
        return out


def _changed(settings: BaseModel) -> dict[str, Any]:
    """Settings that are not the defaults; models by name and hash."""
    out = settings.model_dump(mode="json", exclude_defaults=True)
    models = {k: policy_identity(out[k], Path()) for k in MODELS if out.get(k)}
    return out | {k: " ".join(found) for k, found in models.items()}


def load_loop(path: Path, overrides: tuple[str, ...] = (), policy: str | None = None) -> Loop:
    """A loop's configuration; `policy` takes its start's place. Raises BadInput naming line and field."""
    from ..training.evaluate import EvaluateSettings

    file = ConfigFile.read(path)
    file.override(overrides)
    if policy is not None:
        file.raw |= {"policy": policy, "start": None}
    config = file.checked(LoopConfig, file.raw)
    for key in _SET_BY_THE_LOOP:
        if key in config.run:
            raise file.fault("the loop sets this itself: see `problems`, `seeds` and `seed`", ("run", key))
    if "model" in config.run.get("policy", {}):
        raise file.fault("the loop sets this itself: see `policy`", ("run", "policy", "model"))
    sources = [{"kind": "seeds", "path": "problems.jsonl"}]
    run = file.checked(Config, config.run | {"sources": sources}, ("run",))
    for name in ("seeds", "problems", "heldout"):
        part: Problems | None = getattr(config, name)
        if part is not None and part.path is not None and not resolve(part.path, path.parent).is_file():
            raise file.fault(f"no such file: {part.path}", (name, "path"))
    start = None
    if config.start is not None:
        start = file.checked(settings_of("sft"), with_models(config.start, path.parent), ("start",))
    train = []
    for i, t in enumerate(config.train):
        settings = with_models(t.settings, path.parent)
        train.append(
            (t.objective, file.checked(settings_of(t.objective), settings, ("train", i, "settings")))
        )
    given = config.evaluate | {"search": SEARCH | config.evaluate.get("search", {})}
    return Loop(
        config, path.parent, run, start, tuple(train), file.checked(EvaluateSettings, given, ("evaluate",))
    )
