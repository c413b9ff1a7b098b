"""Whether two computed stacks have one registry: the same atoms above the same atoms, whoever calculated them.

Two stacks are the same if a rigid motion of space takes one onto the other once the two things that functionals
disagree about are taken out: the in-plane lattice constants, and the distance between the sides. Rigid motions of a
stack are turns and shifts in its plane, and half a turn that exchanges above and below; mirror images are no motion,
so that a chiral stack (a twisted one, say) and its mirror image stay apart while one that is its own mirror image does
not suffer. Every motion that takes one primitive in-plane lattice onto the other is tried, with every shift that lays
one atom on an atom of its kind; what is left is split into the shift of the sides against each other and the
displacements within the sides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from etl.dedupe.decide import MAX_SIZE_RATIO
from etl.dedupe.fingerprint import distance, fingerprint
from etl.dedupe.matching import pattern

MAX_REGISTRY = 0.11
"""Å, shift of the upper side against the lower. Up to here the binding energies of BiDB's stacks of one layer agree to
0.01 meV/Å² (median; 0.003 for its exact duplicates); beyond, they drift apart (0.05 at 0.12 Å, 0.08 at 0.2 Å)."""
MAX_LAYER_RMS, MAX_LAYER_DISPLACEMENT = 0.05, 0.15
"""Å, root mean square and largest displacement of the atoms within their sides. Functionals differ by less; a
ferroelectric layer turned round differs by more (NbOI2: 0.13 Å), and parallel and antiparallel are two stacks."""
MAX_DISTANCE_DIFFERENCE = 0.5
"""Å: functionals differ by 0.1 to 0.3 Å; layers that are bonded in one stack and not in the other differ by more."""
MAX_SHAPE_STRAIN = 0.03
"""Largest principal logarithmic strain between two lattices scaled to one area per atom."""
MIN_DISTANCE = 1.5
"""Å: a smaller gap is one within a layer. Sides that are bonded or interpenetrate cannot be told apart by height; such
stacks are compared as they stand."""
COMMON_DISTANCE = 3.0
"""Å between the sides when fingerprints are taken: the same for all, so that it cannot decide."""
_REACH = 0.8
"""Å: an atom further than this from every atom of its kind has no partner under the motion that is tried."""

_SIDE = 1000
"""Added to the atomic numbers of the upper side, to tell its atoms from the lower's."""
_UNIMODULAR = np.array([m for m in product((-2, -1, 0, 1, 2), repeat=4) if abs(m[0] * m[3] - m[1] * m[2]) == 1], float)
"""All changes between two reduced bases of one lattice, rows flattened, with room for a basis reduced by a hair."""


