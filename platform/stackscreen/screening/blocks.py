"""How the pair matrix is cut into blocks of work."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SHAPE: Final = 15.0
_MEETING: Final = 1.0 / 300.0
"""What a superlattice shape of a row, and what each column that it meets, costs beside a pair: fitted to the processor
time of 44 whole blocks of C2DB (2 %, 400 Å², 200 atoms), matched, described and predicted."""


class Rows(Enum):
    """What the rows of a block are, which says what columns they meet."""

    LAYERS = "layers"
    """They meet the columns from the diagonal on, so that every pair of layers is met once."""
    SURFACES = "surfaces"
    """They meet every layer, which lies above."""
    LATER = "later"
    """Members that came after the founding of the space meet all members up to their own number, on either side."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows `row_from` to `row_to` (below) against columns `col_from` to `col_to` (above), by number."""

    row_from: int
    row_to: int
    col_from: int
    col_to: int
    rows: Rows

    def first_column(self, row: int) -> int:
        """First column that `row` meets."""
        return row if self.rows is Rows.LAYERS else self.col_from

    @property
    def n_pairs(self) -> int:
        """Pairs in the block."""
        return sum(self.col_to - self.first_column(row) for row in range(self.row_from, self.row_to))


def row_costs(n_shapes: NDArray[np.int64], n_monolayers: int) -> NDArray[np.float64]:
    """What each row of the pair matrix costs to compute, in the time of one pair without superlattices.

    Args:
        n_shapes: superlattice shapes of each member within the run's limits, monolayers first, shape (N+S,).
        n_monolayers: N.

    Returns:
        Shape (N+S,).
    """
    pairs = row_pairs(len(n_shapes), n_monolayers)
    return pairs + n_shapes.astype(float) * (_SHAPE + _MEETING * pairs)


def row_pairs(n_members: int, n_monolayers: int) -> NDArray[np.int64]:
    """Pairs of each row of the pair matrix, shape (N+S,)."""
    rows = np.arange(n_members)
    return np.where(rows < n_monolayers, n_monolayers - rows, n_monolayers)


def cut(
    n_monolayers: int, n_surfaces: int, pairs_per_block: int, costs: NDArray[np.float64] | None = None
) -> list[Block]:
    """Cut N(N+1)/2 layer pairs and S·N layer-on-surface pairs into bands of rows of about equal cost.

    Args:
        n_monolayers: N; members 0 to N-1.
        n_surfaces: S; members N to N+S-1.
        pairs_per_block: pairs of average cost aimed at in a block; a block holds at least one row.
        costs: of each row, in any unit, shape (N+S,); None: every pair costs the same.
    """
    if n_monolayers == 0:
        return []
    pairs = row_pairs(n_monolayers + n_surfaces, n_monolayers)
    costs = pairs.astype(float) if costs is None else costs
    aim = pairs_per_block * costs.sum() / pairs.sum()
    layers = [Block(start, end, start, n_monolayers, Rows.LAYERS) for start, end in _bands(costs[:n_monolayers], aim)]
    surfaces = [
        Block(n_monolayers + start, n_monolayers + end, 0, n_monolayers, Rows.SURFACES)
        for start, end in _bands(costs[n_monolayers:], aim)
    ]
    return layers + surfaces


def _bands(costs: NDArray[np.float64], aim: float) -> list[tuple[int, int]]:
    """Cut rows into bands whose costs are alike, and near `aim`: first row, and one past the last, of each."""
    if len(costs) == 0:
        return []
    total = np.cumsum(costs)
    number = max(1, round(total[-1] / aim))
    inner = np.searchsorted(total, total[-1] * np.arange(1, number) / number) + 1
    edges = np.unique([0, *inner[inner < len(costs)], len(costs)]).tolist()
    return list(pairwise(edges))
