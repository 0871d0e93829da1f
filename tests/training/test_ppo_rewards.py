"""What rollouts earn, and that it lies on the right tokens, whatever the tokenizer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cotmill.models.headed import StepsRow
from cotmill.models.local import LocalPolicy
from cotmill.models.network import OutcomeModel
from cotmill.models.policy_value import PolicyValueModel
from cotmill.schemas import Inventory
from cotmill.training.ppo_rewards import Judges, Reading
from cotmill.training.ppo_settings import PPOSettings
from cotmill.training.rollouts import Candidate, Roller, Rollout, Start
from cotmill.verifiers.math import MathVerifier
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ACTIONS = (*Inventory.load().names, "Think_End")
LINES = ("12 + 34: tens first.", "10 + 30 = 40, and 2 + 4 = 6.", "The answer is 46.")
TEXT = "\n".join(LINES)
QUESTION = "Compute 12 + 34."
MARKED = "<ACT_Plan_Start>Add.<ACT_Plan_End>\n<ACT_Answer_Start>The answer is 46.<ACT_Answer_End><Think_End>"
TOKENIZERS: dict[str, Any] = {
    "byte-level BPE": (
        models.BPE(),
        trainers.BpeTrainer,
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    ),
    "unigram": (models.Unigram(), trainers.UnigramTrainer, pre_tokenizers.Metaspace(), decoders.Metaspace()),
    "word piece": (
        models.WordPiece(unk_token="<unk>"),
        trainers.WordPieceTrainer,
        pre_tokenizers.Split(Regex(r"\s|[^\s]+"), "isolated"),
        decoders.WordPiece(cleanup=False),
    ),
    "characters": (None, None, pre_tokenizers.Split("", "isolated"), decoders.Fuse()),
}


class Marker:
    """A process reward model that gives the k-th step of any text the k-th of its marks."""

    def __init__(self, *marks: float) -> None:
        self.marks = marks

    def row(self, question: str, text: str, acts: Any, ends: Any) -> StepsRow:
        return StepsRow(question, text, tuple(ends))

    def score_steps(self, rows: list[StepsRow]) -> list[list[float]]:
        return [list(self.marks[: len(row.ends)]) for row in rows]


@pytest.fixture(scope="module")
def network(policy_folder: Path) -> PolicyValueModel:
    return PolicyValueModel.from_backbone(str(policy_folder), ACTIONS, device="cpu").eval()


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    with MathVerifier() as verifier:
        yield verifier


def rolling(network: PolicyValueModel) -> Roller:
    policy = LocalPolicy(network.trunk, network.tokenizer, name="it", hash=lambda: "")
    return Roller(policy, network, 1.0, 64, "\n")


def written(network: PolicyValueModel, text: str, reference: str = "46", *, ended: bool = True) -> Rollout:
    """A rollout whose tokens are this text's, and an end of sequence."""
    empty = "<Think_Start>" if network.input == "markup" else ""
    [rollout] = rolling(network).begin([Start(QUESTION, reference, empty, "key")])
    rollout.tokens = network.tokenizer(text, add_special_tokens=False).input_ids
    rollout.tokens += [network.tokenizer.eos_token_id] * ended
    rollout.ended = ended
    return rollout


def judges(
    network: PolicyValueModel, verifier: MathVerifier, marks: tuple[float, ...] = (), **settings: Any
) -> Judges:
    prm: Any = Marker(*marks) if marks else None
    return Judges(PPOSettings(**settings), network, verifier, prm, None)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_step_is_rewarded_at_its_very_last_token(
    kind: str, network: PolicyValueModel, verifier: MathVerifier
) -> None:
    other = tiny(build(*TOKENIZERS[kind]), network)
    rollout, roller = written(other, TEXT), rolling(other)
    said = judges(other, verifier, (0.9, 0.6, 0.7), process_weight=1.0)
    [episode] = said.episodes([rollout], roller)
    text = roller.text(rollout, rollout.tokens)
    ends = Reading.of(text, tags=False).ends
    assert [round(r, 9) for _, r in episode.process] == pytest.approx([0.8, -0.6, 0.2])
    assert len(ends) == 3
    for (at, _), end in zip(episode.process, ends, strict=True):
        k = at - len(rollout.prompt)
        before, after = (roller.text(rollout, rollout.tokens[: k + i]) for i in (0, 1))
        assert not before.startswith(text[:end])
        assert after.startswith(text[:end])
    if kind in ("byte-level BPE", "characters"):  # the others' decoders add spaces
        assert text == TEXT
        [encoded] = other.encode([StepsRow(QUESTION, TEXT, ends)])
        assert [at for at, _ in episode.process] == encoded.ends


