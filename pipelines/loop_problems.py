"""The problems of a loop as files: held-out ones, the seeds, and each round's fresh ones; no two alike."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from ..generators import families
from ..schemas import BadInput, CotmillError, Source, content_hash, markup
from .config import resolve
from .files import BadRow, read_rows, write_jsonl
from .loop_config import Loop, Problems
from .sources import seed_from_row

_DRAWS = 50  # for each problem wanted, before the families count as exhausted
_ALSO = {"seeds": "cot", "heldout": "level"}
Row = dict[str, Any]


def write_heldout(loop: Loop, path: Path) -> set[str]:
    """Write the held-out problems, or find them written; returns their questions. Raises BadInput."""
    return _written(path, lambda: _rows(loop, loop.config.heldout, "heldout", set()))


def write_seeds(loop: Loop, path: Path, heldout: set[str]) -> set[str]:
    """The same for the seeds, which are not among the held-out problems; empty where there are none."""
    seeds = loop.config.seeds
    return set() if seeds is None else _written(path, lambda: _rows(loop, seeds, "seeds", heldout))


def write_problems(loop: Loop, path: Path, number: int, apart: set[str], before: set[str]) -> set[str]:
    """The same for a round's problems, without a chain of thought; `apart`: held-out ones and seeds.

    Drawn ones are none of those `before` either. A file is dealt out `count` rows a round, and from its start
    again when it is used up.
    """
    problems = loop.config.problems
    taken = apart if problems.path is not None else apart | before
    return _written(path, lambda: _rows(loop, problems, "problems", taken, number))


def _written(path: Path, rows: Any) -> set[str]:
    if not path.exists():
        write_jsonl(path, rows())
    return {row["question"] for _, row in read_rows(path) if isinstance(row, dict)}


def _rows(loop: Loop, wanted: Problems, purpose: str, taken: set[str], number: int = 1) -> Iterator[Row]:
    keep = ("question", "answer", "licence", _ALSO.get(purpose, ""))
    if wanted.path is None:
        rows = _drawn(loop.config.seed, wanted, purpose, taken, number)
    else:
        everything = list(_of_file(resolve(wanted.path, loop.base)))
        first = 0 if wanted.count is None else (number - 1) * wanted.count
        fresh = [r for r in everything if r["question"] not in taken]
        n = len(fresh) if wanted.count is None else min(wanted.count, len(fresh))
        rows = (fresh[(first + i) % len(fresh)] for i in range(n))
    given = 0
    for row in rows:
        given += 1
        yield {name: row[name] for name in keep if row.get(name) is not None}
    if not given:
        raise BadInput("no problem is left that is neither held out nor a seed", field=purpose)


def _drawn(seed: int, wanted: Problems, purpose: str, taken: set[str], number: int) -> Iterator[Row]:
    """Family problems; held-out ones are told from the others by a hash of their question."""
    assert wanted.count is not None
    draws = int(content_hash("loop", seed, purpose, number)[:12], 16)
    seen = set(taken)
    found = 0
    for index in count():
        if found == wanted.count:
            return
        if index > _DRAWS * wanted.count + 1000:
            raise BadInput(
                f"these families and levels hold only {found} more problems", field=f"{purpose}.count"
            )
        try:
            drawn = families.seed_at(
                draws,
                index,
                families=wanted.families,
                levels=wanted.levels,
                mistake_rate=wanted.mistake_rate,
                heldout=purpose == "heldout",
            )
        except CotmillError:
            continue  # no such draw; another index has one
        if drawn.question in seen:
            continue
        seen.add(drawn.question)
        found += 1
        yield {
            "question": drawn.question,
            "answer": drawn.answer,
            "cot": markup.render(drawn.text, drawn.acts),
            "level": drawn.source.name.removeprefix("cotmill families/"),
            "licence": drawn.source.licence,
        }


def _of_file(path: Path) -> Iterator[Row]:
    for line, row in read_rows(path):
        if isinstance(row, BadRow):
            raise BadInput(row.reason, file=path, line=line, field=row.field)
        try:
            seed = seed_from_row(row, Source(name=path.name, row=line))
        except BadInput as e:
            raise BadInput(e.what, file=path, line=line, field=e.field) from e
        yield row | {"question": seed.question, "answer": seed.answer}
