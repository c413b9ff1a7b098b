"""Every map between superlattices of two lattices that strains no more than a limit.

A coincidence is a linear map F and the lattice of all vectors that F takes from the one lattice onto the other. Given
superlattices of both sides, in reduced bases, the maps between them that strain least are the identity of the bases
and its images under reflections in the walls of the chamber of shapes (see `stackscreen.pairs.shapes`): a straight way
from one shape to an image of the other crosses the walls one by one, and each shorter word of reflections strains no
more. So a search outwards from the identity that stops at the limit finds every map.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from stackscreen.pairs.superlattices import superlattices
from stackscreen.pairs.twist import folded_twist, polar_angle, shortest_directions

SAME_STRAIN = 1e-7
"""Strains nearer than this are equal: an acosh near 1 keeps half of a float's digits."""

# Reflections in the walls Re τ = 0, Re τ = 1/2 and |τ| = 1, as changes of a reduced basis (a, b).
_REFLECTIONS = np.array([[[1, 0], [0, -1]], [[1, 0], [1, -1]], [[0, 1], [1, 0]]], dtype=np.int64)


@njit(cache=True, nogil=True)
def _shape(cell: np.ndarray, change: np.ndarray) -> tuple[float, float]:
    """Shape (Re, Im) of the basis `change @ cell`, its handedness aside."""
    ax = change[0, 0] * cell[0, 0] + change[0, 1] * cell[1, 0]
    ay = change[0, 0] * cell[0, 1] + change[0, 1] * cell[1, 1]
    bx = change[1, 0] * cell[0, 0] + change[1, 1] * cell[1, 0]
    by = change[1, 0] * cell[0, 1] + change[1, 1] * cell[1, 1]
    aa = ax * ax + ay * ay
    return (ax * bx + ay * by) / aa, abs(ax * by - ay * bx) / aa


@njit(cache=True, nogil=True)
def _distance(re_1: float, im_1: float, re_2: float, im_2: float) -> float:
    """Hyperbolic distance of two shapes."""
    x = ((re_1 - re_2) ** 2 + (im_1 - im_2) ** 2) / (2.0 * im_1 * im_2)
    # acosh(1 + x) without losing the digits of a small x
    return np.log1p(x + np.sqrt(x * (x + 2.0)))


@njit(cache=True, nogil=True)
def _gcd(a: int, b: int) -> int:
    a, b = abs(a), abs(b)
    while b:
        a, b = b, a % b
    return a


