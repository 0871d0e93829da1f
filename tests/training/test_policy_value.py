"""P and V on searched states: sums, of which every third is wrong and then to be doubted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from cotmill.models.headed import StepsRow
from cotmill.models.policy_value import PolicyValueModel, PolicyValuePolicy, open_local
from cotmill.schemas import BadInput, Inventory, SearchState, Trace, markup
from cotmill.schemas.tables import search_row, table
from cotmill.training.policy_value import (
    GameRow,
    JointLoss,
    PolicyValueSettings,
    collate,
    encode,
    games,
    train_policy_value,
)
from cotmill.training.progress import Progress

QUIET = Progress(quiet=True)
ACTIONS = (*Inventory.load().names, "Think_End")
EAGER: dict[str, Any] = {"device": "cpu", "tokens_per_batch": 512, "epochs": 40, "lr": 3e-3, "head_lr": 5e-3}


def prefixes(trace: Trace) -> tuple[str, str]:
    """The state before anything is written, and the one after the sum."""
    return markup.THINK_START, markup.render(trace.text[: trace.steps[0].end], trace.acts[:1], closed=False)


def searched(trace: Trace) -> list[SearchState]:
    """At first Calculate is visited most; after the sum Answer where it is right, else DetectError."""
    right = trace.reward == 1
    pis = ({"Calculate": 0.9, "Plan": 0.1}, {"Answer": 0.95, "DetectError": 0.05})
    if not right:
        pis = (pis[0], {"Answer": 0.05, "DetectError": 0.95})
    return [
        SearchState(
            trace_id=trace.trace_id,
            seed_id=trace.seed_id,
            question=trace.question,
            prefix=prefix,
            action_kind="act",
            actions=tuple(pi),
            prior=(0.5, 0.5),
            visits=(1, 1),
            pi=tuple(pi.values()),
            q=(0.0, 0.0),
            chosen=next(iter(pi)),
            value=trace.reward,
            depth=i,
        )
        for i, (prefix, pi) in enumerate(zip(prefixes(trace), pis, strict=True))
    ]


@pytest.fixture(scope="module")
def searched_run(
    run_folder: Path, make_trace: Callable[[int], Trace], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The sums' run with a `search` table of their first 48."""
    folder = tmp_path_factory.mktemp("searched") / "sums"
    folder.mkdir()
    for name in ("traces", "manifest.json"):
        (folder / name).symlink_to(run_folder / name)
    rows = [search_row(s) for i in range(48) for s in searched(make_trace(i))]
    (folder / "search").mkdir()
    pq.write_table(table("search", rows), folder / "search" / "train-00000.parquet")
    return folder


def test_it_learns_where_to_go_and_how_it_stands(
    searched_run: Path, policy_folder: Path, make_trace: Callable[[int], Trace], tmp_path: Path
) -> None:
    """On sums that it was not trained on, too: 12 of the 60 traces were never searched."""
    settings = PolicyValueSettings(init=str(policy_folder), **EAGER)
    result = train_policy_value(searched_run, tmp_path / "pv", settings, progress=QUIET)
    assert (result.rows, result.left_out) == (96, {})
    policy = open_local(str(tmp_path / "pv"), "cpu")
    assert isinstance(policy, PolicyValuePolicy)
    for i in range(48, 60):
        trace = make_trace(i)
        root, after = policy.opinions([(trace.question, p) for p in prefixes(trace)])
        best = max(after.priors, key=after.priors.__getitem__)
        assert max(root.priors, key=root.priors.__getitem__) == "Calculate"
        assert root.priors["Plan"] == pytest.approx(0.1, abs=0.08)
        assert best == ("Answer" if trace.reward == 1 else "DetectError")
        assert after.value * (trace.reward or 0) > 0.5
        assert abs(root.value) < abs(after.value)


def test_the_trunk_goes_on_writing(searched_run: Path, policy_folder: Path, tmp_path: Path) -> None:
    """With its own loss kept, what it writes on won games grows likelier; frozen it stays as it is."""
    won = [("Compute 10 + 20.", "<ACT_Calculate_Start>10 + 20 = 30.<ACT_Calculate_End>")]

    def likely(folder: Path) -> float:
        policy = open_local(str(folder), "cpu")
        [[score]] = policy.logprobs([policy.prompt(won[0][0])], [[won[0][1]]])
        return score

    short = EAGER | {"epochs": 4}
    kept = PolicyValueSettings(init=str(policy_folder), **short)
    frozen = PolicyValueSettings(init=str(policy_folder), freeze_trunk=True, **short)
    train_policy_value(searched_run, tmp_path / "kept", kept, progress=QUIET)
    train_policy_value(searched_run, tmp_path / "frozen", frozen, progress=QUIET)
    assert likely(tmp_path / "kept") > likely(policy_folder)
    assert likely(tmp_path / "frozen") == pytest.approx(likely(policy_folder), abs=1e-3)


