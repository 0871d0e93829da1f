"""A small filter over a table's rows, such as `generator=completion and outcome!=wrong and tokens>20`.

Comparisons (`= != < <= > >=`, and `~` for "contains") are joined by `and`, `or`, `not` and parentheses.
A dotted name leads into a struct (`source.name`). Through a list it holds where any item does
(`acts.act=Backtrack`), `!=` where none is equal; a bare list is compared by its length (`steps>5`).
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa

from ..schemas import BadInput
from ..schemas.tables import TABLES

FIELD = "--where"
_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>!=|<=|>=|==|[=<>~()])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>[^\s=<>~()!"']+))"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "~": lambda value, part: part.lower() in value.lower(),
}
Test = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Where:
    """A filter that was read: which columns it needs, and whether a row passes."""

    columns: frozenset[str]
    matches: Test


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    at: int
    quoted: bool = False


EVERY = Where(frozenset(), lambda row: True)


def columns_of(table: str) -> dict[str, pa.DataType]:
    """What a filter on this table may name: its columns, and `split`. Raises BadInput for no such table."""
    if table not in TABLES:
        raise BadInput(f"'{table}' is none of {', '.join(TABLES)}", field="--table")
    return _columns(table)


def parse_where(text: str | None, table: str) -> Where:
    """The filter that `text` describes; None or blank lets every row pass. Raises BadInput."""
    columns = columns_of(table)
    return _Parser(text, table, columns).read() if text and text.strip() else EVERY


@lru_cache
def _columns(table: str) -> dict[str, pa.DataType]:
    return {f.name: f.type for f in TABLES[table]} | {"split": pa.string()}


class _Parser:
    """Recursive descent; `and` binds tighter than `or`."""

    def __init__(self, text: str, table: str, columns: dict[str, pa.DataType]) -> None:
        self.table, self.columns, self.used = table, columns, set[str]()
        self.tokens = _tokens(text)
        self.at = 0

    def read(self) -> Where:
        test = self._either()
        if self.at < len(self.tokens):
            raise self._fault("expected 'and' or 'or'")
        return Where(frozenset(self.used), test)

    def _either(self) -> Test:
        tests = [self._both()]
        while self._takes("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(t(row) for t in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._takes("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(t(row) for t in tests)

    def _one(self) -> Test:
        negations = 0
        while self._takes("not"):
            negations += 1
        if self._takes("("):
            test = self._either()
            if not self._takes(")"):
                raise self._fault("expected ')'")
        else:
            test = self._comparison()
        return (lambda row: not test(row)) if negations % 2 else test

    def _comparison(self) -> Test:
        name = self._next("a column").text
        path, kind, through_list = self._column(name)
        sign = self._next("=, !=, <, <=, >, >= or ~").text.replace("==", "=")
        if sign not in _COMPARE:
            self.at -= 1
            raise self._fault(f"expected =, !=, <, <=, >, >= or ~ behind {name}")
        value = _value(self._next("a value"), kind, name)
        if sign == "~" and not isinstance(value, str):
            raise BadInput(f"~ looks for text, and {name} holds none", field=FIELD)
        self.used.add(path[0])
        compare = _COMPARE[sign]

        def holds(found: Any) -> bool:
            if found is None or value is None:
                return compare(found, value) if sign in ("=", "!=") else False
            return bool(compare(found, value))

        if not through_list:
            return lambda row: holds(next(_reach(row, path)))
        return lambda row: (all if sign == "!=" else any)(holds(v) for v in _reach(row, path))

    def _column(self, name: str) -> tuple[tuple[str, ...], pa.DataType, bool]:
        """Path, type, and whether a list lies on the way. A bare list of structs counts as its length."""
        path = tuple(name.split("."))
        if path[0] not in self.columns:
            there = ", ".join(self.columns)
            raise BadInput(f"no column '{path[0]}' in {self.table}; there are {there}", field=FIELD)
        kind, through_list = self.columns[path[0]], False
        for depth, part in enumerate(path[1:], 1):
            if pa.types.is_list(kind):
                kind, through_list = kind.value_type, True
            fields = {f.name: f.type for f in kind} if pa.types.is_struct(kind) else {}
            if part not in fields:
                of = ".".join(path[:depth])
                has = f"; there are {', '.join(fields)}" if fields else ""
                raise BadInput(f"no field '{part}' in {of}{has}", field=FIELD)
            kind = fields[part]
        if pa.types.is_list(kind) and not pa.types.is_struct(kind.value_type):
            return (*path, "[]"), kind.value_type, True
        if pa.types.is_list(kind):
            return (*path, "#"), pa.int64(), through_list
        return path, kind, through_list

    def _takes(self, text: str) -> bool:
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        taken = token is not None and not token.quoted and token.text.lower() == text
        self.at += taken
        return taken

    def _next(self, what: str) -> _Token:
        if self.at == len(self.tokens):
            raise self._fault(f"expected {what}")
        self.at += 1
        return self.tokens[self.at - 1]

    def _fault(self, what: str) -> BadInput:
        found = f"at '{self.tokens[self.at].text}'" if self.at < len(self.tokens) else "at the end"
        return BadInput(f"{what} {found}", field=FIELD)


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadInput(f"cannot be read from '{text[at:].strip()[:20]}' on", field=FIELD)
        quoted = match.lastgroup in ("double", "single")
        tokens.append(_Token(match[match.lastgroup or 0], match.start(), quoted))
        at = match.end()
    return tokens


def _value(token: _Token, kind: pa.DataType, name: str) -> str | float | bool | None:
    text = token.text
    if not token.quoted and text.lower() == "null":
        return None
    if pa.types.is_string(kind):
        return text
    if pa.types.is_boolean(kind):
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise BadInput(f"{name} is true, false or null, not '{text}'", field=FIELD)
    if pa.types.is_struct(kind):
        fields = ", ".join(f"{name}.{f.name}" for f in kind)
        raise BadInput(f"{name} is compared with null, or by its fields: {fields}", field=FIELD)
    try:
        return float(text)
    except ValueError as e:
        raise BadInput(f"{name} is a number, not '{text}'", field=FIELD) from e


def _reach(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """The values at a path's end; `#` is a list's length, `[]` its items. One None where a struct is null."""
    for depth, part in enumerate(path):
        if part == "#":
            yield None if value is None else len(value)
            return
        if isinstance(value, list):
            rest = path[depth + 1 :] if part == "[]" else path[depth:]
            for item in value:
                yield from _reach(item, rest)
            return
        value = None if value is None or part == "[]" else value[part]
    yield value
