"""The configuration of a run: YAML, checked before anything starts, its errors named by line and field."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from ..generators.code_reverse.asking import PolicyWriting
from ..generators.completion import CompletionSettings
from ..generators.families import FAMILIES, LEVELS
from ..generators.lean_search.asking import Formalising
from ..generators.search.settings import SearchSettings
from ..labelers.abstractive import SummarySettings
from ..labelers.rollouts import LabelSettings
from ..labelers.round_trip import RoundTripSettings
from ..models.probe import model_name
from ..models.server_settings import ServerSettings
from ..schemas import BadInput, content_hash
from ..verifiers.rubric.settings import RubricSettings
from .hygiene import HygieneSettings

SHIPPED = "cotmill:"
NO_POLICY = "none"
_Model = TypeVar("_Model", bound=BaseModel)


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def known(names: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Names of families, or levels, as they are; raises ValueError where there is no such one."""
    there: tuple[str | int, ...] = (*FAMILIES, *LEVELS)
    if strange := [str(n) for n in names if n not in there]:
        raise ValueError(f"no such family or level: {', '.join(strange)}")
    return names


class FamilySource(Settings):
    """Problems drawn from the built-in seed families, with their CoTs."""

    kind: Literal["families"]
    count: int = Field(ge=1)
    families: tuple[str, ...] = Field(default=FAMILIES, min_length=1)
    levels: tuple[int, ...] = Field(default=LEVELS, min_length=1)
    mistake_rate: float = Field(default=0.12, ge=0, le=1)
    roll_out: bool = True

    _known = field_validator("families", "levels")(known)


class FileSource(Settings):
    """Rows of a file, or of a data set: a folder that `datasets` opens, or a hub name.

    `cotmill:NAME` is a file that ships with the package. Of a data set one `split` is read, where there are
    several of its `subset`. `roll_out: false` takes the rows as they are, without completions or labels.
    """

    kind: Literal["seeds", "traces", "code", "lean"]
    path: str
    subset: str | None = None
    split: str = "train"
    roll_out: bool = True


Source = Annotated[FamilySource | FileSource, Field(discriminator="kind")]


class PolicySettings(Settings):
    """Who writes. `model` is `embedded`, a local Hugging Face folder, a hub name, or `none`.

    `none` serves runs that sample nothing: no source is rolled out. With `server` a model server writes.
    """

    model: str = "embedded"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_rows: int = Field(default=256, ge=1)
    server: ServerSettings | None = None

    @model_validator(mode="after")
    def _one_writes(self) -> Self:
        if self.server is not None and "model" in self.model_fields_set:
            raise ValueError("give either `model` or `server`")
        return self


class SearchStage(Settings):
    """Tree search over thinking factors, on a share of the seeds that are rolled out.

    `pool`: further models that write candidates beside the policy. `prm`: a process reward model that judges
    them. Both are local folders or hub names; `embedded` is what ships with cotmill.
    """

    share: float = Field(default=0.0, ge=0, le=1)
    pool: tuple[str, ...] = ()
    prm: str | None = None
    settings: SearchSettings = SearchSettings()


class LeanSettings(Settings):
    """Which Lean verifies recorded proofs again and looks for missing ones.

    `auto`: the embedded one where it is installed; `embedded`: that, or what needs it is rejected; `native`:
    that of `repository`, a folder of this machine, built, with the imports of its `file` before rows that
    have none; `none`: records are told as they are. A search runs at most `budget` tactics for a statement;
    the policy proposes `policy_samples` tactics for a state. `formalise`: the policy states seeds' questions
    as theorems, whose proofs are told too.
    """

    backend: Literal["auto", "embedded", "native", "none"] = "auto"
    repository: str | None = None
    file: str = ""
    method: Literal["best_first", "mcts"] = "mcts"
    budget: int = Field(default=80, ge=1)
    policy_samples: int = Field(default=0, ge=0)
    formalise: Formalising = Formalising()

    @model_validator(mode="after")
    def _repository_of_native(self) -> Self:
        if (self.backend == "native") != (self.repository is not None):
            raise ValueError("backend: native needs a repository, and a repository needs backend: native")
        return self


