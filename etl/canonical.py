"""The canonical form of a structure: what `schema.structures.Structure` promises.

A slab's vacuum depends on who calculated it, its origin and orientation on nobody's intention. The largest empty gap
along one of the three lattice directions is taken for the vacuum; the layer is unwrapped across the boundary, turned
so that its normal is +z and its first vector +x, centred, and the vacuum dropped.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from etl.errors import RecordError
from etl.records import Atoms

CANONICAL_VACUUM = 20.0
"""Å, empty space in the third vector of every canonical slab."""
MIN_VACUUM = 5.0
"""Å: a smaller gap is a van der Waals gap of a layered crystal (2.8-4 Å), or none."""
MAX_CRYSTAL_GAP = 2 * MIN_VACUUM
"""Å: a crystal with more empty space than this is a slab."""
_DIGEST_STEP = 1e-4
"""Å, resolution of the structure digest."""
_FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class Canonical:
    """A structure in canonical form; atoms stay in the source's order.

    Attributes:
        numbers: atomic numbers, shape (n,).
        positions: Cartesian, Å, shape (n, 3).
        cell: rows, Å, shape (3, 3).
        periodicity: 2 for a slab, 3 for a crystal.
        vacuum: Å of empty space along the normal in the source's cell; None for a crystal.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    periodicity: int
    vacuum: float | None

    @cached_property
    def thickness(self) -> float:
        """Å, lowest to highest nucleus along z."""
        return float(np.ptp(self.positions[:, 2]))

    @cached_property
    def area(self) -> float:
        """Å², of the in-plane cell."""
        return float(abs(np.linalg.det(self.cell[:2, :2])))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of cell, numbers and positions to 1e-4 Å."""
        hasher = hashlib.sha256()
        for array in (self.cell, self.positions):
            # Adding zero turns -0 into 0.
            hasher.update((np.rint(array / _DIGEST_STEP).astype(np.int64) + 0).astype("<i8").tobytes())
        hasher.update(self.numbers.astype("<i8").tobytes())
        return hasher.digest()


def canonical_crystal(atoms: Atoms, *, max_gap: float = MAX_CRYSTAL_GAP) -> Canonical:
    """A three-dimensional crystal, kept as its source gave it.

    Args:
        atoms: as the source gave them.
        max_gap: Å, empty space beyond which it is refused.

    Raises:
        RecordError: rule `not_3d`, the cell has no volume or holds a slab.
    """
    if abs(np.linalg.det(atoms.cell)) < _FLAT:
        raise RecordError("not_3d", "The three cell vectors span no volume.")
    gap, axis = max((_gap(atoms, axis)[0], axis) for axis in range(3))
    if gap > max_gap:
        raise RecordError("not_3d", f"The cell has {gap:.1f} Å of empty space along vector {axis + 1}: it is a slab.")
    return Canonical(atoms.numbers, atoms.positions, atoms.cell, 3, None)


def canonical_slab(atoms: Atoms, *, min_vacuum: float = MIN_VACUUM) -> Canonical:
    """A slab in canonical form.

    Which face is up follows from the source: +z is the side of the third vector (or of whichever vector crosses the
    vacuum). A left-handed cell is made right-handed by exchanging its in-plane vectors.

    Args:
        atoms: as the source gave them.
        min_vacuum: Å, empty space below which it is refused.

    Raises:
        RecordError: rule `not_2d`, no direction has `min_vacuum` of empty space, or the plane has no area.
    """
    atoms = _completed(atoms)
    gap, unwrapped, axis = _widest_gap(atoms)
    if gap < min_vacuum:
        reason = f"The largest empty gap is {gap:.2f} Å, less than the {min_vacuum} Å that tell a layer from a crystal."
        raise RecordError("not_2d", reason)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    if np.linalg.det(atoms.cell) < 0:
        first, second = second, first
    order = [first, second, axis]
    fractional = unwrapped[:, order]
    a, b, c = atoms.cell[order]
    # Rows of `frame` are the new x, y, z directions in the old coordinates.
    x = a / np.linalg.norm(a)
    normal = _cross(a, b)
    normal = normal / np.linalg.norm(normal)
    frame = np.array([x, _cross(normal, x), normal])
    # The in-plane part of a tilted third vector only moves the whole layer from one period to the next.
    positions = (fractional @ np.array([a, b, c])) @ frame.T
    plane = np.array([a, b]) @ frame.T
    plane[0, 1] = 0.0
    within = positions[:, :2] @ np.linalg.inv(plane[:, :2])
    # Rounding first keeps an atom at -1e-17 from being sent to the far side of the cell.
    within -= np.floor(within + 1e-9)
    positions[:, :2] = within @ plane[:, :2]
    heights = positions[:, 2]
    thickness = float(np.ptp(heights))
    positions[:, 2] = heights - (heights.max() + heights.min()) / 2
    cell = np.zeros((3, 3))
    cell[:2, :2] = plane[:, :2]
    cell[2, 2] = thickness + CANONICAL_VACUUM
    return Canonical(atoms.numbers, positions, cell, 2, gap)


def _completed(atoms: Atoms) -> Atoms:
    """Atoms with a missing (zero) third vector, as ASE allows for slabs, replaced by one along the normal."""
    lengths = np.linalg.norm(atoms.cell, axis=1)
    missing = [i for i in range(3) if lengths[i] < _FLAT]
    if not missing:
        if abs(np.linalg.det(atoms.cell)) < _FLAT:
            raise RecordError("not_2d", "The three cell vectors span no volume.")
        return atoms
    if len(missing) > 1:
        raise RecordError("not_2d", "Fewer than two cell vectors are given.")
    axis = missing[0]
    normal = _cross(atoms.cell[(axis + 1) % 3], atoms.cell[(axis + 2) % 3])
    area = float(np.linalg.norm(normal))
    if area < _FLAT:
        raise RecordError("not_2d", "The two in-plane cell vectors are parallel.")
    normal /= area
    cell = atoms.cell.copy()
    cell[axis] = normal * (float(np.ptp(atoms.positions @ normal)) + CANONICAL_VACUUM)
    periodic = tuple(False if i == axis else flag for i, flag in enumerate(atoms.periodic))
    return Atoms(atoms.numbers, atoms.positions, cell, (periodic[0], periodic[1], periodic[2]))


def _widest_gap(atoms: Atoms) -> tuple[float, NDArray[np.float64], int]:
    """What `_gap` gives for the vector that crosses the vacuum: the one that is no period, else the widest gap's."""
    free = [axis for axis in range(3) if not atoms.periodic[axis]]
    # The third vector comes first, so that it wins a tie.
    axes = free if len(free) == 1 else [2, 0, 1]
    return max(((*_gap(atoms, axis), axis) for axis in axes), key=lambda found: round(found[0], 6))


