"""The rigid motion that best lays one layer's atoms on another's, found by trying every one that could.

A layer's motions keep its plane: rotations, half turns about an axis in the plane, and shifts. Reflections are not
among them, so a chiral layer does not match its mirror image, and an achiral one, whose mirror image is a rotated copy
of itself, does. For every pair of lattice vectors of one layer that could be the other's cell (principal strains below
`MAX_SHAPE_STRAIN`), both ways up, and every shift that lays a given atom on one of its element, each atom is paired
with the nearest of its element; what is left when the mean displacement is taken away is the distance of the two
structures. Distances are measured in the mean of the two metrics, so that they are the same from either side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schema.plane_lattice import PlaneLattice

MAX_SHAPE_STRAIN = 0.05
"""Largest principal logarithmic strain between two in-plane cells of one area."""
MAX_DISPLACEMENT = 0.6
"""Å: an atom further from its place has another one."""
PERIOD_TOLERANCE = 0.02
"""Å, how exactly a translation must repeat the atoms to be a period. Far below the displacements of a charge-density
wave (TiSe2: 0.04 to 0.08 Å), which a looser reduction would average away."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """One primitive cell of a layer, as the matcher wants it.

    Attributes:
        species: 0, 1, ... in the order of the atomic numbers, shape (n,).
        plane: rows a, b, Å, reduced and right-handed, shape (2, 2).
        within: fractional coordinates in the plane, shape (n, 2).
        heights: Å, shape (n,).
    """

    species: NDArray[np.int64]
    plane: NDArray[np.float64]
    within: NDArray[np.float64]
    heights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.species)

    def scaled(self, factor: float) -> Pattern:
        """The pattern with its plane stretched evenly."""
        return Pattern(self.species, self.plane * factor, self.within, self.heights)


@dataclass(frozen=True, slots=True)
class Match:
    """How well two patterns can be laid on each other.

    Attributes:
        rms: Å, root mean square displacement of the atoms.
        largest: Å, of one atom.
        strain: largest principal logarithmic strain between the cells.
        flipped: whether the best motion turns the layer over.
    """

    rms: float
    largest: float
    strain: float
    flipped: bool


def pattern(numbers: NDArray[np.int64], positions: NDArray[np.float64], cell: NDArray[np.float64]) -> Pattern:
    """The primitive cell of a slab in canonical form, at `PERIOD_TOLERANCE`.

    Args:
        numbers: atomic numbers, shape (n,).
        positions: Cartesian, Å, shape (n, 3).
        cell: Å, shape (3, 3), the first two rows in the xy plane.
    """
    species = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
    plane, within = _reduced(cell[:2, :2], positions[:, :2])
    heights = np.ascontiguousarray(positions[:, 2], np.float64)
    periods, kept = _periods(species, plane, within, heights, PERIOD_TOLERANCE)
    if len(periods):
        finer = _lattice_of(np.vstack([np.eye(2), periods]) @ plane)
        # Anything but a whole number of atoms a period is chance, not periodicity.
        if round(abs(np.linalg.det(plane) / np.linalg.det(finer))) * int(kept.sum()) == len(species):
            plane, within = _reduced(finer, (within @ plane)[kept])
            species, heights = species[kept], heights[kept]
    return Pattern(species, plane, within, heights)


def match(one: Pattern, other: Pattern, *, mirrored: bool = False) -> Match | None:
    """The best motion that lays one pattern on the other; None if no atom-to-atom map is close.

    Args:
        mirrored: look for motions with a reflection instead.
    """
    # One order of the two, whoever asks: rounding must not decide.
    small, large = sorted((one, other), key=lambda p: (len(p), p.heights.tobytes(), p.within.tobytes()))
    if len(large) % len(small):
        return None
    rms, largest, strain, flipped = _best(
        small.species, small.plane, small.within, small.heights,
        large.species, large.plane, large.within, large.heights,
        len(large) // len(small), mirrored, False, MAX_SHAPE_STRAIN, MAX_DISPLACEMENT,
    )  # fmt: skip
    return None if rms < 0 else Match(rms, largest, strain, flipped)


def self_match(one: Pattern) -> float:
    """Smallest rms, Å, at which a motion or reflection other than the identity lays the pattern on itself.

    Zero for an exact symmetry; infinite where nothing comes near to one.
    """
    found = [
        _best(
            one.species, one.plane, one.within, one.heights, one.species, one.plane, one.within, one.heights,
            1, mirrored, True, MAX_SHAPE_STRAIN, MAX_DISPLACEMENT,
        )[0]
        for mirrored in (False, True)
    ]  # fmt: skip
    return min((rms for rms in found if rms >= 0), default=math.inf)


def _reduced(
    plane: NDArray[np.float64], positions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A reduced, right-handed basis of a lattice, and positions in it as fractions."""
    basis = PlaneLattice.from_vectors(plane[0], plane[1]).basis.copy()
    if np.linalg.det(basis) < 0:
        basis[1] *= -1
    return np.ascontiguousarray(basis), np.ascontiguousarray(positions @ np.linalg.inv(basis))


