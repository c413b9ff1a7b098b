"""The smallest coincidence lattice of one lattice with each of a list.

For a row of the whole pair matrix `stackscreen.pairs.dense` is faster and gives the same.

For an n-fold cell of lattice 1 and an m-fold cell of lattice 2 the principal Hencky strains of the linear map between
them are

    ε± = ½ ln(m A₂ / n A₁) ± ½ d,    cosh d = 1 + |τ₁ - τ₂|² / (2 Im τ₁ Im τ₂),

d being the hyperbolic distance of the two shapes: the larger is ½ |ln(m A₂ / n A₁)| + ½ d. No rotation is searched and
no matrix is decomposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stackscreen.pairs.limits import PairLimits
from stackscreen.pairs.shapes import ShapeTable

ROUNDING = 5e-13
"""Strains of so little more than a limit are within it: limits may be met exactly (equal areas, say)."""


@dataclass(frozen=True, slots=True)
class MatchedLevel:
    """The smallest supercells within a strain level, where they are others than those of the next wider level.

    Of every other pair the supercell of the next wider level is this level's too if its strain is within the level, and
    if not, the level has none: what is within the tighter is within the wider, where it was not the smallest.

    Attributes:
        at: which of the K pairs, rising, shape (E,).
        n, m, strain: as in `MatchedRow`, shape (E,).
    """

    at: NDArray[np.int64]
    n: NDArray[np.uint8]
    m: NDArray[np.uint8]
    strain: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MatchedRow:
    """The smallest supercell of one lattice (below) with each of K lattices (above).

    Attributes:
        n, m: cells of the lower and the upper lattice, shape (K,), uint8; 0 where none lies within the limits.
        strain: largest principal Hencky strain of the whole misfit, shape (K,), dimensionless; NaN where none.
        levels: the same for each of the limits' strain levels, in their order.
    """

    n: NDArray[np.uint8]
    m: NDArray[np.uint8]
    strain: NDArray[np.float64]
    levels: tuple[MatchedLevel, ...] = ()

    @classmethod
    def of_levels(cls, widest_first: Sequence[MatchedRow]) -> MatchedRow:
        """From one whole row for each level and the limits, the widest first."""
        levels = []
        for wider, row in pairwise(widest_first):
            at = np.flatnonzero((row.n > 0) & ((row.n != wider.n) | (row.m != wider.m)))
            levels.append(MatchedLevel(at, row.n[at], row.m[at], row.strain[at]))
        widest = widest_first[0]
        return cls(widest.n, widest.m, widest.strain, tuple(reversed(levels)))

    def within(self, limits: PairLimits, level: float) -> MatchedRow:
        """The smallest supercells within one of the limits' strain levels alone, or within all of the limits.

        Args:
            limits: of the search that found the row.
            level: its `max_strain`, or one of its strain levels.
        """
        if level >= limits.max_strain:
            return MatchedRow(self.n, self.m, self.strain)
        n, m, strain = self.n.copy(), self.m.copy(), self.strain.copy()
        for own, kept in zip(reversed(limits.strain_levels), reversed(self.levels), strict=True):
            if own >= level:
                n[kept.at], m[kept.at], strain[kept.at] = kept.n, kept.m, kept.strain
        beyond = ~(strain <= level + ROUNDING)
        n[beyond], m[beyond], strain[beyond] = 0, 0, np.nan
        return MatchedRow(n, m, strain)

    def turned(self, over: NDArray[np.bool_]) -> MatchedRow:
        """The same with the two sides of some pairs exchanged, shape (K,)."""
        levels = (
            MatchedLevel(one.at, np.where(over[one.at], one.m, one.n), np.where(over[one.at], one.n, one.m), one.strain)
            for one in self.levels
        )
        return MatchedRow(np.where(over, self.m, self.n), np.where(over, self.n, self.m), self.strain, tuple(levels))


@njit(cache=True, nogil=True)
def _nearest(
    a_re: np.ndarray, a_im: np.ndarray, b_re: np.ndarray, b_im: np.ndarray, limit: float, ratio: float
) -> float:
    """Smallest cosh d - 1 between two lists of shapes sorted by Im, if not above `limit`; else infinity.

    `ratio` is exp of the largest d: |ln Im a - ln Im b| ≤ d, so only a window of b can be near a shape of a.
    """
    best = np.inf
    low = 0
    size = b_im.shape[0]
    for i in range(a_im.shape[0]):
        floor = a_im[i] / ratio
        ceiling = a_im[i] * ratio
        while low < size and b_im[low] < floor:
            low += 1
        k = low
        while k < size and b_im[k] <= ceiling:
            dre = a_re[i] - b_re[k]
            dim = a_im[i] - b_im[k]
            value = (dre * dre + dim * dim) / (2.0 * a_im[i] * b_im[k])
            best = min(best, value)
            k += 1
    return best if best <= limit else np.inf


@njit(cache=True, nogil=True)
def _match_row(
    row: int,
    columns: np.ndarray,
    ln_area: np.ndarray,
    n_atoms: np.ndarray,
    max_index: np.ndarray,
    first: np.ndarray,
    start: np.ndarray,
    shape_re: np.ndarray,
    shape_im: np.ndarray,
    max_strain: float,
    max_atoms: int,
    out_n: np.ndarray,
    out_m: np.ndarray,
    out_strain: np.ndarray,
) -> None:
    window = 2.0 * max_strain
    # A tolerance for limits met exactly (a lattice with itself at strain 0 is fine; this is for ln m/n of equal areas).
    slack = 1e-12
    for column in range(columns.shape[0]):
        j = columns[column]
        out_n[column] = 0
        out_m[column] = 0
        out_strain[column] = np.nan
        log_r = ln_area[row] - ln_area[j]
        r = np.exp(log_r)
        best_product = np.iinfo(np.int64).max
        best_strain = np.inf
        for n in range(1, max_index[row] + 1):
            m_low = int(np.ceil(n * r * np.exp(-window) - 1e-9))
            m_low = max(m_low, 1)
            # Later n only have larger products.
            if n * m_low > best_product:
                break
            m_high = int(np.floor(n * r * np.exp(window) + 1e-9))
            m_high = min(m_high, max_index[j])
            for m in range(m_low, m_high + 1):
                product = n * m
                if product > best_product:
                    break
                if n * n_atoms[row] + m * n_atoms[j] > max_atoms:
                    break
                stretch = abs(np.log(m / n) - log_r)
                room = window - stretch + slack
                if room < 0.0:
                    continue
                r2 = room * room
                a, b = first[row] + n, first[j] + m
                value = _nearest(
                    shape_re[start[a - 1] : start[a]],
                    shape_im[start[a - 1] : start[a]],
                    shape_re[start[b - 1] : start[b]],
                    shape_im[start[b - 1] : start[b]],
                    # cosh room - 1, also of a room of rounding alone
                    r2 * (0.5 + r2 * (1.0 / 24.0 + r2 * (1.0 / 720.0 + r2 / 40320.0))),
                    np.exp(room) * (1.0 + 1e-12),
                )
                if value == np.inf:
                    continue
                # acosh(1 + x) without losing the digits of a small x
                distance = np.log1p(value + np.sqrt(value * (value + 2.0)))
                strain = 0.5 * (stretch + distance)
                if product < best_product or strain < best_strain:
                    best_product = product
                    best_strain = strain
                    out_n[column] = n
                    out_m[column] = m
                    out_strain[column] = strain


def match_row(table: ShapeTable, row: int, columns: NDArray[np.int64]) -> MatchedRow:
    """The smallest supercell of lattice `row` with each lattice of `columns`.

    Smallest is least n·m, that is least area of the matched cell, √(n A₁ m A₂); of equal ones the least strained.

    Args:
        table: shapes of all lattices, with the limits.
        row: number of the lower lattice.
        columns: numbers of the upper lattices, shape (K,).
    """
    columns = np.ascontiguousarray(columns, np.int64)
    limits = table.limits
    found = [_within(table, row, columns, limits.max_strain)]
    for level in reversed(limits.strain_levels):
        wider = found[-1]
        n, m, strain = wider.n.copy(), wider.m.copy(), wider.strain.copy()
        # What the wider limit found well within the level is the level's: nothing smaller is there, and of equally
        # large ones it is the least strained.
        asked = np.flatnonzero((wider.n > 0) & ~(wider.strain < level - ROUNDING))
        again = _within(table, row, columns[asked], level)
        n[asked], m[asked], strain[asked] = again.n, again.m, again.strain
        found.append(MatchedRow(n, m, strain))
    return MatchedRow.of_levels(found)


def _within(table: ShapeTable, row: int, columns: NDArray[np.int64], max_strain: float) -> MatchedRow:
    """The smallest supercells within one limit of strain."""
    n = np.empty(len(columns), np.uint8)
    m = np.empty(len(columns), np.uint8)
    strain = np.empty(len(columns), np.float64)
    _match_row(
        row,
        columns,
        table.ln_area,
        table.n_atoms,
        table.max_index,
        table.first,
        table.start,
        table.shape_re,
        table.shape_im,
        max_strain,
        table.limits.max_atoms,
        n,
        m,
        strain,
    )
    return MatchedRow(n, m, strain)
