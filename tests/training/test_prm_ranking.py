"""Ranking steps of one problem or prefix, and labels on tokens of any tokenizer."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cotmill.models.network import RewardModel
from cotmill.schemas import Trace
from cotmill.schemas.tables import step_rows
from cotmill.training.evaluate_prm import auc
from cotmill.training.prm import (
    PRMSettings,
    StepLoss,
    bundled,
    collate,
    encode,
    labelled_rows,
    ranking_loss,
    train_prm,
)
from cotmill.training.progress import Progress
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

QUIET = Progress(quiet=True)
TEXT = "12 + 34 = 46.\nSo é 漢, thus it is\t46…\nTherefore: 46!"


def row(trace: str, question: str, steps: list[str], hard: bool) -> dict[str, Any]:
    prefix = "\n".join(steps)
    return {
        "trace_id": trace,
        "question": question,
        "prefix": prefix,
        "step": steps[-1],
        "markup": f"<Think_Start>{prefix}",
        "q": None,
        "hard": hard,
    }


TREE = [
    row("t", "q", ["a"], True),
    row("t", "q", ["a", "b"], True),
    row("u", "q", ["a", "c"], False),
    row("v", "why", ["a"], False),
]


@pytest.fixture(scope="module")
def model(policy_folder: Path) -> RewardModel:
    return RewardModel.from_backbone(str(policy_folder), device="cpu")


@given(st.lists(st.tuples(st.floats(-5, 5), st.sampled_from((0.0, 0.5, 1.0)), st.integers(0, 2)), max_size=8))
def test_the_pairs_by_hand(steps: list[tuple[float, float, int]]) -> None:
    pairs = [
        (better - worse, x - y)
        for x, better, g in steps
        for y, worse, h in steps
        if g == h and better > worse
    ]
    total = sum(w for w, _ in pairs)
    expected = sum(w * torch.nn.functional.softplus(torch.tensor(-d)).item() for w, d in pairs)
    logits, targets, groups = (
        (torch.tensor(c) for c in zip(*steps, strict=True)) if steps else (torch.ones(0),) * 3
    )
    found = ranking_loss(logits, targets, groups).item()
    assert found == pytest.approx(expected / total if total else 0.0, abs=1e-4)


def test_what_is_compared(model: RewardModel) -> None:
    rows = list(labelled_rows(TREE, "text", "hard", Counter()))
    assert [r.parents for r in rows] == [("", "a\n"), ("a\n",), ("",)]
    problem = [e.groups for e in encode(rows, model, Counter(), "problem")]
    prefix = [e.groups for e in encode(rows, model, Counter(), "prefix")]
    assert problem == [[0, 0], [0], [1]]
    assert prefix == [[0, 1], [1], [2]]


def test_steps_of_one_question_share_a_batch_up_to_its_budget(model: RewardModel) -> None:
    rows = list(labelled_rows([TREE[0], TREE[3], TREE[1], TREE[2]], "text", "hard", Counter()))
    examples = encode(rows, model, Counter(), "problem")
    assert [[e.question for e in b] for b in bundled(examples, 10_000)] == [["q", "q"], ["why"]]
    assert [len(b) for b in bundled(examples, 1)] == [1, 1, 1]


def test_ranking_alone_orders_the_steps_of_a_problem(
    run_folder: Path, policy_folder: Path, make_trace: Callable[[int], Trace], tmp_path: Path
) -> None:
    """Questions whose traces are all right or all wrong teach it nothing; the others, the order."""
    settings = PRMSettings(
        init=str(policy_folder),
        device="cpu",
        tokens_per_batch=1024,
        epochs=15,
        lr=3e-3,
        ranking="problem",
        step_weight=0.0,
        reads_state=True,
    )
    rows = [r for i in range(60) for t in (make_trace(i), flipped(make_trace(i))) for r in step_rows(t)]
    folder = written(tmp_path / "both", rows, run_folder)
    result = train_prm(folder, tmp_path / "prm", settings, progress=QUIET)
    assert result.rows == len(rows)
    assert result.loss < 0.3  # ln 2 is a coin's
    prm = RewardModel.load(tmp_path / "prm", device="cpu")
    labelled = list(labelled_rows(rows, "markup", "hard", Counter()))
    wins = []
    for question in {r.row.question for r in labelled}:
        own = [r for r in labelled if r.row.question == question]
        scored = zip(own, prm.score_steps([r.row for r in own]), strict=True)
        pairs = [(s, t) for r, scores in scored for s, t in zip(scores, r.targets, strict=True)]
        wins.append(auc([s for s, t in pairs if t], [s for s, t in pairs if not t]))
    assert sum(wins) / len(wins) > 0.9


def test_the_weights_of_tokens_are_held_small(
    run_folder: Path, policy_folder: Path, make_trace: Callable[[int], Trace], tmp_path: Path
) -> None:
    rows = [r for i in range(20) for t in (make_trace(i), flipped(make_trace(i))) for r in step_rows(t)]
    folder = written(tmp_path / "both", rows, run_folder)
    given = {"init": str(policy_folder), "device": "cpu", "tokens_per_batch": 1024, "freeze_trunk": True}
    given["epochs"] = 10

    def size(decay: float) -> float:
        out = tmp_path / str(decay)
        settings = PRMSettings.model_validate(given | {"weighs_tokens": True, "token_decay": decay})
        train_prm(folder, out, settings, progress=QUIET)
        tokens = RewardModel.load(out, device="cpu").head.tokens
        assert tokens is not None
        return tokens.weight.norm().item()

    assert size(0.0) > 2 * size(10.0) > 0


def test_a_ranking_without_pairs_leaves_the_steps_loss(model: RewardModel) -> None:
    rows = list(labelled_rows(TREE[:2], "text", "hard", Counter()))
    batch = collate(encode(rows, model, Counter(), "prefix"), model)
    alone, ranked = StepLoss(model)(**batch)["loss"], StepLoss(model, 1.0, 5.0)(**batch)["loss"]
    assert alone.item() == pytest.approx(ranked.item())


TOKENIZERS: dict[str, Any] = {
    "byte-level BPE": (models.BPE(), trainers.BpeTrainer, pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "unigram": (models.Unigram(), trainers.UnigramTrainer, pre_tokenizers.Metaspace()),
    "word piece": (
        models.WordPiece(unk_token="<unk>"),
        trainers.WordPieceTrainer,
        pre_tokenizers.Whitespace(),
    ),
    "characters": (None, None, pre_tokenizers.Split("", "isolated")),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_no_label_is_lost_on_any_tokenizer(kind: str, model: RewardModel) -> None:
    """Each label sits on a token of its own, which covers the last character of its step."""
    lines = TEXT.split("\n")
    rows = [row("t", "How much?", lines[: i + 1], i != 1) for i in range(3)]
    tokenizer = build(*TOKENIZERS[kind])
    other = RewardModel(model.trunk, tokenizer, model.head, "text")
    left_out: Counter[str] = Counter()
    [example] = encode(list(labelled_rows(rows, "text", "hard", left_out)), other, left_out)
    assert example.targets == [1.0, 0.0, 1.0]
    assert not left_out
    full = "How much?\n\n" + TEXT
    spans = tokenizer(full, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    assert example.tokens.ends == sorted(set(example.tokens.ends))
    for label, at in zip(rows, example.tokens.ends, strict=True):
        end = len(full) - len(TEXT) + len(label["prefix"])
        covered = [i for i, (a, b) in enumerate(spans) if a < end <= b] or [
            max(i for i, (a, _) in enumerate(spans) if a < end)  # a tokenizer that drops the character
        ]
        assert at == covered[-1]


def build(model: Any, trainer: Any, pre_tokenizer: Any) -> PreTrainedTokenizerFast:
    if model is None:
        letters = sorted(set(TEXT + "How much?") - {"漢"})
        model = models.BPE({c: i for i, c in enumerate(["<unk>", *letters])}, [], unk_token="<unk>")
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizer
    if trainer is not None:
        given: dict[str, Any] = {"special_tokens": ["<unk>"], "show_progress": False, "vocab_size": 150}
        if trainer is trainers.UnigramTrainer:
            given["unk_token"] = "<unk>"
        backend.train_from_iterator(
            [TEXT, "How much?", "So it is 46. Thus, therefore; 12"] * 4, trainer(**given)
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<unk>")


def flipped(trace: Trace) -> Trace:
    """The same sum, right where it was wrong and wrong where it was right."""
    a, b = (int(n) for n in trace.question.removeprefix("Compute ").removesuffix(".").split(" + "))
    old, new = (str(a + b), "0") if trace.answer != "0" else ("0", str(a + b))
    text = trace.text.replace(f"= {old}.", f"= {new}.").replace(f"is {old}.", f"is {new}.")
    moved = len(text.partition("\n")[0])
    spans = ((0, moved), (moved + 1, len(text)))
    counts = (8, 8) if new != "0" else (0, 0)
    steps = tuple(
        s.model_copy(update={"start": x, "end": y, "n_correct": n})
        for s, (x, y), n in zip(trace.steps, spans, counts, strict=True)
    )
    acts = tuple(
        act.model_copy(update={"start": x, "end": y}) for act, (x, y) in zip(trace.acts, spans, strict=True)
    )
    outcome = "correct" if new != "0" else "wrong"
    given = trace.model_dump() | {
        "text": text,
        "steps": steps,
        "acts": acts,
        "outcome": outcome,
        "answer": new,
    }
    return Trace.model_validate(given)


def written(folder: Path, rows: list[Any], like: Path) -> Path:
    import pyarrow.parquet as pq
    from cotmill.schemas.tables import table

    (folder / "steps").mkdir(parents=True)
    (folder / "manifest.json").write_text((like / "manifest.json").read_text())
    pq.write_table(table("steps", rows), folder / "steps" / "train-00000.parquet")
    return folder
