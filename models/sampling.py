"""The rollout engine: many samples of many prompts over one causal LM, no token computed twice.

Rows decode together and leave when they end; waiting rows take their seats. What several prompts begin with
is computed once: a prompt is prefilled as part of the longest that holds it, and its keys and values are
forked wherever one is to be continued.

Shapes: R rows (samples), Q new tokens a row, V vocabulary.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .fused import FusedDecoder, FusedSlots
from .prefixes import Prefixes, common
from .slots import Prefix, Slots
from .work import Work

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Ids = tuple[int, ...]

_RESEAT = 1 / 32  # seats change once this share of the rows can: to change costs copies of keys and values
_WORTH = 16  # tokens that two prompts must share for one to wait until the other is computed
_PREFILL_TOKENS = 16384  # at once
_LOGITS = 1 << 26  # entries at once
_PREFIX_BYTES = 1 << 30
_EXACT = 8192  # entries above which probabilities are cumulated in double precision


@dataclass(frozen=True, slots=True)
class Row:
    """One sample to draw: its prompt's tokens, and one uniform in [0, 1) for each token it may take.

    `stops` is its entry in the engine's `stop_sets`; -1 where it has no stop strings.
    """

    ids: Ids
    uniforms: Sequence[float]
    temperature: float
    stops: int = -1


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sample's tokens (an end-of-sequence token included), and their log-probability at temperature 1."""

    tokens: list[int]
    logprob: float
    stopped: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StopSet:
    """Stop strings, seen from the tokens: `signs` (V,), whether a text holds one once a token is added.

    0: no; 1: perhaps, and `stops_at(prompt, tokens)` decides; 2: yes.
    """

    signs: Tensor
    stops_at: Callable[[Ids, list[int]], bool]


@dataclass(slots=True)
class _Seat:
    ticket: int
    row: Row
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0


