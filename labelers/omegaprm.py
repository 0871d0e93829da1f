"""OmegaPRM's tree of labelled prefixes (arXiv 2406.06592): one tree for each question.

A node is a prefix with its Monte Carlo value. A search selects a node with a wrong rollout of it, halves the
rollout until its first error is found, and labels each prefix that it halves at by k rollouts, which are new
candidates. A rollout is taken out when it is selected, and a prefix that is known is never rolled out again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

from pydantic import BaseModel, ConfigDict, Field

from ..generators.completion import CompletionSettings, Continuation, merge, successes
from ..models.policy import Policy
from ..schemas import Generator, Method, Outcome, Seed, Trace, rng_key
from ..verifiers.base import Verifier
from .inquiry import Inquiry, side_by_side


class TreeSettings(BaseModel):
    """The paper's names and values; it makes 100 searches for each question.

    A rollout of a node is worth Q(s, r) = alpha^(1 - MC(s)) * beta^(len(r) / length) and
    U(s) = c_puct * sqrt(sum of all N) / (1 + N(s)); len(r) counts tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    searches: int = Field(default=8, ge=1, description="rollouts selected for each question")
    alpha: float = Field(default=0.5, gt=0, le=1)
    beta: float = Field(default=0.9, gt=0, le=1)
    length: int = Field(default=500, ge=1, description="L, in tokens")
    c_puct: float = Field(default=0.125, ge=0)


@dataclass
class Node:
    """A prefix: how many of its rollouts are right and decided, and how often it was selected."""

    right: int
    decided: int
    visits: int = 0

    @property
    def value(self) -> float:
        """MC(s); 0 where nothing was decided."""
        return self.right / self.decided if self.decided else 0.0


@dataclass(frozen=True)
class Candidate:
    """A wrong rollout of a node; its first `after` steps are the node's prefix."""

    node: Node
    rollout: Trace
    after: int


@dataclass
class Tree:
    """One question's tree: its nodes by prefix, what may be selected, and what was found.

    `labels` has, by trace id, the traces that were searched, each with the counts that were measured on it.
    A prefix is labelled on one trace only, however many share it.
    """

    seed: Seed
    settings: TreeSettings
    nodes: dict[str, Node] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    labels: dict[str, Trace] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _labelled: set[str] = field(default_factory=set)

    def plant(self, own: Trace, sampled: Sequence[Trace]) -> None:
        """Begin with what is known: completions of the question and of the seed's own CoT."""
        self._labelled |= {own.text[: s.end] for s in own.steps if s.n_rollouts}
        by_cut: dict[int, list[Trace]] = {}
        for trace in sampled:
            if trace.generator is Generator.COMPLETION and trace.provenance.parent_id == own.trace_id:
                by_cut.setdefault(trace.prefix_steps, []).append(trace)
        for after, rollouts in sorted(by_cut.items()):
            prefix = own.text[: own.steps[after - 1].end] if after else ""
            self.add(prefix, rollouts, after)

    def add(self, prefix: str, rollouts: Sequence[Trace], after: int) -> Node:
        """A new node, and its wrong rollouts as candidates where it is neither always nor never right."""
        right, decided = _weighed(rollouts)
        node = self.nodes[prefix] = Node(right, decided)
        if 0 < node.value < 1:
            for rollout in merge(rollouts):
                usable = rollout.outcome is Outcome.WRONG and rollout.error is None and rollout.answer
                if usable and rollout.text not in self._seen:
                    self._seen.add(rollout.text)
                    self.candidates.append(Candidate(node, rollout, after))
        return node

    def select(self) -> Candidate | None:
        """Take out the candidate with the highest Q + U; the earlier of equals."""
        if not self.candidates:
            return None
        visits = sum(node.visits for node in self.nodes.values())
        best = max(self.candidates, key=lambda c: self._worth(c, visits))
        self.candidates.remove(best)
        best.node.visits += 1
        return best

    def grow(self, k: int, run_seed: int) -> Inquiry:
        """Search until `settings.searches` rollouts were selected, or none is left."""
        for _ in range(self.settings.searches):
            chosen = self.select()
            if chosen is None:
                return
            measured: dict[int, Node] = {}
            rollout, good, bad = chosen.rollout, chosen.after, len(chosen.rollout.steps)
            while bad - good > 1:
                middle = (good + bad) // 2
                prefix = rollout.text[: rollout.steps[middle - 1].end]
                node = self.nodes.get(prefix)
                if node is None:
                    key = rng_key(run_seed, rollout.trace_id, "omegaprm", middle)
                    made = yield Continuation(self.seed, rollout, middle, k, key)
                    node = measured[middle - 1] = self.add(prefix, made, middle)
                good, bad = (middle, bad) if node.right else (good, middle)
            self._label(chosen, measured)

    def _worth(self, candidate: Candidate, visits: int) -> float:
        node, s = candidate.node, self.settings
        q = s.alpha ** (1 - node.value) * s.beta ** (candidate.rollout.tokens / s.length)
        return float(q + s.c_puct * sqrt(visits) / (1 + node.visits))

    def _label(self, chosen: Candidate, measured: dict[int, Node]) -> None:
        """Write down what was measured on a rollout, and what follows for its other prefixes."""
        steps = list(chosen.rollout.steps)
        for i in range(chosen.after, len(steps)):
            prefix = chosen.rollout.text[: steps[i].end]
            update: dict[str, int | Method | None] = {"method": None}
            if prefix not in self._labelled:
                node = measured.get(i)
                if node is not None and node.decided:
                    update = {"method": Method.ROLLOUTS, "n_correct": node.right, "n_rollouts": node.decided}
                elif prefix not in self.nodes:
                    update = {"method": Method.INFERRED}
            if update["method"] is not None:
                self._labelled.add(prefix)
            steps[i] = steps[i].model_copy(update=update)
        if measured:
            self.labels[chosen.rollout.trace_id] = chosen.rollout.model_copy(update={"steps": tuple(steps)})


def grow_trees(
    trees: Sequence[Tree],
    policy: Policy,
    verifier: Verifier,
    settings: CompletionSettings,
    run_seed: int,
) -> list[Trace]:
    """Grow the trees side by side; `settings.rollouts` is k, fixed beforehand. Returns all rollouts."""
    inquiries = [tree.grow(settings.rollouts, run_seed) for tree in trees]
    return side_by_side(inquiries, policy, verifier, settings)


def _weighed(rollouts: Sequence[Trace]) -> tuple[int, int]:
    """Right and decided ones, equal texts as often as they were sampled."""
    return successes([t for t in rollouts for _ in range(t.count)])
