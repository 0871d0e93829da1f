"""Tactics with their states, read from Lean's own information tree (option `trace.Elab.info`)."""

import re
from collections.abc import Sequence

from .backend import Message, TracedTactic

_NODE = re.compile(r"^( *)• ")
_TACTIC = re.compile(r"^ *• \[Tactic\] @ ⟨(\d+), (\d+)⟩(†?)-⟨(\d+), (\d+)⟩(†?)")
# A tactic stands in a sequence of tactics, or is one rule of a rewrite (LeanDojo's rule, and the rules).
_SEQUENCES = ("(Tactic.tacticSeq1Indented", "(Tactic.tacticSeqBracketed", "(Tactic.rwRuleSeq")


def traced_tactics(source: str, messages: Sequence[Message]) -> list[TracedTactic]:
    """The tactics that `messages` tell of, by position in `source`."""
    lines = source.split("\n")
    found = [
        tactic
        for message in messages
        if message.text.startswith("[Elab.info]")
        for tactic in _tactics(message.text.split("\n"), lines)
    ]
    return sorted(dict.fromkeys(found), key=lambda t: (t.start, (-t.end[0], -t.end[1])))


def _tactics(tree: list[str], source: list[str]) -> list[TracedTactic]:
    starts = [(at, len(node[1])) for at, line in enumerate(tree) if (node := _NODE.match(line))]
    ends = [at for at, _ in starts[1:]] + [len(tree)]
    parents: list[tuple[int, str]] = []
    out: list[TracedTactic] = []
    for (at, indent), end in zip(starts, ends, strict=True):
        while parents and parents[-1][0] >= indent:
            parents.pop()
        parent = parents[-1][1] if parents else ""
        node = _TACTIC.match(tree[at])
        body = [line[indent + 2 :] for line in tree[at + 1 : end]]
        parents.append((indent, body[0] if node and body else ""))
        if node is None or node[3] or node[6] or not parent.startswith(_SEQUENCES):
            continue
        states = _states(body)
        if states and states[0] != "no goals" and states[0] != states[1]:
            start, stop = (int(node[1]), int(node[2])), (int(node[4]), int(node[5]))
            out.append(TracedTactic(_cut(source, start, stop), *states, start, stop))
    return out


def _states(body: list[str]) -> tuple[str, str] | None:
    before = [at for at, line in enumerate(body) if line.startswith("before")]
    after = [at for at, line in enumerate(body) if line.startswith("after")]
    if not before or not after or before[-1] > after[-1]:
        return None
    return _goals(body[before[-1] : after[-1]], "before"), _goals(body[after[-1] :], "after")


def _goals(lines: list[str], word: str) -> str:
    """The goals as LeanDojo writes them: a blank line between two."""
    text = [lines[0][len(word) :].strip(), *(line.rstrip() for line in lines[1:])]
    out: list[str] = []
    ended = False
    for line in text:
        if ended and line and not line.startswith(" "):
            out.append("")
            ended = False
        if line or out:
            out.append(line)
        ended = ended or line.startswith("⊢")
    return "\n".join(out).strip()


def _cut(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    first, last = start[0] - 1, end[0] - 1
    if first == last:
        return lines[first][start[1] : end[1]]
    return "\n".join([lines[first][start[1] :], *lines[first + 1 : last], lines[last][: end[1]]])
