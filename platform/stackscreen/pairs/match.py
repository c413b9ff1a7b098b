"""The smallest coincidence lattice of one lattice with each of a list.

For a row of the whole pair matrix `stackscreen.pairs.dense` is faster and gives the same.

For an n-fold cell of lattice 1 and an m-fold cell of lattice 2 the principal Hencky strains of the linear map between
them are

    ε± = ½ ln(m A₂ / n A₁) ± ½ d,    cosh d = 1 + |τ₁ - τ₂|² / (2 Im τ₁ Im τ₂),

d being the hyperbolic distance of the two shapes: the larger is ½ |ln(m A₂ / n A₁)| + ½ d. No rotation is searched and
no matrix is decomposed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stackscreen.pairs.shapes import ShapeTable


@dataclass(frozen=True, slots=True)
class MatchedRow:
    """The smallest supercell of one lattice (below) with each of K lattices (above).

    Attributes:
        n, m: cells of the lower and the upper lattice, shape (K,), uint8; 0 where none lies within the limits.
        strain: largest principal Hencky strain of the whole misfit, shape (K,), dimensionless; NaN where none.
    """

    n: NDArray[np.uint8]
    m: NDArray[np.uint8]
    strain: NDArray[np.float64]


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
                a, b = first[row] + n, first[j] + m
                value = _nearest(
                    shape_re[start[a - 1] : start[a]],
                    shape_im[start[a - 1] : start[a]],
                    shape_re[start[b - 1] : start[b]],
                    shape_im[start[b - 1] : start[b]],
                    np.cosh(room) - 1.0,
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
        table.limits.max_strain,
        table.limits.max_atoms,
        n,
        m,
        strain,
    )
    return MatchedRow(n, m, strain)
