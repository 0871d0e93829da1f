"""A row from which no trace could be made: data, with the reason, never a crash."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a source's row gave no trace; `row` counts from 1, as in `Source`."""

    reason: str
    row: int
