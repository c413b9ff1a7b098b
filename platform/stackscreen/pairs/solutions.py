"""All coincidence lattices of two lattices within limits, each with its matrices, strains and twist.

A coincidence is a linear map F and the lattice of all vectors that F takes from the one lattice onto the other. Given
superlattices of both sides, in reduced bases, the maps between them that strain least are the identity of the bases
and its images under reflections in the walls of the chamber of shapes (see `stackscreen.pairs.shapes`): a straight way
from one shape to an image of the other crosses the walls one by one, and each shorter word of reflections strains no
more. So a search outwards from the identity that stops at the limit finds every map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from schema.errors import StackscreenError
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs.limits import MAX_INDEX, PairLimits
from stackscreen.pairs.solution import PairSolution, principal_strains_of

SAME_STRAIN = 1e-7
"""Strains nearer than this are equal: an acosh near 1 keeps half of a float's digits."""
SAME_LENGTH = 1e-3
"""Lattice vectors whose lengths differ by less, relatively, are equally short when the twist is measured."""
_SAME_TWIST = 1e-3
"""Degrees: two twists nearer than this are one."""

# Reflections in the walls Re τ = 0, Re τ = 1/2 and |τ| = 1, as changes of a reduced basis (a, b).
_REFLECTIONS = np.array([[[1, 0], [0, -1]], [[1, 0], [1, -1]], [[0, 1], [1, 0]]], dtype=np.int64)


class TooManyCellsError(StackscreenError):
    """A supercell within the limits has more cells than the engine counts."""


@dataclass(frozen=True, slots=True)
class Coincidence:
    """One coincidence lattice of a bottom and a top lattice.

    Attributes:
        n, m: cells of the bottom and of the top.
        natoms: atoms of both sides together.
        area: Å², of the matched supercell, √(n A₁ m A₂).
        twist: degrees, 0 to 90: see `folded_twist`.
        solution: matrices, deformation, strains of the whole misfit, turning over.
    """

    n: int
    m: int
    natoms: int
    area: float
    twist: float
    solution: PairSolution

    @property
    def strain(self) -> float:
        """Largest principal Hencky strain of the whole misfit in magnitude, dimensionless."""
        return self.solution.max_strain

    @property
    def tensor(self) -> NDArray[np.float64]:
        """Hencky strain of the whole misfit, ln √(FᵀF), in the frame of the bottom; shape (2, 2), dimensionless.

        It is what the bottom would have to bear to fit the top; the top would bear its negative.
        """
        squares, axes = np.linalg.eigh(self.solution.deformation.T @ self.solution.deformation)
        return np.asarray(0.5 * (axes * np.log(squares)) @ axes.T)

    @property
    def rotation(self) -> float:
        """Degrees, counter-clockwise, -180 to 180, that the top is turned by to lie on the bottom.

        A top that is turned over is first turned by 180° about the x axis of its own frame.
        """
        return self.solution.twist if self.solution.flip else -self.solution.twist


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
    count = 0
    for p in range(1, index + 1):
        if index % p == 0:
            count += index // p
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
def _matches(
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
        _, _, found_1, found_2 = _matches(matrices_1, cells_1, matrices_2, cells_2, room)
        n_below, below = shortest_directions(basis_1)
        n_above, above = shortest_directions(basis_2)
        for s in range(len(found_1)):
            _map(found_1[s], found_2[s], deformation)
            twist = folded_twist(deformation, n_below, below, n_above, above)
            if not twist >= twists[k]:
                twists[k] = twist
    return twists


@njit(cache=True, nogil=True)
def _describe(
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


def _groups(values: NDArray[np.float64], nearer: float) -> NDArray[np.int64]:
    """Numbers of groups of equal values: those with no gap wider than `nearer` between them."""
    order = np.argsort(values)
    groups = np.empty(len(values), np.int64)
    groups[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > nearer)])
    return groups


