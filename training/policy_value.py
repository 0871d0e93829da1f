"""Policy and value: AlphaZero's joint loss on the `search` table (doi 10.1126/science.aar6404).

    l = (z - v)^2 - pi' log p + c |theta|^2   (c is `weight_decay`)

P is drawn to the visit counts' distribution pi, V to the game's result z. Beside them the trunk may go on
learning to write: the language-model loss of the chains of thought that won (expert iteration).

Shapes: B rows, T tokens, S states, A actions.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor, nn

from ..models.headed import EncodedSteps, StepsRow
from ..models.packing import Shape
from ..models.policy_value import PolicyValueModel
from ..schemas import BadInput, Inventory
from ..schemas.markup import END, THINK_END, THINK_START, strip_tags
from .checkpoint import TrainResult
from .heads import HeadSettings, HeadTask, train_heads
from .progress import Progress
from .reader import ShardReader
from .tokens import depends_on, tokenised

_STATES = ["trace_id", "question", "prefix", "action_kind", "actions", "pi", "value"]
_TRACES = ["trace_id", "markup", "text", "reward"]
_NO_RESULT = 2.0  # outside [-1, 1]: a game whose end nobody knows


class PolicyValueSettings(HeadSettings):
    """`lr` is the trunk's, `head_lr` the heads'. The weights are those of the loss's terms."""

    head_lr: float = Field(2e-3, gt=0)
    policy_weight: float = Field(1.0, ge=0)
    value_weight: float = Field(1.0, ge=0)
    lm_weight: float = Field(1.0, ge=0, description="of the language-model loss on won games; 0: none")


@dataclass(frozen=True, slots=True)
class GameRow:
    """A game's text and the states in it; `pis[i]` is None where a state's actions are no acts.

    `z` is the game's result, None where nobody knows. `whole`: the text runs to the game's end.
    """

    row: StepsRow
    pis: tuple[Mapping[str, float] | None, ...]
    z: float | None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """A game as tokens; `pis` (S, A), zeros without a target. `written`: its tokens are to be learnt."""

    tokens: EncodedSteps
    pis: Tensor
    z: float
    written: bool


class ExampleCodec:
    """Examples as rows of the token cache."""

    schema = pa.schema(
        {
            "ids": pa.list_(pa.int32()),
            "prompt_end": pa.int32(),
            "ends": pa.list_(pa.int32()),
            "pis": pa.list_(pa.float32()),
            "z": pa.float64(),
            "written": pa.bool_(),
        }
    )

    def to_row(self, example: Example) -> dict[str, Any]:
        pis = example.pis.flatten().tolist()
        return asdict(example.tokens) | {"pis": pis, "z": example.z, "written": example.written}

    def of_row(self, row: dict[str, Any]) -> Example:
        tokens = EncodedSteps(row["ids"].tolist(), row["prompt_end"], row["ends"].tolist())
        pis = torch.tensor(row["pis"]).view(len(tokens.ends), -1)
        return Example(tokens, pis, row["z"], row["written"])


