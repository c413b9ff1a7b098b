"""The blocks cover the pair matrix, each pair once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stackscreen.screening.blocks import cut


@given(st.integers(0, 40), st.integers(0, 15), st.integers(1, 300))
def test_every_pair_is_in_exactly_one_block(layers, surfaces, size) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    for block in cut(layers, surfaces, size):
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
    assert all(400_000 <= block.n_pairs <= 505_000 for block in blocks[:-2] if block.triangular)
