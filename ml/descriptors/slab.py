"""A slab: the one geometric value that every descriptor starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schema.errors import StackscreenError

FACE_DEPTH = 1.0
"""Å: atoms no deeper than this below the outermost nucleus are what a face shows to its partner."""


class NotASlabError(StackscreenError):
    """The atoms do not form a layer that is periodic in two directions."""


@dataclass(frozen=True)
class Slab:
    """A layer, periodic in the plane, with its normal along z.

    Attributes:
        numbers: atomic numbers, shape (n,).
        positions: Cartesian, Å, shape (n, 3); z along the normal.
        cell: in-plane lattice vectors as rows, Å, shape (2, 2).
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]

    @classmethod
    def from_cell(cls, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike) -> Slab:
        """A slab from a three-dimensional cell whose third vector crosses the vacuum.

        The slab is turned so that the first vector lies along x and the normal along z; the largest gap along the
        normal is found and the layer unwrapped across it.

        Args:
            numbers: shape (n,).
            positions: Cartesian, Å, shape (n, 3).
            cell: rows a, b, c, Å, shape (3, 3).

        Raises:
            NotASlabError: nothing there, non-finite numbers, or in-plane vectors that span no area.
        """
        z_numbers = np.asarray(numbers, np.int64)
        xyz, box = np.asarray(positions, float), np.asarray(cell, float)
        if len(z_numbers) == 0 or xyz.shape != (len(z_numbers), 3) or box.shape != (3, 3):
            raise NotASlabError(
                f"{len(z_numbers)} atoms with positions {xyz.shape} and a cell {box.shape} are not a slab.",
                hint="A slab needs at least one atom, positions (n, 3) and a cell (3, 3).",
            )
        normal = np.cross(box[0], box[1])
        area = float(np.linalg.norm(normal))
        if not (np.isfinite(xyz).all() and np.isfinite(box).all()) or area < 0.5:
            raise NotASlabError(
                "The cell's first two vectors span no area, or a coordinate is not finite.",
                hint="Check that the layer is periodic along the first two cell vectors.",
            )
        z_axis = normal / area
        if box[2] @ z_axis < 0:
            z_axis = -z_axis
        x_axis = box[0] / np.linalg.norm(box[0])
        frame = np.array([x_axis, np.cross(z_axis, x_axis), z_axis])
        turned = xyz @ frame.T
        period = abs(float(box[2] @ z_axis))
        if period > 0:
            z = np.sort(turned[:, 2] % period)
            gaps = np.diff(np.append(z, z[0] + period))
            start = z[(int(np.argmax(gaps)) + 1) % len(z)]
            # Crossing the vacuum is a step of c, which may lean: the in-plane part goes along.
            lattice_c = frame @ box[2]
            steps = np.floor((turned[:, 2] - start + 1e-9) / period)
            turned = turned - steps[:, None] * lattice_c
        return cls(z_numbers, turned, (box[:2] @ frame.T)[:, :2])

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def area(self) -> float:
        """Area of the in-plane cell, Å²."""
        return float(abs(np.linalg.det(self.cell)))

    @cached_property
    def thickness(self) -> float:
        """Lowest to highest nucleus along the normal, Å; 0 for a flat layer."""
        return float(np.ptp(self.positions[:, 2]))

    def depth(self, top: bool) -> NDArray[np.float64]:
        """Depth of each nucleus below the outermost one of a face, Å, shape (n,), not negative."""
        z = self.positions[:, 2]
        return z.max() - z if top else z - z.min()

    def facing(self, top: bool, depth: float = FACE_DEPTH) -> NDArray[np.int64]:
        """Indices of the atoms within `depth` (Å) of the outermost nucleus of a face."""
        return np.flatnonzero(self.depth(top) <= depth)

    def flipped(self) -> Slab:
        """The slab turned over: mirrored in z, so that its faces change place and its in-plane lattice does not."""
        return Slab(self.numbers, self.positions * np.array([1.0, 1.0, -1.0]), self.cell)

    def moved(self, dx: float = 0.0, dy: float = 0.0, dz: float = 0.0) -> Slab:
        """The slab translated rigidly by (dx, dy, dz), Å."""
        return Slab(self.numbers, self.positions + np.array([dx, dy, dz]), self.cell)
