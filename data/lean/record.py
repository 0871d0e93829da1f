"""Writes `traces.json` from `theorems.jsonl` by the embedded Lean: `python data/lean/record.py`.

Each proof is audited and traced; each of a theorem's `tries` (`{at, tactic}`: a tactic put in the place of
the traced one with that number) must be refused, and is written down with Lean's own words. With `--new` only
theorems that have no trace yet are recorded.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from cotmill.generators.lean_search.live import version
from cotmill.verifiers.lean import EmbeddedLean, Theorem, TracedTactic

FOLDER = Path(__file__).parent
_PREMISE = re.compile(r"(?<![\w.])(?:Nat|Int|List|Option|Bool|Classical)\.[A-Za-z_]\w*(?:\.\w+)*")


def main() -> None:
    lines = (FOLDER / "theorems.jsonl").read_text("utf-8").splitlines()
    theorems: list[dict[str, Any]] = [json.loads(line) for line in lines]
    old = {r["full_name"]: r for r in json.loads((FOLDER / "traces.json").read_text("utf-8"))}
    lean = EmbeddedLean()
    try:
        rows = [
            old[t["name"]] if "--new" in sys.argv and t["name"] in old else record(t, lean) for t in theorems
        ]
    finally:
        lean.close()
    text = json.dumps(rows, ensure_ascii=False, indent=1)
    (FOLDER / "traces.json").write_text(text + "\n", "utf-8")


def record(theorem: dict[str, Any], lean: EmbeddedLean) -> dict[str, Any]:
    """A row of `traces.json`; ends the script where Lean refuses the proof or takes a try."""
    head = f"{theorem['statement']} := by\n"
    code = head + "".join(f"  {line}\n" for line in theorem["proof"].split("\n"))
    audit = lean.audit(Theorem.read(theorem["statement"]), code)
    if not audit.proved:
        raise SystemExit(f"{theorem['name']}: {audit.reason} {audit.evidence}")
    traced = lean.trace(code)
    failed = [
        refused(code, traced[t["at"]], t["tactic"], lean, theorem["name"]) for t in theorem.get("tries", ())
    ]
    premises = {name: said for name in dict.fromkeys(_PREMISE.findall(code)) if (said := type_of(name, lean))}
    row = {
        "full_name": theorem["name"],
        **{k: theorem[k] for k in ("level", "informal", "statement", "proof")},
        "check": {"lean": version(lean), "axioms": list(audit.axioms)},
        "traced_tactics": [
            {"tactic": t.tactic, "state_before": t.state_before, "state_after": t.state_after} for t in traced
        ],
    }
    row |= {k: v for k, v in (("failed", failed), ("premises", premises)) if v}
    return row | {"licence": theorem["licence"], "source": "written by hand for cotmill"}


def refused(code: str, at: TracedTactic, tactic: str, lean: EmbeddedLean, name: str) -> dict[str, str]:
    """What Lean says to `tactic` in the place of a traced one, which follows on the next line."""
    lines = code.split("\n")
    line, column = at.start
    rest = lines[line - 1][column:]
    lines[line - 1 : line] = [lines[line - 1][:column] + tactic, " " * column + rest]
    for message in lean.check("\n".join(lines)):
        if message.severity == "error" and message.line == line and message.column >= column:
            return {"state_before": at.state_before, "tactic": tactic, "error": message.text}
    raise SystemExit(f"{name}: Lean takes {tactic!r}")


def type_of(name: str, lean: EmbeddedLean) -> str:
    """A library fact's type as Lean prints it; empty for what is none."""
    for message in lean.check(f"#check @{name}"):
        if message.severity == "information":
            return " ".join(message.text.split(" : ", 1)[-1].split())
    return ""


if __name__ == "__main__":
    main()
