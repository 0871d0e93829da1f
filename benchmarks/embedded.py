"""What ships with cotmill: the embedded policy's held-out accuracy, and the shipped PRM's figures.

python benchmarks/embedded.py
"""

import json
import platform
from collections import Counter
from importlib.resources import files
from pathlib import Path

import torch
from cotmill.generators import families
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import SampleRequest
from cotmill.pipelines.policies import EMBEDDED, model_path, prm_path
from cotmill.pipelines.training_commands import evaluate_prm
from cotmill.schemas import markup

HELDOUT = Path(str(files("cotmill.data"))) / "heldout"


def greedy() -> dict[str, float]:
    """Greedy accuracy on the held-out problems, by level and in all."""
    policy = LocalPolicy.load(model_path(EMBEDDED, Path()), "cpu")
    problems = [json.loads(line) for line in (HELDOUT / "problems.jsonl").open(encoding="utf-8")]
    requests = [
        SampleRequest(policy.prompt(p["question"]), p["id"], max_tokens=250, temperature=0.0)
        for p in problems
    ]
    right, asked = Counter[str](), Counter[str]()
    for problem, samples in zip(problems, policy.sample(requests), strict=True):
        truth = families.check(problem["question"], markup.strip_tags(samples[0].text))
        assert truth is not None
        for group in (f"level_{problem['id'].split('-')[-2]}", "all"):
            asked[group] += 1
            right[group] += truth.answer_right
    return {f"greedy_{g}": right[g] / asked[g] for g in sorted(asked)}


def main() -> None:
    torch.set_num_threads(2)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, CPU\n")
    figures = greedy()
    prm = evaluate_prm(prm_path(EMBEDDED), HELDOUT / "first_errors.jsonl", device="cpu")
    figures |= {
        "prm_f1": prm.f1 or 0.0,
        "prm_auc": prm.auc or 0.0,
        "prm_auc_within_problem": prm.auc_within_problem or 0.0,
    }
    for name, value in figures.items():
        print(f"{name:24} {value:.3f}")
    print("RESULT", json.dumps({k: round(v, 4) for k, v in figures.items()}))


if __name__ == "__main__":
    main()
