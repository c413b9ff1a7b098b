"""Cells of the layers of a stack: the smallest that the stack repeats, and the primitive cell of a layer in a moiré.

A layer of a relaxed moiré repeats its cell only up to strain and corrugation; what is taken for its cell is their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from etl.canonical import CANONICAL_VACUUM, Canonical
from etl.dedupe.matching import pattern
from etl.sources.moire import LayerLattice, layer_lattice
from ml.descriptors.slab import Slab
from ml.stacks import part, settled

SMOOTH = 0.15
"""Å, root mean square distance of the atoms from the mean cell below which a layer is described by that cell."""
_APART = 3.0
"""Å between the two layers while their common period is looked for; nothing depends on it."""


@dataclass(frozen=True, eq=False)
class Folded:
    """Several cells of a layer laid into one.

    Attributes:
        layer: the mean cell.
        cells: how many there are in the stack's cell.
        lattice: where they lie.
        rms: Å, root mean square distance of the atoms from their places in the mean cell.
    """

    layer: Slab
    cells: int
    lattice: LayerLattice
    rms: float


def as_canonical(layer: Slab) -> Canonical:
    """A layer in the form in which imported structures are kept."""
    cell = np.zeros((3, 3))
    cell[:2, :2] = layer.cell
    cell[2, 2] = layer.thickness + CANONICAL_VACUUM
    heights = layer.positions[:, 2]
    middle = np.array([0.0, 0.0, 0.5 * (heights.max() + heights.min())])
    return Canonical(layer.numbers, layer.positions - middle, cell, 2, None)


def primitive(layer: Slab) -> Slab:
    """The smallest cell that a layer exactly repeats; the layer itself where it is its own."""
    found = pattern(layer.numbers, layer.positions, layer.cell)
    if len(found) == len(layer):
        return layer
    positions = np.column_stack([found.within @ found.plane, found.heights])
    return Slab(np.unique(layer.numbers)[found.species], positions, found.plane)


def common_cell_of(lower: Slab, upper: Slab) -> tuple[Slab, Slab]:
    """The smallest cell that both layers of a stack repeat together: 2 x 2 cells of AB bilayer are AB bilayer."""
    height = lower.positions[:, 2].max() + _APART
    raised = settled(upper).moved(dz=float(height))
    stack = Slab(
        np.concatenate([lower.numbers, raised.numbers]), np.vstack([lower.positions, raised.positions]), lower.cell
    )
    small = primitive(stack)
    if small is stack:
        return lower, upper
    above = small.positions[:, 2] > height - 0.5 * _APART
    return part(small, np.flatnonzero(~above)), settled(part(small, np.flatnonzero(above)))


def folded(layer: Slab, cells: int) -> Folded | None:
    """A layer of a moiré as one of its cells; None where it does not consist of so many.

    Args:
        layer: as it lies in the stack.
        cells: how many there should be.
    """
    canonical = as_canonical(layer)
    lattice = layer_lattice(canonical, np.arange(len(layer)), cells)
    if lattice is None:
        return None
    mean = _mean_cell(layer, lattice.basis, cells)
    return None if mean is None else Folded(*mean[:1], cells, lattice, mean[1])


def foldings(layer: Slab) -> list[Folded]:
    """Every way in which a layer consists of several equal cells, most cells first."""
    most = gcd(*np.unique(layer.numbers, return_counts=True)[1].tolist())
    found = (folded(layer, cells) for cells in range(most, 1, -1) if most % cells == 0)
    return [one for one in found if one is not None]


def _mean_cell(layer: Slab, basis: NDArray[np.float64], cells: int) -> tuple[Slab, float] | None:
    """The atoms of all cells laid into one and averaged, and their root mean square distance from it, Å."""
    within = layer.positions[:, :2] @ np.linalg.inv(basis)
    heights = layer.positions[:, 2]
    free = np.ones(len(layer), bool)
    numbers, places, square = [], [], 0.0
    for atom in range(len(layer)):
        if not free[atom]:
            continue
        alike = np.flatnonzero(free & (layer.numbers == layer.numbers[atom]))
        if len(alike) < cells:
            return None
        apart = within[alike] - within[atom]
        apart -= np.rint(apart)
        climb = heights[alike] - heights[atom]
        nearest = np.argsort(((apart @ basis) ** 2).sum(axis=1) + climb**2, kind="stable")[:cells]
        mean = np.array([*(apart[nearest].mean(axis=0) @ basis), climb[nearest].mean()])
        moved = np.column_stack([apart[nearest] @ basis, climb[nearest]]) - mean
        square += float((moved**2).sum())
        numbers.append(int(layer.numbers[atom]))
        places.append(layer.positions[atom] + mean)
        free[alike[nearest]] = False
    return Slab(np.array(numbers, np.int64), np.array(places), basis), float(np.sqrt(square / len(layer)))
