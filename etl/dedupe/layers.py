"""What deduplication knows of one layer: its structure, read from the database, and the symmetry derived from it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import moyopy
import numpy as np
from numpy.typing import NDArray

from etl.dedupe.fingerprint import fingerprint
from etl.dedupe.matching import Pattern, pattern, self_match
from schema.plane_lattice import PlaneLattice

# Its warnings about symmetrisation are many and ask for no action.
logging.getLogger("moyo").setLevel(logging.ERROR)

SYMMETRY_TOLERANCE = 0.1
"""Å, for the layer group and for telling whether a layer's faces differ."""


@dataclass(frozen=True)
class LayerSymmetry:
    """Symmetry of a slab at `SYMMETRY_TOLERANCE`.

    Attributes:
        layer_group: 1 to 80, None where it cannot be found.
        swaps_faces: whether an operation exchanges the two faces.
        chiral: whether no operation is a mirror, glide, inversion or rotoinversion.
    """

    layer_group: int | None
    swaps_faces: bool
    chiral: bool


@dataclass(frozen=True, eq=False)
class Layer:
    """One structure of the database, slab or crystal.

    Attributes:
        key: (precedence of the source, its key, external id): the order in which records are judged.
        magnetic: NM, FM, AFM or FIM where the record states it.
    """

    record_id: int
    structure_id: int
    key: tuple[int, str, str]
    formula: str
    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    periodicity: int
    magnetic: str | None

    @cached_property
    def size_per_atom(self) -> float:
        """Å² of the plane per atom for a slab, Å³ per atom for a crystal."""
        if self.periodicity == 2:
            return float(abs(np.linalg.det(self.cell[:2, :2]))) / len(self.numbers)
        return float(abs(np.linalg.det(self.cell))) / len(self.numbers)

    @cached_property
    def lattice(self) -> PlaneLattice:
        """In-plane lattice of the structure's cell.

        Of the cell as the source gave it: a superlattice distortion or an antiferromagnetic order smaller than any
        geometric tolerance may be why it is larger than the nuclei alone would need.
        """
        return PlaneLattice.from_vectors(self.cell[0, :2], self.cell[1, :2])

    @property
    def thickness(self) -> float:
        """Å, lowest to highest nucleus."""
        return float(np.ptp(self.positions[:, 2]))

    def scaled(self, size_per_atom: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Positions and cell with the plane scaled evenly to a given Å² per atom; heights stay."""
        factor = np.sqrt(size_per_atom / self.size_per_atom)
        stretch = np.array([factor, factor, 1.0])
        return self.positions * stretch, self.cell * stretch

    def fingerprint_at(self, size_per_atom: float) -> NDArray[np.float64]:
        """Fingerprint of the layer scaled to a given Å² per atom."""
        positions, cell = self.scaled(size_per_atom)
        return fingerprint(self.numbers, positions, cell)

    @cached_property
    def pattern(self) -> Pattern:
        """Primitive cell of the slab, at its own area."""
        return pattern(self.numbers, self.positions, self.cell)

    @cached_property
    def self_match(self) -> float:
        """Å, how nearly the slab's primitive cell has any symmetry: see `matching.self_match`."""
        return self_match(self.pattern)

    @cached_property
    def _dataset(self) -> moyopy.MoyoLayerDataset | None:
        cell = moyopy.Cell(
            self.cell.tolist(), (self.positions @ np.linalg.inv(self.cell)).tolist(), self.numbers.tolist()
        )
        for tolerance in (SYMMETRY_TOLERANCE, SYMMETRY_TOLERANCE / 3, SYMMETRY_TOLERANCE / 10):
            try:
                return moyopy.MoyoLayerDataset(cell, symprec=tolerance)
            except Exception:  # noqa: S112 - moyopy raises its own undeclared error where a tolerance leads nowhere
                continue
        return None

    @cached_property
    def symmetry(self) -> LayerSymmetry:
        """Layer group, and whether faces and hands differ."""
        dataset = self._dataset
        if dataset is None:
            return LayerSymmetry(None, swaps_faces=False, chiral=False)
        rotations = np.array(dataset.operations.rotations)
        return LayerSymmetry(
            int(dataset.number),
            swaps_faces=bool((rotations[:, 2, 2] < 0).any()),
            chiral=bool((np.linalg.det(rotations) > 0).all()),
        )


def space_group(layer: Layer) -> tuple[int, int]:
    """Space group number, 1 to 230, and atoms in the primitive cell, of a crystal at `SYMMETRY_TOLERANCE` / 2.

    Raises:
        ValueError: the symmetry cannot be found at any tolerance.
    """
    cell = moyopy.Cell(
        layer.cell.tolist(), (layer.positions @ np.linalg.inv(layer.cell)).tolist(), layer.numbers.tolist()
    )
    for tolerance in (SYMMETRY_TOLERANCE / 2, SYMMETRY_TOLERANCE / 10, SYMMETRY_TOLERANCE / 1000):
        try:
            dataset = moyopy.MoyoDataset(cell, symprec=tolerance)
        except Exception:  # noqa: S112 - as above
            continue
        return int(dataset.number), len(dataset.prim_std_cell.numbers)
    raise ValueError("no space group")