class ReverseSettings(Settings):
    """How programs and Lean proofs become CoTs. `writer`: the grammar alone; the grammar, reworded by the
    policy (programs only); or the policy (one trained with `task=reverse`). `round_trip`: programs that it
    writes back from each CoT, and tactics, which need a Lean.
    """

    writer: Literal["grammar", "rewrite", "policy"] = "grammar"
    asked: PolicyWriting = PolicyWriting()
    round_trip: RoundTripSettings = RoundTripSettings()
    lean: LeanSettings = LeanSettings()

    def samples(self, kind: str) -> bool:
        """Whether the policy is asked about rows of a kind."""
        if self.round_trip.rollouts:
            return kind in ("code", "lean")
        if kind == "lean":
            return self.writer == "policy" or self.lean.policy_samples > 0
        return kind == "code" and self.writer != "grammar"


class ShardSettings(Settings):
    """How the work is cut: so many seeds to a shard, so large a share of the seeds held for validation."""

    seeds_per_shard: int = Field(default=32, ge=1)
    validation_share: float = Field(default=0.1, ge=0, lt=1)


class Config(Settings):
    """Everything that decides a run's rows."""

    seed: int = 0
    sources: tuple[Source, ...] = Field(min_length=1)
    policy: PolicySettings = PolicySettings()
    completion: CompletionSettings = CompletionSettings()
    search: SearchStage = SearchStage()
    labels: LabelSettings = LabelSettings()
    summary: SummarySettings = SummarySettings()
    hygiene: HygieneSettings = HygieneSettings()
    reverse: ReverseSettings = ReverseSettings()
    rubric: RubricSettings | None = None
    shards: ShardSettings = ShardSettings()
    inventory: str | None = Field(default=None, description="one's own thinking factors (YAML)")
    max_rejected: float = Field(default=0.1, ge=0, le=1, description="share of bad rows that stops a run")

    @model_validator(mode="after")
    def _somebody_writes(self) -> Self:
        sampled = [s for s in self.sources if s.kind in ("families", "seeds", "traces") and s.roll_out]
        if sampled and self.policy.model == NO_POLICY:
            raise ValueError(f"policy.model is none, but a source of kind {sampled[0].kind} is rolled out")
        if self.summary.kind == "abstractive" and self.policy.model == NO_POLICY:
            raise ValueError("policy.model is none, but summary.kind is abstractive")
        if self.policy.model == NO_POLICY and any(self.reverse.samples(s.kind) for s in self.sources):
            raise ValueError("policy.model is none, but `reverse` asks it to write")
        return self


def shipped_config(name: str) -> Path:
    return Path(str(files("cotmill.pipelines") / "configs" / name))


def resolve(path: str, base: Path | None = None) -> Path:
    """A source's path: shipped with the package, or relative to the configuration's folder."""
    if path.startswith(SHIPPED):
        return Path(str(files("cotmill.data"))) / path.removeprefix(SHIPPED)
    return (base or Path()) / Path(path).expanduser()


def load(
    path: Path, *, sources: tuple[str, ...] = (), overrides: tuple[str, ...] = ()
) -> tuple[Config, Path]:
    """The configuration, and the folder that its relative paths start from.

    `sources` are KIND=PATH and replace the configured ones (their paths start from the current folder);
    `overrides` are key.path=value, the value in YAML. Raises BadInput.
    """
    file = ConfigFile.read(path)
    if sources:
        file.raw["sources"] = [_source(text) for text in sources]
        file.given.append(("sources",))
    file.override(overrides)
    return file.checked(Config, file.raw), path.parent


