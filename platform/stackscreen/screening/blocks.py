"""How the pair matrix is cut into blocks of work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """Rows `row_from` to `row_to` (below) against columns `col_from` to `col_to` (above), by number.

    Rows of monolayers meet only the columns from the diagonal on, so that every pair of layers is met once. Rows of
    members that came `later` than the founding of the space meet all members up to their own number, on either side.
    """

    row_from: int
    row_to: int
    col_from: int
    col_to: int
    triangular: bool
    later: bool = False

    def first_column(self, row: int) -> int:
        """First column that `row` meets."""
        return row if self.triangular else self.col_from

    @property
    def n_pairs(self) -> int:
        """Pairs in the block."""
        return sum(self.col_to - self.first_column(row) for row in range(self.row_from, self.row_to))


def cut(n_monolayers: int, n_surfaces: int, pairs_per_block: int) -> list[Block]:
    """Cut N(N+1)/2 layer pairs and S·N layer-on-surface pairs into bands of rows.

    Args:
        n_monolayers: N; members 0 to N-1.
        n_surfaces: S; members N to N+S-1.
        pairs_per_block: pairs aimed at in a block; a block holds at least one row.
    """
    blocks: list[Block] = []
    if n_monolayers == 0:
        return blocks
    start, pairs = 0, 0
    for row in range(n_monolayers):
        pairs += n_monolayers - row
        if pairs >= pairs_per_block or row == n_monolayers - 1:
            blocks.append(Block(start, row + 1, start, n_monolayers, triangular=True))
            start, pairs = row + 1, 0
    step = max(1, pairs_per_block // n_monolayers)
    end = n_monolayers + n_surfaces
    for row in range(n_monolayers, end, step):
        blocks.append(Block(row, min(row + step, end), 0, n_monolayers, triangular=False))
    return blocks
