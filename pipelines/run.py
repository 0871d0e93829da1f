"""One run: sources -> generate -> label -> shards, resumable at any point, complete with a manifest."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..schemas import SCHEMA_VERSION, BadInput, Inventory
from .card import write_card
from .cleaning import decide, hygiene_digests
from .config import Config, config_hash, flat, resolve
from .files import sweep, write_json, write_jsonl
from .graph import STAGES, cluster, drive
from .judges import judge_digests
from .lean_rows import lean_digests, with_lean
from .manifest import NAME, Manifest, read_manifest
from .policies import model_digests, model_path, policy_identity, prm_path, served_by
from .progress import Progress
from .rubric import rubric_digests
from .shards import entry
from .sources import Shard, input_digests, write_shards
from .stages import WORK, Job
from .totals import Totals, total

_OURS = ("traces", "steps", "search", "rejected", WORK)


@dataclass(frozen=True)
class Plan:
    """What `.work/plan.json` holds: enough to go on after any interruption."""

    config: dict[str, str]
    config_hash: str
    shards: tuple[Shard, ...]
    totals: Totals
    unknown: dict[str, list[str]]


def run(
    config: Config,
    base: Path,
    out: Path,
    *,
    workers: int = 2,
    scheduler: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Make the run's folder `out`, or finish it; returns its manifest.

    Raises BadInput where `out` belongs to another configuration (unless `fresh`) or to somebody else,
    and CotmillError where a task fails; what is finished stays and the same call goes on from there.
    """
    progress = progress or Progress(quiet=True)
    digests = input_digests(config, base) | judge_digests(config.labels.judge, base)
    digests |= hygiene_digests(config.hygiene, base)
    digests |= rubric_digests(config.rubric, base) | lean_digests(config.reverse.lean, base)
    if config.inventory is not None:
        Inventory.load(resolve(config.inventory, base))
    served = served_by(config.policy, base, None if fresh else out)
    if served is not None:
        policy, policy_hash = served.server.name, served.server.hash
    else:
        policy, policy_hash = policy_identity(config.policy.model, base)
    if config.search.share:
        digests |= model_digests(config.search, base)
    config = with_lean(config, base)
    settings = flat(config, digests, policy_hash)
    wanted = config_hash(config, digests, policy_hash)
    with _only_run(out, fresh):
        if (out / NAME).exists():
            done = read_manifest(out)
            same_or_refuse(out, settings, done.config)
            return done
        plan = _plan(config, base, out, settings, wanted, progress)
        if served is not None:
            served.remember(out)
        for file, columns in plan.unknown.items():
            progress.note(f"{file}: unknown columns left out: {', '.join(columns)}")
        job = Job(
            folder=str(out.resolve()),
            config=config,
            config_hash=wanted,
            base=str(base.resolve()),
            model=model_path(config.policy.model, base),
            pool=tuple(model_path(m, base) for m in config.search.pool),
            prm=prm_path(config.search.prm, base) if config.search.prm else None,
            served=served,
            inventory=str(resolve(config.inventory, base).resolve()) if config.inventory else None,
        )
        # What compares all shards stands between two drives.
        drives = ((*STAGES, "sign"), ("clean",)) if config.hygiene.wanted else (STAGES,)
        with progress.bars([stage for stages in drives for stage in stages], len(plan.shards)) as report:
            todo = [s for s in plan.shards if not job.marker(drives[-1][-1], s.index).exists()]
            for shard in set(plan.shards).difference(todo):
                for stage in (stage for stages in drives for stage in stages):
                    report(stage, shard)
            if todo:
                with cluster(min(workers, len(todo)), scheduler) as client:
                    for i, stages in enumerate(drives):
                        if i:
                            decide(job, plan.shards)
                        drive(client, job, todo, report, stages)
        manifest = _manifest(job, plan, settings, policy, policy_hash)
        sweep(out)
        write_card(out, manifest)
        manifest.write(out)
        shutil.rmtree(out / WORK)
        return manifest