@dataclass
class ConfigFile:
    """A YAML file's settings, which know their lines. `given`: the keys that the command line set."""

    path: Path
    raw: dict[str, Any]
    tree: yaml.Node | None
    given: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises BadInput for what is no YAML, holds no settings, or gives one twice."""
        try:
            text = path.read_text(encoding="utf-8")
            raw, tree = yaml.safe_load(text), yaml.compose(text)
        except (OSError, UnicodeDecodeError) as e:
            raise BadInput(f"cannot be read: {getattr(e, 'strerror', None) or e}", file=path) from e
        except (yaml.YAMLError, ValueError, RecursionError) as e:
            mark = getattr(e, "problem_mark", None)
            what = f"not YAML: {getattr(e, 'problem', None) or e}"
            raise BadInput(what, file=path, line=mark.line + 1 if mark else None) from e
        if not isinstance(raw, dict):
            raise BadInput("expected settings, one `key: value` a line", file=path)
        _no_key_twice(tree, path)
        return cls(path, raw, tree)

    def override(self, overrides: Iterable[str]) -> None:
        """Set each key.path=value, the value in YAML; raises BadInput."""
        self.given += [_override(self.raw, override) for override in overrides]

    def checked(self, model: type[_Model], raw: Any, at: tuple[int | str, ...] = ()) -> _Model:
        """`raw` as settings of a kind; `at` is where they stand in the file.

        Raises BadInput that names the line and the field.
        """
        try:
            return model.model_validate(raw)
        except ValidationError as e:
            error = e.errors()[0]
            loc = error["loc"]
            if loc[:1] == ("sources",):
                loc = (*loc[:2], *loc[3:])  # without the kind that pydantic puts in
            raise self.fault(_said(error), (*at, *loc)) from e

    def fault(self, what: str, loc: tuple[int | str, ...]) -> BadInput:
        """What is wrong with the setting at `loc`, to be raised."""
        keys = tuple(map(str, loc))
        field = ".".join(keys) or "configuration"
        if keys and any(keys[: len(key)] == key[: len(keys)] for key in self.given):
            return BadInput(what, file="command line", field=field)
        return BadInput(what, file=self.path, line=_line_of(self.tree, loc), field=field)


def config_hash(config: Config, inputs: dict[str, str], policy_hash: str) -> str:
    """What decides a run's rows, in one hash: settings, the inputs' contents, the policy's weights."""
    return content_hash("config", *(f"{k}={v}" for k, v in sorted(flat(config, inputs, policy_hash).items())))


def flat(config: Config, inputs: dict[str, str], policy_hash: str) -> dict[str, str]:
    """The settings as `key.path: value`; paths are replaced by what they lead to, so that none is kept.

    `inputs`: the hashes of what lies behind the paths of sources and models.
    """
    out = _flatten(config.model_dump(mode="json"))
    for key in list(out):
        if key.startswith("sources.") and key.endswith(".path"):
            out[key] = f"{_name(out[key])} {inputs.get(out[key], '')}".strip()
    # A server's address and pace decide no row; what it serves is in its hash.
    out = {k: v for k, v in out.items() if not f"{k}.".startswith("policy.server.")}
    served = config.policy.server
    writer = _name(out["policy.model"]) if served is None else model_name(served.model)
    out["policy.model"] = f"{writer} {policy_hash}"
    judge, pool = config.search.prm, config.search.pool
    out["search.prm"] = f"{_name(judge)} {inputs.get('search.prm', '')}".strip() if judge else "None"
    hashes = [inputs.get(f"search.pool.{i}", "") for i in range(len(pool))]
    out["search.pool"] = ", ".join(f"{_name(m)} {h}".strip() for m, h in zip(pool, hashes, strict=True))
    if (rubric := config.rubric) is not None:
        for key, path in (("rubric.criteria", rubric.criteria), ("rubric.model", rubric.model or "")):
            out[key] = f"{_name(path)} {inputs.get(key, '')}".strip()
    if (repository := config.reverse.lean.repository) is not None:
        known = inputs.get("reverse.lean.repository", "")
        out["reverse.lean.repository"] = f"{_name(repository)} {known}".strip()
    if config.inventory is not None:
        out["inventory"] = f"{_name(config.inventory)} {inputs.get(config.inventory, '')}"
    second = config.labels.judge
    if second.model is not None or "labels.judge.model" in inputs:
        name = _name(second.model or "embedded")
        out["labels.judge.model"] = f"{name} {inputs.get('labels.judge.model', '')}".strip()
    if second.prompt is not None:
        out["labels.judge.prompt"] = f"{_name(second.prompt)} {inputs.get(second.prompt, '')}"
    for key, paths in (("evaluation", config.hygiene.evaluation), ("earlier", config.hygiene.earlier)):
        out[f"hygiene.{key}"] = ", ".join(f"{_name(p)} {inputs.get(p, '')}".strip() for p in paths) or "()"
    return out


