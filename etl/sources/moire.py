"""The two layers of a relaxed moiré cell: which atoms are whose, and how many cells of each it holds.

What a layer's lattice is follows from the layer itself: the shifts that lay it on itself, up to the corrugation of the
relaxed moiré, are its lattice vectors. No structure of the free layer is needed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etl.canonical import Canonical
from schema.plane_lattice import DegenerateLatticeError, PlaneLattice
from schema.two_layers import Divided, divide_by_height

MAX_CORRUGATION = 1.2
"""Å: how far an atom may miss the place of its like under a lattice vector of its layer.

In HetDB the true vectors miss by up to 0.3 Å, in two of 538 layers 0.6 and 1.0, while the next best shift misses by
more than 1.4: a bond length.
"""
_DISTINCT = 0.7
"""Å: shifts closer than this are one shift, found from two atoms that lie above each other."""
_SHORTEST = 1.0
"""Å: no layer has a shorter lattice vector."""
_SAME_LENGTH = 0.03
_SAME_ANGLE = 3.0
"""Degrees. With `_SAME_LENGTH`: how far a relaxed lattice may be from a hexagonal or a square one and count as one."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerLattice:
    """The lattice of one layer of a stack.

    Attributes:
        basis: reduced and right-handed, rows, Å, shape (2, 2); exactly commensurate with the stack's cell.
        matrix: integers, rows: the stack's in-plane vectors in `basis`, shape (2, 2); det = number of cells.
    """

    basis: NDArray[np.float64]
    matrix: NDArray[np.int64]

    @property
    def turn(self) -> int:
        """Degrees of the smallest turn that takes the lattice (not its atoms) onto itself: 60, 90 or 180."""
        a, b = np.linalg.norm(self.basis, axis=1)
        if abs(b / a - 1) > _SAME_LENGTH:
            return 180
        return next((turn for turn in (60, 90) if abs(self._angle - turn) < _SAME_ANGLE), 180)

    @property
    def direction(self) -> float:
        """Degrees against x of the first basis vector, shear taken out where the lattice is hexagonal or square."""
        ideal = self._angle if self.turn == 180 else self.turn
        between = (self.basis / np.linalg.norm(self.basis, axis=1)[:, None]).sum(axis=0)
        return float(np.degrees(np.arctan2(between[1], between[0]))) - ideal / 2

    @property
    def _angle(self) -> float:
        a, b = np.linalg.norm(self.basis, axis=1)
        return float(np.degrees(np.arccos(self.basis[0] @ self.basis[1] / (a * b))))


def split_by_height(stack: Canonical, below: Counter[int], above: Counter[int]) -> Divided | None:
    """Divide a stack into whole cells of one layer and, higher up, whole cells of another: see `divide_by_height`."""
    return divide_by_height(stack.numbers, stack.positions[:, 2], below, above)


def layer_lattice(stack: Canonical, atoms: NDArray[np.int64], n_cells: int) -> LayerLattice | None:
    """The lattice of one layer.

    Args:
        atoms: indices of the layer's atoms.
        n_cells: how many of its cells the stack's cell holds.

    Returns:
        None where the layer has no `n_cells` shifts that lay it on itself within `MAX_CORRUGATION`, or more of them.
    """
    plane = stack.cell[:2, :2]
    shifts = _shifts(plane, stack.positions[atoms], stack.numbers[atoms], n_cells)
    if shifts is None:
        return None
    cells = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1), indexing="ij"), axis=-1).reshape(-1, 2)
    vectors = ((shifts - np.rint(shifts))[:, None] + cells).reshape(-1, 2) @ plane
    vectors = vectors[np.linalg.norm(vectors, axis=1) > _SHORTEST]
    vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")]
    # The shortest vector and the shortest that spans one cell with it are a basis, but for the corrugation: made exact.
    areas = np.abs(vectors[0, 0] * vectors[1:, 1] - vectors[0, 1] * vectors[1:, 0])
    spanning = np.flatnonzero(np.rint(areas * n_cells / stack.area) == 1)
    if not len(spanning):
        return None
    matrix = np.rint(plane @ np.linalg.inv(np.array([vectors[0], vectors[1 + spanning[0]]])))
    if abs(round(float(np.linalg.det(matrix)))) != n_cells:
        return None
    try:
        basis = PlaneLattice.from_vectors(*(np.linalg.inv(matrix) @ plane)).basis
    except DegenerateLatticeError:
        return None
    if np.linalg.det(basis) < 0:
        basis = basis[::-1]
    return LayerLattice(basis, np.rint(plane @ np.linalg.inv(basis)).astype(np.int64))


def _shifts(
    plane: NDArray[np.float64], positions: NDArray[np.float64], numbers: NDArray[np.int64], n_cells: int
) -> NDArray[np.float64] | None:
    """The shifts in the plane that lay the layer on itself, fractions of `plane`, shape (n_cells, 2)."""
    fractional, heights = positions[:, :2] @ np.linalg.inv(plane), positions[:, 2]
    species = [np.flatnonzero(numbers == z) for z in np.unique(numbers)]
    rare = min(species, key=len)
    shifts = fractional[rare] - fractional[rare[0]]
    misses = np.zeros(len(shifts))
    for like in species:
        f, z = fractional[like], heights[like]
        climb = (z[:, None] - z[None, :]) ** 2
        for i, shift in enumerate(shifts):
            apart = f[:, None] + shift - f[None, :]
            apart = (apart - np.rint(apart)) @ plane
            miss = float(np.sqrt(((apart**2).sum(axis=-1) + climb).min(axis=1).max()))
            misses[i] = max(misses[i], miss)
    chosen: list[int] = []
    for i in np.argsort(misses, kind="stable"):
        if misses[i] > MAX_CORRUGATION:
            break
        apart = shifts[chosen] - shifts[i]
        if not chosen or np.linalg.norm((apart - np.rint(apart)) @ plane, axis=1).min() > _DISTINCT:
            chosen.append(int(i))
    return shifts[chosen] if len(chosen) == n_cells else None
