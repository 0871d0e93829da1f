from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cotmill.models.headed import StepsRow
from cotmill.models.network import RewardModel
from cotmill.schemas import BadInput, Trace
from cotmill.schemas.labels import hard
from cotmill.schemas.markup import marked_steps
from cotmill.schemas.tables import step_rows
from cotmill.training.evaluate_prm import auc, evaluate_prm, steps_row
from cotmill.training.prm import (
    LabelledRow,
    PRMSettings,
    StepLoss,
    agreeing,
    collate,
    encode,
    labelled_rows,
    train_prm,
)
from cotmill.training.progress import Progress
from hypothesis import given
from hypothesis import strategies as st

QUIET = Progress(quiet=True)


def row(text: str, q: float | None = None, hard: bool | None = None, trace: str = "t") -> dict[str, Any]:
    return {"trace_id": trace, "question": "q", "prefix": text, "markup": f"<{text}", "q": q, "hard": hard}


@pytest.fixture(scope="module")
def settings(policy_folder: Path) -> PRMSettings:
    return PRMSettings(init=str(policy_folder), device="cpu", tokens_per_batch=512, epochs=6, warmup_steps=2)


@pytest.fixture(scope="module")
def prm_folder(tmp_path_factory: pytest.TempPathFactory, run_folder: Path, settings: PRMSettings) -> Path:
    out = tmp_path_factory.mktemp("prm") / "prm"
    train_prm(run_folder, out, settings, progress=QUIET)
    return out


def test_prefixes_of_one_trace_share_a_sequence() -> None:
    rows = [row("a", q=1.0), row("ab", q=0.5), row("abc", q=0.0), row("x", q=0.25, trace="u")]
    left_out: Counter[str] = Counter()
    assert list(labelled_rows(rows, "text", "soft", left_out)) == [
        LabelledRow(StepsRow("q", "abc", (1, 2, 3)), (1.0, 0.5, 0.0)),
        LabelledRow(StepsRow("q", "x", (1,)), (0.25,)),
    ]
    assert not left_out


def test_rows_of_a_trace_need_not_stand_together() -> None:
    """Shards are sorted by id, which scatters a trace's steps."""
    rows = [row("abc", q=0.0), row("x", q=0.25, trace="u"), row("a", q=1.0), row("ab", q=0.5)]
    assert list(labelled_rows(rows, "text", "soft", Counter())) == [
        LabelledRow(StepsRow("q", "abc", (1, 2, 3)), (1.0, 0.5, 0.0)),
        LabelledRow(StepsRow("q", "x", (1,)), (0.25,)),
    ]


def test_only_traces_with_one_first_error_by_rollouts_and_judge_are_kept() -> None:
    def steps(trace: str, hard: list[bool], said: list[int | None]) -> list[dict[str, Any]]:
        judges = [None if s is None else {"label": s, "score": 0.5, "by": "judge"} for s in said]
        rows = [row("a" * (i + 1), hard=h, trace=trace) for i, h in enumerate(hard)]
        return [r | {"index": i, "judge": j} for i, (r, j) in enumerate(zip(rows, judges, strict=True))]

    same = steps("same", [True, False, False], [1, -1, -1])
    other = steps("other", [True, False, False], [1, 1, -1])
    silent = steps("silent", [True, False], [None, None])
    left_out: Counter[str] = Counter()
    assert list(agreeing([*other, *same[::-1], *silent], left_out)) == same
    assert left_out == {"without consensus": 5}


def test_a_prefix_that_is_none_keeps_its_own_sequence() -> None:
    rows = [row("ab", q=1.0), row("a", q=0.5), row("xy", q=0.0)]
    texts = {r.row.text: r.targets for r in labelled_rows(rows, "text", "soft", Counter())}
    assert texts == {"ab": (0.5, 1.0), "xy": (0.0,)}


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=4), st.booleans()), max_size=12))
def test_no_label_is_lost_in_grouping(prefixes: list[tuple[str, bool]]) -> None:
    distinct = dict(prefixes)
    grouped = list(labelled_rows([row(t, hard=h) for t, h in distinct.items()], "text", "hard", Counter()))
    found = {
        r.row.text[:end]: bool(target)
        for r in grouped
        for end, target in zip(r.row.ends, r.targets, strict=True)
    }
    assert found == distinct
    assert sum(len(r.targets) for r in grouped) == len(distinct)


