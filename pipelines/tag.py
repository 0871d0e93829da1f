"""`cotmill tag`: thinking factors for every row of a file. A bad row stays in its place, with its error."""

from collections import Counter
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from ..labelers.policy_tagger import PROMPT, PolicyTagger
from ..labelers.tagger import Tagger
from ..schemas import ActSpan, BadInput, Inventory, MarkupError, markup
from .files import BadRow, read_rows, write_jsonl
from .policies import model_path, open_policy


def tag_file(
    source: Path,
    target: Path,
    progress: Callable[[int], None] | None = None,
    tagger: Tagger | PolicyTagger | None = None,
) -> dict[str, int]:
    """Rows `{text}` of `source` to `target` in order, each with `spans` and `markup`.

    A text that is markup already keeps its acts: `markup` is what came in, `text` becomes the text without
    tags, so that the offsets hold. A row that cannot be tagged keeps its fields and gains `error` (and, if
    it could not even be read, `line` and `raw`). `progress` is called with the number of rows done.

    Returns the counts `rows`, `tagged`, `kept` (markup), `errors` and `spans`. Raises BadInput for an
    unreadable or empty source.
    """
    counts: Counter[str] = Counter(rows=0, tagged=0, kept=0, errors=0, spans=0)
    tagger = tagger or Tagger.load()

    def rows() -> Iterator[dict[str, Any]]:
        for line, row in read_rows(source):
            done = _bad(row) if isinstance(row, BadRow) else _tagged(row, line, tagger, counts)
            counts["rows"] += 1
            counts["errors"] += "error" in done
            counts["spans"] += len(done.get("spans", ()))
            if progress:
                progress(counts["rows"])
            yield done

    write_jsonl(target, rows())
    return dict(counts)


def policy_tagger(policy: str, prompt: Path | None, device: str = "auto") -> PolicyTagger:
    """A policy that tags by a prompt file (the shipped one by default); raises BadInput."""
    path = prompt or Path(str(files("cotmill.data"))) / "prompts" / PROMPT
    try:
        template = Template(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise BadInput(f"cannot be read: {getattr(e, 'strerror', None) or e}", file=path) from e
    reader = open_policy(model_path(policy, Path()), device=device, batch_rows=16)
    return PolicyTagger(reader, Inventory.load(), Tagger.load(), template)


def _bad(row: BadRow) -> dict[str, Any]:
    fields = {"line": row.line, "field": row.field, "raw": row.raw, "error": row.reason}
    return {k: v for k, v in fields.items() if v is not None}


def _tagged(
    row: dict[str, Any], line: int, tagger: Tagger | PolicyTagger, counts: Counter[str]
) -> dict[str, Any]:
    row = {k: v for k, v in row.items() if k not in ("spans", "markup", "error")}
    text = row.get("text")
    if not isinstance(text, str):
        what = "missing" if text is None else f"expected a string, got {type(text).__name__}"
        return row | {"line": line, "field": "text", "error": f"field 'text': {what}"}
    if not markup.looks_like_markup(text):
        acts = tagger.tag(text)
        counts["tagged"] += 1
        return row | {"spans": [_span(a) for a in acts], "markup": markup.render(text, acts)}
    try:
        plain, acts = markup.parse(text.strip(), closed=False)
    except MarkupError as e:
        return row | {"line": line, "field": "text", "error": f"field 'text': not well-formed markup: {e}"}
    counts["kept"] += 1
    return row | {
        "text": plain,
        "spans": [_span(a) for a in acts],
        "markup": markup.render(plain, acts),
    }


def _span(act: ActSpan) -> dict[str, Any]:
    return {"start": act.start, "end": act.end, "act": act.act, "score": act.score}
