"""A repository and a toolchain that stand in for native Lean: `lean` says what it is told to."""

import json
import os
import stat
from pathlib import Path

import pytest
from cotmill.verifiers.lean import LeanBackend, NativeLean, Repository


class FakeToolchain:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prefix = folder / "toolchain"
        for made in (self.prefix / "bin", folder / "bin", folder / "repository"):
            made.mkdir(parents=True)
        (folder / "repository" / "A.lean").write_text("import Init\n\ntheorem t : True := trivial\n")
        lean = (
            f'echo "$@" >> "$PWD/seen" 2>/dev/null; here={self.prefix}\n'
            'if [ "$1" = --run ]; then echo noise; echo "$3 $(cat $here/verdict)"; exit 0; fi\n'
            'for file; do :; done; if grep -q trace_state "$file"; then cat $here/states; exit 0; fi\n'
            'if grep -q sorry "$file"; then exit 0; fi\n'
            "cat $here/messages; [ ! -s $here/fails ]\n"
        )
        self._program(self.prefix / "bin" / "lean", lean)
        lake = f'[ "$2" = lean ] && echo {self.prefix} || echo lib:lib/lean'
        self._program(folder / "bin" / "lake", lake)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        self.repository = folder / "repository"
        self.lean: LeanBackend = NativeLean(Repository(str(self.repository), "", "A.lean"), 60)

    def steps(self, *states: str) -> None:
        """The state after each tactic, the first before any."""
        lines = (
            {"severity": "information", "pos": {"line": 2 + i, "column": 2}, "data": state, "kind": "x"}
            for i, state in enumerate(states)
        )
        (self.prefix / "states").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def says(self, *messages: dict[str, object], verdict: str = "", fails: bool = False) -> None:
        lines = "".join(json.dumps(message) + "\n" for message in messages)
        for name, text in (("messages", lines), ("verdict", verdict), ("fails", "x" * fails)):
            (self.prefix / name).write_text(text)

    @staticmethod
    def _program(path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
