"""The theorems of a `.lean` file, each with its tactic proof and with all that stands before it."""

import re
from collections.abc import Iterator
from typing import Any

# A command begins at the margin with one of these words, after its comments, attributes and modifiers.
_MODIFIERS = r"(?:(?:private|protected|noncomputable|nonrec|@\[[^\]]*\])\s+)*"
_COMMAND = re.compile(
    r"^(?:/--|@\[|(?:private|protected|noncomputable|nonrec|theorem|lemma|def|abbrev|instance|example|axiom|"
    r"structure|class|inductive|namespace|section|end|open|variable|universe|set_option|import|export|"
    r"attribute|notation|infixl?|infixr|prefix|postfix|macro|syntax|macro_rules|mutual|opaque|deriving|#\w+)\b)"
)
_THEOREM = re.compile(rf"{_MODIFIERS}(?:theorem|lemma)\s+([^\s(){{}}\[\]:]+)", re.DOTALL)
_PROOF = re.compile(r":=\s*by\b[ \t]*")
_DOC = re.compile(r"\A/--(.*?)-/\s*", re.DOTALL)
_OPENED = re.compile(r"^(namespace|section|end)\b[ \t]*(\S*)")
_BLOCK = re.compile(r"/-.*?-/", re.DOTALL)


def lean_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line, row) of each theorem and lemma, in order; a text in the row's place says why there is none.

    A row has `full_name` with its namespace, `statement`, `proof`, `informal` (the doc comment) and
    `preamble` (the file before it).
    """
    namespaces: list[tuple[str, str]] = []
    for line, command in _commands(text):
        if opened := _OPENED.match(command):
            _enter(namespaces, opened[1], opened[2])
        doc = _DOC.match(command)
        body = command[doc.end() :] if doc else command
        name = _THEOREM.match(body)
        if name is None:
            continue
        proof = _PROOF.search(body)
        if proof is None:
            yield line, f"{name[1]}: not a proof by tactics"
            continue
        path = [n for kind, n in namespaces if kind == "namespace"]
        before = "\n".join(text.split("\n")[: line - 1])
        yield (
            line,
            {
                "full_name": ".".join([*path, name[1]]),
                "statement": body[: proof.start()].strip(),
                "proof": _dedented(body[proof.end() :]),
                "informal": " ".join(doc[1].split()) if doc else "",
                "preamble": before.strip("\n"),
            },
        )


def _commands(text: str) -> Iterator[tuple[int, str]]:
    """Each top-level command with its line."""
    # Comments keep their length, so that lines stay where they are; doc comments are read.
    bare = _BLOCK.sub(lambda m: m[0] if m[0].startswith("/--") else re.sub(r"[^\n]", " ", m[0]), text)
    lines = re.sub(r"--(?!/)[^\n]*(?=\n|\Z)", _unless_doc, bare).split("\n")
    starts = [i for i, line in enumerate(lines) if _COMMAND.match(line)]
    merged: list[int] = []
    for at, start in enumerate(starts):
        previous = lines[starts[at - 1]] if at else ""
        begun = "\n".join(lines[starts[at - 1] : start]).strip() if at else ""
        lead = previous.startswith(("/--", "@[")) and (begun.endswith(("-/", "]")))
        if not lead:
            merged.append(start)
    for at, start in enumerate(merged):
        end = merged[at + 1] if at + 1 < len(merged) else len(lines)
        yield start + 1, "\n".join(lines[start:end]).strip()


def _unless_doc(match: re.Match[str]) -> str:
    """A line comment goes; what belongs to a doc comment's opening stays."""
    before = match.string[max(0, match.start() - 1) : match.start()]
    return match[0] if before == "/" else ""


def _enter(namespaces: list[tuple[str, str]], word: str, name: str) -> None:
    if word != "end":
        namespaces.append((word, name))
    elif namespaces:
        namespaces.pop()


def _dedented(proof: str) -> str:
    """Tactics at the margin; a proof on the line of its `by` as it is."""
    lines = proof.rstrip().split("\n")
    if lines[0].strip():
        return "\n".join([lines[0].strip(), *lines[1:]])
    lines = lines[1:]
    margin = min((len(s) - len(s.lstrip()) for s in lines if s.strip()), default=0)
    return "\n".join(line[margin:] for line in lines).rstrip()
