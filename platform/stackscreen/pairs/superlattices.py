"""Superlattices of one lattice, each with its integers and its reduced basis."""

from __future__ import annotations

import numpy as np
from numba import njit

from stackscreen.pairs.shapes import divisor_sum


@njit(cache=True, nogil=True)
def reduce_form(basis: np.ndarray, form: np.ndarray, matrix: np.ndarray, cell: np.ndarray) -> None:
    """Reduce the superlattice `form @ basis` (Lagrange-Gauss): 0 ≤ a·b ≤ |a|²/2, |a| ≤ |b|.

    Args:
        basis: rows, Å, shape (2, 2).
        form: integers, shape (2, 2).
        matrix: takes the integers of the reduced basis, shape (2, 2).
        cell: takes the reduced basis, `matrix @ basis`; may be left-handed.
    """
    p, q, r, s = form[0, 0], form[0, 1], form[1, 0], form[1, 1]
    for _ in range(1000):
        ax, ay = p * basis[0, 0] + q * basis[1, 0], p * basis[0, 1] + q * basis[1, 1]
        bx, by = r * basis[0, 0] + s * basis[1, 0], r * basis[0, 1] + s * basis[1, 1]
        aa, ab = ax * ax + ay * ay, ax * bx + ay * by
        # The tolerances stop it from swapping two equally long vectors, or shifting b by ±a, for ever.
        if bx * bx + by * by < aa * (1.0 - 1e-12):
            p, q, r, s = r, s, p, q
        elif abs(ab) > 0.5 * aa * (1.0 + 1e-10):
            shift = int(np.rint(ab / aa))
            r, s = r - shift * p, s - shift * q
        else:
            if ab < 0.0:
                r, s = -r, -s
            break
    matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1] = p, q, r, s
    for c in range(2):
        cell[0, c] = p * basis[0, c] + q * basis[1, c]
        cell[1, c] = r * basis[0, c] + s * basis[1, c]


@njit(cache=True, nogil=True)
def reduced_shape(a: float, b: float, cosine: float, sine: float) -> tuple[float, float, float]:
    """ln of the cell area in Å², and Re τ and Im τ of the reduced basis, as `PlaneLattice` has them.

    Args:
        a, b: lengths of the vectors, Å.
        cosine, sine: of the angle between them.
    """
    basis = np.array([[a, 0.0], [b * cosine, b * sine]])
    matrix, cell = np.empty((2, 2), np.int64), np.empty((2, 2))
    reduce_form(basis, np.eye(2, dtype=np.int64), matrix, cell)
    aa = cell[0, 0] ** 2 + cell[0, 1] ** 2
    area = abs(cell[0, 0] * cell[1, 1] - cell[0, 1] * cell[1, 0])
    re = (cell[0, 0] * cell[1, 0] + cell[0, 1] * cell[1, 1]) / aa
    return np.log(area), min(max(re, 0.0), 0.5), area / aa


@njit(cache=True, nogil=True)
def superlattices(basis: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Every superlattice of an index: integers and reduced bases, each of shape (σ(index), 2, 2).

    Args:
        basis: rows, Å, shape (2, 2).
        index: cells of the superlattice.
    """
    count = divisor_sum(index)
    matrices = np.empty((count, 2, 2), np.int64)
    cells = np.empty((count, 2, 2))
    form = np.zeros((2, 2), np.int64)
    k = 0
    for p in range(1, index + 1):
        if index % p:
            continue
        for q in range(index // p):
            form[0, 0], form[0, 1], form[1, 1] = p, q, index // p
            reduce_form(basis, form, matrices[k], cells[k])
            k += 1
    return matrices, cells
