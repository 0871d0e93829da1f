"""The demonstration: a run, a PRM trained on it, and both held against what is known to be true."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.console import Console

from .config import load, shipped_config
from .page import closing_page
from .policies import EMBEDDED
from .progress import Progress
from .run import run
from .training_commands import evaluate_prm, train

HELDOUT = Path(str(files("cotmill.data") / "heldout" / "first_errors.jsonl"))
TRAINING = ("max_minutes=1", "freeze_trunk=true", "weighs_tokens=true", "ranking=problem", "head_lr=0.02")
"""What ranks best of what a minute can train (`docs/design/training.md`)."""


def demo(out: Path, *, workers: int, fresh: bool, quiet_page: bool = False) -> dict[str, Any]:
    """Run the whole line into `out/demo` and `out/prm`, print the closing page, return its figures."""
    progress = Progress()
    config, base = load(shipped_config("demo.yaml"))
    manifest = run(config, base, out / "demo", workers=workers, fresh=fresh, progress=progress)
    progress.note("training a process reward model on the shards")
    done = train(
        "prm", out / "demo", out / "prm", init=EMBEDDED, device="auto", overrides=TRAINING, fresh=fresh
    )
    progress.note("evaluating it, and the shipped one, on held-out traces")
    trained = evaluate_prm(str(out / "prm"), HELDOUT, device="auto")
    shipped = evaluate_prm(EMBEDDED, HELDOUT, device="auto")
    if not quiet_page:
        closing_page(Console(highlight=False), manifest, trained, shipped, out=str(out), labels=done.rows)
    return {
        "run": manifest.model_dump(mode="json", exclude={"shards"}),
        "prm": {"trained": trained.as_json(), "shipped": shipped.as_json()},
    }
