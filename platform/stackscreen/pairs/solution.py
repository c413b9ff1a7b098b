"""One pair in full: the integer matrices, the strain tensor and the twist behind (n, m)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schema.errors import StackscreenError
from schema.plane_lattice import PlaneLattice

# Reflections in the three walls of the chamber, as changes of a reduced basis (a, b): Re τ = 0, Re τ = 1/2, |τ| = 1.
# The identity comes first: a lattice as it is, then its three nearest mirror images.
_CHANGES = np.array([[[1, 0], [0, 1]], [[1, 0], [0, -1]], [[1, 0], [1, -1]], [[0, 1], [1, 0]]])


class NoCoincidenceError(StackscreenError):
    """No supercells of the given indices lie within the given strain."""


@dataclass(frozen=True, slots=True)
class PairSolution:
    """How two lattices coincide.

    Attributes:
        bottom_matrix, top_matrix: integers, shape (2, 2), rows: supercell vectors in the basis given for each side.
        deformation: F, shape (2, 2): v_top = F v_bottom for the supercell vectors, columns.
        strains: principal Hencky strains of F, larger first, dimensionless.
        twist: degrees, rotation part of F, counter-clockwise, -180 to 180.
        flip: whether the upper lattice coincides only when that layer is turned over (its mirror image).
    """

    bottom_matrix: NDArray[np.int64]
    top_matrix: NDArray[np.int64]
    deformation: NDArray[np.float64]
    strains: tuple[float, float]
    twist: float
    flip: bool

    @property
    def max_strain(self) -> float:
        """Largest principal Hencky strain in magnitude, dimensionless."""
        return max(abs(self.strains[0]), abs(self.strains[1]))

    @property
    def von_mises(self) -> float:
        """Von Mises strain of the misfit, dimensionless: see `von_mises_strain`."""
        return float(von_mises_strain(np.array(self.strains[0]), np.array(self.strains[1])))


def von_mises_strain(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Von Mises equivalent strain of an in-plane strain with principal values `first` and `second`.

    √(2/3 e:e) with e the deviator of diag(ε₁, ε₂, 0), as in pymatgen's `Strain.von_mises_strain`:
    2/3 √(ε₁² - ε₁ε₂ + ε₂²).

    Args:
        first, second: principal strains, dimensionless, same shape.
    """
    return 2.0 / 3.0 * np.sqrt(first * first - first * second + second * second)


def principal_strains(
    ln_area_bottom: ArrayLike, ln_area_top: ArrayLike, n: ArrayLike, m: ArrayLike, max_strain: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both principal Hencky strains of a match, from its indices and its largest strain.

    ε± = L/2 ± d/2 with L = ln(m A₂ / n A₁); the largest is |L|/2 + d/2, which gives d.

    Args:
        ln_area_bottom, ln_area_top: ln of the cell areas in Å².
        n, m: cells of the bottom and of the top.
        max_strain: the largest principal strain in magnitude.
    """
    stretch = np.log(np.asarray(m, float) / np.asarray(n, float)) + np.asarray(ln_area_top) - np.asarray(ln_area_bottom)
    distance = np.maximum(2.0 * np.asarray(max_strain, float) - np.abs(stretch), 0.0)
    return 0.5 * (stretch + distance), 0.5 * (stretch - distance)


def hermite_normal_forms(index: int) -> list[NDArray[np.int64]]:
    """All superlattices of an index: matrices ((p, q), (0, d)), pd = index, 0 ≤ q < d; σ(index) of them."""
    return [
        np.array([[p, q], [0, index // p]], dtype=np.int64)
        for p in range(1, index + 1)
        if index % p == 0
        for q in range(index // p)
    ]


def _reduced(basis: NDArray[np.float64], index: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Every superlattice of an index: integer matrices and reduced bases, each of shape (K, 2, 2)."""
    matrices, cells = [], []
    for form in hermite_normal_forms(index):
        lattice = PlaneLattice.from_vectors(*(form @ basis))
        matrices.append(lattice.transform @ form)
        cells.append(lattice.basis)
    return np.array(matrices), np.array(cells)


def principal_strains_of(deformations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Principal Hencky strains of maps, larger first: shape (..., 2) of (..., 2, 2).

    From the invariants of C = FᵀF: ln of the square roots of its eigenvalues.
    """
    cauchy = np.swapaxes(deformations, -1, -2) @ deformations
    half = 0.5 * (cauchy[..., 0, 0] + cauchy[..., 1, 1])
    spread = np.hypot(0.5 * (cauchy[..., 0, 0] - cauchy[..., 1, 1]), cauchy[..., 0, 1])
    return 0.5 * np.log(np.stack([half + spread, half - spread], axis=-1))


def solve_pair(bottom: ArrayLike, top: ArrayLike, n: int, m: int, *, upright: bool = False) -> PairSolution:
    """The least strained coincidence of n cells of `bottom` with m cells of `top`.

    Among equally strained ones, one that needs no flip is preferred, then the one of least twist.

    Args:
        bottom, top: in-plane lattice vectors, Å, shape (2, 2), rows; any basis, any orientation.
        n, m: supercell indices.
        upright: look only at coincidences that need no flip, for a layer whose lower face is decided already.

    Raises:
        NoCoincidenceError: an index is not positive.
        DegenerateLatticeError: a lattice spans no area.
    """
    if n < 1 or m < 1:
        raise NoCoincidenceError(
            f"Supercell indices n = {n} and m = {m} describe no supercell.",
            hint="The pair has no coincidence lattice within the run's limits: widen the strain or the area limit.",
        )
    matrices_1, cells_1 = _reduced(np.asarray(bottom, float)[:2, :2], n)
    matrices_2, cells_2 = _reduced(np.asarray(top, float)[:2, :2], m)
    # Every lower cell with every upper one, in its reduced basis and in its three mirror images: (K1, 4, K2, 2, 2).
    images = _CHANGES[:, None] @ cells_2[None]
    maps = np.swapaxes(np.linalg.solve(cells_1[:, None, None], images[None]), -1, -2)
    largest = np.abs(principal_strains_of(maps)).max(axis=-1).round(9)
    # Real vectors, so the sign of det F tells whether the upper lattice is mirrored, whatever the bases' hands.
    mirrors = np.linalg.det(maps) < 0
    if upright:
        largest[mirrors] = np.inf
    least = np.flatnonzero(largest == largest.min())
    unflipped = least[~mirrors.ravel()[least]]
    tied = [np.unravel_index(k, largest.shape) for k in (unflipped if unflipped.size else least)]
    twists = [_twist(maps[where]) for where in tied]
    first = int(np.argmin(np.abs(np.round(twists, 6))))
    one, image, other = tied[first]
    deformation = maps[one, image, other].astype(np.float64)
    larger, smaller = principal_strains_of(deformation)
    return PairSolution(
        matrices_1[one],
        _CHANGES[image] @ matrices_2[other],
        deformation,
        (float(larger), float(smaller)),
        twists[first],
        bool(mirrors[one, image, other]),
    )


def _twist(deformation: NDArray[np.float64]) -> float:
    """Angle of the rotation nearest to a map (polar decomposition), degrees; of a mirror, that of its proper part."""
    proper = deformation if np.linalg.det(deformation) > 0 else deformation @ np.diag([1.0, -1.0])
    left, _, right = np.linalg.svd(proper)
    rotation = left @ right
    return float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])))
