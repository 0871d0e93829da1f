"""CoTs behind proofs that a policy writes: kept where the grammar's own checker keeps them."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from cotmill.generators.code_reverse.asking import PolicyWriting
from cotmill.generators.lean_reverse import LeanSeed, informalise, read_lean_row, reverse
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import Sample
from cotmill.models.prompts import informal_question
from cotmill.pipelines.config import Config
from cotmill.pipelines.lean_rows import reverse_lean_rows
from cotmill.pipelines.progress import Progress as RunProgress
from cotmill.pipelines.run import run
from cotmill.schemas import Generator, Method, Origin, Source, Trace, markup
from cotmill.training.progress import Progress
from cotmill.training.sft import SFTSettings, train_sft
from doubles import TablePolicy

ROWS = json.loads((files("cotmill.data") / "lean" / "traces.json").read_text(encoding="utf-8"))
ASKED = PolicyWriting(candidates=1)


def seed_of(name: str) -> LeanSeed:
    row = next(r for r in ROWS if r["full_name"] == name)
    return read_lean_row(row, Source(name="traces.json", row=1))


def told(seed: LeanSeed, run_seed: int = 5) -> Trace:
    trace = reverse(seed, run_seed=run_seed)
    assert isinstance(trace, Trace)
    return trace


def writes(text: str | Sample) -> TablePolicy:
    return TablePolicy(lambda *_: [text], writes_tags=True)


SEED = seed_of("triangular_double")
MARKUP = markup.render(told(SEED).text, told(SEED).acts)


def test_what_holds_is_kept_with_the_labels_that_lean_gave():
    [written] = informalise([SEED], writes(MARKUP.removeprefix("<Think_Start>")), ASKED, 0)
    [trace] = written.traces
    own = told(SEED)
    assert (trace.text, trace.acts, trace.answer, trace.outcome) == (
        own.text,
        own.acts,
        own.answer,
        own.outcome,
    )
    assert [(s.n_correct, s.method, s.evidence) for s in trace.steps] == [
        (s.n_correct, Method.PROOF, s.evidence) for s in own.steps
    ]
    assert {s.origin for s in trace.steps} == {Origin.POLICY}
    assert (trace.generator, trace.provenance.policy) == (Generator.LEAN_REVERSE, "table")
    assert (written.sampled, written.refused) == (1, [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (re.sub(r"\d+", lambda m: str(int(m[0]) + 1), MARKUP, count=1), "says what the proof does not"),
        (MARKUP.replace("induction", "simp", 1), "says what the proof does not"),
        (re.sub(r"\n\n<ACT_Check.*?(?=\n\n)", "", MARKUP, flags=re.DOTALL), "another number of steps"),
        (MARKUP.replace("<ACT_Answer_End>", ""), "markup is malformed"),
        ("nonsense", "another number of steps|malformed"),
        (Sample(MARKUP[:40], 9, "length"), "is cut off"),
    ],
)
def test_what_does_not_hold_is_refused_with_its_reason(text, reason):
    [written] = informalise([SEED], writes(text), ASKED, 0)
    assert written.traces == []
    assert any(part in written.refused[0] for part in reason.split("|")), written.refused


def test_it_is_asked_as_it_was_trained():
    policy = writes("")
    informalise([SEED], policy, ASKED, 0)
    trace = told(SEED)
    asked = informal_question(trace.question, str(trace.answer), (s.evidence for s in trace.steps))
    assert [r.prompt for r in policy.requests] == [policy.prompt(asked)]
    for part in (SEED.informal, SEED.statement, SEED.traced[-1].state_before, SEED.failed[0].error):
        assert part in asked


def test_a_run_counts_what_its_policy_wrote_and_what_was_refused():
    settings = Config.model_validate(
        {
            "sources": [{"kind": "lean", "path": "x"}],
            "reverse": {"writer": "policy", "asked": {"candidates": 2}, "lean": {"backend": "none"}},
        }
    ).reverse
    row = next(r for r in ROWS if r["full_name"] == "triangular_double")
    policy = TablePolicy(lambda *_: [MARKUP, "nonsense"])
    done = reverse_lean_rows([(row, Source(name="rows", row=7))], settings, 0, policy)
    assert (len(done.traces), len(done.rejected), done.sampled) == (1, 1, 2)
    assert done.rejected[0][0].row == 7


@pytest.mark.parametrize("kind", ["writer: policy", "round_trip"])
def test_a_run_without_a_policy_that_should_write_about_proofs_is_refused(kind):
    reverse_ = {"writer": "policy"} if kind == "writer: policy" else {"round_trip": {"rollouts": 1}}
    raw = {"sources": [{"kind": "lean", "path": "x"}], "policy": {"model": "none"}, "reverse": reverse_}
    with pytest.raises(ValueError, match="asks it to write"):
        Config.model_validate(raw)


def test_a_policy_learns_from_a_runs_shards_and_its_texts_are_all_judged(tmp_path: Path):
    (tmp_path / "rows.json").write_text(json.dumps(ROWS[:6]), "utf-8")
    config = Config.model_validate(
        {
            "policy": {"model": "none"},
            "sources": [{"kind": "lean", "path": "rows.json"}],
            "reverse": {"lean": {"backend": "none"}},
            "shards": {"validation_share": 0},
        }
    )
    run(config, tmp_path, tmp_path / "run", workers=1, progress=RunProgress(quiet=True))
    sizes = {"width": 32, "layers": 1, "heads": 2, "context": 2048, "max_steps": 3, "warmup_steps": 1}
    settings = SFTSettings.model_validate({"task": "reverse", "device": "cpu", **sizes})
    result = train_sft(tmp_path / "run", tmp_path / "policy", settings, progress=Progress(quiet=True))
    assert (result.rows, result.left_out) == (6, {})
    policy = LocalPolicy.load(str(tmp_path / "policy"), device="cpu")
    asked = PolicyWriting(candidates=2, max_tokens=24)
    written = informalise([SEED, seed_of("and_swap")], policy, asked, 0)
    assert [w.sampled for w in written] == [2, 2]
    assert all(len(w.traces) + len(w.refused) == w.sampled for w in written)
