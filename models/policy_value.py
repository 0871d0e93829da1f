"""AlphaZero's network on a causal LM: one trunk, which writes, and two heads, P(s, a) and V(s).

A state is a question and the chain of thought so far; an action is a thinking factor, or the end. After
Silver et al. 2018 (doi 10.1126/science.aar6404).

Shapes: B rows, T tokens, S states, A actions, D hidden size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..schemas import BadInput
from .folder import content_hash_of, load_model, load_tokenizer, local_folder, model_name
from .headed import (
    CARD_FILE,
    HeadedModel,
    Input,
    StepsRow,
    kind_of,
    read_card,
    running_features,
    span_features,
    states_at,
)
from .local import LocalPolicy
from .policy import Opinion
from .sampling import token_scores
from .tokenizer import knows_tags

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HIDDEN = 64


class PolicyValueHead(nn.Module):
    """Act logits and a value in [-1, 1] per state; before any training P is uniform and V is 0.

    P is linear in the hidden state at the state's last token. V reads the hidden state, and of the chain of
    thought's log-probabilities the sum (as a logarithm), mean and minimum, through one hidden layer.
    """

    def __init__(self, hidden_size: int, n_actions: int) -> None:
        super().__init__()
        self.policy, value = nn.Linear(hidden_size, n_actions), nn.Linear(_HIDDEN, 1)
        self.value = nn.Sequential(nn.Linear(hidden_size + 3, _HIDDEN), nn.GELU(), value)
        for last in (self.policy, value):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self, hidden: Tensor, scores: Tensor, prompt_end: Tensor, ends: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, S, A) and values (B, S).

        `hidden`: (B, T, D); `scores`: (B, T), of token t given those before; `prompt_end`: (B,);
        `ends`: (B, S), the last token of each state.
        """
        state = states_at(hidden, ends).to(self.policy.weight.dtype)
        spans = span_features(scores, prompt_end[:, None].expand_as(ends), ends)
        return self.policy(state), self._values(state, *spans)

    def along(self, hidden: Tensor, scores: Tensor, prompt_end: Tensor) -> Tensor:
        """Values (B, T) of the states that end at each token: as `forward` gives them, in one pass."""
        return self._values(hidden.to(self.policy.weight.dtype), *running_features(scores, prompt_end))

    def _values(self, state: Tensor, total: Tensor, mean: Tensor, least: Tensor) -> Tensor:
        written = torch.stack([torch.log1p(-total), mean, least], dim=-1).to(state.dtype)
        value: Tensor = self.value(torch.cat([state, written], dim=-1))[..., 0]
        return value.tanh()


