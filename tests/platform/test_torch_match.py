"""The array form of the match gives what the row by row form gives, on whatever device it runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from test_pairs_dense import LEVELS, assert_equal, lattices

from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable
from stackscreen.pairs.torch_match import TorchMatcher

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]


def assert_same(index: ShapeIndex, device: str, rows: list[int], firsts: list[int], chunk: int | None = None) -> int:
    """Compare row by row; returns how many pairs match."""
    expected = RowMatcher(index).match_rows(rows, firsts)
    found = TorchMatcher(index, device, chunk).match_rows(rows, firsts)
    matched = 0
    for one, other in zip(expected, found, strict=True):
        assert_equal(other, one)
        assert (other.n.dtype, other.m.dtype, other.strain.dtype) == (one.n.dtype, one.m.dtype, one.strain.dtype)
        matched += int((one.n > 0).sum())
    return matched


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    strain=st.sampled_from([1e-4, 0.005, 0.02, 0.03, 0.1, 0.2]),
    area=st.sampled_from([30.0, 120.0, 400.0]),
    atoms=st.sampled_from([20, 200, 10_000]),
)
def test_a_device_and_the_search_by_rows_agree(device: str, seed: int, strain: float, area: float, atoms: int) -> None:
    table = ShapeTable.build(*lattices(seed, 40), PairLimits(strain, area, atoms, LEVELS.get(strain, ())))
    rows = list(range(len(table)))
    matched = assert_same(ShapeIndex.build(table, len(table)), device, rows, rows)
    assert matched >= int((table.max_index > 0).sum()) or atoms == 20


@pytest.mark.parametrize("device", DEVICES)
def test_rows_may_come_in_any_order_and_from_any_first_column(device: str) -> None:
    table = ShapeTable.build(*lattices(7, 60), PairLimits(0.02, 200.0, 200))
    index = ShapeIndex.build(table, 50)
    chance = np.random.default_rng(1)
    # Rows beyond the columns are surfaces: they meet every layer.
    rows, firsts = chance.integers(60, size=80).tolist(), chance.integers(51, size=80).tolist()
    assert assert_same(index, device, rows, firsts) > 150
    matcher = TorchMatcher(index, device)
    for row, first in zip(rows[:20], firsts, strict=False):
        one, other = RowMatcher(index).match(row, first), matcher.match(row, first)
        assert_array_equal(other.n, one.n)
        assert_allclose(other.strain, one.strain, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 17, 1000])
def test_the_size_of_a_step_changes_nothing(chunk: int) -> None:
    table = ShapeTable.build(*lattices(11, 12), PairLimits(0.03, 60.0, 200))
    rows = list(range(12))
    assert assert_same(ShapeIndex.build(table, 12), "cpu", rows, [0] * 12, chunk) > 10


def test_bands_are_as_small_as_the_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ShapeTable.build(*lattices(13, 50), PairLimits(0.02, 150.0, 200))
    index, rows = ShapeIndex.build(table, 50), list(range(50))
    monkeypatch.setattr("stackscreen.pairs.torch_match._BAND_SHAPES", 300)
    bands: list[int] = []
    whole = TorchMatcher._band
    monkeypatch.setattr(
        TorchMatcher, "_band", lambda me, part, first: bands.append(len(part)) or whole(me, part, first)
    )
    assert assert_same(index, "cpu", rows, rows) > 100
    assert sum(bands) == 50
    assert len(bands) > 5


def test_a_lattice_too_large_for_the_limits_matches_nothing() -> None:
    ln_area, tau, n_atoms = lattices(5, 12)
    ln_area[4] = np.log(1e4)
    index = ShapeIndex.build(ShapeTable.build(ln_area, tau, n_atoms, PairLimits(0.02, 200.0, 200)), 12)
    assert_same(index, "cpu", list(range(12)), [0] * 12)
    alone = TorchMatcher(index).match(4, 0)
    assert not alone.n.any()
    assert np.isnan(alone.strain).all()
    assert len(TorchMatcher(index).match(3, 12).n) == 0
