"""Rollouts: their tokens are the engine's, their draws the keys', their segments the best judged."""

from pathlib import Path

import pytest
import torch
from cotmill.models.local import LocalPolicy
from cotmill.models.policy_value import PolicyValueModel
from cotmill.schemas import Inventory
from cotmill.training.ppo_loss import PPOLoss, batch_of
from cotmill.training.ppo_rewards import Episode
from cotmill.training.ppo_settings import PPOSettings
from cotmill.training.rollouts import Roller, Rollout, Start

ACTIONS = (*Inventory.load().names, "Think_End")


@pytest.fixture(scope="module")
def network(policy_folder: Path) -> PolicyValueModel:
    return PolicyValueModel.from_backbone(str(policy_folder), ACTIONS, device="cpu").eval()


def roller(network: PolicyValueModel, temperature: float = 1.0, max_tokens: int = 60) -> Roller:
    policy = LocalPolicy(network.trunk, network.tokenizer, name="it", hash=lambda: "")
    return Roller(policy, network, temperature, max_tokens, "\n")


def starts(n: int = 6) -> list[Start]:
    return [Start(f"Compute {10 + i} + 25.", str(35 + i), "<Think_Start>", f"key {i}") for i in range(n)]


def rolled(writer: Roller, given: list[Start]) -> list[Rollout]:
    rollouts = writer.begin(given)
    writer.write(rollouts)
    return rollouts


def old_scores(network: PolicyValueModel, rollouts: list[Rollout], temperature: float) -> list[torch.Tensor]:
    """Log-probabilities of each rollout's tokens as the trainer computes them."""
    episodes = [Episode([*r.prompt, *r.tokens], r.prompt_end, len(r.prompt), None) for r in rollouts]
    loss = PPOLoss(network, PPOSettings(temperature=temperature))
    with torch.no_grad():
        scores = loss.read(batch_of(episodes, network.pad))["scores"]
    return [scores[i, e.start : len(e.ids)] for i, e in enumerate(episodes)]


def test_the_trainer_s_old_log_probabilities_agree_with_the_engine_s(network: PolicyValueModel) -> None:
    """Of tokens sampled from that very policy; the engine scores them as continuations of its prompts."""
    writer = roller(network)
    rollouts = rolled(writer, starts())
    mine = [s.sum().item() for s in old_scores(network, rollouts, 1.0)]
    engine = writer.policy.stream()._engine
    theirs = engine.score([(r.prompt, tuple(r.tokens)) for r in rollouts])
    assert mine == pytest.approx(theirs, abs=1e-3)


def test_at_another_temperature_the_sampled_distribution_is_the_policy(network: PolicyValueModel) -> None:
    """What is sampled at 1.5, and scored as old, is the softmax of the logits over 1.5."""
    writer = roller(network, temperature=1.5, max_tokens=1)
    rollouts = rolled(writer, [Start("Compute 10 + 25.", "", "<Think_Start>", f"k {i}") for i in range(4000)])
    first = torch.tensor([r.tokens[0] for r in rollouts])
    with torch.no_grad():
        logits = network.trunk(torch.tensor([rollouts[0].prompt])).logits[0, -1]
    hot, plain = (logits / 1.5).softmax(-1), logits.softmax(-1)
    seen = torch.bincount(first, minlength=len(hot)) / len(first)
    assert (seen - hot).abs().sum() < 0.4 * (seen - plain).abs().sum()
    scores = torch.stack(old_scores(network, rollouts[:50], 1.5))[:, 0]
    torch.testing.assert_close(scores, hot.log()[first[:50]], atol=1e-4, rtol=1e-4)


def test_a_rollout_depends_on_its_key_alone(network: PolicyValueModel) -> None:
    together = rolled(roller(network), starts())
    [alone] = rolled(roller(network), starts()[3:4])
    assert alone.tokens == together[3].tokens
    other = rolled(roller(network), [Start(s.question, s.reference, s.body, s.key + "'") for s in starts()])
    assert any(a.tokens != b.tokens for a, b in zip(together, other, strict=True))


def test_the_best_judged_segment_goes_on(network: PolicyValueModel) -> None:
    asked: list[list[tuple[str, str]]] = []

    def longest(prefixes: object) -> list[float]:
        texts = list(prefixes)  # type: ignore[call-overload]
        asked.append(texts)
        return [float(len(text)) / 1000 for _, text in texts]

    writer = roller(network)
    rollouts = writer.begin(starts())
    writer.write(rollouts, best_of=3, judge=longest)
    closes = {i for token, i in network.tokenizer.get_vocab().items() if token.endswith("_End>")}
    for rollout in rollouts:
        assert rollout.segments[-1][0] == len(rollout.tokens)
        judged = [(n, s) for n, s in rollout.segments if s is not None]
        assert judged
        for n, score in judged:
            before = max([0, *(m for m, _ in rollout.segments if m < n)])
            beside = [c for c in rollout.rejected if c.after == before]
            assert len(beside) == 2
            assert all(c.score is None or c.score <= score for c in beside)
            assert score == len(writer.text(rollout, rollout.tokens[:n])) / 1000
            assert rollout.tokens[n - 1] in closes
            # Candidates go on from one act, which the policy opened once.
            assert writer.text(rollout, rollout.tokens[:before]).endswith("_Start>")
    assert all(text.startswith("<Think_Start>") for part in asked for _, text in part)


def test_a_policy_without_tags_goes_by_lines(network: PolicyValueModel) -> None:
    plain = PolicyValueModel(network.trunk, network.tokenizer, network.head, "text", ACTIONS)
    writer = roller(plain, temperature=2.0)
    rollouts = writer.begin([Start("Compute 10 + 25.", "35", "", f"k {i}") for i in range(3)])
    writer.write(rollouts, best_of=2, judge=lambda prefixes: [0.0] * len(prefixes))
    for rollout in rollouts:
        assert len(rollout.tokens) <= 60
        inner = [n for n, _ in rollout.segments[:-1]]
        assert all(writer.text(rollout, rollout.tokens[:n]).rstrip(" ").endswith("\n") for n in inner)


def test_nothing_is_written_beyond_the_limits(network: PolicyValueModel) -> None:
    [rollout] = rolled(roller(network, temperature=3.0, max_tokens=5), starts(1))
    assert len(rollout.tokens) == 5
    assert not rollout.ended
    writer = roller(network, temperature=3.0, max_tokens=10_000)
    [long] = rolled(writer, starts(1))
    assert len(long.prompt) + len(long.tokens) <= network.context
