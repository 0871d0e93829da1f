"""Ids depend on content alone: not on the process, the order of work, or Python's idea of Unicode."""

import os
import subprocess
import sys

import numpy as np
import pytest
from cotmill.schemas import Generator, content_hash, generator, rng_key, trace_id, unit_interval
from hypothesis import given
from hypothesis import strategies as st

PARTS = st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.none())


@given(st.lists(PARTS, max_size=4), st.lists(PARTS, max_size=4))
def test_equal_hashes_mean_equal_parts_of_equal_types(a: list[object], b: list[object]) -> None:
    same = [(type(x), repr(x)) for x in a] == [(type(x), repr(x)) for x in b]
    assert (content_hash(*a) == content_hash(*b)) == same  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a", ""), ("", "a")),
        (("a",), ("a", "")),
        (("1",), (1,)),
        ((1,), (1.0,)),
        ((None,), ("None",)),
        (("é",), ("e\u0301",)),
        (("a", "s1:b"), ("as1:b",)),
    ],
)
def test_what_looks_alike_is_told_apart(a: tuple[str | int, ...], b: tuple[str | int, ...]) -> None:
    assert content_hash(*a) != content_hash(*b)


def test_an_enumeration_counts_as_its_value() -> None:
    assert content_hash(Generator.HUMAN) == content_hash("human")
    assert trace_id("q", "t", Generator.HUMAN) == trace_id("q", "t", "human")


def test_known_ids_never_change() -> None:
    """Rows written by one version must keep their ids in the next."""
    assert content_hash("trace", 7, 0.5, None, "\U0001fae9") == "7e70241f83f56b39eb19a4d52f920835"
    assert trace_id("1+1?", "2", "human") == "2f7b89bbcbce0eb611d1c7f548fc9947"


@pytest.mark.parametrize("change", ["question", "text", "generator", "parent"])
def test_a_trace_id_depends_on_each_of_its_parts(change: str) -> None:
    parts = {"question": "q", "text": "t", "generator": "human", "parent": "p"}
    other = parts | {change: "x"}
    assert trace_id(*parts.values()) != trace_id(*other.values())


def test_half_a_surrogate_pair_still_has_an_id() -> None:
    assert len(content_hash("\ud800")) == 32


def test_every_process_gives_the_same_ids_and_draws() -> None:
    code = (
        "from cotmill.schemas import *;"
        "print(content_hash('a', 1, None), trace_id('q', 't', 'search'));"
        "print(generator(rng_key(1, 'x', 'y')).random())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(said) == 1


@given(st.integers(0, 2**40), st.text(max_size=8), st.text(max_size=8), st.integers(0, 9))
def test_a_key_draws_the_same_whatever_was_drawn_before(seed: int, record: str, what: str, i: int) -> None:
    key = rng_key(seed, record, what, i)
    first = generator(key).random(3)
    generator(rng_key(seed, record, what, i + 1)).random(100)
    assert np.array_equal(generator(key).random(3), first)


def test_different_keys_draw_differently() -> None:
    keys = {rng_key(s, r, p, i) for s in (0, 1) for r in ("a", "b") for p in ("x", "y") for i in (0, 1)}
    assert len({float(generator(k).random()) for k in keys}) == len(keys) == 16


@given(st.lists(PARTS, max_size=3))
def test_the_unit_interval_is_half_open(parts: list[object]) -> None:
    assert 0 <= unit_interval(*parts) < 1  # type: ignore[arg-type]


def test_the_unit_interval_is_even() -> None:
    drawn = np.array([unit_interval("split", i) for i in range(4000)])
    counts, _ = np.histogram(drawn, bins=10, range=(0, 1))
    assert abs(counts - 400).max() < 80  # four standard deviations
