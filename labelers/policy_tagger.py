"""A policy as tagger: it is shown the acts' definitions and numbered units of a text, and names their acts.

Units and joins are the learned tagger's, and so is the act of a unit on which the policy says nothing that
can be read: the spans cover the text in any case.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Template

from ..models.policy import Policy, SampleRequest
from ..schemas import ActSpan, Inventory, content_hash, markup, rng_key
from .tagger import Tagger
from .tagger_segments import Unit, units

PROMPT = "tag.md"
_AT_ONCE = 40
_LONGEST = 600


@dataclass(frozen=True)
class PolicyTagger:
    """Tags by asking; `votes` replies are counted unit by unit, and a span's score is their mean share.

    `learned` stands in where no reply can be read, and supplies the inventory's joins.
    """

    policy: Policy
    inventory: Inventory
    learned: Tagger
    template: Template
    run_seed: int = 0
    votes: int = 1
    temperature: float = 0.0
    max_tokens: int = 1024

    def tag(self, text: str, steps: Sequence[tuple[int, int]] | None = None) -> tuple[ActSpan, ...]:
        """As `Tagger.tag`: spans that cover the text but for white space."""
        found = units(text, steps)
        if not found:
            return ()
        parts = [range(i, min(i + _AT_ONCE, len(found))) for i in range(0, len(found), _AT_ONCE)]
        replies = self.policy.sample([self._request(text, found, part) for part in parts])
        said: list[Counter[str]] = [Counter() for _ in found]
        for part, samples in zip(parts, replies, strict=True):
            for sample in samples:
                reply = markup.strip_tags(sample.text) if self.policy.writes_tags else sample.text
                for number, act in read_acts(reply, _word(text), self.inventory):
                    if number <= len(part):
                        said[part[number - 1]][act] += 1
        own = self.learned.label(text, [(u.start, u.end) for u in found])
        acts, scores = [], []
        for votes, learned in zip(said, own, strict=True):
            act = min(votes, key=lambda a: (-votes[a], a)) if votes else learned.act
            acts.append(act)
            scores.append(votes[act] / self.votes if votes else learned.score)
        return self.learned.joined(found, acts, scores)

    def _request(self, text: str, found: Sequence[Unit], part: range) -> SampleRequest:
        word = _word(text)
        pieces = (f"{n}. {_shown(text, found[i])}" for n, i in enumerate(part, 1))
        asked = self.template.safe_substitute(
            acts="\n".join(f"- {f.name}: {f.definition}" for f in self.inventory.factors),
            pieces="\n".join(pieces),
            word=word,
        )
        return SampleRequest(
            prompt=self.policy.prompt(asked),
            key=rng_key(self.run_seed, content_hash(text), "tag", part.start),
            n=self.votes,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            stop=(f"</acts {word}>",),
        )


def read_acts(reply: str, word: str, inventory: Inventory) -> Iterator[tuple[int, str]]:
    """The numbers (from 1) and known acts of a reply's only block; of a number said twice, the first."""
    blocks = re.findall(rf"<acts {word}>(.*?)</acts {word}>", reply, re.DOTALL)
    names = {name.casefold(): name for name in inventory.names}
    seen: set[int] = set()
    for line in blocks[0].splitlines() if len(blocks) == 1 else ():
        said = re.fullmatch(r"\s*(\d{1,4})[.):]?\s+(\w+)\s*", line)
        act = names.get(said[2].casefold()) if said else None
        if said and act and int(said[1]) > 0 and int(said[1]) not in seen:
            seen.add(int(said[1]))
            yield int(said[1]), act


def _shown(text: str, unit: Unit) -> str:
    piece = " ".join(text[unit.start : unit.end].split())
    return piece if len(piece) <= _LONGEST else f"{piece[:_LONGEST]} …"


def _word(text: str) -> str:
    return content_hash("word", text)[:16]
