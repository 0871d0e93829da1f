"""The rollout engine: what it shares, whom it seats when, and that neither changes a sample."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from cotmill.models.fused import FusedDecoder, FusedSlots
from cotmill.models.kernels import TILE, kernels
from cotmill.models.local import LocalPolicy
from cotmill.models.policy import SampleRequest
from cotmill.models.prefixes import Prefixes, common
from cotmill.models.sampling import Drawn, Engine, Row, inverse_cdf
from cotmill.models.slots import Prefix, Slots
from cotmill.schemas import BadInput, generator
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 96,
    "initializer_range": 0.4,
    "eos_token_id": 2,
}


def model(name: str) -> Any:
    torch.manual_seed(0)
    kinds: dict[str, Callable[[], Any]] = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
        "llama with biases": lambda: LlamaForCausalLM(
            LlamaConfig(**SIZES, mlp_bias=True, attention_bias=True)
        ),
        "scaled rope": lambda: LlamaForCausalLM(
            LlamaConfig(**SIZES, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4})
        ),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8)),
        "mistral with a window": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8)),
        "qwen2 with windows in some layers": lambda: Qwen2ForCausalLM(
            Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=8, max_window_layers=1)
        ),
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=96, initializer_range=0.3)
        ),
    }
    return kinds[name]().eval()


KINDS = [
    "llama",
    "llama with biases",
    "scaled rope",
    "qwen2",
    "qwen3",
    "mistral with a window",
    "qwen2 with windows in some layers",
    "gpt2",
]
PROMPTS = [(5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), (5, 6, 7), (20, 21), (5, 6, 7, 8, 9, 30), (40,)]


def row(ids: Sequence[int], key: str = "k", n: int = 12, temperature: float = 1.0) -> Row:
    return Row(tuple(ids), generator(key).random(n).tolist(), temperature)


def drain(engine: Engine, rows: Sequence[Row]) -> list[Drawn]:
    tickets, done = engine.enter(rows), dict[int, Drawn]()
    while engine.busy:
        done |= engine.advance()
    return [done[t] for t in tickets]


def greedy(model: Any, prompt: Sequence[int], n: int) -> list[int]:
    """By one whole forward pass a token, without any cache."""
    ids = list(prompt)
    for _ in range(n):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shared_and_refilled_is_what_plain_forward_passes_give(kind: str) -> None:
    plain = model(kind)
    expected = [greedy(plain, prompt, 12) for prompt in PROMPTS]
    engine = Engine(model(kind), ends=(), rows=2)
    drawn = drain(engine, [row(prompt, temperature=0.0) for prompt in PROMPTS])
    assert [d.tokens for d in drawn] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_plain_forward_passes(kind: str) -> None:
    plain, engine = model(kind), Engine(model(kind), ends=())
    pairs = [((5, 6, 7), (8, 9)), ((5, 6, 7), (8, 1)), ((5, 6, 7), ()), ((5, 6), (7,)), ((40,), (3, 4, 5))]
    pairs += [((5, 6, 7), (8, 9, 3, 4)), ((5, 6, 7), (8,)), ((5, 6, 7), (8, 1, 3)), ((5, 6), (7, 8, 9, 3))]
    for (prompt, tail), score in zip(pairs, engine.score(pairs), strict=True):
        with torch.inference_mode():
            table = plain(torch.tensor([prompt + tail]), use_cache=False).logits[0].log_softmax(-1)
        exact = sum(float(table[len(prompt) + i - 1, token]) for i, token in enumerate(tail))
        assert score == pytest.approx(exact, abs=1e-4)


def test_what_another_begins_with_is_read_with_it() -> None:
    whole, parts = Engine(model("llama"), ends=()), Engine(model("llama"), ends=())
    tail = (8, 9, 3, 4, 5, 6)
    whole.score([((5, 6, 7), tail)])
    parts.score([((5, 6, 7), tail[:n]) for n in range(len(tail) + 1)])
    assert parts.work.computed == whole.work.computed


def test_the_fused_step_is_written_for_some_and_refused_for_others() -> None:
    if kernels(4, 2, 16) is None:
        pytest.skip("no C compiler")
    assert [kind for kind in KINDS if FusedDecoder.fits(model(kind))] == ["llama", "scaled rope", "qwen2"]


def test_neither_seats_nor_company_change_a_sample() -> None:
    whole = Engine(model("llama"), ends=(2,), rows=64)
    narrow = Engine(model("llama"), ends=(2,), rows=3)
    rows = [row(p, f"{i}/{j}", n=5 + 3 * j) for i, p in enumerate(PROMPTS) for j in range(6)]
    together = drain(whole, rows)
    assert [d.tokens for d in drain(narrow, rows)] == [d.tokens for d in together]
    alone = [drain(Engine(model("llama"), ends=(2,)), [r])[0].tokens for r in rows]
    assert alone == [d.tokens for d in together]


def test_a_solution_is_prefilled_once_for_all_its_prefixes() -> None:
    solution = tuple(range(3, 53))
    engine = Engine(model("llama"), ends=())
    drain(engine, [row(solution[:n], f"{n}/{k}") for n in range(5, 51, 5) for k in range(8)])
    work = engine.work
    assert work.asked == sum(range(5, 51, 5))
    assert work.prefilled == len(solution) - 1
    assert work.sampled == work.row_steps == 80 * 12
    assert work.computed == work.prefilled + work.sampled
    assert work.waste == 0


def test_branches_share_what_they_begin_with() -> None:
    trunk = tuple(range(3, 43))
    engine = Engine(model("llama"), ends=())
    drain(engine, [row((*trunk, 50, branch, 7), str(branch)) for branch in range(4)])
    assert engine.work.prefilled == 42 + 3 * 1  # the last token of each is the first step's


def test_later_requests_take_up_what_earlier_ones_computed() -> None:
    engine = Engine(model("llama"), ends=())
    state = tuple(range(3, 33))
    drain(engine, [row(state)])
    before = engine.work.prefilled
    drain(engine, [row((*state, 40, 41))])
    engine.score([((*state, 40, 41), (3,))])
    assert engine.work.prefilled - before == 2


def test_seats_are_filled_while_others_still_write() -> None:
    engine = Engine(model("llama"), ends=(), rows=4)
    rows = [row((5, 6, i), str(i), n=3 + 4 * (i % 3)) for i in range(20)]
    drain(engine, rows)
    assert engine.work.occupancy > 0.85
    assert engine.work.row_steps == sum(len(r.uniforms) for r in rows)


@pytest.mark.parametrize("kind", ["llama", "mistral with a window"])
def test_out_of_memory_halves_the_batch_and_loses_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory: Any = FusedSlots if FusedDecoder.fits(model(kind)) else Slots
    rows = [row(p, f"{i}/{j}") for i, p in enumerate(PROMPTS) for j in range(4)]
    expected = [d.tokens for d in drain(Engine(model(kind), ends=()), rows)]
    forward = memory.forward

    def small(self: Any, ids: torch.Tensor, **options: Any) -> torch.Tensor:
        if len(ids) > 3:
            raise torch.OutOfMemoryError
        logits: torch.Tensor = forward(self, ids, **options)
        return logits

    monkeypatch.setattr(memory, "forward", small)
    engine = Engine(model(kind), ends=(), rows=16)
    assert [d.tokens for d in drain(engine, rows)] == expected
    assert engine.rows < 4


@pytest.mark.parametrize("kind", ["llama", "mistral with a window"])
def test_a_row_too_large_for_memory_fails_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory: Any = FusedSlots if FusedDecoder.fits(model(kind)) else Slots
    read = memory.read

    def short(self: Any, rows: Sequence[Sequence[int]]) -> None:
        if max(map(len, rows)) > 8:
            raise torch.OutOfMemoryError
        read(self, rows)

    monkeypatch.setattr(memory, "read", short)
    asked = [row(range(30, 45)), *(row(p) for p in PROMPTS[1:])]
    long, *others = drain(Engine(model(kind), ends=(), rows=4), asked)
    assert long.error == "out of memory"
    assert all(d.error is None and len(d.tokens) == 12 for d in others)


@pytest.mark.parametrize("kind", ["llama", "scaled rope", "qwen2"])
@torch.inference_mode()
def test_ragged_rows_read_as_the_model_reads_them(kind: str) -> None:
    whole = model(kind)
    if not FusedDecoder.fits(whole):
        pytest.skip("no C compiler")
    draw = torch.Generator().manual_seed(3)
    text = tuple(torch.randint(3, 60, (80,), generator=draw).tolist())
    begun = [0, 1, 31, 32, 33, 63, 70]  # tokens of the text that a row begins with, and how many follow
    new = [5, 64, 33, 1, 31, 2, 10]
    memories: list[Any] = [FusedSlots(FusedDecoder(whole)), Slots(whole)]
    for memory in memories:
        memory.fill([0], [(None, 0)])
        memory.read([text])
    first, plain = (memory.take(0, text) for memory in memories)
    taken = []
    for memory in memories:
        memory.keep(0)
        memory.fill(range(len(begun)), [(first, length) for length in begun])
        sizes = zip(begun, new, strict=True)
        tails = [text[a : a + n] if r % 2 else (7, *text[1:n]) for r, (a, n) in enumerate(sizes)]
        taken.append(
            [
                memory.score(tails),
                *(memory.take(r, text[: begun[r]] + tail) for r, tail in enumerate(tails)),
            ]
        )
    torch.testing.assert_close(taken[0][0], taken[1][0], rtol=1e-3, atol=1e-4)
    assert len(taken[0][0]) == sum(new)
    for one, other in zip([first, *taken[0][1:]], [plain, *taken[1][1:]], strict=True):
        assert one.ids == other.ids
        for mine, theirs in zip(one.layers, other.layers, strict=True):
            for k in range(2):  # keys have room behind the last token
                shape = mine[k].shape if k else (*mine[k].shape[:2], len(one.ids))
                assert mine[0].shape == theirs[0].shape
                assert mine[0].shape[2] % TILE == 0
                torch.testing.assert_close(
                    mine[k][..., : shape[-1]], theirs[k][..., : shape[-1]], rtol=1e-3, atol=1e-4
                )
    assert memories[0].work.computed == 80 + sum(new)
    assert memories[1].work.computed == 80 + len(new) * max(new)


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_no_uniform_draws_a_token_that_cannot_come(uniform: float) -> None:
    logits = torch.randn(200, 60, generator=torch.Generator().manual_seed(0))
    logits[:, [0, 59]] = -torch.inf
    drawn = inverse_cdf(logits, torch.ones(200), torch.full((200,), uniform, dtype=torch.float64))
    assert set(drawn.tolist()) == {1 if uniform == 0 else 58}


def test_a_model_with_other_memory_is_refused_with_the_way_out() -> None:
    other: Any = MambaForCausalLM(
        MambaConfig(vocab_size=60, hidden_size=32, num_hidden_layers=1, state_size=4)
    )
    with pytest.raises(BadInput, match="model server"):
        Engine(other, ends=())


def test_a_stream_answers_who_is_done_first(llama_folder: Path) -> None:
    policy = LocalPolicy.load(str(llama_folder), device="cpu", batch_rows=8)
    stream = policy.stream()
    long, short = stream.enter(
        [SampleRequest("abc", "l", n=2, max_tokens=40), SampleRequest("abcd", "s", n=2, max_tokens=3)]
    )
    [(first, samples)] = stream.advance()
    assert first == short
    assert len(samples) == 2
    [third] = stream.enter([SampleRequest("abc", "t", max_tokens=2)])
    order = []
    while stream.busy:
        order += [number for number, _ in stream.advance()]
    assert order == [third, long]


sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple), max_size=12)


@given(sequences, st.lists(st.integers(0, 3), max_size=8).map(tuple))
def test_the_longest_known_beginning_is_found(known: list[tuple[int, ...]], ids: tuple[int, ...]) -> None:
    prefixes = Prefixes(1 << 20)
    for one in known:
        prefixes.put(Prefix(one, ()))
    best = max((common(one, ids) for one in known), default=0)
    found, shared = prefixes.longest(ids)
    assert shared == best
    assert (found is None) == (best == 0)
    assert found is None or found.ids[:shared] == ids[:shared]


def test_the_longest_unused_leave_first() -> None:
    def prefix(*ids: int) -> Prefix:
        return Prefix(ids, ((torch.zeros(1, 4, 8), torch.zeros(1, 8, 4)),))

    prefixes = Prefixes(2 * prefix(1).bytes)
    prefixes.put(prefix(1, 1))
    prefixes.put(prefix(2, 2))
    prefixes.longest((1, 1, 1))
    prefixes.put(prefix(3, 3))
    assert [prefixes.longest((i, i))[1] for i in (1, 2, 3)] == [2, 0, 2]
