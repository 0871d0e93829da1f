"""Progress on stderr: bars with rate and time left on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from .sources import Shard

Report = Callable[[str, "Shard"], None]
_PLAIN_EVERY_S = 5.0


class Progress:
    """What a command shows while it works. `quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        if self.console.is_terminal:
            with self.console.status(what):
                yield
        else:
            self.note(what)
            yield

    @contextmanager
    def bars(self, stages: Sequence[str], shards: int) -> Iterator[Report]:
        """A bar per stage, counted in shards and the rows in them."""
        if not self.console.is_terminal:
            yield self._plain(shards)
            return
        with Bars(
            TextColumn("{task.description:>9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("shards  {task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
        ) as bars:
            tasks = {s: bars.add_task(s, total=shards, rate="") for s in stages}
            rows = dict.fromkeys(stages, 0)
            start = time.monotonic()

            def report(stage: str, shard: "Shard") -> None:
                rows[stage] += shard.rows
                rate = rows[stage] / max(time.monotonic() - start, 1e-9)
                bars.update(tasks[stage], advance=1, rate=f"{rate:.1f} seeds/s")

            yield report

    @contextmanager
    def counting(self, unit: str = "problems") -> Iterator[Callable[[str, int, int | None], None]]:
        """A bar per task as it comes, told by (what, done, of); `of` is None where nobody knows."""
        start, shown = time.monotonic(), {"": 0.0}
        if self.console.is_terminal:
            with Bars(
                TextColumn("{task.description:>14}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(unit),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self.console,
            ) as bars:
                tasks: dict[str, TaskID] = {}

                def advance(what: str, done: int, of: int | None) -> None:
                    if what not in tasks:
                        tasks[what] = bars.add_task(what, total=of)
                    bars.update(tasks[what], completed=done)

                yield advance
            return

        def say(what: str, done: int, of: int | None) -> None:
            now = time.monotonic()
            if done == of or now - shown.get(what, start) >= _PLAIN_EVERY_S:
                shown[what] = now
                self.note(f"{what}: {done:,} {unit}" if of is None else f"{what}: {done}/{of} {unit}")

        yield say

    def _plain(self, shards: int) -> Report:
        done: dict[str, int] = {}
        shown: dict[str, float] = {}
        start = time.monotonic()

        def report(stage: str, shard: "Shard") -> None:
            done[stage] = done.get(stage, 0) + 1
            now = time.monotonic()
            if done[stage] == shards or now - shown.get(stage, start) >= _PLAIN_EVERY_S:
                shown[stage] = now
                left = (now - start) / done[stage] * (shards - done[stage])
                self.note(f"{stage}: {done[stage]}/{shards} shards, about {left:.0f} s left")

        return report
