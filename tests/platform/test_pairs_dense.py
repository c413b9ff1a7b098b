"""Looking matches up in a grid gives what asking every pair gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from schema.errors import StackscreenError
from stackscreen.pairs import Known, MatchedRow, PairLimits, RowMatcher, ShapeIndex, ShapeTable, match_row
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
    assert_equal(matcher.match(row, first), match_row(table, row, np.arange(first, n_columns)))


def assert_equal(found: MatchedRow, expected: MatchedRow) -> None:
    """To rounding, on every strain level."""
    for one, other in zip((found, *found.levels), (expected, *expected.levels), strict=True):
        assert_array_equal(one.n, other.n)
        assert_array_equal(one.m, other.m)
        assert_allclose(one.strain, other.strain, atol=1e-12)
    for level, other_level in zip(found.levels, expected.levels, strict=True):
        assert_array_equal(level.at, other_level.at)


LEVELS = {0.005: (0.001,), 0.02: (0.005, 0.01), 0.03: (0.005, 0.01, 0.02), 0.1: (1e-4, 0.099)}
"""Strain levels below a limit; 0.005 is exactly the strain of two lattices whose areas differ by 1 %."""


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    strain=st.sampled_from([1e-4, 0.005, 0.02, 0.03, 0.1, 0.2]),
    area=st.sampled_from([30.0, 120.0, 400.0]),
    atoms=st.sampled_from([20, 200, 10_000]),
)
def test_the_grid_and_the_pairwise_search_agree(seed: int, strain: float, area: float, atoms: int) -> None:
    table = ShapeTable.build(*lattices(seed, 40), PairLimits(strain, area, atoms, LEVELS.get(strain, ())))
    matcher = RowMatcher(ShapeIndex.build(table, len(table)))
    for row in range(len(table)):
        assert_same(table, matcher, len(table), row, row)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    strain=st.sampled_from(list(LEVELS)),
    area=st.sampled_from([120.0, 400.0]),
    atoms=st.sampled_from([60, 200]),
)
def test_each_strain_level_has_what_a_search_within_it_alone_finds(
    seed: int, strain: float, area: float, atoms: int
) -> None:
    limits, parts = PairLimits(strain, area, atoms, LEVELS[strain]), lattices(seed, 40)
    table = ShapeTable.build(*parts, limits)
    matcher = RowMatcher(ShapeIndex.build(table, len(table)))
    alone = {
        level: ShapeTable.build(*parts, PairLimits(level, area, atoms)) for level in (*limits.strain_levels, strain)
    }
    for row in range(len(table)):
        found = matcher.match(row, row)
        for level, own in alone.items():
            assert_equal(found.within(limits, level), match_row(own, row, np.arange(row, len(table))))


def test_a_tighter_level_has_larger_supercells_and_none_that_the_limits_have_not() -> None:
    limits = PairLimits(0.03, 400.0, 200, (0.005, 0.01, 0.02))
    table = ShapeTable.build(*lattices(11, 60), limits)
    counts = dict.fromkeys((*limits.strain_levels, limits.max_strain), 0)
    kept = 0
    for row in range(len(table)):
        found = match_row(table, row, np.arange(row, len(table)))
        products = []
        for level in counts:
            one = found.within(limits, level)
            counts[level] += int((one.n > 0).sum())
            products.append(np.where(one.n > 0, one.n.astype(int) * one.m, 10**9))
        assert all((tighter >= wider).all() for tighter, wider in pairwise(products))
        kept += sum(len(level.at) for level in found.levels)
    assert list(counts.values()) == sorted(counts.values())
    # Filtering the one supercell of the widest limit would have missed these.
    assert kept > 100


def test_a_strain_of_exactly_a_level_is_within_it_however_it_is_searched_for() -> None:
    # 16 cells of the one have the area of 25 of the other, but for twice 1 %.
    ln_area = np.log(np.array([3.13, 2.504]) ** 2 * np.sqrt(0.75)) + np.array([0.0, 0.02])
    tau, atoms = np.full(2, 0.5 + 1j * np.sqrt(0.75)), np.array([2, 2])
    for order in ([0, 1], [1, 0]):
        table = ShapeTable.build(ln_area[order], tau, atoms, PairLimits(0.03, 500.0, 200, (0.01, 0.02)))
        found = RowMatcher(ShapeIndex.build(table, 2)).match(0, 1)
        assert_equal(found, match_row(table, 0, np.array([1])))
        assert {int(found.within(table.limits, 0.01).n[0]), int(found.within(table.limits, 0.01).m[0])} == {16, 25}


@pytest.mark.parametrize("levels", [(0.02,), (0.01, 0.005), (0.0, 0.01), (0.01, 0.01), (0.03,)])
def test_levels_that_do_not_rise_up_to_the_limit_are_refused(levels: tuple[float, ...]) -> None:
    with pytest.raises(StackscreenError, match="do not rise"):
        PairLimits(0.02, 400.0, 200, levels)


WIDER = [(0.012, 120.0, 100), (0.02, 80.0, 100), (0.02, 120.0, 60), (0.01, 60.0, 40), (0.02, 120.0, 100)]
"""Narrower limits than 2 %, 120 Å² and 100 atoms, or the same."""


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), narrow=st.sampled_from(WIDER), levels=st.sampled_from([(), (0.005,), (0.005, 0.01)]))
def test_a_search_that_begins_with_what_narrower_limits_gave_ends_where_a_whole_one_does(
    seed: int, narrow: tuple[float, float, int], levels: tuple[float, ...]
) -> None:
    limits = PairLimits(0.02, 120.0, 100, levels)
    before = PairLimits(*narrow, tuple(level for level in levels if level < narrow[0]))
    parts = lattices(seed, 40)
    table, earlier = ShapeTable.build(*parts, limits), ShapeTable.build(*parts, before)
    whole, begun = (RowMatcher(ShapeIndex.build(table, len(table))) for _ in range(2))
    for row in range(len(table)):
        found = match_row(earlier, row, np.arange(row, len(table)))
        steps = tuple(min(level, narrow[0]) for level in (limits.max_strain, *reversed(levels)))
        known = Known(tuple(found.within(before, level) for level in steps), before)
        assert_equal(begun.match(row, row, known), whole.match(row, row))


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
