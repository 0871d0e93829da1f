"""The loop of PPO: rollouts, what they earned, advantages, and passes over them.

transformers' Trainer goes over rows that are there before it begins; here every iteration makes its own. So
the loop is written out, on accelerate.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..models.folder import load_model, local_folder
from ..models.local import LocalPolicy
from ..models.policy_value import PolicyValueModel
from ..models.sampling import token_scores
from ..schemas import Outcome, generator, rng_key
from .advantages import adapted, gae, of_siblings, penalised, whitened
from .checkpoint import writes
from .loop import CHECKPOINTS, lr_factor
from .ppo_loss import Batch, PPOLoss, batch_of, before, part_of
from .ppo_metrics import Metrics, Shown, append_metrics, read_metrics, summed_up, write_metrics
from .ppo_problems import Problems
from .ppo_rewards import Episode, Judges
from .ppo_settings import PPOSettings
from .progress import Progress
from .rollouts import Roller

_CHECKPOINT = "ppo.pt"


class PPO:
    """One training: its network, the rollouts' writer, and where it stands."""

    def __init__(
        self,
        network: PolicyValueModel,
        judges: Judges,
        problems: Problems,
        settings: PPOSettings,
        accelerator: Accelerator,
        out: Path,
    ) -> None:
        self.network, self.judges, self.problems = network, judges, problems
        self.settings, self.accelerator, self.out = settings, accelerator, out
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.device = network.device
        folder = local_folder(str(settings.init))
        self.reference = load_model(folder, str(self.device), torch.float32).requires_grad_(False)
        # On CUDA the engine writes with a bfloat16 copy of the weights, brought up to date every iteration.
        self.copy = load_model(folder, str(self.device)) if self.device.type == "cuda" else None
        writer = LocalPolicy(
            self.copy or network.trunk, network.tokenizer, name="ppo", hash=lambda: "", batch_rows=256
        )
        self.roller = Roller(writer, network, settings.temperature, settings.max_tokens, settings.separator)
        self.loss = PPOLoss(network, settings)
        heads = [p for p in (*network.head.parameters(), *self.loss.shaping.parameters()) if p.requires_grad]
        optimizer = torch.optim.AdamW(
            [
                {"params": list(network.trunk.parameters()), "lr": settings.lr, "full_lr": settings.lr},
                {"params": heads, "lr": settings.head_lr, "full_lr": settings.head_lr},
            ],
            betas=(0.9, 0.98),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.model, self.optimizer = accelerator.prepare(self.loss, optimizer)
        self.iteration = self.steps = self.tokens = 0
        self.kl_coef, self.elapsed = settings.kl_coef, 0.0
        self.metrics: list[Metrics] = []

    def train(self, progress: Progress) -> None:
        """All iterations that are left."""
        settings = self.settings
        self._load()
        with Shown(progress, self.iteration, settings.iterations, writes()) as shown:
            while self.iteration < settings.iterations:
                if settings.max_minutes is not None:
                    self.elapsed = self._told(time.monotonic() - shown.start)
                    if self.elapsed >= 60 * settings.max_minutes:
                        break
                self.metrics.append({"iteration": self.iteration + 1} | self.iterate())
                self.iteration += 1
                if writes():
                    append_metrics(self.out, self.metrics[-1])
                shown.show(self.iteration, self.metrics[-1])
                if self.iteration % settings.checkpoint_every == 0:
                    self._save()

    def iterate(self) -> Metrics:
        """Rollouts, their rewards, and the passes over them."""
        start = time.monotonic()
        if self.copy is not None:
            with torch.no_grad():
                for mine, theirs in zip(self.copy.parameters(), self.network.trunk.parameters(), strict=True):
                    mine.copy_(theirs)
        settings = self.settings
        rollouts = self.roller.begin(self.problems.starts(self.iteration, self.rank, self.world))
        self.roller.write(rollouts, settings.best_of, self.judges.score)
        episodes = self.judges.episodes(rollouts, self.roller)
        batch = batch_of(episodes, self.network.pad)
        self._measure(batch)
        sums = self._earned(batch, episodes[: len(rollouts)])
        sums["cut_off"] = float(sum(not r.ended for r in rollouts))
        lr = self._lr()
        sums |= self._improve(batch)
        sums = self._summed(sums)
        found = summed_up(sums)
        coefficient = self.kl_coef
        if settings.kl_target is not None:
            self.kl_coef = adapted(self.kl_coef, found["kl"], settings.kl_target)
        written = int(sums["played"])
        self.tokens += written
        speed = written / (time.monotonic() - start)
        return found | {"kl_coef": coefficient, "lr": lr, "tokens": written, "tokens_per_s": speed}

    @torch.no_grad()
    def _measure(self, batch: Batch) -> None:
        """Add what the policy and the critics say before they change, and the reference.

        `old` and `reference` (B, T): log-probabilities at the temperature that was sampled at, by this very
        forward pass rather than the sampler's; `old_values`, `old_shaping` of the states actions were taken
        in; `next_values`, `next_shaping` of those they led to.
        """
        whole = batch["input_ids"].shape
        states = {name: torch.zeros(whole) for name in ("scores", "reference", "values", "shaping")}
        for rows in self._parts(batch, range(whole[0])):
            part = part_of(batch, rows, self.device)
            with self.accelerator.autocast():
                out = self.loss.read(part)
                out["reference"] = _scores(self.reference, part, self.settings.temperature)
            width = part["input_ids"].shape[1]
            for name, x in states.items():
                x[rows, :width] = out[name].float().cpu()
        batch["old"], batch["reference"] = states["scores"], states["reference"]
        for name in ("values", "shaping"):
            batch[f"old_{name}"] = before(states[name])
            batch[f"next_{name}"] = states[name] * batch["goes_on"]

    def _earned(self, batch: Batch, played: list[Episode]) -> dict[str, float]:
        """Add `advantages`, whitened, and what the critics are drawn to; returns sums to report."""
        settings, mask, on = self.settings, batch["actions"], batch["played"]
        strayed = (batch["old"] - batch["reference"]) * mask
        shaping = penalised(batch["process"], batch["old"], batch["reference"], mask, self.kl_coef)
        outcome = (batch["outcome"], batch["old_values"], batch["next_values"])
        beside = (shaping, batch["old_shaping"], batch["next_shaping"])
        rewards, values, following = (a + b for a, b in zip(outcome, beside, strict=True))
        if settings.siblings and settings.best_of == 1:
            at = torch.tensor([e.start for e in played])[:, None]
            errors = gae(rewards, values, following, mask, settings.gamma, 1.0).gather(1, at)
            mend = of_siblings(errors[:, 0], _groups(played))[:, None]
            values, following = values + mend, following + mend * batch["goes_on"]
        advantages = gae(rewards, values, following, mask, settings.gamma, settings.lam, batch["cuts"])
        for name, parts in (("returns", outcome), ("shaping_returns", beside)):
            rewards, values, following = parts
            batch[name] = gae(rewards, values, following, mask, settings.gamma, settings.value_lam) + values
        kept = advantages.double()[mask > 0]
        moments = torch.stack([mask.double().sum(), kept.sum(), kept.square().sum()])
        moments = self.accelerator.reduce(moments.to(self.device), "sum").cpu()
        learns = self.iteration >= settings.value_warmup
        batch["advantages"] = whitened(advantages, mask, moments) * learns
        error = (batch["returns"] - batch["old_values"]) * on
        verdicts = Counter(e.verdict for e in played)
        return {
            "rollouts": float(len(played)),
            "right": float(verdicts[Outcome.CORRECT]),
            "undecided": float(verdicts[Outcome.UNDECIDED]),
            "actions": float(mask.sum()),
            "played": float(on.sum()),
            "outcome": float((batch["outcome"] * on).sum()),
            "process": float((batch["process"] * on).sum()),
            "kl": float(strayed.sum()),
            "returns": float((batch["returns"] * on).sum()),
            "returns_2": float((batch["returns"].square() * on).sum()),
            "error": float(error.sum()),
            "error_2": float(error.square().sum()),
        }

    def _improve(self, batch: Batch) -> dict[str, float]:
        """The passes over an iteration's episodes; returns sums to report."""
        settings, n = self.settings, len(batch["input_ids"])
        sums = Counter[str]()
        for epoch in range(settings.epochs):
            key = rng_key(settings.seed, f"ppo {self.iteration}", f"minibatches of {self.rank}", epoch)
            order = generator(key).permutation(n)
            shares = [part.tolist() for part in np.array_split(order, settings.minibatches)]
            counts = torch.tensor([_counts(batch, rows) for rows in shares], dtype=torch.float64)
            totals = self.accelerator.reduce(counts.to(self.device), "sum").float()
            for rows, total in zip(shares, totals, strict=True):
                found = self._step(batch, rows, total)
                sums.update({name: float(x) for name, x in found.items() if name != "loss"})
            sums.update(dict(zip(("seen", "seen_played", "seen_acts"), counts.sum(0).tolist(), strict=True)))
        return dict(sums)

    def _step(self, batch: Batch, rows: Sequence[int], totals: Tensor) -> Counter[str]:
        """One optimiser step on a minibatch, worked through in parts."""
        found = Counter[str]()
        parts = list(self._parts(batch, rows))
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                out = self.model(part_of(batch, part, self.device), totals)
                # Gradients are averaged over processes, the loss is a mean over all of them together.
                self.accelerator.backward(out["loss"] * self.world)
            found.update({name: x.item() for name, x in out.items()})
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.max_norm)
        factor = self._factor()
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1
        return found

    def _parts(self, batch: Batch, rows: Sequence[int]) -> Iterator[list[int]]:
        """Rows by length, as many at once as `tokens_per_batch` allows."""
        lengths = batch["attention_mask"].sum(-1).tolist()
        part: list[int] = []
        for i in sorted(rows, key=lambda i: (lengths[i], i)):
            if part and lengths[i] * (len(part) + 1) > self.settings.tokens_per_batch:
                yield part
                part = []
            part.append(i)
        yield part

    def _factor(self) -> float:
        settings = self.settings
        steps = settings.iterations * settings.epochs * settings.minibatches
        return lr_factor(self.steps, steps, settings, self.elapsed)

    def _lr(self) -> float:
        return self.settings.lr * self._factor()

    def _summed(self, sums: dict[str, float]) -> dict[str, float]:
        values = torch.tensor([sums[name] for name in sorted(sums)], dtype=torch.float64, device=self.device)
        return dict(zip(sorted(sums), self.accelerator.reduce(values, "sum").tolist(), strict=True))

    def _told(self, seconds: float) -> float:
        """The first process's clock."""
        mine = torch.tensor(seconds if self.rank == 0 else 0.0, device=self.device)
        return float(self.accelerator.reduce(mine, "sum"))

    def _save(self) -> None:
        if not writes():
            return
        folder = self.out / CHECKPOINTS
        folder.mkdir(exist_ok=True)
        state = {
            "model": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "kl_coef": self.kl_coef,
        } | {name: getattr(self, name) for name in ("iteration", "steps", "tokens")}
        torch.save(state, folder / f"{_CHECKPOINT}.part")
        (folder / f"{_CHECKPOINT}.part").replace(folder / _CHECKPOINT)

    def _load(self) -> None:
        """Go on after the last checkpoint, where there is one."""
        path = self.out / CHECKPOINTS / _CHECKPOINT
        if path.exists():
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            self.loss.load_state_dict(state.pop("model"))
            self.optimizer.load_state_dict(state.pop("optimizer"))
            for name, value in state.items():
                setattr(self, name, value)
        self.metrics = read_metrics(self.out)[: self.iteration]
        self.accelerator.wait_for_everyone()
        if writes():
            write_metrics(self.out, self.metrics)


def _counts(batch: Batch, rows: Sequence[int]) -> tuple[float, float, float]:
    """Actions, actions that were played, and acts that P learns from, in these rows."""
    return (
        float(batch["actions"][[*rows]].sum()),
        float(batch["played"][rows].sum()),
        float((batch["acts"][rows] >= 0).sum()),
    )


def _groups(episodes: Sequence[Episode]) -> Tensor:
    """A number for each episode; those that begin alike share it."""
    known: dict[tuple[int, ...], int] = {}
    return torch.tensor([known.setdefault(tuple(e.ids[: e.start]), len(known)) for e in episodes])


def _scores(trunk: nn.Module, part: Batch, temperature: float) -> Tensor:
    """Log-probabilities (B, T) of a batch's tokens at a temperature; 0 at the first."""
    ids = part["input_ids"]
    logits = trunk(input_ids=ids, attention_mask=part["attention_mask"], use_cache=False).logits
    return nn.functional.pad(token_scores(logits[:, :-1].float() / temperature, ids[:, 1:]), (1, 0))
