"""Makes `data/heldout/first_errors.jsonl`: the embedded policy's own traces of held-out problems.

    python -m cotmill.pipelines.heldout

The seed families' step checker says which step is the first wrong one (`label`, from 0; -1 where every
step is right or mended), in ProcessBench's columns, with the trace's markup beside them.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from ..generators import families
from ..generators.assemble import assemble, claimed_answer
from ..models.policy import Policy, SampleRequest
from ..schemas import Generator, Seed, Source, Trace, markup, rng_key
from .files import read_rows, write_jsonl
from .policies import EMBEDDED, model_path, open_policy

SAMPLES, TEMPERATURE, MAX_TOKENS, SEED = 8, 0.8, 200, 20
PER_KIND = 2


def rows(problems: list[dict[str, Any]], policy: Policy) -> list[dict[str, Any]]:
    """Up to two wrong and two right traces by a policy of each family problem that has both kinds."""
    seeds = [
        Seed(question=p["question"], answer=str(p["answer"]), source=Source(name="heldout")) for p in problems
    ]
    requests = [
        SampleRequest(
            policy.prompt(s.question),
            rng_key(SEED, s.seed_id, "heldout"),
            n=SAMPLES,
            max_tokens=MAX_TOKENS,
            temperature=TEMPERATURE,
        )
        for s in seeds
    ]
    out: list[dict[str, Any]] = []
    for problem, seed, request, samples in zip(
        problems, seeds, requests, policy.sample(requests), strict=True
    ):
        kinds: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        traces = {
            t.text: t
            for t in (
                assemble(
                    seed,
                    markup.THINK_START + sample.text,
                    generator=Generator.COMPLETION,
                    prefix_steps=0,
                    policy=policy.name,
                    policy_hash=policy.hash,
                    temperature=TEMPERATURE,
                    key=request.key,
                    sample=sample,
                )
                for sample in samples
            )
            if t.error is None and claimed_answer(t) is not None
        }
        for trace in traces.values():
            row = _row(trace, f"{problem['id']}-{len(kinds[True]) + len(kinds[False])}")
            if row is not None:
                kinds[row["label"] == -1].append(row)
        if kinds[True] and kinds[False]:
            out += kinds[True][:PER_KIND] + kinds[False][:PER_KIND]
    return out


def _row(trace: Trace, name: str) -> dict[str, Any] | None:
    truth = families.check(trace.question, trace.text)
    if truth is None or len(truth.clean) != len(trace.steps):
        return None
    if truth.first_error is None and not truth.answer_right:
        return None
    return {
        "id": name,
        "problem": trace.question,
        "steps": [trace.text[s.start : s.end] for s in trace.steps],
        "label": -1 if truth.first_error is None else truth.first_error,
        "final_answer_correct": truth.answer_right,
        "markup": markup.render(trace.text, trace.acts),
        "licence": "Apache-2.0",
    }


def main() -> None:
    import torch

    torch.set_num_threads(1)
    folder = Path(str(files("cotmill.data"))) / "heldout"
    problems = [row for _, row in read_rows(folder / "problems.jsonl") if isinstance(row, dict)]
    policy = open_policy(model_path(EMBEDDED, Path()), device="cpu", batch_rows=256)
    n = write_jsonl(folder / "first_errors.jsonl", rows(problems, policy))
    print(f"{n} traces of {len(problems)} held-out problems")


if __name__ == "__main__":
    main()