class Engine:
    """Draws samples from one causal LM, at most `rows` at a time, and remembers what it has prefilled.

    Requests of equal length are seated in the order of their entry; nothing depends on the clock.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        *,
        ends: Iterable[int],
        rows: int = 256,
        prefix_bytes: int = _PREFIX_BYTES,
        work: Work | None = None,
    ) -> None:
        self.model = model
        self.rows = self._most = rows
        self.stop_sets: list[StopSet] = []
        self._vocabulary = int(model.config.get_text_config().vocab_size)
        self._signs = torch.zeros(1, self._vocabulary, dtype=torch.int8)
        self._signs[0, [i for i in ends if i < self._vocabulary]] = 2
        self.work = work if work is not None else Work()
        self._fused = FusedDecoder(model) if FusedDecoder.fits(model) else None
        self._slots = self._memory()
        self._prefixes = Prefixes(prefix_bytes)
        self._queue: list[tuple[int, int, Row]] = []
        self._whole: dict[Ids, Ids] = {}
        self._seats: list[_Seat | None] = []
        self._tickets = 0
        self._failed: list[tuple[int, Drawn]] = []

    @property
    def busy(self) -> bool:
        return bool(self._queue or self._seats or self._failed)

    @property
    def waiting(self) -> int:
        """Rows that have no seat yet."""
        return len(self._queue)

    def enter(self, rows: Sequence[Row]) -> range:
        """Queue these rows; returns their tickets, in order."""
        first = self._tickets
        self._tickets += len(rows)
        prompts = {row.ids for row in rows}
        self.work.asked += sum(map(len, prompts))
        self._whole |= _wholes({ids[:-1] for ids in prompts})
        for ticket, row in enumerate(rows, first):
            heapq.heappush(self._queue, (len(row.ids), ticket, row))
        return range(first, self._tickets)

    @torch.inference_mode()
    def advance(self) -> list[tuple[int, Drawn]]:
        """Draw one token in every row; returns the samples that ended with it, by ticket."""
        try:
            self._reseat()
            ended = self._step() if self._seats else []
        except torch.OutOfMemoryError:
            self._make_room()
            ended = []
        ended, self._failed = self._failed + ended, []
        return ended

    @torch.inference_mode()
    def score(self, rows: Sequence[tuple[Ids, Ids]]) -> list[float]:
        """Log-probability of each (prompt, continuation), summed over the continuation's tokens.

        One that another of the same prompt begins with, but for its last token, is read with that one.
        """
        prompts = {prompt for prompt, tail in rows if tail}
        self.work.asked += sum(map(len, prompts))
        prefixes = self._ensure({prompt[:-1] for prompt in prompts})
        owners = _owners({(prompt, tail[:-1]) for prompt, tail in rows if tail})
        distinct = sorted((len(head) + 1, prompt, head) for prompt, head in set(owners.values()))
        wanted: dict[tuple[Ids, Ids], list[int]] = {}
        for number, (prompt, tail) in enumerate(rows):
            if tail:
                wanted.setdefault(owners[prompt, tail[:-1]], []).append(number)
        out = [0.0] * len(rows)
        for part in _parts(distinct, lambda row: row[0], _LOGITS // self._vocabulary):
            slots = self._memory()
            slots.fill(range(len(part)), [(prefixes[p[:-1]], len(p) - 1) for _, p, _ in part])
            scores = slots.score([(prompt[-1], *head) for _, prompt, head in part]).log_softmax(-1)
            self.work.scored += len(scores)
            starts = accumulate((size for size, _, _ in part), initial=0)
            places = [
                (number, start + k, token)
                for start, (_, prompt, head) in zip(starts, part, strict=False)
                for number in wanted[prompt, head]
                for k, token in enumerate(rows[number][1])
            ]
            numbers, at, tokens = zip(*places, strict=True)
            found = scores[torch.tensor(at), torch.tensor(tokens)].tolist()
            for number, score in zip(numbers, found, strict=True):
                out[number] += score
        return out

    def _step(self) -> list[tuple[int, Drawn]]:
        seats = self._seats
        ids = torch.tensor([[_last(seat)] for seat in seats], device=self.model.device)
        going = torch.tensor([seat is not None for seat in seats], device=self.model.device)
        temperature = torch.tensor([s.row.temperature if s else 0.0 for s in seats], device=ids.device)
        uniforms = [s.row.uniforms[len(s.tokens)] if s else 0.0 for s in seats]
        logits = self._slots.forward(ids)
        self._slots.lengths += going
        drawn = inverse_cdf(logits, temperature, torch.tensor(uniforms, dtype=torch.float64).to(ids.device))
        scores = token_scores(logits[:, None], drawn[:, None])[:, 0].tolist()
        tokens = drawn.tolist()
        signs = self._signs_of(tokens)
        self.work.steps += 1
        self.work.row_steps += len(seats) - seats.count(None)
        self.work.seats += self.rows
        ended = []
        for i, (seat, token, score, sign) in enumerate(zip(seats, tokens, scores, signs, strict=True)):
            if seat is None:
                continue
            seat.tokens.append(token)
            seat.logprob += score
            stopped = sign == 2 or (sign == 1 and self._stops(seat))
            if stopped or len(seat.tokens) == len(seat.row.uniforms):
                ended.append((seat.ticket, Drawn(seat.tokens, seat.logprob, stopped)))
                self.work.sampled += len(seat.tokens)
                seats[i] = None
        return ended

    def _signs_of(self, tokens: list[int]) -> list[int]:
        """Whether each seat's text ends with its new token, as a stop set's `signs` say."""
        new = [stops.signs.clamp(min=self._signs[0]) for stops in self.stop_sets[len(self._signs) - 1 :]]
        self._signs = torch.cat([self._signs, torch.stack(new)]) if new else self._signs
        sets = torch.tensor([seat.row.stops + 1 if seat else 0 for seat in self._seats])
        found: list[int] = self._signs[sets, torch.tensor(tokens)].tolist()
        return found

    def _stops(self, seat: _Seat) -> bool:
        return self.stop_sets[seat.row.stops].stops_at(seat.row.ids, seat.tokens)

    def _reseat(self) -> None:
        """Waiting rows take the free seats; where none waits, the last rows do: the batch stays dense."""
        seats = self._seats
        vacant = [i for i, seat in enumerate(seats) if seat is None]
        entering = min(self.rows - len(seats) + len(vacant), len(self._queue))
        if not vacant and not entering:
            return
        if max(entering, len(vacant)) < _RESEAT * len(seats):
            return
        rows = heapq.nsmallest(entering, self._queue)
        prefixes = self._ensure({row.ids[:-1] for _, _, row in rows})
        for _ in rows:
            heapq.heappop(self._queue)
        taken = [*vacant, *range(len(seats), len(seats) + entering)][:entering]
        seats += [None] * (entering - len(vacant))
        for i, (_, ticket, row) in zip(taken, rows, strict=True):
            seats[i] = _Seat(ticket, row)
        if rows:
            self._slots.fill(taken, [(prefixes[r.ids[:-1]], len(r.ids) - 1) for _, _, r in rows])
        self._close_ranks(vacant[entering:])
        if not self._queue:
            self._whole.clear()

    def _close_ranks(self, holes: list[int]) -> None:
        left = len(self._seats) - len(holes)
        movers = [i for i in range(left, len(self._seats)) if self._seats[i] is not None]
        to = [i for i in holes if i < left]
        if movers:
            self._slots.move(to, movers)
            for a, b in zip(to, movers, strict=True):
                self._seats[a] = self._seats[b]
        del self._seats[left:]
        self._slots.keep(left)

    def _make_room(self) -> None:
        """Out of memory: half of the rows begin again, each by itself; one that is alone fails."""
        for seat in self._seats:
            if seat is not None:
                heapq.heappush(self._queue, (len(seat.row.ids), seat.ticket, seat.row))
        self._whole.clear()
        if self.rows > 1:
            self.rows //= 2
        else:
            _, ticket, _ = heapq.heappop(self._queue)
            self._failed.append((ticket, Drawn([], 0.0, False, error="out of memory")))
            self.rows = self._most
        self._seats.clear()
        self._slots = self._memory()
        self._prefixes.clear()

    def _memory(self) -> Slots | FusedSlots:
        return FusedSlots(self._fused, self.work) if self._fused else Slots(self.model, self.work)

    def _ensure(self, sequences: set[Ids]) -> dict[Ids, Prefix | None]:
        """Keys and values of each sequence, perhaps as the beginning of a longer one; None for no tokens."""
        wanted = _wholes({self._whole.get(ids, ids) for ids in sequences})
        found: dict[Ids, Prefix | None] = {(): None}
        todo = []
        for ids in sorted(set(wanted.values())):
            prefix, shared = self._prefixes.longest(ids)
            found[ids] = prefix
            if shared < len(ids):
                todo.append((ids, prefix, shared))
        while todo:
            now: list[tuple[Ids, Prefix | None, int]] = []
            later: list[Ids] = []
            for ids, prefix, shared in todo:
                if now and common(now[-1][0], ids) - shared >= _WORTH:
                    later.append(ids)
                else:
                    now.append((ids, prefix, shared))
            now.sort(key=lambda row: len(row[0]) - row[2])
            for part in _parts(now, lambda row: len(row[0]) - row[2], _PREFILL_TOKENS):
                for prefix in self._prefill(part):
                    found[prefix.ids] = prefix
                    self._prefixes.put(prefix)
            todo = [(ids, *self._prefixes.longest(ids)) for ids in later]
        return {ids: found[wanted[self._whole.get(ids, ids)]] for ids in sequences}

    def _prefill(self, rows: Sequence[tuple[Ids, Prefix | None, int]]) -> list[Prefix]:
        """Compute what each row's known beginning lacks."""
        slots = self._memory()
        slots.fill(range(len(rows)), [(prefix, shared) for _, prefix, shared in rows])
        slots.read([ids[shared:] for ids, _, shared in rows])
        self.work.prefilled += sum(len(ids) - shared for ids, _, shared in rows)
        return [slots.take(r, ids) for r, (ids, _, _) in enumerate(rows)]