@njit(cache=True, nogil=True)
def _is_whole(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two supercells that coincide hold every vector that coincides, and are no multiple of a smaller match.

    So it is when the 2x2 minors of the 2x4 matrix (one | other) have no common divisor.
    """
    found = 0
    for a in range(2):
        for b in range(2):
            found = _gcd(found, one[0, a] * other[1, b] - one[1, a] * other[0, b])
    found = _gcd(found, one[0, 0] * one[1, 1] - one[0, 1] * one[1, 0])
    return _gcd(found, other[0, 0] * other[1, 1] - other[0, 1] * other[1, 0]) == 1


@njit(cache=True, nogil=True)
def _times(one: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    for a in range(2):
        for b in range(2):
            out[a, b] = one[a, 0] * other[0, b] + one[a, 1] * other[1, b]


@njit(cache=True, nogil=True)
def _holds(changes: np.ndarray, count: int, change: np.ndarray) -> bool:
    """Whether a change, or its negative, is among the first `count` of some."""
    for k in range(count):
        for sign in (1, -1):
            if (
                changes[k, 0, 0] == sign * change[0, 0]
                and changes[k, 0, 1] == sign * change[0, 1]
                and changes[k, 1, 0] == sign * change[1, 0]
                and changes[k, 1, 1] == sign * change[1, 1]
            ):
                return True
    return False


@njit(cache=True, nogil=True)
def _images(re: float, im: float, cell: np.ndarray, room: float, changes: np.ndarray) -> tuple[int, np.ndarray]:
    """Every basis of `cell`, as a change of it, whose shape is no further than `room` from (re, im).

    Args:
        re, im: a shape of the chamber.
        cell: a reduced basis, rows, shape (2, 2), itself no further than that.
        room: largest hyperbolic distance.
        changes: room for the answer, shape (K, 2, 2), K ≥ 1.

    Returns:
        How many, and the changes, up to sign: `changes` itself, or a larger copy where it was too small.
    """
    changes[0] = np.eye(2, dtype=np.int64)
    count, head = 1, 0
    trial = np.empty((2, 2), np.int64)
    while head < count:
        for wall in range(3):
            _times(changes[head], _REFLECTIONS[wall], trial)
            near_re, near_im = _shape(cell, trial)
            if _distance(re, im, near_re, near_im) > room:
                continue
            if _holds(changes, count, trial):
                continue
            if count == changes.shape[0]:
                more = np.empty((2 * count, 2, 2), np.int64)
                more[:count] = changes
                changes = more
            changes[count] = trial
            count += 1
        head += 1
    return count, changes


@njit(cache=True, nogil=True)
def all_maps(
    matrices_1: np.ndarray,
    cells_1: np.ndarray,
    matrices_2: np.ndarray,
    cells_2: np.ndarray,
    room: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All coincidences between superlattices whose shapes are no further apart than `room`.

    Returns:
        Integers of the lower and upper side, then reduced bases of both, `V_2 = F V_1` row by row; each (K, 2, 2).
    """
    size = 16
    out_m1, out_m2 = np.empty((size, 2, 2), np.int64), np.empty((size, 2, 2), np.int64)
    out_c1, out_c2 = np.empty((size, 2, 2)), np.empty((size, 2, 2))
    identity = np.eye(2, dtype=np.int64)
    changes = np.empty((16, 2, 2), np.int64)
    image = np.empty((2, 2), np.int64)
    re_2, im_2 = np.empty(len(cells_2)), np.empty(len(cells_2))
    for j in range(len(cells_2)):
        re_2[j], im_2[j] = _shape(cells_2[j], identity)
    widest = np.exp(room) * (1.0 + 1e-12)
    found = 0
    for i in range(len(cells_1)):
        re, im = _shape(cells_1[i], identity)
        for j in range(len(cells_2)):
            # |ln Im τ₁ - ln Im τ₂| is never more than the distance.
            if im > im_2[j] * widest or im_2[j] > im * widest or _distance(re, im, re_2[j], im_2[j]) > room:
                continue
            count, changes = _images(re, im, cells_2[j], room, changes)
            for k in range(count):
                _times(changes[k], matrices_2[j], image)
                if not _is_whole(matrices_1[i], image):
                    continue
                if found == size:
                    size *= 2
                    grown_m1, grown_m2 = np.empty((size, 2, 2), np.int64), np.empty((size, 2, 2), np.int64)
                    grown_c1, grown_c2 = np.empty((size, 2, 2)), np.empty((size, 2, 2))
                    grown_m1[:found], grown_m2[:found] = out_m1, out_m2
                    grown_c1[:found], grown_c2[:found] = out_c1, out_c2
                    out_m1, out_m2, out_c1, out_c2 = grown_m1, grown_m2, grown_c1, grown_c2
                out_m1[found], out_m2[found], out_c1[found] = matrices_1[i], image, cells_1[i]
                for a in range(2):
                    for c in range(2):
                        out_c2[found, a, c] = changes[k, a, 0] * cells_2[j, 0, c] + changes[k, a, 1] * cells_2[j, 1, c]
                found += 1
    return out_m1[:found], out_m2[:found], out_c1[:found], out_c2[:found]


@njit(cache=True, nogil=True)
def _map(cell_1: np.ndarray, cell_2: np.ndarray, out: np.ndarray) -> None:
    """F with `cell_2[k] = F cell_1[k]`."""
    det = cell_1[0, 0] * cell_1[1, 1] - cell_1[0, 1] * cell_1[1, 0]
    for r in range(2):
        out[r, 0] = (cell_2[0, r] * cell_1[1, 1] - cell_2[1, r] * cell_1[0, 1]) / det
        out[r, 1] = (cell_2[1, r] * cell_1[0, 0] - cell_2[0, r] * cell_1[1, 0]) / det


@njit(cache=True, nogil=True)
def least_twists(
    lattices: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    n: np.ndarray,
    m: np.ndarray,
    strain: np.ndarray,
) -> np.ndarray:
    """The least folded twist of each pair's least strained coincidences.

    Args:
        lattices: bases, rows, Å, shape (N, 2, 2).
        one, other: numbers of the two lattices of each pair, shape (K,).
        n, m: cells of both, shape (K,); 0 where there is no coincidence.
        strain: the least strain, shape (K,).

    Returns:
        Degrees, shape (K,), see `folded_twist`; NaN where there is no coincidence.
    """
    twists = np.full(len(one), np.nan)
    deformation = np.empty((2, 2))
    for k in range(len(one)):
        if n[k] == 0:
            continue
        basis_1, basis_2 = lattices[one[k]], lattices[other[k]]
        area_1 = abs(basis_1[0, 0] * basis_1[1, 1] - basis_1[0, 1] * basis_1[1, 0])
        area_2 = abs(basis_2[0, 0] * basis_2[1, 1] - basis_2[0, 1] * basis_2[1, 0])
        room = 2.0 * (strain[k] + SAME_STRAIN) - abs(np.log(m[k] * area_2 / (n[k] * area_1)))
        matrices_1, cells_1 = superlattices(basis_1, n[k])
        matrices_2, cells_2 = superlattices(basis_2, m[k])
        _, _, found_1, found_2 = all_maps(matrices_1, cells_1, matrices_2, cells_2, room)
        n_below, below = shortest_directions(basis_1)
        n_above, above = shortest_directions(basis_2)
        for s in range(len(found_1)):
            _map(found_1[s], found_2[s], deformation)
            twist = folded_twist(deformation, n_below, below, n_above, above)
            if not twist >= twists[k]:
                twists[k] = twist
    return twists


@njit(cache=True, nogil=True)
def describe_maps(
    cells_1: np.ndarray, cells_2: np.ndarray, basis_1: np.ndarray, basis_2: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each coincidence: F, its polar angle in degrees, whether it is a mirror, and the folded twist in degrees."""
    size = len(cells_1)
    maps, angles = np.empty((size, 2, 2)), np.empty(size)
    mirrors, twists = np.empty(size, np.bool_), np.empty(size)
    n_below, below = shortest_directions(basis_1)
    n_above, above = shortest_directions(basis_2)
    for k in range(size):
        _map(cells_1[k], cells_2[k], maps[k])
        angle, mirrors[k] = polar_angle(maps[k])
        angles[k] = np.degrees(angle)
        twists[k] = folded_twist(maps[k], n_below, below, n_above, above)
    return maps, angles, mirrors, twists
