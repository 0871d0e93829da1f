"""The loop: rounds of run -> train -> evaluate, each from the last round's checkpoint.

    DIR/heldout.jsonl, seeds.jsonl      the same in every round
    DIR/round-0/                        the start: run/ and sft/ where it is trained on the seeds, evaluation/
    DIR/round-K/problems.jsonl          fresh problems, none of them a seed, held out or seen before
    DIR/round-K/run/                    a run: what the last policy made of them, and the seeds as they are
    DIR/round-K/OBJECTIVE/              a checkpoint of each objective
    DIR/round-K/evaluation/             the new policy on the held-out problems
    DIR/loop.json                       the table, and what each line rests on

Every part is what its own command makes, and goes on where it was cut off; so does the whole.
"""

import fcntl
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .. import __version__
from ..schemas import BadInput, content_hash
from .config import Config
from .evaluation_commands import PROBLEMS, RESULT, measure
from .files import read_rows, write_json
from .loop_config import Loop
from .loop_problems import write_heldout, write_problems, write_seeds
from .manifest import Manifest
from .objectives import POLICIES, train_objective
from .policies import model_path
from .progress import Progress
from .run import run, same_or_refuse

NAME = "loop.json"
_LOCK = ".loop.lock"


def run_loop(
    loop: Loop,
    out: Path,
    rounds: int,
    *,
    workers: int = 2,
    device: str = "auto",
    fresh: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Go through `rounds` rounds after the start, or finish them; returns what `loop.json` holds.

    More rounds than there are go on from the last one. Raises BadInput where `out` holds a loop of another
    configuration (unless `fresh`) or something else.
    """
    progress = progress or Progress(quiet=True)
    identity = loop.identity()
    with _alone(out), _heeded() as heed:
        table = _opened(out, identity, fresh)
        going = _Rounds(loop, out, workers, device, progress, heed)
        for number in range(rounds + 1):
            if number < len(table["rounds"]):
                going.known(number, table["rounds"][number])
                continue
            progress.note(f"round {number} of {rounds}" if number else "the start")
            table["rounds"].append(going.make(number))
            heed()
            write_json(out / NAME, table)
        _plot(table, out)
    return table


class _Rounds:
    """The rounds so far: the policy that goes on, and the problems that they had."""

    def __init__(
        self,
        loop: Loop,
        out: Path,
        workers: int,
        device: str,
        progress: Progress,
        heed: Callable[[], None],
    ) -> None:
        self.loop, self.out, self.heed = loop, out.resolve(), heed
        self.workers, self.device, self.progress = workers, device, progress
        start = loop.config.policy
        self.policy = None if start is None else model_path(start, loop.base)
        with progress.waiting("writing problems"):
            self.heldout = self.out / "heldout.jsonl"
            heldout = write_heldout(loop, self.heldout)
            self.seeds = self.out / "seeds.jsonl"
            self.apart = heldout | write_seeds(loop, self.seeds, heldout)
            self.before: set[str] = set()

    def folder(self, number: int) -> Path:
        return self.out / f"round-{number}"

    def known(self, number: int, record: dict[str, Any]) -> None:
        """Pass over a finished round."""
        if number:
            self._problems(number)
        for name in record["trained"]:
            if name in POLICIES:
                self.policy = str(self.folder(number) / name)

    def make(self, number: int) -> dict[str, Any]:
        """One round; what it made and how good that is."""
        folder = self.folder(number)
        trained: dict[str, Any] = {}
        made: Manifest | None = None
        if number:
            with self.progress.waiting("writing problems"):
                problems = self._problems(number)
            made = self._run(number, [{"kind": "seeds", "path": str(problems)}])
            for name, settings in self.loop.train:
                trained[name] = self._train(number, name, settings)
        elif self.loop.start is not None:
            made = self._run(number, [])
            trained["sft"] = self._train(number, "sft", self.loop.start)
        return {
            "round": number,
            "run": None if made is None else _of_run(made, folder / "run"),
            "trained": trained,
            "evaluation": self._evaluate(folder, trained),
        }

    def _problems(self, number: int) -> Path:
        """The round's problems, written or found written."""
        path = self.folder(number) / "problems.jsonl"
        self.before |= write_problems(self.loop, path, number, self.apart, self.before)
        return path

    def _run(self, number: int, sources: list[dict[str, Any]]) -> Manifest:
        """Fresh problems rolled out by the policy, beside the seeds as they are."""
        config, folder = self.loop.run, self.folder(number)
        if self.loop.config.seeds is not None:
            sources = [*sources, {"kind": "seeds", "path": str(self.seeds), "roll_out": False}]
        hygiene = config.hygiene.model_dump()
        hygiene["evaluation"] = [*hygiene["evaluation"], str(self.heldout)]
        if hygiene["duplicates"] != "none":
            before = [str(self.folder(k) / "run") for k in range(1, number)]
            hygiene["earlier"] = [*hygiene["earlier"], *before]
        policy = config.policy.model_dump(exclude={"server"}) | {"model": self.policy if number else "none"}
        given = {"sources": sources, "seed": self.loop.config.seed + number, "policy": policy}
        whole = Config.model_validate(config.model_dump() | given | {"hygiene": hygiene})
        return run(whole, self.loop.base, folder / "run", workers=self.workers, progress=self.progress)

    def _train(self, number: int, name: str, settings: Any) -> dict[str, Any]:
        """Train an objective on the round's run, from the latest policy unless its settings say otherwise."""
        from ..models.folder import content_hash_of
        from ..training.progress import Progress as TrainingProgress

        self.heed()
        folder = self.folder(number)
        init = settings.init if settings.init is not None else self.policy
        self.progress.note(f"training {name}")
        result = train_objective(
            name,
            folder / "run",
            folder / name,
            settings.model_copy(update={"init": init, "device": self.device}),
            progress=TrainingProgress(quiet=self.progress.quiet),
        )
        if name in POLICIES:
            self.policy = str(result.folder)
        return result.as_json() | {"hash": content_hash_of(result.folder)}

    def _evaluate(self, folder: Path, trained: dict[str, Any]) -> dict[str, Any]:
        """The policy's figures on the held-out problems, by the round's own reward models."""
        assert self.policy is not None
        self.heed()
        out, settings = folder / "evaluation", self.loop.evaluate
        models = {name: str(folder / name) for name in ("orm", "prm") if name in trained}
        have = tuple(m for m in settings.methods if m not in ("orm", "prm", "search") or m in models)
        if "search" in settings.methods and ("prm" in models or "policy-value" in trained):
            have = (*have, "search")
        if not (out / RESULT).exists():
            given = settings.model_copy(update={"methods": have})
            measure(
                self.policy,
                self.heldout,
                given,
                orm=models.get("orm"),
                prm=models.get("prm"),
                device=self.device,
                out=out,
                quiet=self.progress.quiet,
            )
        whole = json.loads((out / RESULT).read_text(encoding="utf-8"))
        return {
            "policy": whole["policy"],
            "policy_hash": whole["policy_hash"],
            "problems": whole["problems"],
            "points": [
                {k: point[k] for k in ("method", "n", "accuracy", "interval", "tokens")}
                | {"over_start": _over_start(folder, f"{point['method']}@{point['n']}")}
                for point in whole["points"]
            ],
        }


def right(folder: Path, point: str) -> "np.ndarray[Any, Any] | None":
    """How often a round was right on each held-out problem at a point (greedy@1); None where unmeasured."""
    rows = [row for _, row in read_rows(folder / "evaluation" / PROBLEMS) if isinstance(row, dict)]
    return np.array([row["right"][point] for row in rows]) if point in rows[0]["right"] else None


def _over_start(folder: Path, point: str) -> list[float] | None:
    """(mean, low, high): how far the round is above the start, paired by problem."""
    from ..training.choosing import interval

    start = folder.parent / "round-0"
    if folder == start or (before := right(start, point)) is None:
        return None
    now = right(folder, point)
    assert now is not None
    return [float((now - before).mean()), *interval(now - before, 2000)]


def _of_run(made: Manifest, folder: Path) -> dict[str, Any]:
    from ..training.checkpoint import manifest_hash

    totals = made.totals
    return {
        "config_hash": made.config_hash,
        "manifest": manifest_hash(folder),
        "policy_hash": made.policy_hash,
        "seeds": totals.seeds,
        "sampled": totals.sampled,
        "tokens": totals.tokens,
        "rejected": totals.rejected,
    }


def _opened(out: Path, identity: dict[str, str], fresh: bool) -> dict[str, Any]:
    """The table so far, or an empty one; written before anything else, so that the folder is known."""
    path = out / NAME
    if path.exists() and fresh:
        for child in out.iterdir():
            if child.name.startswith("round-"):
                shutil.rmtree(child)
            elif child.name in (NAME, "loop.png", "heldout.jsonl", "seeds.jsonl"):
                child.unlink()
    if path.exists():
        try:
            table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            same_or_refuse(out, identity, table["config"], "loop")
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise BadInput("is damaged: --fresh starts anew", file=path) from e
        return table
    if foreign := [p.name for p in out.iterdir() if p.name != _LOCK]:
        raise BadInput(f"holds '{min(foreign)}' and no loop of cotmill; give another --out", file=out)
    table = {
        "code_version": __version__,
        "config": identity,
        "config_hash": content_hash("loop", *(f"{k}={v}" for k, v in sorted(identity.items()))),
        "rounds": [],
    }
    write_json(path, table)
    return table


@contextmanager
def _heeded() -> Iterator[Callable[[], None]]:
    """A check that raises KeyboardInterrupt once Ctrl-C was pressed.

    What a round calls may swallow it (an exception raised in a finaliser is dropped): the next part heeds it.
    """
    pressed = False

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def heed() -> None:
        if pressed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield heed
        return
    previous = signal.signal(signal.SIGINT, press)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder for this loop alone."""
    if out.exists() and not out.is_dir():
        raise BadInput("is a file, expected a folder", file=out)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / _LOCK, "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise BadInput("another loop is writing here", file=out) from e
        yield
    (out / _LOCK).unlink(missing_ok=True)


def _plot(table: dict[str, Any], out: Path) -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is not None:
        from .loop_report import write_plot

        write_plot(table, out / "loop.png")
