"""The batcher: when it asks, in which order, and what one failure does to the rest."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from cotmill.models.batcher import Batcher
from cotmill.models.policy import Sample, SampleRequest
from cotmill.schemas import generator
from hypothesis import given
from hypothesis import strategies as st


class EchoPolicy:
    """Says back what it was asked, with a number drawn from the key; writes down every call."""

    name, hash, writes_tags = "echo", "0", True

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def prompt(self, question: str, prefix: str = "") -> str:
        return question + prefix

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Sample]]:
        self.calls.append([r.key for r in requests])
        if any(r.prompt == "poison" for r in requests):
            raise ValueError("poison")
        return [
            [Sample(f"{r.prompt}/{i}/{generator(r.key).integers(100)}", 3, "stop") for i in range(r.n)]
            for r in requests
        ]

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        self.calls.append(list(prompts))
        return [[-float(len(c)) for c in row] for row in continuations]


async def ask(batcher: Batcher, name: str, times: int) -> list[str]:
    """A search that asks so many times in sequence."""
    said = []
    for i in range(times):
        [sample] = await batcher.sample(SampleRequest(f"{name}{i}", key=f"{name}-{i}"))
        said.append(sample.text)
    return said


def asks(batcher: Batcher, lengths: dict[str, int]) -> list[Coroutine[Any, Any, list[str]]]:
    return [ask(batcher, name, n) for name, n in lengths.items()]


def test_one_call_answers_all_that_wait_sorted_by_key() -> None:
    policy = EchoPolicy()
    batcher = Batcher(policy)
    batcher.run(asks(batcher, {"b": 2, "c": 1, "a": 3}))
    assert policy.calls == [["a-0", "b-0", "c-0"], ["a-1", "b-1"], ["a-2"]]


def test_results_come_in_the_order_of_the_coroutines() -> None:
    batcher = Batcher(EchoPolicy())
    [b, a] = batcher.run(asks(batcher, {"b": 1, "a": 1}))
    assert isinstance(b, list)
    assert b[0].startswith("b0/")
    assert isinstance(a, list)
    assert a[0].startswith("a0/")


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 4), max_size=8), st.randoms())
def test_the_order_of_the_searches_changes_neither_calls_nor_results(
    lengths: dict[str, int], rnd: Any
) -> None:
    shuffled = list(lengths)
    rnd.shuffle(shuffled)
    first, second = EchoPolicy(), EchoPolicy()
    one, two = Batcher(first), Batcher(second)
    forward = dict(zip(lengths, one.run(asks(one, lengths)), strict=True))
    other = dict(zip(shuffled, two.run(asks(two, {n: lengths[n] for n in shuffled})), strict=True))
    assert forward == other
    assert first.calls == second.calls


def test_it_waits_for_tasks_that_wait_for_one_another() -> None:
    """A search may split into tasks; nothing is asked while any of them can go on."""
    policy = EchoPolicy()
    batcher = Batcher(policy)

    async def deep(name: str, hops: int) -> str:
        for _ in range(hops):
            await asyncio.sleep(0)
        return (await ask(batcher, name, 1))[0]

    async def split() -> list[str]:
        return list(await asyncio.gather(deep("x", 50), deep("y", 0), deep("z", 7)))

    batcher.run([split(), ask(batcher, "a", 1)])
    assert policy.calls == [["a-0", "x-0", "y-0", "z-0"]]


def test_requests_filed_together_are_answered_together() -> None:
    policy = EchoPolicy()
    batcher = Batcher(policy)

    async def two_kinds() -> tuple[list[float], list[Sample]]:
        likely = batcher.logprobs("p", ["ab", "c"])
        samples = batcher.sample(SampleRequest("q", key="k", n=2))
        return await likely, await samples

    [(likely, samples)] = batcher.run([two_kinds()])  # type: ignore[misc]
    assert likely == [-2.0, -1.0]
    assert len(samples) == 2
    assert policy.calls == [["p"], ["k"]]


def test_a_search_that_raises_harms_no_other() -> None:
    batcher = Batcher(EchoPolicy())

    async def broken() -> list[str]:
        await ask(batcher, "x", 1)
        raise KeyError("mine alone")

    [bad, good] = batcher.run([broken(), ask(batcher, "a", 3)])
    assert isinstance(bad, KeyError)
    assert isinstance(good, list)
    assert len(good) == 3


def test_a_request_that_the_policy_cannot_stand_harms_no_other() -> None:
    batcher = Batcher(EchoPolicy())

    async def poison() -> list[str]:
        return [s.text for s in await batcher.sample(SampleRequest("poison", key="p"))]

    [bad, good] = batcher.run([poison(), ask(batcher, "a", 2)])
    assert isinstance(bad, ValueError)
    assert isinstance(good, list)
    assert len(good) == 2
    assert batcher.stats["sample"].failures == 1


class RefusingStream:
    """Takes no request that holds poison, and answers the others when it goes on."""

    def __init__(self, policy: EchoPolicy) -> None:
        self.policy, self.open = policy, list[SampleRequest]()

    @property
    def busy(self) -> bool:
        return bool(self.open)

    def enter(self, requests: Sequence[SampleRequest]) -> range:
        if any(r.prompt == "poison" for r in requests):
            raise ValueError("poison")
        self.open += requests
        return range(len(self.open) - len(requests), len(self.open))

    def advance(self) -> list[tuple[int, list[Sample]]]:
        asked, self.open = self.open, []
        return list(enumerate(self.policy.sample(asked)))

    def logprobs(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return self.policy.logprobs(prompts, continuations)


class RefusingPolicy(EchoPolicy):
    def stream(self) -> RefusingStream:
        return RefusingStream(self)


def test_a_request_that_a_stream_refuses_harms_no_other() -> None:
    batcher = Batcher(RefusingPolicy())

    async def poison() -> list[str]:
        return [s.text for s in await batcher.sample(SampleRequest("poison", key="p"))]

    [bad, good] = batcher.run([poison(), ask(batcher, "a", 2)])
    assert isinstance(bad, ValueError)
    assert isinstance(good, list)
    assert len(good) == 2


def test_a_search_may_catch_the_failure_and_go_on() -> None:
    batcher = Batcher(EchoPolicy())

    async def stubborn() -> list[str]:
        with pytest.raises(ValueError, match="poison"):
            await batcher.sample(SampleRequest("poison", key="p"))
        return await ask(batcher, "a", 1)

    [said] = batcher.run([stubborn()])
    assert isinstance(said, list)
    assert len(said) == 1


def test_what_a_cancelled_task_asked_is_not_asked() -> None:
    policy = EchoPolicy()
    batcher = Batcher(policy)

    async def fail() -> None:
        raise KeyError("at once")

    async def split() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ask(batcher, "doomed", 1))
            group.create_task(fail())

    [bad, good] = batcher.run([split(), ask(batcher, "a", 1)])
    assert isinstance(bad, ExceptionGroup)
    assert isinstance(good, list)
    assert policy.calls == [["a-0"]]


def test_an_answer_too_few_is_a_failure_and_not_a_shift() -> None:
    batcher = Batcher(EchoPolicy())

    async def submit(item: int) -> int:
        return await batcher.submit("short", (item,), item, lambda items: items[:1])

    one, two = batcher.run([submit(1), submit(2)])
    assert (one, two) == (1, 2)  # alone, each gets its answer

    async def lost() -> int:
        answer: int = await batcher.submit("none", (), 0, lambda _: [])
        return answer

    [result] = batcher.run([lost()])
    assert isinstance(result, RuntimeError)


def test_any_other_work_is_batched_the_same_way() -> None:
    batcher = Batcher(EchoPolicy())
    seen: list[list[int]] = []

    def square(items: list[int]) -> list[int]:
        seen.append(items)
        return [i * i for i in items]

    async def search(i: int) -> int:
        return await batcher.submit("square", (i,), i, square)

    assert batcher.run(search(i) for i in (3, 1, 2)) == [9, 1, 4]
    assert seen == [[1, 2, 3]]


def test_the_account_counts_calls_requests_rows_and_tokens() -> None:
    batcher = Batcher(EchoPolicy())

    async def search(name: str) -> None:
        await batcher.sample(SampleRequest(name, key=name, n=4))
        await batcher.logprobs(name, ["x", "y", "z"])

    batcher.run([search("a"), search("b")])
    sample, likely = batcher.stats["sample"], batcher.stats["logprobs"]
    assert (sample.calls, sample.requests, sample.rows, sample.tokens) == (1, 2, 8, 24)
    assert (likely.calls, likely.requests, likely.rows) == (1, 2, 6)


def test_a_search_that_waits_for_nothing_is_named_and_not_waited_for() -> None:
    batcher = Batcher(EchoPolicy())

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="waits"):
        batcher.run([forever()])


def test_outside_run_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="run"):
        Batcher(EchoPolicy()).sample(SampleRequest("p", key="k"))
