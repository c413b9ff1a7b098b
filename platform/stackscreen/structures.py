"""The stacked supercell: two layers, strained into one cell and laid on each other.

What it gives is a starting structure, not a result: nothing is relaxed, and the strain is purely in plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure

from ml.descriptors.slab import Slab
from schema.errors import StackscreenError
from stackscreen.pairs.common_cell import CommonCell
from stackscreen.pairs.registry import Registry

VACUUM = 20.0
"""Å of empty space above the stack."""
MIN_VACUUM = 5.0
"""Å: with less the stack touches its own periodic image."""
OVERLAP = 0.6
"""Two atoms of different sides nearer than this part of the sum of their covalent radii overlap."""


class StackError(StackscreenError):
    """The stacked structure cannot be built."""


@dataclass(frozen=True, slots=True)
class Gap:
    """How far apart two layers are put.

    Attributes:
        distance: Å, lowest nucleus of the upper layer minus highest nucleus of the lower one.
        origin: where that number comes from, for people.
    """

    distance: float
    origin: str


@dataclass(frozen=True, slots=True)
class Sides:
    """What is stacked on what, for people.

    Attributes:
        bottom, top: names of the two layers: uids, where they come from the database.
        source: where the layers and the match come from, e.g. "run 3".
    """

    bottom: str
    top: str
    source: str = "structures given by the caller"


@dataclass(frozen=True, slots=True)
class Stack:
    """A stacked supercell.

    Attributes:
        structure: periodic cell, a along x, c along z; site property `side` is bottom or top, bottom first.
        cell: how the two layers lie in it and what strains they carry.
        gap: the distance between them.
        sides: what is stacked on what.
        shift: of the upper layer, in fractions of the lower layer's strained cell vectors.
        registry: the high-symmetry registry that this shift is, if it is one.
    """

    structure: Structure
    cell: CommonCell
    gap: Gap
    sides: Sides
    shift: tuple[float, float]
    registry: Registry | None


def stack(
    cell: CommonCell,
    gap: Gap,
    sides: Sides,
    *,
    place: Registry | tuple[float, float] = (0.0, 0.0),
    vacuum: float = VACUUM,
) -> Stack:
    """Lay the upper layer of a common cell on the lower one.

    Args:
        cell: from `common_cell`.
        gap: how far apart.
        sides: what they are called.
        place: a registry from `high_symmetry`, or a shift of the upper layer in fractions of the lower layer's cell.
        vacuum: Å of empty space in the cell.

    Raises:
        StackError: the distance is not positive, the vacuum is less than `MIN_VACUUM`, a shift is not finite, or atoms
            of the two layers would overlap.
    """
    registry = place if isinstance(place, Registry) else None
    shift = place.shift if isinstance(place, Registry) else (float(place[0]), float(place[1]))
    if not np.isfinite(gap.distance) or gap.distance <= 0:
        raise StackError(f"An interlayer distance of {gap.distance} Å is not one.", hint="Give a positive one in Å.")
    if not np.isfinite(vacuum) or vacuum < MIN_VACUUM:
        raise StackError(f"A vacuum of {vacuum} Å is too little.", hint=f"Give {MIN_VACUUM:g} Å or more.")
    if not np.isfinite(shift).all():
        raise StackError(f"A shift of {shift} is not one.", hint="Give two fractions of the lower layer's vectors.")
    low = _supercell(cell.bottom, cell.bottom_cell, cell.bottom_matrix)
    high = _supercell(cell.top, cell.top_cell, cell.top_matrix)
    high[:, :2] += np.array(shift) @ cell.bottom_cell
    low[:, 2] += vacuum / 2 - low[:, 2].min()
    high[:, 2] += low[:, 2].max() + gap.distance - high[:, 2].min()
    height = float(max(high[:, 2].max(), low[:, 2].max())) + vacuum / 2
    numbers = [*np.tile(cell.bottom.numbers, len(low) // len(cell.bottom)),
               *np.tile(cell.top.numbers, len(high) // len(cell.top))]  # fmt: skip
    a, b = cell.lattice
    structure = Structure(
        Lattice([[*a, 0.0], [*b, 0.0], [0.0, 0.0, height]]),
        [Element.from_Z(int(z)) for z in numbers],
        np.vstack([low, high]),
        coords_are_cartesian=True,
        to_unit_cell=True,
        site_properties={"side": ["bottom"] * len(low) + ["top"] * len(high)},
    )
    _refuse_overlap(structure, len(low), gap, sides)
    return Stack(structure, cell, gap, sides, shift, registry)


def _supercell(slab: Slab, strained: NDArray[np.float64], matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Positions of all cells of a supercell, Å, shape (|det| * atoms, 3), cell by cell, in-plane strained.

    The translations are found in integers: (i, j) lies in the supercell when (i, j) adj(M) is in [0, |det|).
    """
    (a, b), (c, d) = (int(matrix[0, 0]), int(matrix[0, 1])), (int(matrix[1, 0]), int(matrix[1, 1]))
    size = a * d - b * c
    sign = 1 if size > 0 else -1
    corners = np.array([[0, 0], [a, b], [c, d], [a + c, b + d]])
    spans = (range(low, high + 1) for low, high in zip(corners.min(axis=0), corners.max(axis=0), strict=True))
    inside = [
        (i, j)
        for i, j in product(*spans)
        if 0 <= sign * (i * d - j * c) < abs(size) and 0 <= sign * (j * a - i * b) < abs(size)
    ]
    positions = slab.positions.copy()
    positions[:, :2] = positions[:, :2] @ np.linalg.inv(slab.cell[:, :2]) @ strained
    lifted = np.column_stack([np.array(inside, float) @ strained, np.zeros(len(inside))])
    return np.asarray((lifted[:, None, :] + positions[None, :, :]).reshape(-1, 3))


def _refuse_overlap(structure: Structure, n_lower: int, gap: Gap, sides: Sides) -> None:
    from ase.data import covalent_radii

    radii = np.array([covalent_radii[site.specie.Z] for site in structure])
    first, second, _, distances = structure.get_neighbor_list(2 * float(radii.max()) * OVERLAP)
    least = OVERLAP * (radii[first] + radii[second])
    close = np.flatnonzero((first < n_lower) & (second >= n_lower) & (distances < least))
    if not close.size:
        return
    rise = structure.cart_coords[second[close], 2] - structure.cart_coords[first[close], 2]
    lateral = np.sqrt(np.maximum(distances[close] ** 2 - rise**2, 0.0))
    needed = gap.distance + float((np.sqrt(least[close] ** 2 - lateral**2) - rise).max())
    worst = close[np.argmin(distances[close] / least[close])]
    one, other = int(first[worst]), int(second[worst])
    raise StackError(
        f"{sides.top} on {sides.bottom}: {structure[one].specie} (atom {one + 1}, of the lower layer) and "
        f"{structure[other].specie} (atom {other + 1}, of the upper layer) would lie {distances[worst]:.2f} Å apart, "
        f"which is an overlap (less than {least[worst]:.2f} Å), at an interlayer distance of {gap.distance:.2f} Å "
        f"({gap.origin}).",
        hint=f"Give a distance of {np.ceil(100 * needed + 0.5) / 100:.2f} Å or more (--distance), or another registry.",
    )
