"""Where a pair lies in a column of all pairs: row after row, in the order of the member numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PairLayout:
    """N layers and S surfaces; row r of a layer holds columns r to N-1, row N+s of a surface columns 0 to N-1."""

    n_monolayers: int
    n_surfaces: int

    @property
    def n_rows(self) -> int:
        """Members, each of which is a row."""
        return self.n_monolayers + self.n_surfaces

    @property
    def n_pairs(self) -> int:
        """N(N+1)/2 layer pairs and S·N pairs of a layer on a surface."""
        n = self.n_monolayers
        return n * (n + 1) // 2 + self.n_surfaces * n

    def first_columns(self) -> NDArray[np.int64]:
        """First column of each row, shape (N+S,)."""
        rows = np.arange(self.n_rows)
        return np.where(rows < self.n_monolayers, rows, 0)

    def starts(self) -> NDArray[np.int64]:
        """Position of the first pair of each row, and the number of pairs at the end, shape (N+S+1,)."""
        return np.concatenate([[0], np.cumsum(self.n_monolayers - self.first_columns())])

    def locate(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of each position, same shape."""
        starts = self.starts()
        rows = np.searchsorted(starts, positions, side="right") - 1
        return rows, positions - starts[rows] + self.first_columns()[rows]
