import json
from pathlib import Path

import pytest
import torch
from cotmill.models.headed import StepsRow
from cotmill.models.local import LocalPolicy
from cotmill.models.network import OutcomeModel, RewardModel
from cotmill.models.policy import PolicyValue, SampleRequest
from cotmill.models.policy_value import PolicyValueModel, PolicyValuePolicy, open_local
from cotmill.schemas import BadInput
from transformers import AutoModelForCausalLM

ACTIONS = ("Calculate", "Answer", "Think_End")
BODY = "<Think_Start><ACT_Calculate_Start>12 + 34 = 46.<ACT_Calculate_End>"
STATES = [("Compute 12 + 34.", BODY), ("Compute 12 + 34.", "<Think_Start>"), ("Why?", BODY)]


@pytest.fixture(scope="module")
def network(llama_folder: Path) -> PolicyValueModel:
    model = PolicyValueModel.from_backbone(str(llama_folder), ACTIONS, device="cpu")
    torch.manual_seed(4)
    with torch.no_grad():
        for p in model.head.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


@pytest.fixture(scope="module")
def folder(network: PolicyValueModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("heads") / "policy"
    network.save(place)
    return place


def test_untrained_heads_are_uniform_and_neutral(llama_folder: Path) -> None:
    fresh = PolicyValueModel.from_backbone(str(llama_folder), ACTIONS, device="cpu")
    for opinion in fresh.opinions(STATES):
        assert opinion.priors == pytest.approx(dict.fromkeys(ACTIONS, 1 / 3))
        assert opinion.value == 0


def test_priors_sum_to_one_and_values_lie_within_bounds(network: PolicyValueModel) -> None:
    opinions = network.opinions(STATES)
    assert all(sum(o.priors.values()) == pytest.approx(1) for o in opinions)
    assert all(set(o.priors) == set(ACTIONS) and -1 < o.value < 1 for o in opinions)
    assert len({round(o.value, 6) for o in opinions}) == 3


def test_an_opinion_does_not_depend_on_its_batch(network: PolicyValueModel) -> None:
    together = network.opinions(STATES)
    for state, opinion in zip(STATES, together, strict=True):
        [alone] = network.opinions([state])
        assert alone.value == pytest.approx(opinion.value, abs=1e-5)
        assert alone.priors == pytest.approx(dict(opinion.priors), abs=1e-5)


def test_a_state_reads_the_same_inside_a_longer_text(network: PolicyValueModel) -> None:
    """Training reads all states of a game in one sequence, the search each by itself."""
    question, body = STATES[0]
    head = len("<Think_Start>")
    [row] = network.encode([StepsRow(question, body, (head, len(body)))])
    found = network(**network.collate([row]))
    [first, second] = network.opinions([(question, body[:head]), (question, body)])
    assert found["values"][0].tolist() == pytest.approx([first.value, second.value], abs=1e-5)
    assert found["logits"][0, 1].softmax(-1).tolist() == pytest.approx(list(second.priors.values()), abs=1e-5)


def test_beyond_the_context_there_is_no_opinion(network: PolicyValueModel) -> None:
    [opinion] = network.opinions([("q", "<Think_Start>" + "x" * 400)])
    assert opinion.value == 0
    assert opinion.priors == pytest.approx(dict.fromkeys(ACTIONS, 1 / 3))


def test_the_empty_text_is_a_state(gpt2_folder: Path) -> None:
    plain = PolicyValueModel.from_backbone(str(gpt2_folder), ACTIONS, device="cpu")
    assert plain.input == "text"
    assert len(plain.opinions([("q", ""), ("q", "a")])) == 2
    with pytest.raises(ValueError, match="step ends"):
        RewardModel.from_backbone(str(gpt2_folder), device="cpu").encode([StepsRow("q", "", (0,))])


def test_saved_and_opened_it_is_the_same_network_and_a_policy(
    network: PolicyValueModel, folder: Path, llama_folder: Path
) -> None:
    policy = open_local(str(folder), "cpu")
    assert isinstance(policy, PolicyValuePolicy)
    assert isinstance(policy, PolicyValue)
    before, after = network.opinions(STATES), policy.opinions(STATES)
    assert [o.value for o in after] == pytest.approx([o.value for o in before], abs=1e-6)
    assert [o.priors for o in after] == [pytest.approx(o.priors, abs=1e-6) for o in before]
    asked = [SampleRequest(policy.prompt("Compute 12 + 34."), "k", n=2, max_tokens=12)]
    assert policy.sample(asked) == LocalPolicy.load(str(llama_folder), "cpu").sample(asked)
    assert policy.hash != LocalPolicy.load(str(llama_folder), "cpu").hash


def test_its_folder_opens_in_transformers(folder: Path) -> None:
    assert AutoModelForCausalLM.from_pretrained(folder).config.model_type == "llama"
    card = json.loads((folder / "cotmill.json").read_text())
    assert card == {"kind": "policy-value", "input": "markup", "actions": list(ACTIONS)}


def test_a_policy_without_heads_has_no_opinions(llama_folder: Path) -> None:
    policy = open_local(str(llama_folder), "cpu")
    assert type(policy) is LocalPolicy
    assert not isinstance(policy, PolicyValue)


def test_heads_for_other_actions_are_made_anew(folder: Path, network: PolicyValueModel) -> None:
    same = PolicyValueModel.open(str(folder), ACTIONS, device="cpu")
    other = PolicyValueModel.open(str(folder), ("Plan", "Think_End"), device="cpu")
    assert torch.equal(same.head.policy.weight, network.head.policy.weight)
    assert other.head.policy.weight.shape[0] == 2
    assert not other.head.policy.weight.any()


def test_folders_that_hold_something_else(folder: Path, llama_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a policy/value network of cotmill"):
        PolicyValueModel.load(llama_folder)
    with pytest.raises(BadInput, match="process reward model"):
        RewardModel.load(folder)
    orm = OutcomeModel.from_backbone(str(llama_folder), device="cpu")
    orm.save(tmp_path)
    with pytest.raises(BadInput, match="process reward model"):
        RewardModel.load(tmp_path)
    (tmp_path / "cotmill.json").write_text('{"kind": "policy-value", "input": "markup", "actions": 3}')
    with pytest.raises(BadInput, match="actions"):
        PolicyValueModel.load(tmp_path)
    (tmp_path / "cotmill.json").write_text("{")
    with pytest.raises(BadInput, match="not JSON"):
        open_local(str(tmp_path), "cpu")


def test_an_outcome_model_scores_whole_traces(llama_folder: Path, tmp_path: Path) -> None:
    OutcomeModel.from_backbone(str(llama_folder), device="cpu").save(tmp_path)
    orm = OutcomeModel.load(tmp_path, device="cpu")
    scores = orm.score_traces([(q, b) for q, b in STATES] + [("q", ""), ("q", "<Think_Start>" + "x" * 400)])
    assert all(0 <= s <= 1 for s in scores[:3])
    assert [s != s for s in scores] == [False, False, False, True, True]


def test_every_token_s_value_is_that_of_the_state_which_ends_there(network: PolicyValueModel) -> None:
    encoded = network.encode([StepsRow(q, b, (len(b),)) for q, b in STATES])
    inputs = network.collate(encoded)
    every = network.along(**inputs)
    for t in range(inputs["input_ids"].shape[1]):
        ends = torch.full((len(STATES), 1), t)
        alone = network(**(inputs | {"ends": ends}))["values"][:, 0]
        torch.testing.assert_close(every["values"][:, t], alone)
    torch.testing.assert_close(every["logits"], network(**inputs)["logits"])


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_scores_and_entropy_are_those_of_the_sampled_distribution(
    network: PolicyValueModel, temperature: float
) -> None:
    inputs = network.collate(network.encode([StepsRow(*STATES[0], (len(BODY),))]))
    found = network.along(**inputs, temperature=temperature)
    ids = inputs["input_ids"]
    log_p = (network.trunk(ids).logits[0, :-1] / temperature).log_softmax(-1)
    torch.testing.assert_close(found["scores"][0, 1:], log_p.gather(-1, ids[0, 1:, None])[:, 0])
    torch.testing.assert_close(found["entropy"][0, 1:], -(log_p.exp() * log_p).sum(-1))
    assert found["scores"][0, 0] == found["entropy"][0, 0] == 0
    plain = network.along(**inputs)["values"]
    torch.testing.assert_close(found["values"], plain)
