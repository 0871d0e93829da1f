"""`cotmill evaluate`: problems from a file, models from folders, figures as a table, JSON and plots."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..schemas import BadInput, Seed, Source
from .figures import Section
from .files import BadRow, read_rows, write_json, write_jsonl
from .policies import model_path, open_policy, prm_path
from .progress import Progress
from .sources import seed_from_row
from .training_commands import setting

if TYPE_CHECKING:
    from ..training.evaluate import EvaluateSettings, Evaluation

RESULT, PROBLEMS = "evaluation.json", "problems.jsonl"
SEARCH = {"tau": 0, "rollouts": 0, "splices": 0, "parallel": 4}
"""A blind search's own defaults: no answer is known that rollouts could be held against."""


def evaluate(
    policy: str,
    problems: Path,
    *,
    methods: str | None,
    n: str,
    orm: str | None,
    prm: str | None,
    device: str,
    limit: int | None,
    overrides: Sequence[str] = (),
    out: Path | None = None,
) -> "Evaluation":
    """Figures of a policy on a file of problems; with `out` they are written there, plots beside them.

    What each problem came to is written too (`problems.jsonl`): paired differences need it.

    Raises BadInput naming file, line and field.
    """
    settings = _settings(methods, n, orm, prm, overrides)
    if out is not None and find_spec("matplotlib") is None:
        raise BadInput("plots need matplotlib: pip install 'cotmill[notebooks]'", field="--out")
    return measure(
        model_path(policy, Path()),
        problems,
        settings,
        orm=model_path(orm, Path()) if orm is not None else None,
        prm=prm_path(prm) if prm is not None else None,
        device=device,
        limit=limit,
        out=out,
    )


def measure(
    policy: str,
    problems: Path,
    settings: "EvaluateSettings",
    *,
    orm: str | None,
    prm: str | None,
    device: str,
    limit: int | None = None,
    out: Path | None = None,
    quiet: bool = False,
) -> "Evaluation":
    """The same with settings, and with models by their folders; without matplotlib no plots are drawn."""
    from ..models.network import OutcomeModel, RewardModel
    from ..training.evaluate import evaluate as evaluate_policy
    from ..verifiers.math import MathVerifier

    seeds, levels = read_problems(problems, limit)
    opened = open_policy(policy, device=device, batch_rows=256)
    progress = Progress(quiet=quiet)
    with MathVerifier() as verifier, progress.counting() as report:
        found = evaluate_policy(
            seeds,
            opened,
            verifier,
            settings,
            orm=OutcomeModel.load(orm, device) if orm is not None else None,
            prm=RewardModel.load(prm, device) if prm is not None else None,
            levels=levels,
            report=report,
        )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        each = ({k: values[i] for k, values in found.right.items()} for i in range(len(seeds)))
        rows = ({"question": s.question, "right": right} for s, right in zip(seeds, each, strict=True))
        write_jsonl(out / PROBLEMS, rows)
        if find_spec("matplotlib") is not None:
            from .evaluation_plots import write_plots

            write_plots(found, out)
        whole = {"policy": opened.name, "policy_hash": opened.hash, "settings": settings.model_dump()}
        write_json(out / RESULT, whole | found.as_json())
    return found


def read_problems(path: Path, limit: int | None = None) -> tuple[list[Seed], list[str] | None]:
    """Rows as `seeds`, and each one's `level` where all have one; raises BadInput for any bad row."""
    seeds, levels = [], []
    for line, row in read_rows(path):
        if isinstance(row, BadRow):
            raise BadInput(row.reason, file=path, line=line, field=row.field)
        try:
            seeds.append(seed_from_row(row, Source(name=path.name, row=line)))
        except BadInput as e:
            raise BadInput(e.what, file=path, line=line, field=e.field) from e
        levels.append(row.get("level"))
        if len(seeds) == limit:
            break
    if not seeds:
        raise BadInput("holds no problem", file=path)
    known = all(isinstance(level, str | int) for level in levels)
    return seeds, [str(level) for level in levels] if known else None


def section(found: "Evaluation") -> Section:
    """The figures as a table; differences in points, with 95% intervals paired by problem."""
    from ..training.choosing import CHOICES

    def over(difference: tuple[float, float, float] | None) -> str:
        if difference is None:
            return ""
        mean, low, high = (100 * x for x in difference)
        return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"

    levels = tuple(found.levels) if len(found.levels) > 1 else ()
    rows = tuple(
        (
            "pass (bound)" if p.method == "pass" else p.method,
            str(p.n),
            f"{100 * p.accuracy:.1f} [{100 * p.interval[0]:.1f}, {100 * p.interval[1]:.1f}]",
            f"{p.tokens:,.0f}",
            over(p.over_greedy),
            over(p.over_majority),
            *(f"{100 * p.by_level[level]:.1f}" for level in levels),
        )
        for p in found.points
        if p.n > 1 or p.method not in CHOICES  # one attempt leaves no choice
    )
    sizes = ", ".join(f"{n:,} {level}" for level, n in found.levels.items()) if levels else ""
    lost = ", ".join(f"{n} of {what}" for what, n in found.failed.items())
    remark = "; ".join(x for x in (sizes, f"not searched: {lost}" if lost else "") if x)
    columns = ("method", "n", "right, % [95%]", "tokens", "over greedy", "over majority", *levels)
    return Section(f"{found.problems:,} problems", columns, rows, remark)


def nested(overrides: Sequence[str]) -> dict[str, Any]:
    """`key.path=value` settings as one tree; raises BadInput."""
    out: dict[str, Any] = {}
    for text in overrides:
        key, value = setting(text)
        *parents, last = key.split(".")
        at = out
        for parent in parents:
            at = at.setdefault(parent, {})
            if not isinstance(at, dict):
                raise BadInput(f"'{key}' leads into '{parent}', which is a plain value", field="--set")
        at[last] = value
    return out


def _settings(
    methods: str | None, n: str, orm: str | None, prm: str | None, overrides: Sequence[str]
) -> "EvaluateSettings":
    from ..training.evaluate import EvaluateSettings

    default = ["greedy", "majority", "logprob", *(["orm"] if orm else []), *(["prm"] if prm else [])]
    given = nested(overrides)
    given["methods"] = [m.strip() for m in methods.split(",") if m.strip()] if methods else default
    given["n"] = [x.strip() for x in n.split(",") if x.strip()]
    if isinstance(search := given.get("search", {}), dict):
        given["search"] = SEARCH | search
    try:
        return EvaluateSettings.model_validate(given)
    except ValidationError as e:
        error = e.errors()[0]
        what = "no such setting" if error["type"] == "extra_forbidden" else error["msg"]
        field = ".".join(map(str, error["loc"]))
        raise BadInput(what, file="command line", field=field) from e