def _owners(heads: Iterable[tuple[Ids, Ids]]) -> dict[tuple[Ids, Ids], tuple[Ids, Ids]]:
    """For each (prompt, head) the longest with that prompt that begins with it."""
    out: dict[tuple[Ids, Ids], tuple[Ids, Ids]] = {}
    owner: tuple[Ids, Ids] | None = None
    for prompt, head in sorted(heads, reverse=True):  # what begins with a head stands right before it
        if owner is None or owner[0] != prompt or owner[1][: len(head)] != head:
            owner = prompt, head
        out[prompt, head] = owner
    return out


def token_scores(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities (R, T) of `ids` (R, T) under `logits` (R, T, V)."""
    return logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(-1)


def inverse_cdf(logits: Tensor, temperature: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens (R,) drawn from the softmax of logits (R, V) / temperature (R,) by uniforms (R,) in [0, 1).

    The most likely token where the temperature is 0.
    """
    greedy = temperature == 0
    if greedy.all():
        return logits.argmax(-1)
    scaled = logits / torch.where(greedy, 1.0, temperature)[:, None]
    dtype = torch.float64 if logits.shape[-1] > _EXACT else torch.float32
    cumulated = scaled.softmax(-1).cumsum(-1, dtype=dtype)
    total = cumulated[:, -1:]
    # A product rounded up to the total would fall behind every token.
    below = torch.nextafter(total, torch.zeros_like(total))
    at = torch.minimum((uniforms[:, None] * total).to(dtype), below)
    drawn = torch.searchsorted(cumulated, at, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
    return torch.where(greedy, logits.argmax(-1), drawn) if greedy.any() else drawn


def _wholes(sequences: set[Ids]) -> dict[Ids, Ids]:
    """For each sequence the longest of them that begins with it."""
    out: dict[Ids, Ids] = {}
    whole: Ids = ()
    for ids in sorted(sequences, reverse=True):
        if whole[: len(ids)] != ids:
            whole = ids
        out[ids] = whole
    return out


def _parts(rows: Sequence[Any], size: Callable[[Any], int], limit: int) -> list[list[Any]]:
    """Consecutive rows, sorted by size, in parts of at most `limit` (rows times the largest size)."""
    parts: list[list[Any]] = []
    for row in rows:
        if parts and (len(parts[-1]) + 1) * size(row) <= limit:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def _last(seat: _Seat | None) -> int:
    if seat is None:
        return 0
    return seat.tokens[-1] if seat.tokens else seat.row.ids[-1]
