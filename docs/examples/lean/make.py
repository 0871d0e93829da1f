"""Writes the examples of this folder anew: `python docs/examples/lean/make.py`. The comments in them stay.

Each is what a run over `statements.jsonl` gives for one of its rows where the embedded Lean is installed, its
`seed` being the one that the example names:
`cotmill run --source lean=docs/examples/lean/statements.jsonl --set policy.model=none --set seed=0`.
"""

import json
from pathlib import Path

from cotmill.generators.lean_reverse import LeanSeed, read_lean_row, reverse
from cotmill.generators.lean_search import settled
from cotmill.schemas import Source, Trace
from cotmill.verifiers.lean import EmbeddedLean

FOLDER = Path(__file__).parent
SEEDS = {"cube_mod_three": 0, "powers_of_five": 2, "rectangle": 0, "or_over_and": 3, "doubled_sum": 1}
COMMENT = "## Comment"


def main() -> None:
    lines = (FOLDER / "statements.jsonl").read_text("utf-8").splitlines()
    lean = EmbeddedLean()
    try:
        for number, row in enumerate(map(json.loads, lines), 1):
            write(row, number, lean)
    finally:
        lean.close()


def write(row: dict[str, str], number: int, lean: EmbeddedLean) -> None:
    """One example; ends the script where the row gives no trace."""
    source = Source(name="statements.jsonl", row=number, licence=row["licence"])
    seed = settled(read_lean_row(row, source), lean)
    trace = reverse(seed, run_seed=SEEDS[row["name"]]) if isinstance(seed, LeanSeed) else seed
    if not isinstance(trace, Trace):
        raise SystemExit(f"{row['name']}: {trace.reason}")
    file = FOLDER / f"{row['name']}.md"
    old = file.read_text("utf-8") if file.exists() else ""
    comment = old[old.index(COMMENT) :] if COMMENT in old else f"{COMMENT}\n"
    marks = ", ".join("right" if step.n_correct else "wrong" for step in trace.steps)
    head = f"# {row['name']}, seed {SEEDS[row['name']]}\n\n{trace.question}\n\n## Chain of thought\n"
    body = f"{trace.text}\n\n## Steps\n\n{marks}\n\n{trace.evidence}.\n\n{comment}"
    file.write_text(f"{head}\n{body}", "utf-8")


if __name__ == "__main__":
    main()