def test_soft_targets_where_known_else_hard() -> None:
    rows = [row("a", q=0.4, hard=True), row("ab", hard=True), row("abc", hard=False), row("abcd")]
    left_out: Counter[str] = Counter()
    [soft] = labelled_rows(rows, "text", "soft", left_out)
    [hard] = labelled_rows(rows, "text", "hard", Counter())
    assert soft.targets == (0.4, 1.0, 0.0)
    assert hard.targets == (1.0, 1.0, 0.0)
    assert left_out == {"without a label": 1}


def test_markup_is_read_where_the_model_reads_it() -> None:
    [labelled] = labelled_rows([row("a", q=1.0)], "markup", "soft", Counter())
    assert labelled.row.text == "<a"
    left_out: Counter[str] = Counter()
    assert not list(labelled_rows([row("a", q=1.0) | {"markup": None}], "markup", "soft", left_out))
    assert left_out == {"without acts": 1}


def test_labels_beyond_the_context_are_counted(policy_folder: Path) -> None:
    model = RewardModel.from_backbone(str(policy_folder), device="cpu")
    long = LabelledRow(StepsRow("q", "<Think_Start>" + "x" * 400, (20, 60, 400)), (1.0, 0.5, 0.0))
    left_out: Counter[str] = Counter()
    [example] = encode([long], model, left_out)
    assert example.targets == [1.0, 0.5]
    assert len(example.tokens.ids) == model.context
    assert left_out == {"beyond the context": 1}


def test_padding_bears_no_label(policy_folder: Path) -> None:
    model = RewardModel.from_backbone(str(policy_folder), device="cpu")
    rows = [
        LabelledRow(StepsRow("q", "<Think_Start>ab", (14, 15)), (1.0, 0.5)),
        LabelledRow(StepsRow("q", "<Think_Start>abcd", (17,)), (0.0,)),
    ]
    batch = collate(encode(rows, model, Counter()), model)
    assert batch["targets"].tolist() == [[1.0, 0.5], [0.0, -1.0]]
    alone = [
        StepLoss(model)(**collate([e], model))["loss"].item() * len(e.targets)
        for e in encode(rows, model, Counter())
    ]
    assert StepLoss(model)(**batch)["loss"].item() == pytest.approx(sum(alone) / 3, rel=1e-4)


def test_it_learns_the_labels_it_is_given(
    run_folder: Path, policy_folder: Path, make_trace: Callable[[int], Trace], tmp_path: Path
) -> None:
    eager = PRMSettings(
        init=str(policy_folder), device="cpu", tokens_per_batch=512, epochs=30, lr=5e-3, reads_state=True
    )
    train_prm(run_folder, tmp_path / "prm", eager, progress=QUIET)
    prm = RewardModel.load(tmp_path / "prm", device="cpu")
    rows, truth = [], []
    for trace in map(make_trace, range(60)):
        text, ends = marked_steps(trace.text, trace.acts, [s.end for s in trace.steps])
        rows.append(StepsRow(trace.question, text, ends))
        truth.append(hard(trace))
    scores = [s for row in prm.score_steps(rows) for s in row]
    labels = [label for row in truth for label in row]
    good = [s for s, label in zip(scores, labels, strict=True) if label]
    bad = [s for s, label in zip(scores, labels, strict=True) if label is False]
    assert auc(good, bad) > 0.9


def test_two_runs_end_with_the_same_scores(
    prm_folder: Path, run_folder: Path, settings: PRMSettings, tmp_path: Path
) -> None:
    again = train_prm(run_folder, tmp_path / "prm", settings, progress=QUIET)
    text = "<Think_Start><ACT_Calculate_Start>12 + 22 = 34.<ACT_Calculate_End>"
    scores = [
        RewardModel.load(f, device="cpu").score_steps([StepsRow("Compute 12 + 22.", text, (len(text),))])
        for f in (prm_folder, again.folder)
    ]
    assert scores[0] == scores[1]


