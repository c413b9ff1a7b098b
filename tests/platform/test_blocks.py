"""The blocks cover the pair matrix, each pair once, and cost alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from test_pairs_dense import lattices

from stackscreen.pairs import PairLimits, ShapeTable
from stackscreen.screening.blocks import cut, row_costs


@given(st.integers(0, 40), st.integers(0, 15), st.integers(1, 300), st.integers(0, 3))
def test_every_pair_is_in_exactly_one_block(layers: int, surfaces: int, size: int, uneven: int) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    costs = np.random.default_rng(layers).lognormal(0, uneven, layers + surfaces) if uneven else None
    for block in cut(layers, surfaces, size, costs):
        pairs = [
            (row, column)
            for row in range(block.row_from, block.row_to)
            for column in range(block.first_column(row), block.col_to)
        ]
        assert len(pairs) == block.n_pairs > 0
        seen.update(pairs)
    expected = {(i, j) for i in range(layers) for j in range(i, layers)}
    expected |= {(layers + s, j) for s in range(surfaces) for j in range(layers)}
    assert set(seen) == expected
    assert max(seen.values(), default=1) == 1


def test_blocks_are_near_the_size_asked_for() -> None:
    blocks = cut(5000, 100, 500_000)
    assert sum(block.n_pairs for block in blocks) == 5000 * 5001 // 2 + 5000 * 100
    assert all(480_000 <= block.n_pairs <= 520_000 for block in blocks)


def test_blocks_of_uneven_rows_cost_alike_and_there_are_as_many() -> None:
    # As in a database of layers: a few small cells have many times the superlattices of the others, side by side.
    n_shapes = np.where(np.arange(4100) % 1000 < 80, 3000, 150)
    costs = row_costs(n_shapes, 4000)
    by_cost, by_count = cut(4000, 100, 200_000, costs), cut(4000, 100, 200_000)

    def dearest(blocks: list) -> float:
        each = [costs[block.row_from : block.row_to].sum() for block in blocks]
        return float(max(each) / np.median(each))

    assert abs(len(by_cost) - len(by_count)) <= 2
    assert dearest(by_cost) < 1.3 < 2 < dearest(by_count)


def test_a_row_dearer_than_a_block_is_a_block() -> None:
    blocks = cut(10, 0, 5, np.array([1.0, 1, 1, 1000, 1, 1, 1, 1, 1, 1]))
    assert [(block.row_from, block.row_to) for block in blocks] == [(0, 4), (4, 10)]


def test_a_table_counts_the_shapes_of_each_lattice() -> None:
    ln_area, tau, n_atoms = lattices(5, 12)
    ln_area[4] = np.log(1e4)
    table = ShapeTable.build(ln_area, tau, n_atoms, PairLimits(0.02, 200.0, 200))
    alone = [
        len(ShapeTable.build(ln_area[[k]], tau[[k]], n_atoms[[k]], PairLimits(0.02, 200.0, 200)).shape_re)
        for k in range(12)
    ]
    assert_array_equal(table.n_shapes, alone)
    assert table.n_shapes[4] == 0
    assert row_costs(table.n_shapes, 12)[4] == 12 - 4
