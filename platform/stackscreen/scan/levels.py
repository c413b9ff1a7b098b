"""The smallest supercell within a strain that a filter names, of those that the run's strain levels keep.

A tile holds one supercell a pair, the smallest within the run's limits. A filter for less strain takes, of each pair
whose own lies beyond, the one of the widest strain level that lies within: all else is then asked of that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stackscreen.pairs import PairLimits
from stackscreen.screening.packing import NO_MATCH, STRAIN_UNIT


class Kept(NamedTuple):
    """What all strain levels of a run keep: row after row, by column, and of one pair the widest level's first.

    Attributes:
        start: where each row begins, and the end, shape (N+S+1,), int64.
        column: place of the column, shape (E,), uint32.
        n, m, strain, score: as packed in tiles, shape (E,).
    """

    start: NDArray[np.int64]
    column: NDArray[np.uint32]
    n: NDArray[np.uint8]
    m: NDArray[np.uint8]
    strain: NDArray[np.uint16]
    score: NDArray[np.uint16]

    @classmethod
    def nothing(cls, n_rows: int) -> Kept:
        """Of a run without levels."""
        none, words = np.empty(0, np.uint8), np.empty(0, np.uint16)
        return cls(np.zeros(n_rows + 1, np.int64), np.empty(0, np.uint32), none, none, words, words)


@dataclass(frozen=True, slots=True)
class Levels:
    """A run's limits, and what its strain levels keep."""

    limits: PairLimits
    kept: Kept

    def narrows(self, strain: int) -> bool:
        """Whether pairs have other supercells within a strain, in units of 1e-6, than in the tiles."""
        return bool(self.kept.column.size) and strain < round(self.limits.max_strain / STRAIN_UNIT)

    def note(self, strain: int) -> str | None:
        """What a filter for at most this strain, in units of 1e-6, may not see; None if it sees everything."""
        levels = [*self.limits.strain_levels, self.limits.max_strain]
        packed = [round(level / STRAIN_UNIT) for level in levels]
        if strain >= packed[-1] or strain in packed:
            return None
        above = int(np.searchsorted(packed, strain))
        asked, upper = f"{100 * STRAIN_UNIT * strain:g} %", f"{100 * levels[above]:g} %"
        where = f"between the strain levels {100 * levels[above - 1]:g} % and {upper}" if above else f"below {upper}"
        which = "the smallest within either" if above else "the smallest within that"
        return (
            f"{asked} lies {where} for which the run keeps the smallest supercells: a pair counts if {which} has at "
            f"most {asked}; of others, a larger supercell may."
        )


@njit(cache=True, nogil=True)
def _first_of(column: np.ndarray, low: int, high: int, wanted: int) -> int:
    """First place from `low` to `high` whose column is not before the wanted one."""
    while low < high:
        middle = (low + high) >> 1
        if np.int64(column[middle]) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def narrow_stretch(
    kept: Kept,
    row: int,
    first: int,
    limit: np.uint16,
    of_cells: bool,
    n: np.ndarray,
    m: np.ndarray,
    strain: np.ndarray,
    score: np.ndarray,
) -> None:
    """Put the supercell within a limit in the place of one beyond it, of the columns `first` and following of a row.

    The numbers of cells are left alone if nobody asks for them.
    """
    low = _first_of(kept.column, kept.start[row], kept.start[row + 1], first)
    high = _first_of(kept.column, low, kept.start[row + 1], first + strain.size)
    # Without a branch, as chance decides: what is not taken is written back.
    for e in range(low, high):
        k = np.int64(kept.column[e]) - first
        taken = (strain[k] > limit) & (kept.strain[e] <= limit)
        strain[k] = kept.strain[e] if taken else strain[k]
        score[k] = kept.score[e] if taken else score[k]
        if of_cells:
            n[k] = kept.n[e] if taken else n[k]
            m[k] = kept.m[e] if taken else m[k]


@njit(cache=True, nogil=True)
def narrow_one(
    kept: Kept,
    row: int,
    column: int,
    k: int,
    limit: np.uint16,
    n: np.ndarray,
    m: np.ndarray,
    strain: np.ndarray,
    score: np.ndarray,
) -> None:
    """The same for element k, which is the pair of one row and column."""
    if strain[k] <= limit or strain[k] == NO_MATCH:
        return
    last = kept.start[row + 1]
    e = _first_of(kept.column, kept.start[row], last, column)
    while e < last and np.int64(kept.column[e]) == column:
        if kept.strain[e] <= limit:
            n[k], m[k], strain[k], score[k] = kept.n[e], kept.m[e], kept.strain[e], kept.score[e]
            return
        e += 1


@njit(cache=True, nogil=True)
def narrow_pairs(
    kept: Kept,
    rows: np.ndarray,
    columns: np.ndarray,
    limit: np.uint16,
    n: np.ndarray,
    m: np.ndarray,
    strain: np.ndarray,
    score: np.ndarray,
) -> None:
    """The same for any pairs."""
    for k in range(rows.size):
        narrow_one(kept, rows[k], columns[k], k, limit, n, m, strain, score)