class PolicyValueModel(HeadedModel):
    """A trunk with P and V over `actions`: names of acts, and of the end."""

    kind: ClassVar[str] = "policy-value"
    head_file: ClassVar[str] = "policy_value_head.safetensors"
    first_end: ClassVar[int] = 0
    head: PolicyValueHead

    def __init__(
        self,
        trunk: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        head: PolicyValueHead,
        input: Input,
        actions: Sequence[str],
    ) -> None:
        super().__init__(trunk, tokenizer, head, input)
        self.actions = tuple(actions)

    @classmethod
    def open(
        cls,
        folder_or_name: str,
        actions: Sequence[str],
        device: str = "auto",
        dtype: torch.dtype | None = None,
    ) -> Self:
        """A policy/value network where there is one for the same actions, else fresh heads on a causal LM."""
        folder = local_folder(folder_or_name)
        if kind_of(folder) == cls.kind and (model := cls.load(folder, device, dtype)).actions == (*actions,):
            return model
        return cls.from_backbone(str(folder), actions, device, dtype)

    @classmethod
    def from_backbone(
        cls,
        folder_or_name: str,
        actions: Sequence[str],
        device: str = "auto",
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Fresh heads on a causal LM: a cotmill policy, any model folder, or a hub name; raises BadInput."""
        folder = local_folder(folder_or_name)
        trunk, tokenizer = load_model(folder, device, dtype), load_tokenizer(folder)
        head = PolicyValueHead(trunk.config.get_text_config().hidden_size, len(actions)).to(trunk.device)
        return cls(trunk, tokenizer, head, "markup" if knows_tags(tokenizer) else "text", actions)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", dtype: torch.dtype | None = None) -> Self:
        """Open what `save` wrote, or a hub name of it; raises BadInput for anything else."""
        place = local_folder(str(folder))
        card = read_card(place, cls.kind)
        actions = card.get("actions")
        if not isinstance(actions, list) or not all(isinstance(a, str) for a in actions):
            raise BadInput("must be a list of names", file=place / CARD_FILE, field="actions")
        model = cls.from_backbone(str(place), actions, device, dtype)
        model.input = card["input"]
        model.load_head(place)
        return model.eval()

    def card(self) -> dict[str, Any]:
        return super().card() | {"actions": list(self.actions)}

    def forward(self, prompt_end: Tensor, ends: Tensor, **texts: Tensor) -> dict[str, Tensor]:
        """ "logits" (B, S, A), "values" (B, S), and the log-probabilities of the input, "scores" (B, T).

        `texts`: what `read` takes, padded or packed.
        """
        hidden, scores = self.read(**texts)
        logits, values = self.head(hidden, scores, prompt_end, ends)
        return {"logits": logits.float(), "values": values.float(), "scores": scores}

    def along(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        prompt_end: Tensor,
        ends: Tensor,
        temperature: float = 1.0,
        entropy_learns: bool = False,
        heads_share: float = 1.0,
    ) -> dict[str, Tensor]:
        """What reinforcement learning asks of every token.

        "scores" (B, T): each token's log-probability at `temperature`; "entropy" (B, T) of what it was drawn
        from, with a gradient where `entropy_learns`; "values" (B, T): V of the state that ends at it;
        "logits" (B, S, A): P at `ends`; "hidden" (B, T, D). Scores and entropy are 0 at the first token. Of
        the gradients of "values", "logits" and "hidden" the trunk gets `heads_share`.
        """
        out = self.trunk(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False, output_hidden_states=True
        )
        hidden, logits = out.hidden_states[-1], out.logits[:, :-1].float()
        plain = drawn = token_scores(logits, input_ids[:, 1:])
        if temperature != 1:
            logits = logits / temperature
            drawn = token_scores(logits, input_ids[:, 1:])
        with torch.set_grad_enabled(entropy_learns and torch.is_grad_enabled()):
            log_p = logits.log_softmax(-1)
            entropy = -(log_p.exp() * log_p).sum(-1)
        plain, drawn, entropy = (nn.functional.pad(x, (1, 0)) for x in (plain, drawn, entropy))
        hidden, plain = (x.detach() + heads_share * (x - x.detach()) for x in (hidden, plain))
        state = states_at(hidden, ends).to(self.head.policy.weight.dtype)
        return {
            "scores": drawn,
            "entropy": entropy,
            "values": self.head.along(hidden, plain, prompt_end).float(),
            "hidden": hidden,
            "logits": self.head.policy(state).float(),
        }

    @torch.inference_mode()
    def opinions(self, states: Sequence[tuple[str, str]]) -> list[Opinion]:
        """P and V of states (question, chain of thought so far), which is markup or text, as `input` says.

        Uniform priors and 0 for a state beyond the model's context: nothing can be written there.
        """
        self.eval()
        uniform = dict.fromkeys(self.actions, 1 / len(self.actions))
        out = [Opinion(uniform, 0.0)] * len(states)
        rows = [StepsRow(question, prefix, (len(prefix),)) for question, prefix in states]
        for indices, inputs in self.batches(self.encode(rows)):
            found = self(**inputs)
            priors = found["logits"][:, 0].softmax(-1).tolist()
            for i, p, v in zip(indices, priors, found["values"][:, 0].tolist(), strict=True):
                out[i] = Opinion(dict(zip(self.actions, p, strict=True)), v)
        return out


class PolicyValuePolicy(LocalPolicy):
    """A policy that has opinions (`models.policy.PolicyValue`): the trunk writes, the heads judge."""

    network: PolicyValueModel

    @classmethod
    def load(cls, path_or_name: str, device: str = "auto", batch_rows: int = 256) -> "PolicyValuePolicy":
        """Open a folder that `PolicyValueModel.save` wrote, as `LocalPolicy.load` does; raises BadInput."""
        folder = local_folder(path_or_name)
        network = PolicyValueModel.load(folder, device)
        policy = cls(
            network.trunk,
            network.tokenizer,
            name=model_name(path_or_name),
            hash=lambda: content_hash_of(folder),
            batch_rows=batch_rows,
        )
        policy.network = network
        return policy

    def opinions(self, states: Sequence[tuple[str, str]]) -> list[Opinion]:
        """P and V of states: (question, chain of thought so far)."""
        return self.network.opinions(states)


def open_local(path_or_name: str, device: str = "auto", batch_rows: int = 256) -> LocalPolicy:
    """A local policy, with its heads where its folder has them; raises BadInput."""
    folder = local_folder(path_or_name)
    kind = PolicyValuePolicy if kind_of(folder) == PolicyValueModel.kind else LocalPolicy
    return kind.load(path_or_name, device, batch_rows)
