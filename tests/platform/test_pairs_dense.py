"""Looking matches up in a grid gives what asking every pair gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from stackscreen.pairs import Known, PairLimits, RowMatcher, ShapeIndex, ShapeTable, match_row
from stackscreen.pairs.shapes import fold


def lattices(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hexagonal, square, rectangular, rhombic, oblique and thin lattices, some of them twice and some nearly alike."""
    chance = np.random.default_rng(seed)
    tau = np.empty(n, complex)
    for i in range(n):
        kind = chance.integers(6)
        re = (0.5, 0.0, 0.0, 0.5, chance.uniform(0, 0.5), chance.uniform(0, 0.5))[kind]
        im = (np.sqrt(0.75), 1.0, chance.uniform(1, 4), chance.uniform(0.9, 3), chance.uniform(1, 3), 9.0)[kind]
        tau[i] = complex(*fold(float(re), float(im)))
    ln_area = np.log(chance.uniform(4, 90, n))
    n_atoms = chance.integers(1, 13, n)
    again = chance.integers(n, size=n // 3)
    tau[: n // 3], ln_area[: n // 3] = tau[again], ln_area[again] + chance.choice([0.0, 1e-7, 0.01], n // 3)
    return ln_area, tau, n_atoms


def assert_same(table: ShapeTable, matcher: RowMatcher, n_columns: int, row: int, first: int) -> None:
    expected, found = match_row(table, row, np.arange(first, n_columns)), matcher.match(row, first)
    assert_array_equal(found.n, expected.n)
    assert_array_equal(found.m, expected.m)
    assert_allclose(found.strain, expected.strain, atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    strain=st.sampled_from([1e-4, 0.005, 0.02, 0.03, 0.1, 0.2]),
    area=st.sampled_from([30.0, 120.0, 400.0]),
    atoms=st.sampled_from([20, 200, 10_000]),
)
def test_the_grid_and_the_pairwise_search_agree(seed: int, strain: float, area: float, atoms: int) -> None:
    table = ShapeTable.build(*lattices(seed, 40), PairLimits(strain, area, atoms))
    matcher = RowMatcher(ShapeIndex.build(table, len(table)))
    for row in range(len(table)):
        assert_same(table, matcher, len(table), row, row)


WIDER = [(0.012, 120.0, 100), (0.02, 80.0, 100), (0.02, 120.0, 60), (0.01, 60.0, 40), (0.02, 120.0, 100)]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), narrow=st.sampled_from(WIDER))
def test_a_search_that_begins_with_what_narrower_limits_gave_ends_where_a_whole_one_does(
    seed: int, narrow: tuple[float, float, int]
) -> None:
    limits, before = PairLimits(0.02, 120.0, 100), PairLimits(*narrow)
    parts = lattices(seed, 40)
    table, earlier = ShapeTable.build(*parts, limits), ShapeTable.build(*parts, before)
    whole, begun = (RowMatcher(ShapeIndex.build(table, len(table))) for _ in range(2))
    for row in range(len(table)):
        found = match_row(earlier, row, np.arange(row, len(table)))
        wider, expected = begun.match(row, row, Known(found, before)), whole.match(row, row)
        assert_array_equal(wider.n, expected.n)
        assert_array_equal(wider.m, expected.m)
        assert_allclose(wider.strain, expected.strain, atol=1e-12)


def test_rows_may_come_in_any_order_and_from_any_first_column() -> None:
    table = ShapeTable.build(*lattices(7, 60), PairLimits(0.02, 200.0, 200))
    matcher = RowMatcher(ShapeIndex.build(table, 50))
    chance = np.random.default_rng(1)
    for _ in range(80):
        # Rows beyond the columns are surfaces: they meet every layer.
        assert_same(table, matcher, 50, int(chance.integers(60)), int(chance.integers(51)))


def test_two_matchers_share_one_index() -> None:
    table = ShapeTable.build(*lattices(3, 30), PairLimits(0.02, 200.0, 200))
    index = ShapeIndex.build(table, 30)
    one, other = RowMatcher(index), RowMatcher(index)
    for row in range(30):
        assert_same(table, one, 30, row, row)
        assert_same(table, other, 30, 29 - row, 0)


def test_a_lattice_too_large_for_the_limits_matches_nothing() -> None:
    ln_area, tau, n_atoms = lattices(5, 12)
    ln_area[4] = np.log(1e4)
    table = ShapeTable.build(ln_area, tau, n_atoms, PairLimits(0.02, 200.0, 200))
    matcher = RowMatcher(ShapeIndex.build(table, 12))
    assert not matcher.match(4, 0).n.any()
    assert matcher.match(0, 0).n[4] == 0
    for row in range(12):
        assert_same(table, matcher, 12, row, 0)


def test_more_columns_than_can_be_numbered_are_refused() -> None:
    table = ShapeTable.build(*lattices(5, 3), PairLimits(0.02, 50.0, 200))
    with pytest.raises(ValueError, match="cut them"):
        ShapeIndex.build(table, 1 << 23)
