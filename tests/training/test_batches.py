from collections import Counter
from itertools import pairwise

import pytest
from cotmill.training.batches import TokenBatches
from cotmill.training.loop import lr_factor
from cotmill.training.settings import TrainSettings
from hypothesis import given
from hypothesis import strategies as st

LENGTHS = st.lists(st.integers(1, 90), min_size=1, max_size=80)


@given(LENGTHS, st.integers(100, 400), st.integers(1, 3))
def test_every_epoch_takes_every_row_once(lengths: list[int], budget: int, epochs: int) -> None:
    taken = Counter(i for batch in TokenBatches(lengths, budget, "k", epochs=epochs) for i in batch)
    assert taken == dict.fromkeys(range(len(lengths)), epochs)


@given(LENGTHS, st.integers(10, 400))
def test_padded_batches_keep_to_the_budget(lengths: list[int], budget: int) -> None:
    for batch in TokenBatches(lengths, budget, "k"):
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget


@given(LENGTHS, st.integers(1, 40))
def test_as_many_steps_as_asked_for(lengths: list[int], steps: int) -> None:
    assert len(TokenBatches(lengths, 100, "k", steps=steps)) == steps


@given(LENGTHS, st.integers(1, 4), st.integers(1, 9))
def test_ranks_get_equally_many_batches(lengths: list[int], world: int, steps: int) -> None:
    assert len(TokenBatches(lengths, 100, "k", world=world)) % world == 0
    assert len(TokenBatches(lengths, 100, "k", steps=steps, world=world)) == steps * world


def test_half_an_epoch() -> None:
    lengths = [10] * 100
    assert len(TokenBatches(lengths, 100, "k", epochs=0.5)) == 5
    assert len(TokenBatches(lengths, 100, "k", epochs=2.5)) == 25


def test_the_key_decides_the_order() -> None:
    lengths = [*range(1, 60)]
    one, two, other = (list(TokenBatches(lengths, 120, key)) for key in ("k", "k", "x"))
    assert one == two != other
    twice = list(TokenBatches(lengths, 120, "k", epochs=2))
    assert twice[: len(one)] == one
    assert sorted(map(sorted, twice[len(one) :])) != sorted(map(sorted, one)) or twice[len(one) :] != one


def test_little_padding() -> None:
    lengths = [5 + i * 7 % 90 for i in range(1000)]
    batches = list(TokenBatches(lengths, 1000, "k"))
    padded = sum(len(b) * max(lengths[i] for i in b) for b in batches)
    assert sum(lengths) / padded > 0.95


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        TokenBatches([], 100, "k")


def test_schedule_warms_up_holds_and_falls_to_zero() -> None:
    settings = TrainSettings(warmup_steps=4, decay=0.5)
    factors = [lr_factor(step, 20, settings, 0) for step in range(21)]
    assert factors[0] == pytest.approx(0.2)
    assert factors[4:11] == [1.0] * 7
    assert factors[15] == pytest.approx(0.5)
    assert factors[20] == 0
    assert all(a >= b for a, b in pairwise(factors[10:]))


def test_schedule_falls_with_wall_time_too() -> None:
    settings = TrainSettings(warmup_steps=0, decay=0.5, max_minutes=2)
    assert lr_factor(1, 1000, settings, 30) == 1
    assert lr_factor(1, 1000, settings, 90) == pytest.approx(0.5)
    assert lr_factor(1, 1000, settings, 120) == 0