def max_cells(area: float, n_atoms: int, limits: PairLimits) -> int:
    """Most cells of a lattice in a supercell within the limits.

    Raises:
        TooManyCellsError: they are more than the engine counts.
    """
    by_area = int(limits.max_area / area + 1e-9)
    # The other side has at least one atom.
    cells = min(by_area, (limits.max_atoms - 1) // n_atoms)
    if cells > MAX_INDEX:
        raise TooManyCellsError(
            f"A cell of {area:.2f} Å² fits {cells} times into the limits, and at most {MAX_INDEX} are searched.",
            hint=f"Lower the area limit to {MAX_INDEX * area:.0f} Å², or check the cell.",
        )
    return cells


def coincidences(bottom: ArrayLike, top: ArrayLike, n_atoms: tuple[int, int], limits: PairLimits) -> list[Coincidence]:
    """All coincidence lattices of two lattices, by area, then strain, then twist.

    A multiple of a smaller one (the same map, of which not every coinciding vector is kept) is left out. Of those that
    the symmetries of the two lattices, or the mirror image of the whole pair, turn into each other there is one: of
    equal ones, one that need not be turned over, of these the one that is rotated least.

    Args:
        bottom, top: in-plane lattice vectors, Å, shape (2, 2), rows; any basis, any orientation.
        n_atoms: atoms per cell of both.
        limits: of strain, area of either side, and atoms.

    Raises:
        TooManyCellsError: see `max_cells`.
        DegenerateLatticeError: a lattice spans no area.
    """
    bases = [np.ascontiguousarray(np.asarray(side, float)[:2, :2]) for side in (bottom, top)]
    areas = [PlaneLattice.from_vectors(*basis).area for basis in bases]
    most = [max_cells(area, atoms, limits) for area, atoms in zip(areas, n_atoms, strict=True)]
    upper = {m: superlattices(bases[1], m) for m in range(1, most[1] + 1)}
    window = 2 * limits.max_strain
    ratio = areas[0] / areas[1]
    found: list[Coincidence] = []
    for n in range(1, most[0] + 1):
        lower = superlattices(bases[0], n)
        first = max(1, int(np.ceil(n * ratio * np.exp(-window) - 1e-9)))
        last = min(most[1], int(np.floor(n * ratio * np.exp(window) + 1e-9)))
        for m in range(first, last + 1):
            if n * n_atoms[0] + m * n_atoms[1] > limits.max_atoms:
                break
            room = window - abs(np.log(m / n / ratio)) + 1e-12
            if room >= 0:
                matches = _matches(*lower, *upper[m], room)
                natoms = n * n_atoms[0] + m * n_atoms[1]
                found += _distinct(matches, bases, n, m, natoms, float(np.sqrt(n * areas[0] * m * areas[1])))
    return sorted(found, key=lambda one: (one.n * one.m, round(one.strain, 7), one.twist))


def _distinct(
    matches: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    bases: list[NDArray[np.float64]],
    n: int,
    m: int,
    natoms: int,
    area: float,
) -> list[Coincidence]:
    """One of each class of equivalent matches of n with m cells."""
    lower, upper, cells_1, cells_2 = matches
    if not len(lower):
        return []
    maps, angles, mirrors, twists = _describe(cells_1, cells_2, *bases)
    strains = principal_strains_of(maps)
    classes = np.stack(
        [_groups(strains[:, 0], SAME_STRAIN), _groups(strains[:, 1], SAME_STRAIN), _groups(twists, _SAME_TWIST)]
    )
    # A map and its opposite are one: a lattice has both signs of every vector.
    turns = np.abs(np.remainder(angles + 90.0, 180.0) - 90.0).round(6)
    order = np.lexsort((turns, mirrors))
    _, first = np.unique(classes[:, order], axis=1, return_index=True)
    chosen = []
    for k in order[first]:
        sign = 1 if abs(angles[k]) <= 90.0 else -1
        turn = float(angles[k]) if sign == 1 else float(angles[k] - np.copysign(180.0, angles[k]))
        solution = PairSolution(
            lower[k], sign * upper[k], sign * maps[k], (float(strains[k, 0]), float(strains[k, 1])), turn,
            bool(mirrors[k]),
        )  # fmt: skip
        chosen.append(Coincidence(n, m, natoms, area, float(twists[k]), solution))
    return chosen


def smallest_by_level(found: list[Coincidence], levels: list[float]) -> list[Coincidence | None]:
    """The smallest coincidence lattice of each strain level, and of equally large ones the least strained.

    Args:
        found: all of them up to the largest level, as `coincidences` gives them.
        levels: largest strains, dimensionless.
    """
    within = ([one for one in found if one.strain <= level + 1e-12] for level in levels)
    return [min(some, key=lambda one: (one.n * one.m, one.strain), default=None) for some in within]