def test_a_frozen_trunk_stays(
    run_folder: Path, policy_folder: Path, settings: PRMSettings, tmp_path: Path
) -> None:
    frozen = settings.model_copy(update={"freeze_trunk": True, "epochs": 1.0})
    train_prm(run_folder, tmp_path / "frozen", frozen, progress=QUIET)
    before = RewardModel.from_backbone(str(policy_folder), device="cpu")
    after = RewardModel.load(tmp_path / "frozen", device="cpu")
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.trunk.state_dict().values(), after.trunk.state_dict().values(), strict=True)
    )
    assert not torch.equal(before.head.features.weight, after.head.features.weight)


def test_training_goes_on_from_a_reward_model(
    run_folder: Path, prm_folder: Path, settings: PRMSettings, tmp_path: Path
) -> None:
    more = settings.model_copy(
        update={"init": str(prm_folder), "max_steps": 1, "warmup_steps": 0, "decay": 0.0}
    )
    train_prm(run_folder, tmp_path / "more", more, progress=QUIET)
    fresh = RewardModel.from_backbone(str(prm_folder), device="cpu").head.features.weight
    old, new = (
        RewardModel.load(f, device="cpu").head.features.weight for f in (prm_folder, tmp_path / "more")
    )
    assert (new - old).norm() < (new - fresh).norm()


def test_bad_calls(run_folder: Path, tmp_path: Path, settings: PRMSettings) -> None:
    with pytest.raises(BadInput, match="--init"):
        train_prm(run_folder, tmp_path / "x", PRMSettings(), progress=QUIET)
    with pytest.raises(BadInput, match="no such folder"):
        train_prm(tmp_path / "no", tmp_path / "x", settings, progress=QUIET)
    nothing = settings.model_copy(update={"init": str(tmp_path)})
    with pytest.raises(BadInput, match="no causal LM"):
        train_prm(run_folder, tmp_path / "x", nothing, progress=QUIET)


def test_evaluation_rows(prm_folder: Path) -> None:
    prm = RewardModel.load(prm_folder, device="cpu")
    steps = ["12 + 22 = 34.", "The answer is 34."]
    tagged = (
        "<Think_Start><ACT_Calculate_Start>12 + 22 = 34.<ACT_Calculate_End>\n"
        "<ACT_Answer_Start>The answer is 34.<ACT_Answer_End><Think_End>"
    )
    marked = steps_row(prm, {"problem": "Compute 12 + 22.", "steps": steps, "markup": tagged})
    assert marked.text == tagged.removesuffix("<Think_End>")
    assert [marked.text[:end].rpartition("<")[2] for end in marked.ends] == [
        "ACT_Calculate_End>",
        "ACT_Answer_End>",
    ]
    bare = steps_row(prm, {"problem": "Compute 12 + 22.", "steps": steps})
    assert bare.text.count("<ACT_Deduce_Start>") == 2
    rows = [
        {"id": i, "problem": "Compute 12 + 22.", "steps": steps, "label": label, "markup": markup}
        for i, (label, markup) in enumerate(((-1, tagged), (-1, None), (0, tagged.replace("34", "35"))))
        if (steps := [s.replace("34", "35") if label == 0 else s for s in steps])
    ]
    figures = evaluate_prm(prm, rows, resamples=20)
    assert (figures.n, figures.n_wrong, figures.n_right, figures.n_steps) == (3, 1, 2, 6)


def test_bad_evaluation_rows_name_row_and_field(prm_folder: Path) -> None:
    prm = RewardModel.load(prm_folder, device="cpu")
    good = {"problem": "p", "steps": ["a"], "label": 0}
    for bad, field in (
        ({"label": 1}, "label"),
        ({"label": True}, "label"),
        ({"steps": []}, "steps"),
        ({"steps": ["a", " "]}, "steps"),
        ({"problem": None}, "problem"),
        ({"markup": "<Think_Start>a"}, "markup"),
        ({"markup": "<Think_Start><ACT_Plan_Start>b<ACT_Plan_End><Think_End>"}, "markup"),
    ):
        with pytest.raises(BadInput, match=rf"line 2, field '{field}'"):
            evaluate_prm(prm, [good, good | bad])
    with pytest.raises(BadInput, match="no rows"):
        evaluate_prm(prm, [])


def test_evaluation_reads_what_training_read(make_trace: Callable[[int], Trace]) -> None:
    trace = make_trace(4)
    text, ends = marked_steps(trace.text, trace.acts, [s.end for s in trace.steps])
    assert [text[:end] for end in ends] == [row["markup"] for row in step_rows(trace)]