class JointLoss(nn.Module):
    """The network and its loss, a mean over states (and over tokens, for the language model)."""

    def __init__(self, network: PolicyValueModel, settings: PolicyValueSettings) -> None:
        super().__init__()
        self.network, self.settings = network, settings

    def forward(self, pi: Tensor, z: Tensor, written: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """`pi`: (B, S, A), zeros without a target; `z`: (B, S), 2 without one; `written`: (B, T), 0 or 1."""
        out = self.network(**inputs)
        policy = _mean(-(pi * out["logits"].log_softmax(-1)).sum(-1), pi.sum(-1) > 0)
        value = _mean((z - out["values"]).square(), z.abs() <= 1)
        lm = _mean(-out["scores"], written > 0)
        settings = self.settings
        loss = settings.policy_weight * policy + settings.value_weight * value + settings.lm_weight * lm
        return {"loss": loss, "policy": policy, "value": value, "lm": lm}


def train_policy_value(
    data: Path,
    out: Path,
    settings: PolicyValueSettings,
    *,
    inventory: Inventory | None = None,
    progress: Progress | None = None,
    fresh: bool = False,
) -> TrainResult:
    """Train P and V on the searched states of a run's folder and write the policy with its heads to `out`.

    Starts from `settings.init`: a policy, any causal LM, or a policy/value network to train on. Goes on where
    it was cut off. Raises BadInput where there is no `init`, `data` is no run's folder or holds no searched
    state, or `out` holds something else.
    """
    actions = (*(inventory or Inventory.load()).names, END)

    def prepare(init: str, states: Iterable[dict[str, Any]]) -> HeadTask:
        network = PolicyValueModel.open(init, actions, settings.device, torch.float32)

        def build(left_out: Counter[str]) -> list[Example]:
            traces = ShardReader(data, "traces", _TRACES).rows()
            played = {row["trace_id"]: row for row in traces if row["reward"]}
            return encode(list(games(states, played, network, left_out)), network, left_out)

        whose = depends_on("policy-value", data, network.tokenizer, network.context, settings)
        whose |= {"input": network.input, "actions": network.actions}
        examples = tokenised(whose, ExampleCodec(), build)
        left_out, used = examples.left_out, sum(examples.lengths("ends"))
        if not examples:
            raise BadInput(f"holds no searched state to be used (left out: {left_out})", file=data)
        return HeadTask(
            network,
            JointLoss(network, settings),
            examples,
            examples.lengths(),
            lambda batch: collate(batch, network, settings.packed_shape),
            used,
            left_out,
            f"{used:,} searched states in {len(examples):,} sequences",
            [
                "A policy with heads: P, the probability of each act, and V, the value of a state.",
                f"It reads {network.input}; rows are searched states. As a policy, a search asks its heads.",
            ],
        )

    reader = ("search", _STATES)
    return train_heads("policy-value", data, out, settings, reader, prepare, progress=progress, fresh=fresh)


def games(
    states: Iterable[dict[str, Any]],
    played: Mapping[str, Mapping[str, Any]],
    network: PolicyValueModel,
    left_out: Counter[str],
) -> Iterator[GameRow]:
    """Searched states by game: those that are prefixes of the game's trace share its sequence.

    `played`: rows of `traces` by id. States may stand in any order; games come in order of first appearance.
    What can't be used is counted in `left_out`.
    """
    marked, known = network.input == "markup", set(network.actions)
    found: dict[str, tuple[str, float | None, dict[str, Mapping[str, float] | None]]] = {}
    for state in states:
        pi = dict(zip(state["actions"], state["pi"], strict=True)) if state["action_kind"] == "act" else None
        if pi is not None and not known.issuperset(pi):
            left_out["of another inventory"] += 1
        elif marked and not state["prefix"].startswith(THINK_START):
            left_out["without acts"] += 1
        elif pi is None and state["value"] is None:
            left_out["without a target"] += 1
        else:
            prefix = state["prefix"] if marked else strip_tags(state["prefix"]).strip()
            game = found.setdefault(state["trace_id"], (state["question"], state["value"], {}))
            game[2][prefix] = pi
    for trace_id, (question, z, prefixes) in found.items():
        trace = played.get(trace_id, {})
        whole = trace.get("markup" if marked else "text") or ""
        while prefixes:
            text = whole if any(map(whole.startswith, prefixes)) else max(prefixes, key=len)
            own = sorted((p for p in prefixes if text.startswith(p)), key=len)
            row = StepsRow(question, text, tuple(map(len, own)))
            yield GameRow(row, tuple(prefixes.pop(p) for p in own), z, whole=bool(whole) and text == whole)


def encode(rows: list[GameRow], network: PolicyValueModel, left_out: Counter[str]) -> list[Example]:
    """Games as tokens; a state beyond the model's context is left out and counted."""
    examples = []
    eos = network.tokenizer.eos_token_id
    for row, tokens in zip(rows, network.encode([r.row for r in rows]), strict=True):
        if row.whole and isinstance(eos, int) and (network.input == "text" or _closed(row.row.text)):
            tokens.ids.append(eos)
        kept = tokens.within(network.context)
        left_out["beyond the context"] += len(tokens.ends) - len(kept.ends)
        if not kept.ends:
            continue
        pis = torch.zeros(len(kept.ends), len(network.actions))
        for i, pi in enumerate(row.pis[: len(kept.ends)]):
            for action, share in (pi or {}).items():
                pis[i, network.actions.index(action)] = share
        written = row.whole and row.z == 1 and len(kept.ids) == len(tokens.ids)
        examples.append(Example(kept, pis, _NO_RESULT if row.z is None else float(row.z), written))
    left_out += Counter()  # drops counts of zero
    return examples


def collate(
    batch: list[Example], network: PolicyValueModel, packed: Shape | None = None
) -> dict[str, Tensor]:
    """Inputs of `JointLoss`."""
    inputs = network.collate([e.tokens for e in batch], packed)
    n, width, most = len(batch), max(len(e.tokens.ids) for e in batch), inputs["ends"].shape[1]
    pi = torch.zeros(n, most, len(network.actions))
    z = torch.full((n, most), _NO_RESULT)
    written = torch.zeros(n, width)
    for i, e in enumerate(batch):
        pi[i, : len(e.pis)], z[i, : len(e.pis)] = e.pis, e.z
        if e.written:
            written[i, e.tokens.prompt_end + 1 : len(e.tokens.ids)] = 1
    return inputs | {"pi": pi, "z": z, "written": written}


def _closed(text: str) -> bool:
    return text.rstrip().endswith(THINK_END)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the marked values; 0 where there is none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
