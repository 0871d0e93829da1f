"""A Python module, or a folder of them, as a source of programs: one row for each documented definition."""

from collections.abc import Iterator
from pathlib import Path

from ..schemas import BadInput, content_hash
from .files import BadRow, Rows, sha256

MAX_BYTES = 1 << 20


def read_modules(path: Path) -> Rows:
    """The line and row of each function or class with doctests, module by module in the order of their names.

    A module that cannot be read is a BadRow. Raises BadInput where there is no documented definition at all.
    """
    from ..generators.code_reverse.modules import module_rows
    from ..generators.code_reverse.syntax import NotPython

    empty = True
    for file in source_files(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        name = name.encode("utf-8", "replace").decode()
        try:
            if file.stat().st_size > MAX_BYTES:
                raise NotPython(f"larger than {MAX_BYTES >> 20} MiB")
            rows = list(module_rows(file.read_text(encoding="utf-8-sig"), name))
        except (NotPython, UnicodeDecodeError, OSError) as e:
            empty = False
            why = (
                str(e) if isinstance(e, NotPython) else f"cannot be read: {getattr(e, 'strerror', None) or e}"
            )
            yield 1, BadRow(1, f"{name}: {why}")
            continue
        for line, row in rows:
            empty = False
            yield line, row
    if empty:
        raise BadInput("holds no Python function or class with doctests", file=path)


def folder_digest(folder: Path, pattern: str = "*.py") -> str:
    """A hash of the names and contents of the files of that pattern."""
    parts = [p for f in source_files(folder, pattern) for p in (f.relative_to(folder).as_posix(), sha256(f))]
    return content_hash("modules", *(p.encode("utf-8", "replace").decode() for p in parts))


def source_files(path: Path, pattern: str = "*.py") -> Iterator[Path]:
    """Files below a folder, links to folders and hidden ones apart; or the one file itself."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob(pattern)):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden:
            yield file
