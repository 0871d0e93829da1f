"""Lean's error messages as things that can be said."""

import re
from collections.abc import Callable

from .english import names_of, quoted, say
from .states import BadState, Goal, parse_state

Slots = dict[str, str]


def explain(error: str, goal: Goal) -> tuple[str, Slots]:
    """The kind of failure and its slots, read from Lean's message; `failed` with the first line at worst."""
    for pattern, kind, slots in _MESSAGES:
        if match := pattern.search(error):
            try:
                return kind, slots(match, goal)
            except BadState:
                break
    return "failed", {"message": quoted(error.strip().split("\n")[0] or "no message")}


def _terms(*names: str) -> Callable[[re.Match[str], Goal], Slots]:
    return lambda match, goal: {n: say(" ".join(match[n].split()), names_of(goal)) for n in names}


def _quoted(*names: str) -> Callable[[re.Match[str], Goal], Slots]:
    return lambda match, goal: {n: quoted(match[n]) for n in names}


def _remaining(match: re.Match[str], goal: Goal) -> Slots:
    goals = parse_state(match["state"])
    if not goals:
        raise BadState("no goal in the message")
    return {"open": say(goals[0].target, names_of(goals[0]))}


def _counterexample(match: re.Match[str], goal: Goal) -> Slots:
    lines = [line.strip() for line in match["constraints"].strip().split("\n")]
    meaning = [line.strip().replace(":=", "for") for line in match["where"].strip().split("\n")]
    return {"constraints": quoted(", ".join(lines)), "meaning": quoted(", ".join(meaning))}


_MESSAGES: list[tuple[re.Pattern[str], str, Callable[[re.Match[str], Goal], Slots]]] = [
    (
        re.compile(r"omega could not prove.*?constraints\n(?P<constraints>.*?)\nwhere\n(?P<where>.*)", re.S),
        "failed_omega",
        _counterexample,
    ),
    (re.compile(r"No usable constraints found"), "failed_omega_blind", lambda m, g: {}),
    (
        re.compile(
            r"The argument\n(?P<argument>(?: +.*\n)+)has type\n(?P<has>(?: +.*\n)+)"
            r"but is expected to have type\n(?P<wanted>(?: +.*\n)+)"
        ),
        "failed_argument",
        _terms("argument", "has", "wanted"),
    ),
    (
        re.compile(
            r"has type\n(?P<has>(?: +.*\n)+)but is expected to have type\n(?P<wanted>(?: +.*(?:\n|$))+)"
        ),
        "failed_type",
        _terms("has", "wanted"),
    ),
    (
        re.compile(r"Did not find an occurrence of the pattern\n(?P<pattern>(?: +.*\n)+)"),
        "failed_rewrite",
        _terms("pattern"),
    ),
    (
        re.compile(
            r"The left-hand side\n(?P<left>(?: +.*\n)+)is not definitionally equal to the right-hand "
            r"side\n(?P<right>(?: +.*(?:\n|$))+)"
        ),
        "failed_rfl",
        _terms("left", "right"),
    ),
    (
        re.compile(r"could not unify the conclusion of `.*?`\n(?P<conclusion>(?: +.*\n)+)with the goal\n"),
        "failed_apply",
        _quoted("conclusion"),
    ),
    (re.compile(r"`assumption` failed\n\n(?P<state>.*)", re.S), "failed_assumption", _remaining),
    (re.compile(r"must not contain free variables"), "failed_free", lambda m, g: {}),
    (re.compile(r"failed to synthesize\n\s+Decidable"), "failed_undecidable", lambda m, g: {}),
    (re.compile(r"^(?:error: )?unsolved goals\n(?P<state>.*)", re.S), "failed_open", _remaining),
]
