"""The compiled part of the decode step: its numbers, and what happens where nothing can be compiled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from cotmill.models.kernels import TILE, Kernels, kernels
from torch import Tensor

CONTEXT, WIDTH = 256, 64


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of compiled kernels."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernels.cache_clear()
    yield tmp_path / "cotmill" / "kernels"
    kernels.cache_clear()


def compiled(heads: int, shared: int, size: int) -> Kernels:
    found = kernels(heads, shared, size)
    if found is None:
        pytest.skip("no C compiler")
    return found


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


@pytest.mark.parametrize(
    ("heads", "shared", "size"), [(4, 1, 32), (4, 2, 16), (3, 3, 48), (8, 1, 64), (2, 2, 128)]
)
def test_attention_is_that_of_its_definition(heads: int, shared: int, size: int) -> None:
    torch.manual_seed(0)
    run = compiled(heads, shared, size)
    begun = [0, 0, 1, 31, 32, 33, 64, 70]  # tokens of a shared beginning, of which 70 are known
    own = [0, 63, 0, 31, 32, 1, 40, 7]  # tokens of a row's tail
    rows, most = len(begun), 96
    begin = torch.randn(shared, size, most), torch.randn(shared, 70, size)
    keys, values = torch.randn(rows, shared, size, WIDTH), torch.randn(rows, shared, WIDTH, size)
    projected = 3 * torch.randn(rows, (heads + 2 * shared) * size)
    angle = torch.rand(CONTEXT, size // 2)
    angles = torch.stack([angle.cos(), angle.sin()])
    position = torch.tensor([a + b for a, b in zip(begun, own, strict=True)])
    where = [[begin[0].data_ptr(), begin[1].data_ptr(), most, 70, n] for n in begun]
    beginnings, out = torch.tensor(where), torch.empty(rows, heads * size)
    scratch = torch.empty(heads // shared, 70 + WIDTH + 3 * TILE)
    before = keys.clone(), values.clone()
    run.attend(projected, torch.arange(rows), position, angles, beginnings, keys, values, scratch, out)
    for r, (n, m) in enumerate(zip(begun, own, strict=True)):
        x = projected[r].view(-1, size)
        cos, sin = angles[:, n + m]
        query, key = turned(x[:heads], cos, sin), turned(x[heads : heads + shared], cos, sin)
        torch.testing.assert_close(keys[r, :, :, m], key)
        torch.testing.assert_close(values[r, :, m], x[heads + shared :])
        seen_keys = torch.cat([begin[0][:, :, :n], before[0][r, :, :, :m], key[:, :, None]], -1)
        seen_values = torch.cat([begin[1][:, :n], before[1][r, :, :m], x[heads + shared :, None]], 1)
        expected = F.scaled_dot_product_attention(
            query.view(shared, -1, size), seen_keys.transpose(1, 2), seen_values
        )
        torch.testing.assert_close(out[r].view(shared, -1, size), expected, rtol=1e-4, atol=1e-5)
        untouched = torch.arange(WIDTH) != m
        assert torch.equal(keys[r, :, :, untouched], before[0][r, :, :, untouched])
        assert torch.equal(values[r, :, untouched], before[1][r, :, untouched])


def test_a_row_does_not_depend_on_its_company() -> None:
    run = compiled(4, 2, 16)
    projected, angles = torch.randn(5, 8 * 16), torch.randn(2, CONTEXT, 8)
    keys, values = torch.randn(5, 2, 16, WIDTH), torch.randn(5, 2, WIDTH, 16)
    position, scratch = torch.tensor([3, 60, 0, 33, 12]), torch.empty(2, WIDTH + 3 * TILE)

    def out(rows: slice) -> Tensor:
        mine = keys[rows].clone(), values[rows].clone()
        found = torch.empty(len(mine[0]), 64)
        none = torch.zeros(len(found), 5, dtype=torch.long)
        each, at = torch.arange(len(found)), position[rows].clone()
        run.attend(projected[rows], each, at, angles, none, *mine, scratch, found)
        return found

    together = out(slice(0, 5))
    assert all(torch.equal(out(slice(r, r + 1))[0], together[r]) for r in range(5))


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    run = compiled(4, 4, 16)
    keys, values = torch.zeros(1, 4, 16, WIDTH), torch.zeros(1, 4, WIDTH, 16)
    keys[0, :, 0, 3], values[0, :, 3] = 1e4, 1.0
    projected = torch.zeros(1, 12 * 16)
    projected[0, :64:16] = 1e4
    angles = torch.stack([torch.ones(CONTEXT, 8), torch.zeros(CONTEXT, 8)])
    out, none = torch.empty(1, 64), torch.zeros(1, 5, dtype=torch.long)
    run.attend(
        projected, torch.tensor([0]), torch.tensor([9]), angles, none, keys, values, torch.empty(1, 160), out
    )
    torch.testing.assert_close(out, torch.ones(1, 64))


def test_norm_and_gate_are_those_of_torch() -> None:
    run = compiled(4, 4, 16)
    x, weight = torch.randn(7, 48) * 10.0 ** torch.arange(-3, 4)[:, None], torch.randn(48)
    torch.testing.assert_close(
        run.norm(x, weight, 1e-6, torch.empty(7, 48)), F.rms_norm(x, (48,), weight, 1e-6)
    )
    gates = torch.cat([torch.linspace(-200, 200, 96).view(2, 48), torch.randn(2, 48)], 1)
    expected = F.silu(gates[:, :48]) * gates[:, 48:]
    torch.testing.assert_close(run.gate(gates, torch.empty(2, 48)), expected, rtol=1e-5, atol=1e-30)


def test_it_is_compiled_once_and_kept(cache: Path) -> None:
    compiled(4, 2, 16)
    [library] = cache.iterdir()
    made = library.stat().st_mtime_ns
    kernels.cache_clear()
    compiled(4, 2, 16)
    assert [p.stat().st_mtime_ns for p in cache.iterdir()] == [made]


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", "true"])
def test_without_a_compiler_there_are_none(
    compiler: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert kernels(4, 2, 16) is None
    assert not list(cache.glob("*"))


def test_where_nothing_can_be_written_there_are_none(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")
    assert kernels(4, 2, 16) is None
