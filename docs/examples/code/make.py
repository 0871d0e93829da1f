"""Writes the examples of this folder anew: `python docs/examples/code/make.py`. The comments in them stay.

Each is what a run over `programs.jsonl` gives for one of its programs, its `seed` being the one
that the example names:
`cotmill run --source code=docs/examples/code/programs.jsonl --set policy.model=none --set seed=0`.
"""

import json
from pathlib import Path

from cotmill.generators.code_reverse import read_code_row, reverse
from cotmill.schemas import Source, Trace

FOLDER = Path(__file__).parent
SEEDS = {"palindrome": 0, "running_sums": 4, "queue": 3, "fizzbuzz": 9, "merge": 1}
COMMENT = "## Comment"


def main() -> None:
    rows = {
        row["task_id"]: row
        for row in map(json.loads, (FOLDER / "programs.jsonl").read_text("utf-8").splitlines())
    }
    for name, seed in SEEDS.items():
        row = rows[name]
        source = Source(name="programs.jsonl", row=list(rows).index(name) + 1, licence=row["licence"])
        trace = reverse(read_code_row(row, source), run_seed=seed)
        if not isinstance(trace, Trace):
            raise SystemExit(f"{name}: {trace.reason}")
        file = FOLDER / f"{name}.md"
        old = file.read_text("utf-8") if file.exists() else ""
        comment = old[old.index(COMMENT) :] if COMMENT in old else f"{COMMENT}\n"
        marks = ", ".join("right" if step.n_correct else "wrong" for step in trace.steps)
        head = f"# {name}, seed {seed}\n\n{trace.question}\n\n## Chain of thought\n"
        file.write_text(f"{head}\n{trace.text}\n\n## Steps\n\n{marks}\n\n{comment}", "utf-8")


if __name__ == "__main__":
    main()