def _plan(
    config: Config, base: Path, out: Path, settings: dict[str, str], wanted: str, progress: Progress
) -> Plan:
    path = out / WORK / "plan.json"
    if path.exists():
        plan = _read_plan(path)
        same_or_refuse(out, settings, plan.config)
        return plan
    _clear(out)
    with progress.waiting("reading sources"):
        read = write_shards(config, base, out / WORK / "seeds")
    if read.bad:
        write_jsonl(out / "rejected" / "sources.jsonl", read.bad)
        for bad in read.bad[:3]:
            where = f"{bad['source']}, line {bad['line']}" + (
                f", field '{bad['field']}'" if bad["field"] else ""
            )
            progress.note(f"rejected {where}: {bad['reason']}")
        if len(read.bad) > 3:
            progress.note(f"and {len(read.bad) - 3} more rejected rows: rejected/sources.jsonl")
    if read.refusal:
        raise read.refusal
    reasons: dict[str, int] = {}
    for bad in read.bad:
        reason = f"{bad['field']} {bad['reason']}" if bad["field"] else str(bad["reason"])
        reason = reason.partition(":")[0]
        reasons[reason] = reasons.get(reason, 0) + 1
    plan = Plan(settings, wanted, tuple(read.shards), Totals(rejected=reasons), read.unknown)
    write_json(
        path,
        {
            "config": settings,
            "config_hash": wanted,
            "shards": [asdict(s) for s in plan.shards],
            "totals": plan.totals.model_dump(mode="json"),
            "unknown": plan.unknown,
        },
    )
    return plan


def _read_plan(path: Path) -> Plan:
    raw = json.loads(path.read_text(encoding="utf-8"))
    return Plan(
        raw["config"],
        raw["config_hash"],
        tuple(Shard(**s) for s in raw["shards"]),
        Totals.model_validate(raw["totals"]),
        raw["unknown"],
    )


def _manifest(job: Job, plan: Plan, settings: dict[str, str], policy: str, policy_hash: str) -> Manifest:
    totals, files = [plan.totals], []
    counted = ("generate", "sign", "clean") if job.config.hygiene.wanted else STAGES
    for stage in counted:
        for shard in plan.shards:
            marker: dict[str, Any] = json.loads(job.marker(stage, shard.index).read_text())
            totals.append(Totals.model_validate(marker["totals"]))
            files += [entry(f) for f in marker.get("files", [])]
    return Manifest(
        schema_version=SCHEMA_VERSION,
        code_version=__version__,
        config=settings,
        config_hash=plan.config_hash,
        policy=policy,
        policy_hash=policy_hash,
        shards=tuple(sorted(files, key=lambda f: f.path)),
        totals=total(totals),
    )


def same_or_refuse(out: Path, wanted: dict[str, str], there: dict[str, str], what: str = "run") -> None:
    """Raise BadInput with what differs, where what `out` holds has not the wanted settings."""
    different = sorted(k for k in {*wanted, *there} if wanted.get(k) != there.get(k))
    if different:
        shown = "; ".join(f"{k}: there {there.get(k)}, now {wanted.get(k)}" for k in different[:5])
        more = f" and {len(different) - 5} more" if len(different) > 5 else ""
        raise BadInput(
            f"holds a {what} of another configuration ({shown}{more}); "
            "give another --out, or --fresh to start anew",
            file=out,
        )


@contextmanager
def _only_run(out: Path, fresh: bool) -> Iterator[None]:
    """Hold the folder for this run alone; refuse one that holds other things than a run."""
    if out.exists() and not out.is_dir():
        raise BadInput("is a file, expected a folder", file=out)
    ours = (out / WORK).exists() or (out / NAME).exists()
    if out.is_dir() and not ours and any(out.iterdir()):
        raise BadInput("is not empty and holds no run of cotmill; give another --out", file=out)
    (out / WORK).mkdir(parents=True, exist_ok=True)
    with open(out / WORK / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise BadInput("another run is writing here", file=out) from e
        if fresh:
            _clear(out)
        try:
            yield
        finally:
            if (out / NAME).exists():
                shutil.rmtree(out / WORK, ignore_errors=True)


def _clear(out: Path) -> None:
    for name in _OURS:
        if name != WORK:
            shutil.rmtree(out / name, ignore_errors=True)
    for path in (out / WORK).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
    for name in (NAME, "README.md"):
        (out / name).unlink(missing_ok=True)