def test_a_step_ends_with_its_act_s_closing_tag(network: PolicyValueModel, verifier: MathVerifier) -> None:
    rollout = written(network, MARKED)
    [episode] = judges(network, verifier, (0.9, 0.6)).episodes([rollout], rolling(network))
    tokens = network.tokenizer.convert_ids_to_tokens(episode.ids)
    assert [tokens[at] for at, _ in episode.process] == ["<ACT_Plan_End>", "<ACT_Answer_End>"]


def test_p_learns_the_acts_that_were_taken_where_they_were(
    network: PolicyValueModel, verifier: MathVerifier
) -> None:
    [episode] = judges(network, verifier).episodes([written(network, MARKED)], rolling(network))
    tokens = network.tokenizer.convert_ids_to_tokens(episode.ids)
    assert [(tokens[at], ACTIONS[act]) for at, act in episode.acts] == [
        ("<Think_Start>", "Plan"),
        ("<ACT_Plan_End>", "Answer"),
        ("<ACT_Answer_End>", "Think_End"),
    ]


def test_the_outcome_is_the_verifier_s(network: PolicyValueModel, verifier: MathVerifier) -> None:
    roller = rolling(network)
    said = judges(network, verifier, undecided=-0.25)
    cut = written(network, MARKED.partition("<ACT_Answer")[0], ended=False)
    whole, other, unknown = (written(network, MARKED, reference) for reference in ("46", "47", ""))
    rollouts = [whole, other, cut, unknown, written(network, ""), written(network, "", "")]
    episodes = said.episodes(rollouts, roller)
    assert [e.outcome for e in episodes] == [1, -1, -1, -0.25, -1, -1]
    assert all(e.ids[e.start :] == r.tokens for e, r in zip(episodes, rollouts, strict=True))


def test_an_outcome_model_speaks_where_nobody_can_verify(
    network: PolicyValueModel, verifier: MathVerifier, policy_folder: Path
) -> None:
    orm = OutcomeModel.from_backbone(str(policy_folder), device="cpu")
    said = Judges(PPOSettings(orm="orm", undecided=0.9), network, verifier, None, orm)
    known, unknown = said.episodes([written(network, MARKED), written(network, MARKED, "")], rolling(network))
    [score] = orm.score_traces([(QUESTION, "<Think_Start>" + MARKED)])
    assert known.outcome == 1
    assert unknown.outcome == pytest.approx(2 * score - 1, abs=1e-4)


@pytest.mark.parametrize(
    ("form", "rewards"),
    [
        ("difference", [0.5 * 0.8, 0.5 * (0.2 - 0.8)]),
        ("value", [0.5 * 0.8, 0.5 * 0.2]),
        ("potential", [0.5 * 0.8, 0.5 * (0.2 - 0.8), -0.5 * 0.2]),
    ],
)
def test_the_forms_of_a_process_reward(
    form: str, rewards: list[float], network: PolicyValueModel, verifier: MathVerifier
) -> None:
    rollout = written(network, MARKED)
    said = judges(network, verifier, (0.9, 0.6), process=form, process_weight=0.5)
    [episode] = said.episodes([rollout], rolling(network))
    assert [r for _, r in episode.process] == pytest.approx(rewards)
    if form == "potential":
        assert sum(rewards) == pytest.approx(0)
        assert episode.process[-1][0] == len(episode.ids) - 1


