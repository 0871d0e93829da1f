"""A judge of steps that learns from outcomes alone: no rollout, no labelled step, no truth.

Each step goes wrong with the probability h = sigmoid(w . x), and a solution is wrong when any of its steps is
(noisy-or, Pearl 1988). So the outcomes of sampled solutions teach w, by expectation maximisation. x holds how
surprised the policy is at the step, and how right solutions of the same question contradict it: a step is
held against its siblings.

Shapes: S steps of a solution, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

import numpy as np
from numpy.typing import NDArray

from ..generators.assemble import open_prefix
from ..models.policy import Policy
from ..schemas import Outcome, Trace, markup
from .claims import Support, claim
from .opinion import Opinion

Array = NDArray[np.float64]

# Bias, surprise (nats per character), contradiction, revision. Learnt from outcomes of the embedded policy
# on problems that are not held out; other outcomes draw away from it.
PRIOR = (-2.0, 2.0, 1.0, -3.0)
_RIDGE = 1.0
_ROUNDS, _NEWTON_STEPS = 40, 2


@dataclass(frozen=True)
class ContrastJudge:
    """Judges the solutions of a shard, having learnt from their outcomes. `policy` only reads."""

    policy: Policy
    name: str = "contrast"

    def opinions(self, traces: Sequence[Trace], pool: Sequence[Trace]) -> list[Opinion | None]:
        """One opinion for each trace, None where it is undecided. `pool`: solutions of their questions."""
        by_question: dict[str, list[Trace]] = {}
        for trace in pool:
            by_question.setdefault(trace.question, []).append(trace)
        judged = [i for i, t in enumerate(traces) if t.outcome is not Outcome.UNDECIDED and t.steps]
        asked = [traces[i] for i in judged]
        features = [
            _features(t, surprise, Support(s for s in by_question.get(t.question, ()) if s.text != t.text))
            for t, surprise in zip(asked, surprises(asked, self.policy), strict=True)
        ]
        wrong = [t.outcome is Outcome.WRONG for t in asked]
        weights = fit(features, wrong)
        out: list[Opinion | None] = [None] * len(traces)
        for i, x, is_wrong in zip(judged, features, wrong, strict=True):
            out[i] = _opinion(_sigmoid(x @ weights), wrong=is_wrong)
        return out


def surprises(traces: Sequence[Trace], policy: Policy) -> list[Array]:
    """How surprised the policy is at each step: -log p in nats per character, (S,) for each trace.

    Steps copied from a seed count as the others: where a seed goes wrong and mends it, a cut between leaves
    the error. Each trace is read once for each of its steps.
    """
    prompts, continuations = [], []
    for trace in traces:
        acts = trace.acts if policy.writes_tags else ()
        spans = [(s.start, s.end) for s in trace.steps]
        start = markup.THINK_START if policy.writes_tags else ""
        whole = markup.render(trace.text, acts) if acts else start + trace.text
        ends = [open_prefix(trace.text, acts, spans, cut) for cut in range(1, len(spans))]
        prompts.append(policy.prompt(trace.question, start))
        continuations.append([p[len(start) :] if acts else p for p in ends] + [whole[len(start) :]])
    out = []
    for trace, sums in zip(traces, policy.logprobs(prompts, continuations), strict=True):
        # A server that can't score says the same of every prefix; beyond the context nothing can be told.
        scored = len(sums) == 1 or len(set(sums)) > 1
        per_step = (
            np.nan_to_num(np.diff([0.0, *sums]), nan=0.0, neginf=0.0) if scored else np.zeros(len(sums))
        )
        out.append(-per_step / [max(1, s.end - s.start) for s in trace.steps])
    return out


def fit(features: Sequence[Array], wrong: Sequence[bool]) -> Array:
    """The noisy-or weights (F,) of solutions with features (S, F), by expectation maximisation.

    In each round the steps of a wrong solution are wrong with h / (1 - prod(1 - h)), those of a right one
    with 0, and w moves by Newton steps of that logistic regression. Its ridge draws to `PRIOR`, which also
    stands where all are wrong, or all right: then there is nothing to learn.
    """
    prior: Array = np.array(PRIOR)
    w = prior
    if all(wrong) or not any(wrong):
        return w
    x = np.concatenate(features)
    lengths = np.array([len(f) for f in features])
    starts, guilty = np.cumsum(lengths) - lengths, np.repeat(np.asarray(wrong, float), lengths)
    for _ in range(_ROUNDS):
        h = _sigmoid(x @ w)
        any_wrong = -np.expm1(np.add.reduceat(np.log1p(-np.minimum(h, 1 - 1e-12)), starts))
        target = guilty * h / np.repeat(np.maximum(any_wrong, 1e-12), lengths)
        for _ in range(_NEWTON_STEPS):
            h = _sigmoid(x @ w)
            gradient = x.T @ (h - target) + _RIDGE * (w - prior)
            hessian = (x * (h * (1 - h))[:, None]).T @ x + _RIDGE * np.eye(len(w))
            step = np.linalg.solve(hessian, gradient)
            # A full Newton step overshoots where the sigmoids are saturated.
            w = w - step / max(1.0, float(np.abs(step).max()))
    return w


def first_error_posterior(hazard: Array) -> Array:
    """The probability of each step (S,) to be the first wrong one, given that one is; `hazard`: h (S,)."""
    survived = np.concatenate([[0.0], np.cumsum(np.log1p(-np.minimum(hazard, 1 - 1e-12)))[:-1]])
    joint = hazard * np.exp(survived)
    posterior: Array = joint / joint.sum()
    return posterior


def _opinion(hazard: Array, *, wrong: bool) -> Opinion:
    """A wrong solution's first error is the likeliest, a right one's the first that is likely at all."""
    if wrong:
        posterior = first_error_posterior(hazard)
        clean = np.clip(1 - np.cumsum(posterior), 0, 1)
        return Opinion(int(posterior.argmax()), tuple(map(float, clean)))
    bad = np.flatnonzero(hazard > 0.5)
    return Opinion(int(bad[0]) if len(bad) else None, tuple(map(float, np.cumprod(1 - hazard))))


def _features(trace: Trace, surprise: Array, support: Support) -> Array:
    """(S, 4). Every right solution contradicts a wrong answer, so the last step's claim says nothing.

    A step is revised where a later one claims something else of the same.
    """
    x = np.zeros((len(trace.steps), len(PRIOR)))
    x[:, 0], x[:, 1] = 1.0, surprise
    claims = [claim(trace.text[s.start : s.end]) for s in trace.steps]
    last = dict(claims)
    for i, claimed in enumerate(claims[:-1]):
        same, other = support.of(claimed)
        x[i, 2] = log1p(other) - log1p(same)
        x[i, 3] = float(last[claimed[0]] != claimed[1])
    return x


def _sigmoid(z: Array) -> Array:
    out: Array = 0.5 * (1 + np.tanh(0.5 * z))
    return out