def _name(path: str) -> str:
    """The last part of a path, as text that can be written: a file's name may hold any bytes."""
    return Path(path).name.encode("utf-8", "replace").decode()


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    items: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        items = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        items = [(str(i), v) for i, v in enumerate(value)]
    else:
        return {prefix: str(value)}
    return {k: v for key, item in items for k, v in _flatten(item, f"{prefix}.{key}".strip(".")).items()}


def _source(text: str) -> dict[str, str]:
    kind, _, path = text.partition("=")
    if kind not in ("seeds", "traces", "code", "lean") or not path:
        raise BadInput(
            f"'{text}' is not KIND=PATH with KIND one of seeds, traces, code, lean", field="--source"
        )
    return {"kind": kind, "path": str(Path(path).expanduser().resolve())}


def _override(raw: dict[str, Any], text: str) -> tuple[str, ...]:
    """Set one key.path=value in the raw settings; returns the key's parts."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise BadInput(f"'{text}' is not key.path=value", field="--set")
    *parents, last = key.split(".")
    at: Any = raw
    for part in parents:
        if isinstance(at, list):
            if not part.isdecimal() or int(part) >= len(at):
                raise BadInput(f"'{key}' leads nowhere: there is no item {part}", field="--set")
            at = at[int(part)]
        else:
            at = at.setdefault(part, {})
        if not isinstance(at, dict | list):
            raise BadInput(f"'{key}' leads into '{part}', which is a plain value", field="--set")
    try:
        parsed = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise BadInput(f"the value of '{key}' is not YAML", field="--set") from e
    if isinstance(at, list):
        raise BadInput(f"'{key}' names a list item; give one of its fields", field="--set")
    at[last] = parsed
    return (*parents, last)


def _said(error: ErrorDetails) -> str:
    """What pydantic found, in a user's words."""
    match error["type"]:
        case "extra_forbidden":
            return "no such setting"
        case "model_type" | "model_attributes_type":
            return "expected settings, one `key: value` a line"
        case "union_tag_not_found":
            return "its `kind` is missing"
        case "union_tag_invalid":
            return f"its `kind` is none of {error['ctx']['expected_tags']}"
    return error["msg"].removeprefix("Value error, ")


def _no_key_twice(tree: yaml.Node | None, path: Path) -> None:
    """YAML lets the last of two equal keys win silently: refused, with its line."""
    todo, met = [tree], set[int]()
    while todo:
        node = todo.pop()
        if id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            for i, (key, value) in enumerate(node.value):
                if key.value in keys[:i]:
                    line = key.start_mark.line + 1
                    raise BadInput("is given twice", file=path, line=line, field=str(key.value))
                todo.append(value)


def _line_of(tree: yaml.Node | None, loc: tuple[int | str, ...]) -> int | None:
    """The line (from 1) of the deepest part of `loc` that the file holds."""
    line = None
    for part in loc:
        found: yaml.Node | None = None
        if isinstance(tree, yaml.MappingNode):
            for key, value in tree.value:
                if key.value == str(part):
                    line, found = key.start_mark.line + 1, value
        elif isinstance(tree, yaml.SequenceNode) and isinstance(part, int) and part < len(tree.value):
            found = tree.value[part]
            line = found.start_mark.line + 1
        if found is None:
            break
        tree = found
    return line
