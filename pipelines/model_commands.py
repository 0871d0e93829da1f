"""The commands that make, measure and use models. Heavy imports stand inside them."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Json, Set, print_json

models = typer.Typer()


@models.command()
def train(
    objective: Annotated[
        Literal["sft", "orm", "prm", "policy-value", "ppo"],
        typer.Argument(metavar="OBJECTIVE", help="sft, orm, prm, policy-value or ppo"),
    ],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="a run's folder")],
    out: Annotated[Path, typer.Option("--out", metavar="CKPT", help="the checkpoint's folder")],
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="CKPT", help="embedded, a model folder or a hub name"),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device")] = "auto",
    overrides: Set = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="start anew in a folder that holds a training")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train on a run's shards; goes on from its last checkpoint.

    Example: cotmill train prm --data out/demo --out out/prm --init embedded --set max_minutes=2
    """
    from ..training.checkpoint import leave_group
    from .training_commands import train as train_model

    given = overrides or ()
    try:
        done = train_model(objective, data, out, init=init, device=device, overrides=given, fresh=fresh)
    finally:
        grouped = leave_group()
    if as_json:
        print_json(done.as_json())
    else:
        print(f"{out}: {done.steps:,} steps, {done.tokens:,} tokens, loss {done.loss:.4f}")
    if grouped:
        # All is written. Taking the interpreter down now and then aborts, even with the group left, in a
        # thread that torch leaves behind; torchrun would call the finished training failed.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@models.command("evaluate-prm")
def evaluate_prm(
    prm: Annotated[str, typer.Option("--prm", metavar="CKPT", help="embedded, or a checkpoint's folder")],
    data: Annotated[Path, typer.Option("--data", metavar="FILE.jsonl", help="ProcessBench-format rows")],
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device")] = "auto",
    as_json: Json = False,
) -> None:
    """First-error F1 and AUC of a PRM on rows `id, problem, steps, label`.

    Example: cotmill evaluate-prm --prm out/prm --data data/heldout/first_errors.jsonl
    """
    from rich.console import Console

    from .page import prm_section, show
    from .training_commands import evaluate_prm as evaluate

    figures = evaluate(prm, data, device=device)
    if as_json:
        print_json(figures.as_json())
    else:
        show(Console(highlight=False), prm_section({prm: figures}))


@models.command()
def evaluate(
    policy: Annotated[
        str, typer.Option("--policy", metavar="CKPT", help="embedded, a model folder or a hub name")
    ],
    problems: Annotated[Path, typer.Option("--problems", metavar="FILE", help="rows as `seeds`")],
    methods: Annotated[
        str | None,
        typer.Option("--methods", help="of greedy,majority,logprob,orm,prm,search; default: all but search"),
    ] = None,
    n: Annotated[str, typer.Option("--n", help="samples, and simulations per move of a search")] = "1,4,16",
    orm: Annotated[str | None, typer.Option("--orm", metavar="CKPT")] = None,
    prm: Annotated[
        str | None, typer.Option("--prm", metavar="CKPT", help="embedded, or a checkpoint's folder")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device")] = "auto",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="the first so many problems")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="evaluation.json and plots go there")
    ] = None,
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Accuracy on held-out problems against compute, with 95% intervals.

    Example: cotmill evaluate --policy embedded --prm embedded --problems data/heldout/problems.jsonl --n 1,8
    """
    from rich.console import Console

    from .evaluation_commands import evaluate as evaluate_policy
    from .evaluation_commands import section
    from .page import show

    found = evaluate_policy(
        policy,
        problems,
        methods=methods,
        n=n,
        orm=orm,
        prm=prm,
        device=device,
        limit=limit,
        overrides=overrides or (),
        out=out,
    )
    if as_json:
        print_json(found.as_json())
    else:
        show(Console(highlight=False, width=None if sys.stdout.isatty() else 140), section(found))


@models.command()
def loop(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="default: the embedded loop")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=0, metavar="N", help="rounds after the start")] = 3,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="the loop's folder")] = ...,  # type: ignore[assignment]
    init: Annotated[
        str | None, typer.Option("--init", metavar="CKPT", help="the policy to start from, as it is")
    ] = None,
    overrides: Set = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="local worker processes")] = 2,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device")] = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="start anew in a folder that holds a loop")] = False,
    as_json: Json = False,
) -> None:
    """Rounds of run, train and evaluate, each from the last round's checkpoint.

    Every round's data, checkpoints and figures stay in DIR/round-K. The same command goes on where it was
    cut off; with a larger --rounds it goes on from the last one.

    Example: cotmill loop --rounds 3 --out out/loop
    """
    from rich.console import Console

    from .config import shipped_config
    from .loop import run_loop
    from .loop_config import load_loop
    from .loop_report import section
    from .page import show
    from .progress import Progress

    checked = load_loop(config or shipped_config("loop.yaml"), tuple(overrides or ()), init)
    table = run_loop(checked, out, rounds, workers=workers, device=device, fresh=fresh, progress=Progress())
    if as_json:
        print_json(table)
    else:
        show(Console(highlight=False, width=None if sys.stdout.isatty() else 140), section(table))
        print(f"{out}: complete. `cotmill inspect {out}/round-{rounds}/run` shows what the last round made.")


@models.command()
def solve(
    question: Annotated[str, typer.Argument(metavar="QUESTION")],
    policy: Annotated[
        str, typer.Option("--policy", metavar="CKPT", help="embedded, a model folder or a hub name")
    ],
    prm: Annotated[
        str | None, typer.Option("--prm", metavar="CKPT", help="embedded, or a checkpoint's folder")
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option("--pool", metavar="CKPT", help="a further model that writes candidates"),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="votes, where nothing can lead a search")] = 8,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device")] = "auto",
    overrides: Set = None,
    as_json: Json = False,
) -> None:
    """Think about a question aloud, by tree search: acts, summary, answer.

    A search needs a PRM, or a policy with heads; without either, the most frequent of N answers is taken.
    `--set` takes the search's settings: simulations, candidates, branches, max_depth, max_spent (tokens).

    Example: cotmill solve "Compute 17 + 26 - 9." --policy embedded --prm embedded --set simulations=8
    """
    from .solve import Aloud
    from .solve import solve as think

    found = think(
        question,
        policy,
        prm=prm,
        pool=pool or (),
        n=n,
        device=device,
        overrides=overrides or (),
        aloud=None if as_json else Aloud(),
    )
    if as_json:
        print_json(found.as_json())
    else:
        print("\n".join(found.lines()))
