"""The evaluation on problems whose samples are known, and blind searches with the embedded models."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pytest
import torch
from cotmill.generators.families import seed_at
from cotmill.generators.search import SearchSettings, search_shard
from cotmill.generators.search.judges import prm_scorer
from cotmill.models.local import LocalPolicy
from cotmill.models.network import RewardModel
from cotmill.models.policy import Sample
from cotmill.schemas import BadInput, Seed, Source
from cotmill.training.evaluate import EvaluateSettings, Evaluation, Point, evaluate
from doubles import Exact, TablePolicy

# Four samples each, the first of which is greedy's too: always right, mostly right, rarely right, never.
SAMPLES = {"easy": "1111", "fair": "1121", "rare": "2213", "never": "2222"}
SEEDS = [Seed(question=q, answer="1", source=Source(name="known")) for q in SAMPLES]


def says(question: str, prefix: str) -> list[Sample]:
    """Right answers come with the higher log-probability."""
    return [
        Sample(f"The answer is {a}.", 5, "stop", logprob=-1.0 if a == "1" else -2.0)
        for a in SAMPLES[question]
    ]


def known(**given: Any) -> Evaluation:
    settings = EvaluateSettings(**({"n": (1, 2, 4), "resamples": 200} | given))
    return evaluate(SEEDS, TablePolicy(says), Exact(), settings)


def point(found: Evaluation, method: str, n: int) -> Point:
    [found_point] = [p for p in found.points if (p.method, p.n) == (method, n)]
    return found_point


def test_accuracies_by_hand() -> None:
    found = known()
    assert point(found, "pass", 1).accuracy == pytest.approx((1 + 0.75 + 0.25 + 0) / 4)
    assert point(found, "pass", 4).accuracy == pytest.approx(3 / 4)
    assert point(found, "majority", 4).accuracy == pytest.approx(2 / 4)
    # Ties go to the first: 11 and 21 of fair, 22 and 13 of rare.
    assert point(found, "majority", 2).accuracy == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert point(found, "logprob", 4).accuracy == pytest.approx(3 / 4)
    assert point(found, "greedy", 1).accuracy == pytest.approx(2 / 4)


def test_differences_are_paired() -> None:
    """Where two methods agree on every problem their difference is exactly 0, whatever the intervals."""
    found = known()
    low, high = point(found, "majority", 4).interval
    assert high - low > 0.2
    assert point(found, "majority", 4).over_greedy == (0.0, 0.0, 0.0)
    mean, low, high = point(found, "logprob", 4).over_majority or (0.0, 0.0, 0.0)
    assert mean == pytest.approx(1 / 4)
    assert low >= 0
    assert point(found, "greedy", 1).over_greedy is None


def test_tokens_are_those_spent() -> None:
    found = known()
    assert [point(found, "majority", n).tokens for n in (1, 2, 4)] == [5, 10, 20]
    assert point(found, "greedy", 1).tokens == 5


def test_levels_come_from_samples_of_their_own_or_from_the_rows() -> None:
    found = known()
    assert found.levels == {"easy": 2, "hard": 2}
    assert point(found, "pass", 4).by_level == {"easy": 1.0, "hard": 0.5}
    given = evaluate(SEEDS, TablePolicy(says), Exact(), EvaluateSettings(n=(4,)), levels=["2", "1", "1", "3"])
    assert given.levels == {"1": 2, "2": 1, "3": 1}
    assert known(level_samples=0).levels == {"all": 4}


@pytest.mark.parametrize(
    ("methods", "what"), [(("orm",), "--orm"), (("prm",), "--prm"), (("search",), "a policy with heads")]
)
def test_a_method_without_its_model_is_refused(methods: Sequence[str], what: str) -> None:
    with pytest.raises(BadInput, match=what):
        known(methods=methods)
    with pytest.raises(BadInput, match="no problems"):
        evaluate([], TablePolicy(says), Exact(), EvaluateSettings())


@pytest.fixture(scope="module")
def embedded() -> tuple[LocalPolicy, RewardModel]:
    torch.set_num_threads(1)
    folder = files("cotmill.models")
    return (
        LocalPolicy.load(str(folder / "embedded"), device="cpu"),
        RewardModel.load(str(folder / "embedded_prm"), device="cpu"),
    )


def test_a_search_judged_by_a_prm(embedded: tuple[LocalPolicy, RewardModel]) -> None:
    from cotmill.verifiers.math import MathVerifier

    policy, prm = embedded
    problems = [seed_at(8, i, levels=(1,), heldout=True) for i in range(8)]
    settings = EvaluateSettings(methods=("prm", "search"), n=(2,), resamples=50, level_samples=0)
    with MathVerifier() as verifier:
        found = evaluate(problems, policy, verifier, settings, prm=prm)
    assert {p.method for p in found.points} == {
        "pass", "prm_last", "prm_min", "prm_product", "prm_vote", "search_prm",
    }  # fmt: skip
    bound = point(found, "pass", 2).accuracy
    assert all(p.accuracy <= bound for p in found.points if p.method.startswith("prm"))
    assert point(found, "search_prm", 2).accuracy > 0.3
    assert found.failed == {}


def test_a_blind_search_does_not_look_at_answers(embedded: tuple[LocalPolicy, RewardModel]) -> None:
    """With other reference answers it writes the same, ends included, and decides nothing."""
    policy, prm = embedded
    problems = [seed_at(8, i, levels=(1,), heldout=True) for i in range(4)]
    bare = [p.model_copy(update={"text": "", "acts": (), "steps": ()}) for p in problems]
    settings = SearchSettings(simulations=4, rollouts=0, tau=0, splices=0, values="scorer")
    texts = []
    for answer in ("", "0", "17"):
        seeds = [p.model_copy(update={"answer": answer}) for p in bare]
        found = search_shard(seeds, policy, Exact(), settings, run_seed=1, scorer=prm_scorer(prm), blind=True)
        assert {t.outcome for t in found.traces} <= {"undecided", "wrong"}
        texts.append([(t.text, t.count) for t in found.traces])
        assert len(found.played) == 4
    assert texts[0] == texts[1] == texts[2]
