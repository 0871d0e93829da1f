"""One colour per group of acts, in the terminal and in the notebook alike.

Paul Tol's "light" scheme (personal.sron.nl/~pault): nine fills for black letters that stay apart for
colour-blind readers. In print and where there is no colour, the act's name carries the meaning.
"""

from functools import lru_cache

from ..schemas import Inventory

OTHER = "other"
_FILLS = (
    "#77AADD",
    "#99DDFF",
    "#44BB99",
    "#BBCC33",
    "#EEDD88",
    "#FFAABB",
    "#EE8866",
    "#DDDDDD",
    "#AAAA00",
)
_NEUTRAL = "#FFFFFF"


@lru_cache
def fills(groups: tuple[str, ...] = ()) -> dict[str, str]:
    """Fill colours by group (default: the shipped inventory's), then for `other`: acts it does not have."""
    names = groups or Inventory.load().groups
    return {name: _FILLS[i % len(_FILLS)] for i, name in enumerate(names)} | {OTHER: _NEUTRAL}


@lru_cache
def groups_of_acts() -> dict[str, str]:
    """The group of each act of the shipped inventory."""
    return {f.name: f.group for f in Inventory.load().factors}


def group_of(act: str) -> str:
    return groups_of_acts().get(act, OTHER)


def fill_of(act: str) -> str:
    """The colour behind an act's name."""
    return fills()[group_of(act)]
