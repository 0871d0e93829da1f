"""The judge: several votes by criteria, which count where they show what they saw, and must agree."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean, median_low
from typing import NamedTuple

from ...models.policy import Policy, Sample, SampleRequest
from ...schemas import CotmillError, Outcome, Verdict, content_hash, rng_key
from ...schemas.markup import strip_tags
from ..base import Closing, Pair
from .criteria import Rubric
from .reply import Vote, addresses_judge, block_end, read_preferences, read_scores, template

MAX_TEXT = 100_000
_SHOWN = 80
_SWAPPED = {0: 0, 1: 2, 2: 1}


@dataclass(frozen=True, slots=True)
class Opinion:
    """On one text. `score` in [0, 1] is the mean over the counted votes, None where undecided."""

    outcome: Outcome
    score: float | None
    reason: str
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True)
class Preference:
    """On two texts. `better`: 1 or 2, 0 where neither is, None where undecided.

    `votes` are pairs: with the first text first, and with the second text first. Marks name texts by the
    place at which that reply saw them.
    """

    better: int | None
    reason: str
    votes: tuple[tuple[Vote, Vote], ...] = ()


class _Ballot(NamedTuple):
    """One vote to be asked for: the key of its draw, its prompt, and how its reply is read."""

    key: str
    prompt: str
    read: Callable[[str], Vote]


class RubricVerifier(Closing):
    """Judges texts that have no exact answer, by a rubric and a policy that can follow written instructions.

    A vote passes a text when its weighted score reaches the rubric's pass mark. A verdict needs more than
    half of the votes to count, and `agreement` of those to say the same; else it is undecided, as is a text
    that speaks to its judge. Every draw has a key of the run's seed, the texts, the rubric and the vote.

    Raises ValueError for `votes` below 1 or an `agreement` outside (0.5, 1].
    """

    def __init__(
        self,
        policy: Policy,
        rubric: Rubric,
        *,
        votes: int = 5,
        agreement: float = 0.75,
        run_seed: int = 0,
        temperature: float = 0.7,
        max_tokens: int = 1024,
    ) -> None:
        if votes < 1 or not 0.5 < agreement <= 1:
            raise ValueError("votes must be at least 1, agreement above 0.5 and at most 1")
        self.policy, self.rubric, self.votes, self.agreement = policy, rubric, votes, agreement
        self.run_seed, self.temperature, self.max_tokens = run_seed, temperature, max_tokens

    @property
    def name(self) -> str:
        return "rubric"

    def verify(self, prediction: str, reference: str) -> Verdict:
        """`reference` is the task that the prediction was written for, with the rules it had to keep."""
        return self.verify_many([(prediction, reference)])[0]

    def verify_many(self, pairs: Iterable[Pair]) -> list[Verdict]:
        return [
            Verdict(outcome=o.outcome, reason=o.reason, evidence=self._evidence(o))
            for o in self.opinions(pairs)
        ]

    def close(self) -> None: ...

    def opinions(self, pairs: Iterable[Pair]) -> list[Opinion]:
        """The opinions on (text, task) pairs, in order; all votes are asked for in one call of the policy."""
        pairs = list(pairs)
        refused = [self._refusal(text) for text, _ in pairs]
        asked = [pair for pair, refusal in zip(pairs, refused, strict=True) if not refusal]
        votes = iter(self._ask([self._ballot(key, *pair) for pair in asked for key in self._keys(*pair)]))
        return [
            Opinion(Outcome.UNDECIDED, None, refusal)
            if refusal
            else self._opinion(tuple(islice(votes, self.votes)))
            for refusal in refused
        ]

    def compare(self, first: str, second: str, task: str) -> Preference:
        """Which of two texts meets the criteria better, in the majority of their weights.

        Each vote is asked twice, with the positions swapped, and counts only if it stays the same. Swapping
        the arguments swaps the preference.
        """
        if refusal := self._refusal(first) or self._refusal(second):
            return Preference(None, refusal)
        if first == second:
            return Preference(0, "the same text")
        # In one order whatever the arguments' order is, so that the draws are the same.
        texts = (first, second) if first < second else (second, first)
        ballots = [self._pair_ballot(key, texts, task) for key in self._keys(*texts, task)]
        ballots += [self._pair_ballot(key, texts[::-1], task) for key in self._keys(*texts[::-1], task)]
        votes = self._ask(ballots)
        pairs = list(zip(votes[: self.votes], votes[self.votes :], strict=True))
        says = [self._same_preference(*pair) for pair in pairs]
        faults = [one.fault or other.fault or "changed with the position" for one, other in pairs]
        better, reason = self._majority(says, faults)
        if texts == (first, second):
            return Preference(better, reason, tuple(pairs))
        mirrored = None if better is None else _SWAPPED[better]
        return Preference(mirrored, reason, tuple((other, one) for one, other in pairs))

    def _same_preference(self, straight: Vote, swapped: Vote) -> int | None:
        """What a vote prefers in both positions; None where it does not count."""
        if straight.fault or swapped.fault:
            return None
        prefers = self._prefers(straight)
        return prefers if prefers == _SWAPPED[self._prefers(swapped)] else None

    def _ballot(self, key: str, text: str, task: str) -> _Ballot:
        prompt = self._prompt("rubric_score.md", key, task, text=text)
        return _Ballot(key, prompt, lambda reply: read_scores(reply, _word(key), self.rubric, text))

    def _pair_ballot(self, key: str, texts: Pair, task: str) -> _Ballot:
        prompt = self._prompt("rubric_compare.md", key, task, first=texts[0], second=texts[1])
        return _Ballot(key, prompt, lambda reply: read_preferences(reply, _word(key), self.rubric, texts))

    def _refusal(self, text: str) -> str:
        """Why a text is not put before the judge; empty where it is."""
        if not text.strip():
            return "nothing to judge"
        if len(text) > MAX_TEXT:
            return f"longer than {MAX_TEXT} characters"
        passage = addresses_judge(text, self.rubric)
        return f"the text speaks to its judge: '{passage[:_SHOWN]}'" if passage else ""

    def _keys(self, *parts: str) -> list[str]:
        record = content_hash(*parts, self.rubric.hash)
        return [rng_key(self.run_seed, record, "rubric", vote) for vote in range(self.votes)]

    def _prompt(self, name: str, key: str, task: str, **texts: str) -> str:
        rubric = self.rubric
        return template(name).substitute(
            texts,
            word=_word(key),
            task=task,
            title=rubric.title,
            purpose=rubric.purpose,
            criteria=rubric.markdown(),
        )

    def _ask(self, ballots: Sequence[_Ballot]) -> list[Vote]:
        requests = [
            SampleRequest(
                self.policy.prompt(ballot.prompt),
                ballot.key,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                stop=(block_end(_word(ballot.key)),),
            )
            for ballot in ballots
        ]
        try:
            rows = self.policy.sample(requests) if requests else []
        except CotmillError as e:
            return [Vote(fault=f"the policy failed: {e}")] * len(requests)
        return [self._vote(row[0], ballot) for row, ballot in zip(rows, ballots, strict=True)]

    def _vote(self, sample: Sample, ballot: _Ballot) -> Vote:
        if sample.finish == "error":
            return Vote(fault=f"the policy failed: {sample.error or 'unknown'}")
        vote = ballot.read(strip_tags(sample.text) if self.policy.writes_tags else sample.text)
        cut = vote.fault and sample.finish == "length"
        return Vote(fault="cut off at the limit of tokens") if cut else vote

    def _opinion(self, votes: tuple[Vote, ...]) -> Opinion:
        scores = [None if vote.fault else self._score(vote) for vote in votes]
        says = [None if score is None else int(score >= self.rubric.pass_at) for score in scores]
        passes, reason = self._majority(says, [vote.fault for vote in votes])
        if passes is None:
            return Opinion(Outcome.UNDECIDED, None, reason, votes)
        outcome = Outcome.CORRECT if passes else Outcome.WRONG
        return Opinion(outcome, fmean(s for s in scores if s is not None), reason, votes)

    def _majority(self, says: Sequence[int | None], faults: Sequence[str]) -> tuple[int | None, str]:
        counted = [said for said in says if said is not None]
        if 2 * len(counted) <= self.votes:
            why = Counter(fault for said, fault in zip(says, faults, strict=True) if said is None)
            return None, f"{len(counted)} of {self.votes} votes count: {why.most_common(1)[0][0]}"
        most = max(sorted(set(counted)), key=counted.count)
        reason = f"{counted.count(most)} of {len(counted)} counted votes agree"
        return (most if counted.count(most) >= self.agreement * len(counted) else None), reason

    def _score(self, vote: Vote) -> float:
        return self.rubric.score({mark.criterion: mark.score for mark in vote.marks})

    def _prefers(self, vote: Vote) -> int:
        weight = {c.name: c.weight for c in self.rubric.criteria}
        one, two = (sum(weight[m.criterion] for m in vote.marks if m.score == place) for place in (1, 2))
        return 1 if one > two else 2 if two > one else 0

    def _evidence(self, opinion: Opinion) -> str:
        """The score, and per criterion the median score with the words that one such vote quoted."""
        counted = [vote for vote in opinion.votes if not vote.fault]
        if not counted:
            return ""
        parts = []
        if opinion.score is not None:
            parts.append(f"{opinion.score:.2f} of 1, pass mark {self.rubric.pass_at:g}")
        for marks in zip(*(vote.marks for vote in counted), strict=True):
            middle = median_low(mark.score for mark in marks)
            quotation = next(mark.quotation for mark in marks if mark.score == middle)
            shown = quotation if len(quotation) <= _SHOWN else quotation[: _SHOWN - 1] + "…"
            parts.append(f'{marks[0].criterion} {middle}: "{shown}"')
        return "; ".join(parts)


def _word(key: str) -> str:
    """The word in the marks of one vote's prompt."""
    return content_hash("word", key)[:16]