@dataclass(frozen=True, eq=False)
class StackGeometry:
    """A stack in its primitive in-plane cell.

    Attributes:
        kinds: atomic number of each atom, plus `_SIDE` for those of the upper side, shape (n,); nothing is added where
            the sides cannot be told apart.
        fractional: in-plane coordinates in `basis`, shape (n, 2).
        heights: Å, shape (n,), from the middle of each atom's own side.
        basis: rows a and b of the reduced primitive in-plane cell, Å, right-handed, shape (2, 2).
        distance: Å, lowest nucleus above minus highest below; None where the sides cannot be told apart.
    """

    kinds: NDArray[np.int64]
    fractional: NDArray[np.float64]
    heights: NDArray[np.float64]
    basis: NDArray[np.float64]
    distance: float | None

    @cached_property
    def area_per_atom(self) -> float:
        """Å²."""
        return float(np.linalg.det(self.basis)) / len(self.kinds)

    @cached_property
    def turned_kinds(self) -> NDArray[np.int64]:
        """The kinds once above and below are exchanged."""
        return self.kinds if self.distance is None else self.kinds + _SIDE * (1 - 2 * (self.kinds // _SIDE))

    @cached_property
    def content(self) -> tuple[tuple[int, int], ...]:
        """How many atoms of each kind the primitive cell holds; stacks that differ in it are different.

        The same from above and from below.
        """
        return min(_counted(self.kinds), _counted(self.turned_kinds))

    def fingerprint_at(self, area_per_atom: float) -> NDArray[np.float64]:
        """Fingerprint of the stack scaled in plane to a given Å² per atom, its sides `COMMON_DISTANCE` apart."""
        plane = self.basis * math.sqrt(area_per_atom / self.area_per_atom)
        heights = self.heights.copy()
        if self.distance is not None:
            upper = self.kinds >= _SIDE
            heights[upper] += COMMON_DISTANCE + heights[~upper].max() - heights[upper].min()
        return fingerprint(self.kinds % _SIDE, np.column_stack([self.fractional @ plane, heights]), plane)


@dataclass(frozen=True, slots=True)
class StackVerdict:
    """The comparison of two stacks.

    Attributes:
        same: whether they are one stack.
        distance: Å, of the fingerprints at one interlayer distance; infinite if the stacks differ.
        evidence: the numbers behind it, and the reason where they are not the same.
    """

    same: bool
    distance: float
    evidence: dict[str, Any]


def stack_geometry(
    numbers: NDArray[np.int64],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    one: Mapping[int, int],
    other: Mapping[int, int],
) -> StackGeometry:
    """Bring a stack into the form in which stacks are compared.

    Args:
        numbers: atomic numbers, shape (n,).
        positions: Cartesian, Å, shape (n, 3), the stack unwrapped and its normal along z.
        cell: Å, shape (3, 3), the first two rows in the xy plane.
        one, other: atoms by atomic number in a formula unit of the two sides, whichever lies below.
    """
    sides, apart = _cut(numbers, positions[:, 2], one, other)
    heights = positions[:, 2].copy()
    for side in np.unique(sides):
        heights[sides == side] -= heights[sides == side].mean()
    kinds = numbers + _SIDE * sides
    primitive = pattern(kinds, np.column_stack([positions[:, :2], heights]), cell)
    return StackGeometry(
        kinds=np.unique(kinds)[primitive.species],
        fractional=primitive.within,
        heights=primitive.heights,
        basis=primitive.plane,
        distance=apart,
    )


def compare_stacks(one: StackGeometry, other: StackGeometry) -> StackVerdict:
    """Judge two stacks of the same two materials."""
    evidence: dict[str, Any] = {}
    reason = _unlike(one, other, evidence)
    if reason is None:
        reason = _misplaced(one, other, evidence)
    if reason is not None:
        return StackVerdict(False, math.inf, {**evidence, "reason": reason})
    middle = math.sqrt(one.area_per_atom * other.area_per_atom)
    return StackVerdict(True, distance(one.fingerprint_at(middle), other.fingerprint_at(middle)), evidence)


def _unlike(one: StackGeometry, other: StackGeometry, evidence: dict[str, Any]) -> str | None:
    """Why two stacks differ whatever their registry, None if they do not; fills in the evidence."""
    if one.content != other.content:
        return "different cells"
    ratio = math.log(other.area_per_atom / one.area_per_atom)
    evidence["ln_area_ratio"] = round(ratio, 5)
    if abs(ratio) > MAX_SIZE_RATIO:
        return "area per atom"
    if one.distance is not None and other.distance is not None:
        evidence["distance_difference"] = round(other.distance - one.distance, 4)
        if abs(other.distance - one.distance) > MAX_DISTANCE_DIFFERENCE:
            return "interlayer distance"
    return None


def _misplaced(one: StackGeometry, other: StackGeometry, evidence: dict[str, Any]) -> str | None:
    """Why the atoms of two stacks do not lie alike, None if they do; fills in the evidence."""
    registry, rms, largest = _best_motion(one, other)
    if math.isinf(registry):
        return "no match of the atoms"
    evidence |= {"registry": round(registry, 4), "rms": round(rms, 4)}
    if registry > MAX_REGISTRY:
        return "registry"
    if rms > MAX_LAYER_RMS or largest > MAX_LAYER_DISPLACEMENT:
        return "displacements within the layers"
    return None


def _counted(kinds: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(Counter(kinds.tolist()).items()))


def _cut(
    numbers: NDArray[np.int64], heights: NDArray[np.float64], one: Mapping[int, int], other: Mapping[int, int]
) -> tuple[NDArray[np.int64], float | None]:
    """Tell the sides apart: the widest gap in height that has the one composition below it and the other above.

    Returns:
        0 for each atom below the gap and 1 above, and Å between the sides; all 0 and None where no gap of at least
        `MIN_DISTANCE` divides the atoms so.
    """
    sides = np.zeros(len(numbers), np.int64)
    order = np.argsort(heights, kind="stable")
    elements = sorted(set(one) | set(other))
    one_hot = numbers[order][:, None] == np.array(elements)
    if not one_hot.any(axis=1).all():
        return sides, None
    below = np.cumsum(one_hot, axis=0)[:-1]
    above = one_hot.sum(axis=0) - below
    units = [np.array([unit.get(e, 0) for e in elements]) for unit in (one, other)]
    divides = np.zeros(len(below), np.bool_)
    for lower, upper in (units, units[::-1]):
        divides |= _multiple(below, lower) & _multiple(above, upper)
    widths = np.where(divides, np.diff(heights[order]), 0.0)
    if widths.max(initial=0.0) < MIN_DISTANCE:
        return sides, None
    last = int(widths.argmax())
    sides[order[last + 1 :]] = 1
    return sides, float(widths[last])


def _multiple(counts: NDArray[np.int64], unit: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are whole multiples of a formula unit."""
    return np.asarray((counts * unit.sum() == counts.sum(axis=1, keepdims=True) * unit).all(axis=1))


def _best_motion(one: StackGeometry, other: StackGeometry) -> tuple[float, float, float]:
    """Of all motions that take `other` onto `one`, the one that keeps best within the limits.

    Returns:
        Shift of the sides against each other, root mean square of the displacements within the sides, and the largest
        of these, Å; infinite where no motion lays every atom near one of its kind.
    """
    kinds, counts = np.unique(one.kinds, return_counts=True)
    anchors = np.flatnonzero(one.kinds == kinds[counts.argmin()])
    scaled = other.basis * math.sqrt(one.area_per_atom / other.area_per_atom)
    found: tuple[float, float, float] = _search(
        one.kinds, one.fractional, one.heights, one.basis, anchors,
        other.kinds, other.turned_kinds, other.fractional, other.heights, scaled,
        _UNIMODULAR, math.cosh(2 * MAX_SHAPE_STRAIN), _REACH, MAX_REGISTRY, MAX_LAYER_RMS,
    )  # fmt: skip
    return found


@njit(cache=True)
def _search(  # type: ignore[no-untyped-def]
    kinds, fractional, heights, basis, anchors,
    upright, turned, other_fractional, other_heights, other_basis,
    matrices, max_stretch, reach, max_registry, max_rms,
):  # fmt: skip
    """Every map of the lattices and every shift; see `_best_motion`.

    `max_stretch` is cosh 2ε for the largest principal strain ε: with one area the map's singular values are e^±ε, and
    half the sum of its squared components is cosh 2ε.
    """
    area = basis[0, 0] * basis[1, 1] - basis[0, 1] * basis[1, 0]
    best, least = (np.inf, np.inf, np.inf), np.inf
    moved = np.empty_like(other_fractional)
    displaced = np.empty((len(kinds), 3))
    partners = np.empty(len(kinds), np.int64)
    for m in range(len(matrices)):
        p, q, r, s = matrices[m, 0], matrices[m, 1], matrices[m, 2], matrices[m, 3]
        hand = p * s - q * r
        half = 0.0
        for k in range(2):
            u = p * other_basis[0, k] + q * other_basis[1, k]
            v = r * other_basis[0, k] + s * other_basis[1, k]
            half += (basis[1, 1] * u - basis[0, 1] * v) ** 2 + (basis[0, 0] * v - basis[1, 0] * u) ** 2
        if half / (2 * area * area) > max_stretch:
            continue
        for i in range(len(moved)):
            a, b = other_fractional[i, 0], other_fractional[i, 1]
            moved[i, 0], moved[i, 1] = (a * s - b * r) * hand, (b * p - a * q) * hand
        # Reversing the hand in the plane is half a turn about an axis in it: above and below are exchanged.
        sign = 1.0 if hand > 0 else -1.0
        other_kinds = upright if hand > 0 else turned
        start = -1
        for i in range(len(other_kinds)):
            if other_kinds[i] == kinds[anchors[0]]:
                start = i
                break
        if start < 0:
            continue
        for anchor in anchors:
            shift_a = fractional[anchor, 0] - moved[start, 0]
            shift_b = fractional[anchor, 1] - moved[start, 1]
            if _pair_up(kinds, fractional, heights, basis, other_kinds, moved, other_heights, sign, shift_a, shift_b,
                        reach, partners, displaced):  # fmt: skip
                found = _misfit(kinds, partners, displaced)
                badness = max(found[0] / max_registry, found[1] / max_rms)
                if badness < least:
                    least, best = badness, found
    return best


@njit(cache=True)
def _pair_up(  # type: ignore[no-untyped-def]
    kinds, fractional, heights, basis, other_kinds, moved, other_heights, sign, shift_a, shift_b, reach, partners,
    displaced,
):  # fmt: skip
    """Fill in each moved atom's nearest partner of its kind and the way to it; false unless it is one to one."""
    n = len(kinds)
    used = np.zeros(n, np.bool_)
    for i in range(n):
        nearest, partner = reach * reach, -1
        for j in range(n):
            if kinds[j] != other_kinds[i] or used[j]:
                continue
            z = sign * other_heights[i] - heights[j]
            if z * z >= nearest:
                continue
            a = moved[i, 0] + shift_a - fractional[j, 0]
            b = moved[i, 1] + shift_b - fractional[j, 1]
            a -= np.rint(a)
            b -= np.rint(b)
            x = a * basis[0, 0] + b * basis[1, 0]
            y = a * basis[0, 1] + b * basis[1, 1]
            squared = x * x + y * y + z * z
            if squared < nearest:
                nearest, partner = squared, j
                displaced[i, 0], displaced[i, 1], displaced[i, 2] = x, y, z
        if partner < 0:
            return False
        used[partner] = True
        partners[i] = partner
    return True


@njit(cache=True)
def _misfit(kinds, partners, displaced):  # type: ignore[no-untyped-def]
    """Shift of the sides against each other, and what is left of the displacements: root mean square and largest."""
    n = len(kinds)
    mean = np.zeros((2, 3))
    members = np.zeros(2)
    for i in range(n):
        side = kinds[partners[i]] // _SIDE
        members[side] += 1
        mean[side] += displaced[i]
    for side in range(2):
        if members[side] > 0:
            mean[side] /= members[side]
    registry = 0.0
    if members[1] > 0:
        registry = math.sqrt((mean[1, 0] - mean[0, 0]) ** 2 + (mean[1, 1] - mean[0, 1]) ** 2)
    total, largest = 0.0, 0.0
    for i in range(n):
        squared = 0.0
        for k in range(3):
            squared += (displaced[i, k] - mean[kinds[partners[i]] // _SIDE, k]) ** 2
        total += squared
        largest = max(largest, squared)
    return registry, math.sqrt(total / n), math.sqrt(largest)