def test_the_loss_by_hand(policy_folder: Path) -> None:
    """l = (z - v)^2 - pi log p, a mean over states; the language model's over the won game's tokens."""
    network = PolicyValueModel.from_backbone(str(policy_folder), ACTIONS, device="cpu")
    torch.nn.init.normal_(network.head.policy.bias)
    torch.nn.init.constant_(network.head.value[2].bias, 0.3)
    whole = "<Think_Start><ACT_Plan_Start>Add.<ACT_Plan_End><Think_End>"
    rows = [
        GameRow(StepsRow("q", whole, (13, 47)), ({"Plan": 0.75, "Check": 0.25}, None), 1.0, whole=True),
        GameRow(StepsRow("why", whole, (13,)), ({"Answer": 1.0},), None, whole=True),
    ]
    batch = collate(encode(rows, network, Counter()), network)
    out = JointLoss(network, PolicyValueSettings(policy_weight=2, value_weight=3, lm_weight=5))(**batch)
    log_p = network.head.policy.bias.log_softmax(-1)
    plan, check, answer = (log_p[ACTIONS.index(a)].item() for a in ("Plan", "Check", "Answer"))
    v = torch.tensor(0.3).tanh().item()
    assert out["policy"].item() == pytest.approx(-(0.75 * plan + 0.25 * check + answer) / 2, rel=1e-5)
    assert out["value"].item() == pytest.approx((1 - v) ** 2, rel=1e-5)
    [ids] = network.encode([rows[0].row])
    tokens = [*ids.ids, network.tokenizer.eos_token_id]
    logits = network.trunk(torch.tensor([tokens])).logits[0].log_softmax(-1)
    own = [-logits[t - 1, tokens[t]].item() for t in range(ids.prompt_end + 1, len(tokens))]
    assert out["lm"].item() == pytest.approx(sum(own) / len(own), rel=1e-4)
    total = 2 * out["policy"] + 3 * out["value"] + 5 * out["lm"]
    assert out["loss"].item() == pytest.approx(total.item(), rel=1e-6)


def test_states_of_a_game_share_its_trace(policy_folder: Path) -> None:
    network = PolicyValueModel.from_backbone(str(policy_folder), ACTIONS, device="cpu")
    whole = "<Think_Start><ACT_Plan_Start>Add.<ACT_Plan_End><Think_End>"
    base = {
        "trace_id": "t",
        "question": "q",
        "action_kind": "act",
        "actions": ["Plan"],
        "pi": [1.0],
        "value": -1,
    }
    side = "<Think_Start><ACT_Check_Start>No.<ACT_Check_End>"
    states = [base | {"prefix": p} for p in (whole[:47], whole[:13], side)]
    played = {"t": {"markup": whole, "text": "Add.", "reward": -1}}
    assert list(games(states, played, network, Counter())) == [
        GameRow(StepsRow("q", whole, (13, 47)), ({"Plan": 1.0}, {"Plan": 1.0}), -1, whole=True),
        GameRow(StepsRow("q", side, (len(side),)), ({"Plan": 1.0},), -1),
    ]
    [alone] = games(states[:2], {}, network, Counter())
    assert (alone.row.text, alone.whole) == (whole[:47], False)


def test_what_cannot_be_used_is_counted(policy_folder: Path) -> None:
    network = PolicyValueModel.from_backbone(str(policy_folder), ACTIONS, device="cpu")
    base = {"trace_id": "t", "question": "q", "prefix": "<Think_Start>", "action_kind": "act", "value": 1}
    states = [
        base | {"actions": ["Juggle"], "pi": [1.0]},
        base | {"actions": ["Plan"], "pi": [1.0], "prefix": "plain"},
        base | {"actions": ["1+1=2"], "pi": [1.0], "action_kind": "step", "value": None},
        base | {"actions": ["1+1=2"], "pi": [1.0], "action_kind": "step"},
    ]
    left_out: Counter[str] = Counter()
    [game] = games(states, {}, network, left_out)
    assert game.pis == (None,)
    assert left_out == {"of another inventory": 1, "without acts": 1, "without a target": 1}
    long = GameRow(StepsRow("q", "<Think_Start>" + "x" * 400, (13, 400)), (None, None), 1.0)
    [example] = encode([long], network, left_out)
    assert len(example.tokens.ends) == 1
    assert left_out["beyond the context"] == 1


def test_bad_calls(run_folder: Path, policy_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--init"):
        train_policy_value(run_folder, tmp_path / "x", PolicyValueSettings(), progress=QUIET)
    with pytest.raises(BadInput, match="no shards of 'search'"):
        train_policy_value(
            run_folder, tmp_path / "x", PolicyValueSettings(init=str(policy_folder)), progress=QUIET
        )