def _cross(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    # Ten times faster than np.cross for single vectors, which is what an import spends its time on.
    return np.array([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])


def _gap(atoms: Atoms, axis: int) -> tuple[float, NDArray[np.float64]]:
    """Largest gap along one lattice direction, and the fractional coordinates with the layer unwrapped across it.

    Returns:
        Å, measured along the normal of the plane of the other two vectors; and coordinates, shape (n, 3).
    """
    fractional = atoms.positions @ np.linalg.inv(atoms.cell)
    normal = _cross(atoms.cell[(axis + 1) % 3], atoms.cell[(axis + 2) % 3])
    height = abs(float(np.linalg.det(atoms.cell))) / float(np.linalg.norm(normal))
    along = fractional[:, axis]
    if not atoms.periodic[axis]:
        extent = float(np.ptp(along))
        inner = float(np.diff(np.sort(along)).max(initial=0.0))
        # Without periodicity the atoms stand where they are, unless a layer was evidently wrapped across the boundary.
        if extent <= 1 and not inner * height > max(MIN_VACUUM, (1 - extent) * height):
            return (1 - extent) * height, fractional
        if extent > 1:
            return CANONICAL_VACUUM, fractional
    wrapped = along - np.floor(along)
    ordered = np.sort(wrapped)
    gaps = np.diff(ordered, append=ordered[0] + 1)
    widest = int(gaps.argmax())
    start = ordered[(widest + 1) % len(ordered)]
    unwrapped = fractional.copy()
    # Each atom counts from the first one above the gap; the tiny margin keeps that one from going round.
    unwrapped[:, axis] = start + np.mod(wrapped - start + 1e-12, 1.0)

    return float(gaps[widest]) * height, unwrapped
