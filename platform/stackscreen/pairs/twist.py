"""How two lattices are turned against each other, whatever cells describe them."""

from __future__ import annotations

import numpy as np
from numba import njit

from stackscreen.pairs.superlattices import reduce_form

SAME_LENGTH = 1e-3
"""Lattice vectors whose lengths differ by less, relatively, are equally short when the twist is measured."""


@njit(cache=True, nogil=True)
def polar_angle(deformation: np.ndarray) -> tuple[float, bool]:
    """Angle, in radians, of the rotation in a map's polar decomposition, and whether the map is a mirror.

    The orthogonal part is Rot(angle), or Rot(angle) diag(1, -1) of a mirror.
    """
    f = deformation
    mirror = f[0, 0] * f[1, 1] - f[0, 1] * f[1, 0] < 0.0
    sign = -1.0 if mirror else 1.0
    return np.arctan2(f[1, 0] - sign * f[0, 1], f[0, 0] + sign * f[1, 1]), mirror


@njit(cache=True, nogil=True)
def shortest_directions(basis: np.ndarray) -> tuple[int, np.ndarray]:
    """Angles, in radians, of the shortest vectors of a lattice, opposite ones once: 1, 2 (square) or 3 (hexagonal).

    Args:
        basis: rows, Å, shape (2, 2); any basis.

    Returns:
        How many, and the angles, shape (3,). Lengths within `SAME_LENGTH` count as equal.
    """
    matrix, cell = np.empty((2, 2), np.int64), np.empty((2, 2))
    reduce_form(basis, np.eye(2, dtype=np.int64), matrix, cell)
    angles = np.empty(3)
    least = np.hypot(cell[0, 0], cell[0, 1])
    count = 0
    for k in range(3):
        x, y = (cell[0, 0], cell[0, 1]) if k == 0 else (cell[1, 0], cell[1, 1])
        if k == 2:
            x, y = x - cell[0, 0], y - cell[0, 1]
        if np.hypot(x, y) <= least * (1.0 + SAME_LENGTH):
            angles[count] = np.arctan2(y, x)
            count += 1
    return count, angles


@njit(cache=True, nogil=True)
def folded_twist(deformation: np.ndarray, n_below: int, below: np.ndarray, n_above: int, above: np.ndarray) -> float:
    """The smallest angle between a shortest vector of the one lattice and one of the other, as they lie on each other.

    It has no sign and does not depend on the choice of cells: 0 to 30° for two hexagonal lattices, 0 to 45° for two
    square ones, 0 to 15° for one of each, and never above 90°.

    Args:
        deformation: F, shape (2, 2).
        n_below, below: shortest vectors of the lower lattice, as `shortest_directions` gives them.
        n_above, above: those of the upper one.

    Returns:
        Degrees.
    """
    angle, mirror = polar_angle(deformation)
    best = 90.0
    for t in range(n_above):
        turned = angle - above[t] if mirror else above[t] - angle
        for b in range(n_below):
            apart = np.degrees(turned - below[b]) % 180.0
            best = min(best, apart, 180.0 - apart)
    return best
