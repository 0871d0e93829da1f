"""The errors a person may see. Each says what was wrong, where, and where possible what to do."""

from pathlib import Path


class CotmillError(Exception):
    """The work itself failed (exit status 1)."""


class BadInput(CotmillError):
    """Input or usage is at fault (exit status 2): names the file, the line (from 1) and the field."""

    def __init__(
        self, what: str, *, file: str | Path | None = None, line: int | None = None, field: str | None = None
    ) -> None:
        self.what, self.file, self.line, self.field = what, file, line, field
        where = [str(file)] if file is not None else []
        if line is not None:
            where.append(f"line {line}")
        if field is not None:
            where.append(f"field '{field}'")
        super().__init__(": ".join([", ".join(where), what]) if where else what)


class MarkupError(CotmillError):
    """A text is not well-formed markup; `position` counts code points from 0."""

    def __init__(self, what: str, position: int) -> None:
        self.what, self.position = what, position
        super().__init__(what, position)

    def __str__(self) -> str:
        return f"{self.what} at character {self.position}"
