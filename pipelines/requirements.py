"""What the installed package says it needs, what of that is here, and the line that gets the rest."""

import shlex
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

PACKAGE = "cotmill"


def required(extra: str = "") -> list[Requirement]:
    """cotmill's own requirements, or those of one of its extras; empty where it is not installed."""
    try:
        lines = requires(PACKAGE) or []
    except PackageNotFoundError:
        return []
    wanted = [r for r in map(Requirement, lines) if r.marker is None or r.marker.evaluate({"extra": extra})]
    return [r for r in wanted if ("extra" in str(r.marker or "")) == bool(extra)]


def unmet(extra: str = "") -> list[Requirement]:
    """Those that are absent, or of another version than asked for."""
    return [r for r in required(extra) if not _met(r)]


def installed(name: str) -> str | None:
    """The version of an installed distribution; nothing is imported."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def install_line(requirements: list[Requirement]) -> str:
    """What to type to get them into this Python."""
    wanted = " ".join(shlex.quote(f"{r.name}{r.specifier}") for r in requirements)
    return f"{shlex.quote(sys.executable)} -m pip install {wanted}"


def _met(requirement: Requirement) -> bool:
    found = installed(requirement.name)
    return found is not None and requirement.specifier.contains(found, prereleases=True)