def _lattice_of(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """A basis of the lattice that many vectors span; they are multiples of its vectors but for small errors."""
    basis = vectors[:2].copy()
    for extra in vectors[2:]:
        basis = _joined(basis, extra)
    return basis


def _joined(basis: NDArray[np.float64], extra: NDArray[np.float64]) -> NDArray[np.float64]:
    """A basis of the lattice of a basis and one vector more: Euclid's algorithm in the plane."""
    for _ in range(64):
        basis = PlaneLattice.from_vectors(basis[0], basis[1]).basis.copy()
        fraction = extra @ np.linalg.inv(basis)
        extra = (fraction - np.rint(fraction)) @ basis
        if np.linalg.norm(extra) < 0.3:  # no two atoms are that close
            return basis
        longest = 0 if np.linalg.norm(basis[0]) > np.linalg.norm(basis[1]) else 1
        if abs(np.linalg.det(np.array([basis[1 - longest], extra]))) < 0.3:
            longest = 1 - longest
        basis[longest], extra = extra, basis[longest].copy()
    return basis


@njit(cache=True)
def _periods(species, plane, within, heights, tolerance):  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915
    """Translations that repeat the atoms, as fractions, shape (p, 2); and one atom of each set that they join."""
    n = len(species)
    counts = np.zeros(species.max() + 1, np.int64)
    for i in range(n):
        counts[species[i]] += 1
    rarest = counts.argmin()
    origin = 0
    while species[origin] != rarest:
        origin += 1
    gaa = plane[0, 0] ** 2 + plane[0, 1] ** 2
    gbb = plane[1, 0] ** 2 + plane[1, 1] ** 2
    gab = plane[0, 0] * plane[1, 0] + plane[0, 1] * plane[1, 1]
    found = np.empty((n, 2))
    n_found = 0
    kept = np.ones(n, np.bool_)
    image = np.empty(n, np.int64)
    for target in range(n):
        if target == origin or species[target] != rarest or abs(heights[target] - heights[origin]) > tolerance:
            continue
        ta, tb = within[target, 0] - within[origin, 0], within[target, 1] - within[origin, 1]
        sum_a = sum_b = 0.0
        good = True
        for i in range(n):
            nearest, best = -1, 9.0 * tolerance * tolerance
            best_a = best_b = 0.0
            for j in range(n):
                if species[j] != species[i]:
                    continue
                da, db = within[j, 0] - within[i, 0] - ta, within[j, 1] - within[i, 1] - tb
                da -= np.rint(da)
                db -= np.rint(db)
                dz = heights[j] - heights[i]
                d2 = da * da * gaa + db * db * gbb + 2 * da * db * gab + dz * dz
                if d2 < best:
                    nearest, best, best_a, best_b = j, d2, da, db
            if nearest < 0:
                good = False
                break
            image[i] = nearest
            sum_a += best_a
            sum_b += best_b
        if not good:
            continue
        ta += sum_a / n
        tb += sum_b / n
        for i in range(n):
            j = image[i]
            da, db = within[j, 0] - within[i, 0] - ta, within[j, 1] - within[i, 1] - tb
            da -= np.rint(da)
            db -= np.rint(db)
            dz = heights[j] - heights[i]
            if da * da * gaa + db * db * gbb + 2 * da * db * gab + dz * dz > tolerance * tolerance:
                good = False
                break
        if not good:
            continue
        found[n_found] = ta, tb
        n_found += 1
        for i in range(n):
            # The atom of lowest index stands for those that translations join it to.
            if image[i] > i:
                kept[image[i]] = False
    return found[:n_found], kept


@njit(cache=True)
def _best(  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915
    species,
    plane,
    within,
    heights,
    species_b,
    plane_b,
    within_b,
    heights_b,
    multiple,
    mirrored,
    itself,
    max_strain,
    max_move,
):
    """The best of all maps of `multiple` cells of the first pattern on one of the second, as `Match` has it.

    Its rms is -1 where no map brings every atom within `max_move` of one of its own. With `itself`, both patterns are
    one and the identity does not count.
    """
    nothing = (-1.0, 0.0, 0.0, False)
    n, total = len(species), len(species_b)
    counts, counts_b = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for i in range(n):
        counts[species[i]] += 1
    for i in range(total):
        if species_b[i] >= n:
            return nothing
        counts_b[species_b[i]] += 1
    rarest = 0
    for s in range(n):
        if counts[s] * multiple != counts_b[s]:
            return nothing
        if 0 < counts[s] < counts[rarest]:
            rarest = s
    origin = 0
    while species[origin] != rarest:
        origin += 1
    # Vectors of the first lattice about as long as those of the second's cell.
    area = plane[0, 0] * plane[1, 1] - plane[0, 1] * plane[1, 0]
    stretch = math.exp(max_strain)
    norm_b = np.array([math.hypot(plane_b[0, 0], plane_b[0, 1]), math.hypot(plane_b[1, 0], plane_b[1, 1])])
    reach = norm_b.max() * stretch
    most_i = int(reach * math.hypot(plane[1, 0], plane[1, 1]) / area) + 1
    most_j = int(reach * math.hypot(plane[0, 0], plane[0, 1]) / area) + 1
    bb00, bb11 = norm_b[0] ** 2, norm_b[1] ** 2
    bb01 = plane_b[0, 0] * plane_b[1, 0] + plane_b[0, 1] * plane_b[1, 1]
    det_b = bb00 * bb11 - bb01 * bb01
    size = (2 * most_i + 1) * (2 * most_j + 1)
    vectors = np.empty((2, size, 2), np.int64)
    n_vectors = np.zeros(2, np.int64)
    for i in range(-most_i, most_i + 1):
        for j in range(-most_j, most_j + 1):
            length = math.hypot(i * plane[0, 0] + j * plane[1, 0], i * plane[0, 1] + j * plane[1, 1])
            for row in range(2):
                if norm_b[row] / stretch <= length <= norm_b[row] * stretch:
                    vectors[row, n_vectors[row], 0] = i
                    vectors[row, n_vectors[row], 1] = j
                    n_vectors[row] += 1
    # Strain counts as the displacement that it makes over the mean spacing of the atoms.
    spacing2 = math.sqrt(det_b) / total
    best_cost = math.inf
    best = nothing
    moved = np.empty((total, 3))
    kinds = np.empty(total, np.int64)
    gap = np.empty((total, 3))
    taken = np.zeros(total, np.int64)
    stamp = 0
    for u in range(n_vectors[0]):
        for v in range(n_vectors[1]):
            i0, j0 = vectors[0, u]
            i1, j1 = vectors[1, v]
            det = i0 * j1 - j0 * i1
            if abs(det) != multiple:
                continue
            x0, y0 = i0 * plane[0, 0] + j0 * plane[1, 0], i0 * plane[0, 1] + j0 * plane[1, 1]
            x1, y1 = i1 * plane[0, 0] + j1 * plane[1, 0], i1 * plane[0, 1] + j1 * plane[1, 1]
            aa00, aa11, aa01 = x0 * x0 + y0 * y0, x1 * x1 + y1 * y1, x0 * x1 + y0 * y1
            # Squared principal stretches: eigenvalues of B A⁻¹ for the metrics A and B.
            det_a = aa00 * aa11 - aa01 * aa01
            half = 0.5 * (bb00 * aa11 + bb11 * aa00 - 2 * bb01 * aa01) / det_a
            root = math.sqrt(max(half * half - det_b / det_a, 0.0))
            strain = 0.5 * max(abs(math.log(half + root)), abs(math.log(half - root)))
            if strain > max_strain:
                continue
            g00, g11, g01 = 0.5 * (aa00 + bb00), 0.5 * (aa11 + bb11), 0.5 * (aa01 + bb01)
            flipped = (det < 0) != mirrored
            sign = -1.0 if flipped else 1.0
            # All atoms of the supercell, as fractions of it.
            filled = 0
            for p in range(multiple if multiple > 1 else 1):
                # Translations p a + q b, one of each class: found by their fractions in the supercell.
                for q in range(multiple):
                    fa = (p * j1 - q * i1) / det
                    fb = (q * i0 - p * j0) / det
                    fa -= math.floor(fa + 1e-9)
                    fb -= math.floor(fb + 1e-9)
                    known = False
                    for other in range(0, filled, n):
                        if abs(gap[other, 0] - fa) < 1e-6 and abs(gap[other, 1] - fb) < 1e-6:
                            known = True
                            break
                    if known or filled == total:
                        continue
                    gap[filled, 0], gap[filled, 1] = fa, fb
                    for i in range(n):
                        moved[filled + i, 0] = (within[i, 0] * j1 - within[i, 1] * i1) / det + fa
                        moved[filled + i, 1] = (within[i, 1] * i0 - within[i, 0] * j0) / det + fb
                        moved[filled + i, 2] = sign * heights[i]
                        kinds[filled + i] = species[i]
                    filled += n
            for target in range(total):
                if species_b[target] != rarest:
                    continue
                if itself and target == origin and not flipped and i0 == 1 and j0 == 0 and i1 == 0 and j1 == 1:
                    continue
                ta = within_b[target, 0] - moved[origin, 0]
                tb = within_b[target, 1] - moved[origin, 1]
                tz = heights_b[target] - moved[origin, 2]
                # The first shift is as wrong as one atom is out of place; the second is the mean of all.
                reach2 = 4 * max_move * max_move
                good = True
                for _ in range(2):
                    sum_a = sum_b = sum_z = 0.0
                    stamp += 1
                    for i in range(total):
                        nearest, least = -1, reach2
                        for j in range(total):
                            if species_b[j] != kinds[i]:
                                continue
                            dz = heights_b[j] - moved[i, 2] - tz
                            if dz * dz >= least:
                                continue
                            da = within_b[j, 0] - moved[i, 0] - ta
                            db = within_b[j, 1] - moved[i, 1] - tb
                            da -= np.rint(da)
                            db -= np.rint(db)
                            d2 = da * da * g00 + db * db * g11 + 2 * da * db * g01 + dz * dz
                            if d2 < least:
                                nearest, least = j, d2
                                gap[i, 0], gap[i, 1], gap[i, 2] = da, db, dz
                        if nearest < 0 or taken[nearest] == stamp:
                            good = False
                            break
                        taken[nearest] = stamp
                        sum_a += gap[i, 0]
                        sum_b += gap[i, 1]
                        sum_z += gap[i, 2]
                    if not good:
                        break
                    sum_a, sum_b, sum_z = sum_a / total, sum_b / total, sum_z / total
                    ta, tb, tz = ta + sum_a, tb + sum_b, tz + sum_z
                    reach2 = max_move * max_move
                if not good:
                    continue
                square = largest = 0.0
                for i in range(total):
                    da, db, dz = gap[i, 0] - sum_a, gap[i, 1] - sum_b, gap[i, 2] - sum_z
                    d2 = da * da * g00 + db * db * g11 + 2 * da * db * g01 + dz * dz
                    square += d2
                    largest = max(largest, d2)
                cost = square / total + strain * strain * spacing2
                if cost < best_cost:
                    best_cost = cost
                    best = (math.sqrt(square / total), math.sqrt(largest), strain, flipped)
    return best