def test_what_stood_before_the_start_is_neither_rewarded_nor_learnt(
    network: PolicyValueModel, verifier: MathVerifier
) -> None:
    body, rest = "<Think_Start>" + MARKED[: MARKED.index("\n")], MARKED[MARKED.index("\n") :]
    roller = rolling(network)
    [rollout] = roller.begin([Start(QUESTION, "46", body, "key")])
    rollout.tokens, rollout.ended = network.tokenizer(rest, add_special_tokens=False).input_ids, True
    [episode] = judges(network, verifier, (0.9, 0.6), process_weight=1.0).episodes([rollout], roller)
    assert [r for _, r in episode.process] == pytest.approx([0.2 - 0.8])
    assert [ACTIONS[act] for _, act in episode.acts] == ["Answer", "Think_End"]
    assert episode.acts[0][0] == episode.start - 1
    assert episode.outcome == 1


def test_malformed_markup_has_no_steps_and_loses(network: PolicyValueModel, verifier: MathVerifier) -> None:
    torn = MARKED.replace("<ACT_Plan_End>", "") + "46"
    [episode] = judges(network, verifier, (0.9, 0.6)).episodes([written(network, torn)], rolling(network))
    assert (episode.process, episode.acts, episode.outcome) == ([], [], -1)


def test_candidates_are_judged_by_the_reward_model_else_by_v(
    network: PolicyValueModel, verifier: MathVerifier
) -> None:
    """By the score of their last step; who is malformed is the worst."""
    good = "<Think_Start>" + MARKED.removesuffix("<Think_End>")
    torn = good.replace("<ACT_Plan_End>", "")
    states = [(QUESTION, good), (QUESTION, torn)]
    assert judges(network, verifier, (0.9, 0.2)).score(states) == pytest.approx([-0.6, -1.0])
    by_v = judges(network, verifier).score(states)
    assert by_v == [o.value for o in network.opinions(states)]


def test_a_candidate_beside_is_judged_from_where_it_stood(
    network: PolicyValueModel, verifier: MathVerifier
) -> None:
    """Its reward is measured from the last chosen segment's score; one that ends is verified."""
    first = network.tokenizer("<ACT_Plan_Start>Add.<ACT_Plan_End>", add_special_tokens=False).input_ids
    rollout = written(network, MARKED)
    n = len(first)
    rest = len(rollout.tokens) - n
    rollout.segments = [(n, 0.8), (n + rest, 0.2)]
    rollout.rejected = [
        Candidate(n, rollout.tokens[n:-2], over=False, ended=False, score=-0.4),
        Candidate(n, rollout.tokens[n:], over=True, ended=True, score=None),
    ]
    said = judges(network, verifier, (0.5,), best_of=2, process_weight=1.0)
    played, open_one, whole = said.episodes([rollout], rolling(network))
    assert [r for _, r in played.process] == pytest.approx([0.8, -0.6])
    assert (open_one.process, open_one.outcome) == ([(len(open_one.ids) - 1, pytest.approx(-1.2))], None)
    assert (whole.process, whole.outcome) == ([], 1)
    assert open_one.start == whole.start == len(rollout.prompt) + n
    assert not open_one.played
    assert not whole.acts
    assert played.cuts == [len(rollout.prompt) + n - 1, len(played.ids) - 1]


def tiny(tokenizer: PreTrainedTokenizerFast, network: PolicyValueModel) -> PolicyValueModel:
    """A model of that tokenizer, which reads text."""
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=256, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    return PolicyValueModel(LlamaForCausalLM(config), tokenizer, network.head, "text", ACTIONS)


def build(model: Any, trainer: Any, pre_tokenizer: Any, decoder: Any) -> PreTrainedTokenizerFast:
    if model is None:
        letters = sorted(set(TEXT + QUESTION))
        model = models.BPE({c: i for i, c in enumerate(["<unk>", "<eos>", *letters])}, [], unk_token="<unk>")
    backend = Tokenizer(model)
    backend.pre_tokenizer, backend.decoder = pre_tokenizer, decoder
    if trainer is not None:
        given: dict[str, Any] = {"special_tokens": ["<unk>", "<eos>"], "show_progress": False}
        if trainer is trainers.UnigramTrainer:
            given["unk_token"] = "<unk>"
        texts = [TEXT, QUESTION, "So it is 46. Thus, therefore; 12"] * 4
        backend.train_from_iterator(texts, trainer(vocab_size=150, **given))
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<eos>")
