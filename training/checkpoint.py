"""The folder that a training run writes: whose it is, whether it is finished, and its model card."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import distributed as dist

from ..models.folder import content_hash_of, local_folder, model_name
from ..schemas import BadInput, content_hash
from .loop import CHECKPOINTS
from .settings import CommonSettings

RECORD = "training.json"
_FREE = {"init", "device", "checkpoint_every"}  # may differ between a run and its resumption


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training: where it lies, rows trained on and left out, steps, tokens, final loss."""

    folder: Path
    rows: int
    left_out: dict[str, int]
    steps: int
    tokens: int
    loss: float

    def as_json(self) -> dict[str, Any]:
        """Without the folder: what the checkpoint's own record says too."""
        return {
            "rows": self.rows,
            "left_out": self.left_out,
            "steps": self.steps,
            "tokens": self.tokens,
            "loss": self.loss,
        }


def identity(objective: str, data: Path, settings: CommonSettings) -> dict[str, Any]:
    """What makes two trainings the same: objective, settings, the data's manifest, the initial weights."""
    init = None
    if settings.init is not None:
        init = {"name": model_name(settings.init), "hash": content_hash_of(local_folder(settings.init))}
    return {
        "objective": objective,
        "settings": settings.model_dump(mode="json", exclude=_FREE),
        "data": {"name": data.resolve().name, "manifest": manifest_hash(data)},
        "init": init,
    }


def manifest_hash(data: Path) -> str:
    """The hash of a run's manifest, which lists every shard's checksum; raises BadInput."""
    try:
        return content_hash((data / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        what = "not the folder of a finished run: no manifest" if data.exists() else "no such folder"
        raise BadInput(what, file=data) from e


def writes() -> bool:
    """Whether this process writes files: under `torchrun` the first one does, and no other."""
    return os.environ.get("RANK", "0") == "0"


def open_folder(out: Path, whose: dict[str, Any], *, fresh: bool = False) -> TrainResult | None:
    """Take `out` for a training; its result where that is finished already, else None.

    `fresh` removes an earlier training in it. Raises BadInput where the folder holds another training (it
    says what differs), or files that are not a training's.
    """
    record = out / RECORD
    if not writes() and (fresh or not record.exists()):
        return None
    if fresh and record.exists():
        shutil.rmtree(out)
    if not record.exists():
        if (out.is_dir() and any(out.iterdir())) or out.is_file():
            raise BadInput("is not empty and holds no training of cotmill: choose another folder", file=out)
        write_record(out, whose, None)
        return None
    try:
        held = json.loads(record.read_text(encoding="utf-8"))
        result, there = held.pop("result"), held
    except (ValueError, KeyError, AttributeError) as e:
        raise BadInput("is damaged: remove the folder to train anew", file=record) from e
    if differing := [f"{k} ({a} there, {b} now)" for k, (a, b) in sorted(_differences(there, whose).items())]:
        raise BadInput(
            f"holds another training: {'; '.join(differing)}. Choose another folder, or remove it", file=out
        )
    return None if result is None else TrainResult(folder=out, **result)


def write_record(out: Path, whose: dict[str, Any], result: TrainResult | None) -> None:
    """Write the record; with a result the training counts as finished, and its checkpoints go.

    Under `torchrun` no process leaves a finished training before the first one has written it.
    """
    if writes():
        _write_record(out, whose, result)
    if result is not None and dist.is_available() and dist.is_initialized():
        dist.barrier()


def leave_group() -> bool:
    """End this process's part in a `torchrun` group, if it has one: one that exits with it open may abort."""
    grouped = dist.is_available() and dist.is_initialized()
    if grouped:
        dist.destroy_process_group()
    return grouped


def _write_record(out: Path, whose: dict[str, Any], result: TrainResult | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    record = whose | {"result": None if result is None else result.as_json()}
    part = out / f"{RECORD}.part"
    part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    part.replace(out / RECORD)
    if result is not None:
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def write_card(
    out: Path, settings: CommonSettings, whose: dict[str, Any], result: TrainResult, notes: list[str]
) -> None:
    """The model card: what it is, what it was trained on, and the command that makes it again."""
    if not writes():
        return
    init, data = whose["init"], whose["data"]
    left_out = ", ".join(f"{n:,} {why}" for why, n in sorted(result.left_out.items())) or "none"
    changed = settings.model_dump(mode="json", exclude_defaults=True, exclude=_FREE)
    options = [f"--data {data['name']}", f"--out {out.resolve().name}"]
    options += [f"--init {init['name']}"] if init else []
    options += [f"--set {k}={','.join(v) if isinstance(v, list) else v}" for k, v in changed.items()]
    start = "from scratch" if init is None else f"from `{init['name']}` ({init['hash']})"
    lines = [
        "---",
        "library_name: transformers",
        "tags: [cotmill, chain-of-thought]",
        "---",
        f"# {out.resolve().name}",
        "",
        *notes,
        "",
        "| | |",
        "|---|---|",
        f"| trained on | `{data['name']}`, manifest {data['manifest']} |",
        f"| rows | {result.rows:,} (left out: {left_out}) |",
        f"| tokens | {result.tokens:,} in {result.steps:,} steps |",
        f"| started | {start} |",
        f"| final loss | {result.loss:.4f} |",
        "",
        "Made again by",
        "",
        "```sh",
        " ".join([f"cotmill train {whose['objective']}", *options]),
        "```",
        "",
    ]
    (out / "README.md").write_text("\n".join(lines), encoding="utf-8")


def _differences(there: dict[str, Any], now: dict[str, Any], at: str = "") -> dict[str, tuple[Any, Any]]:
    out: dict[str, tuple[Any, Any]] = {}
    for key in there.keys() | now.keys():
        a, b = there.get(key), now.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            out |= _differences(a, b, f"{at}{key}.")
        elif a != b:
            out[f"{at}{key}"] = (a, b)
    return out
