"""Two layers strained into one cell: who lies how, who is strained by what, and in which lattice they meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.slab import Slab
from schema.errors import StackscreenError
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs.misfit import MisfitPolicy, share
from stackscreen.pairs.solution import solve_pair

_ROTATIONS = (0.0, 60.0, 90.0, 120.0, 180.0, 240.0, 270.0, 300.0)
"""Degrees: every rotation that a plane lattice can have (crystallographic restriction)."""
_SAME_LATTICE = 0.01
"""Largest part of a lattice vector by which a rotated lattice may differ from itself."""


class OrientationError(StackscreenError):
    """A layer cannot be laid down as asked."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the two layers are laid down before they are matched.

    Attributes:
        flip_bottom: the lower layer is turned over, so that its former lower face looks at the upper layer.
        flip_top: the same for the upper layer; None leaves it to the match, which turns the layer over only where its
            mirror lattice is less strained than its own.
        rotation: degrees, counter-clockwise, by which the upper layer is rotated beyond the least twist; a rotation of
            its lattice. The match stays as it is, the stack is another where the layer lacks that rotation (MoS2: 60).
    """

    flip_bottom: bool = False
    flip_top: bool | None = None
    rotation: float = 0.0


@dataclass(frozen=True, slots=True)
class CommonCell:
    """Two layers in one cell. Rows of `lattice` are a (along x) and b, right-handed.

    Attributes:
        lattice: in-plane vectors of the common cell, Å, shape (2, 2).
        bottom, top: the layers as they lie, before strain, in their own cells.
        bottom_cell, top_cell: their strained cells in the frame of `lattice`, Å, shape (2, 2):
            bottom_matrix @ bottom_cell = top_matrix @ top_cell = lattice.
        bottom_matrix, top_matrix: integers, rows: `lattice` in the cells of the layers.
        strains: principal Hencky strains of the whole misfit, larger first, dimensionless: positive where the upper
            layer is the larger one.
        policy: who was asked to carry the misfit.
        fractions: who does: parts of the bottom and of the top.
        flips: whether the bottom and the top are turned over.
        rotation: degrees, as asked for.
        twist: degrees, -180 to 180, counter-clockwise, by which the upper layer (turned over first, where it is) is
            rotated against the lower one: the least that carries its lattice onto the other, and `rotation`.
    """

    lattice: NDArray[np.float64]
    bottom: Slab
    top: Slab
    bottom_cell: NDArray[np.float64]
    top_cell: NDArray[np.float64]
    bottom_matrix: NDArray[np.int64]
    top_matrix: NDArray[np.int64]
    strains: tuple[float, float]
    policy: MisfitPolicy
    fractions: tuple[float, float]
    flips: tuple[bool, bool]
    rotation: float
    twist: float

    @property
    def max_strain(self) -> float:
        """Largest principal Hencky strain of the whole misfit in magnitude, dimensionless."""
        return max(abs(self.strains[0]), abs(self.strains[1]))

    @property
    def bottom_strains(self) -> tuple[float, float]:
        """Principal Hencky strains of the bottom in the common cell, dimensionless, along those of the misfit."""
        return self.fractions[0] * self.strains[0], self.fractions[0] * self.strains[1]

    @property
    def top_strains(self) -> tuple[float, float]:
        """Principal Hencky strains of the top in the common cell, dimensionless, along those of the misfit."""
        return -self.fractions[1] * self.strains[0], -self.fractions[1] * self.strains[1]


def common_cell(
    bottom: Slab,
    top: Slab,
    n: int,
    m: int,
    *,
    policy: MisfitPolicy = MisfitPolicy.STIFFNESS,
    stiffness: tuple[float | None, float | None] = (None, None),
    orientation: Orientation | None = None,
) -> CommonCell:
    """Strain n cells of `bottom` and m cells of `top` into one cell.

    With F = V R the map that takes the upper supercell onto the lower one (V symmetric: the misfit; R a rotation), the
    common cell is V^-f of the lower one, f being the bottom's part of the misfit: the principal Hencky strains of the
    two layers are then `f s` and `-(1 - f) s`, s being those of the match, and neither is rotated by the strain.

    Args:
        bottom, top: the two layers, normal along z.
        n, m: cells of the two layers.
        policy: who carries the misfit.
        stiffness: N/m, of bottom and top, as from `mean_stiffness`.
        orientation: how they are laid down.

    Raises:
        OrientationError: the upper lattice has no such rotation.
        NoCoincidenceError: an index is not positive.
    """
    how = orientation or Orientation()
    lower = turned_over(bottom) if how.flip_bottom else bottom
    upper = turned_over(top) if how.flip_top else top
    solution = solve_pair(lower.cell, upper.cell, n, m, upright=how.flip_top is not None)
    if solution.flip:
        upper = turned_over(upper)
    lower_cell = solution.bottom_matrix @ lower.cell[:, :2]
    _, turn = _polar(np.linalg.solve(solution.top_matrix @ upper.cell[:, :2], lower_cell).T)
    own = _own_rotation(upper.cell, how.rotation, _angle(turn))
    turned = _rotated(upper, own)
    # The same vectors of the same lattice, in the basis of the rotated layer.
    coordinates = solution.top_matrix @ upper.cell[:, :2] @ np.linalg.inv(turned.cell)
    upper_matrix = np.rint(coordinates).astype(np.int64)
    onto_lower = np.linalg.solve(upper_matrix @ turned.cell, lower_cell).T
    stretch, turn = _polar(onto_lower)
    fractions = share(policy, *stiffness)
    strain_lower = _power(stretch, -fractions[0])
    lattice, change = _standard(lower_cell @ strain_lower.T)
    bottom_matrix, top_matrix = change @ solution.bottom_matrix, change @ upper_matrix
    larger, smaller = -np.log(np.linalg.svd(onto_lower, compute_uv=False))[::-1]
    # Through the integer matrices, not through F: both sides then meet in the same vectors to the last digit.
    return CommonCell(
        lattice,
        lower,
        turned,
        np.linalg.solve(bottom_matrix, lattice),
        np.linalg.solve(top_matrix, lattice),
        bottom_matrix,
        top_matrix,
        (float(larger), float(smaller)),
        policy,
        fractions,
        (how.flip_bottom, solution.flip if how.flip_top is None else how.flip_top),
        how.rotation % 360.0,
        _half_turn(own + _angle(turn)),
    )


def turned_over(slab: Slab) -> Slab:
    """The layer rotated by 180° about x: its other face down, and still itself, which a mirror image is not."""
    return Slab(slab.numbers, slab.positions * [1, -1, -1], slab.cell[:, :2] * [1, -1])


def lattice_rotations(cell: NDArray[np.float64]) -> list[float]:
    """Rotations in degrees that leave a plane lattice as it is: always 0 and 180.

    Args:
        cell: in-plane vectors, Å, shape (2, 2), rows.
    """
    reduced = PlaneLattice.from_vectors(*cell[:, :2]).basis
    found = []
    for angle in _ROTATIONS:
        coordinates = reduced @ _rotation(angle).T @ np.linalg.inv(reduced)
        if np.abs(coordinates - np.rint(coordinates)).max() < _SAME_LATTICE:
            found.append(angle)
    return found


def _own_rotation(cell: NDArray[np.float64], asked: float, carried: float) -> float:
    """The rotation of the upper lattice that leaves the least twist in all, and then the one asked for, degrees."""
    allowed = lattice_rotations(cell)
    if asked % 360.0 not in allowed:
        raise OrientationError(
            f"A rotation by {asked:g}° does not leave the upper lattice as it is, so it would change the match.",
            hint=f"It has {', '.join(f'{one:g}' for one in allowed)}; for another twist choose other n and m.",
        )
    least = min(allowed, key=lambda one: (round(abs(_half_turn(one + carried)), 6), one))
    return (least + asked) % 360.0


def _half_turn(degrees: float) -> float:
    """The same angle in [-180, 180)."""
    return float((degrees + 180.0) % 360.0 - 180.0)


def _angle(rotation: NDArray[np.float64]) -> float:
    return float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])))


def _rotated(slab: Slab, angle: float) -> Slab:
    turn = _rotation(angle)
    positions = slab.positions.copy()
    positions[:, :2] = positions[:, :2] @ turn.T
    return Slab(slab.numbers, positions, slab.cell[:, :2] @ turn.T)


def _rotation(degrees: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, -sine], [sine, cosine]])


def _polar(linear: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """V and R of F = V R, V symmetric and positive."""
    left, values, right = np.linalg.svd(linear)
    return np.asarray(left @ np.diag(values) @ left.T), np.asarray(left @ right)


def _power(symmetric: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(symmetric)
    return np.asarray(vectors @ np.diag(values**exponent) @ vectors.T)


def _standard(cell: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The least skewed right-handed basis of a cell, turned so that a lies along x, and the change of basis."""
    reduced = PlaneLattice.from_vectors(*cell)
    basis, change = reduced.basis, reduced.transform
    if np.linalg.det(basis) < 0:
        basis, change = basis[::-1], change[::-1]
    standard = basis @ _rotation(-np.degrees(np.arctan2(basis[0, 1], basis[0, 0]))).T
    standard[0, 1] = 0.0
    return standard, change
