"""One pair in full: the integer matrices, the strain tensor and the twist behind (n, m)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schema.errors import StackscreenError
from schema.plane_lattice import PlaneLattice

# Reflections in the three walls of the chamber, as changes of a reduced basis (a, b): Re τ = 0, Re τ = 1/2, |τ| = 1.
_IDENTITY = np.array([[1, 0], [0, 1]])
_WALLS = (np.array([[1, 0], [0, -1]]), np.array([[1, 0], [1, -1]]), np.array([[0, 1], [1, 0]]))


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


def _reduced(basis: NDArray[np.float64], index: int) -> list[tuple[NDArray[np.int64], PlaneLattice]]:
    found = []
    for form in hermite_normal_forms(index):
        lattice = PlaneLattice.from_vectors(*(form @ basis))
        found.append((lattice.transform @ form, lattice))
    return found


def _hencky(deformation: NDArray[np.float64]) -> tuple[float, float]:
    large, small = np.log(np.linalg.svd(deformation, compute_uv=False))
    return float(large), float(small)


def solve_pair(bottom: ArrayLike, top: ArrayLike, n: int, m: int) -> PairSolution:
    """The least strained coincidence of n cells of `bottom` with m cells of `top`.

    Among equally strained ones, one that needs no flip is preferred, then the one of least twist.

    Args:
        bottom, top: in-plane lattice vectors, Å, shape (2, 2), rows; any basis, any orientation.
        n, m: supercell indices.

    Raises:
        NoCoincidenceError: an index is not positive.
        DegenerateLatticeError: a lattice spans no area.
    """
    if n < 1 or m < 1:
        raise NoCoincidenceError(
            f"Supercell indices n = {n} and m = {m} describe no supercell.",
            hint="The pair has no coincidence lattice within the run's limits: widen the strain or the area limit.",
        )
    below = np.asarray(bottom, float)[:2, :2]
    above = np.asarray(top, float)[:2, :2]
    best: tuple[float, bool, float] | None = None
    chosen: PairSolution | None = None
    for (matrix_1, cell_1), (matrix_2, cell_2) in product(_reduced(below, n), _reduced(above, m)):
        for change in (_IDENTITY, *_WALLS):
            basis_2 = change @ cell_2.basis
            deformation = np.linalg.solve(cell_1.basis, basis_2).T.astype(np.float64)
            strains = _hencky(deformation)
            # Real vectors, so the sign of det F tells whether the upper lattice is mirrored, whatever the bases' hands.
            mirrors = bool(np.linalg.det(deformation) < 0)
            angle = _twist(deformation)
            key = (round(max(abs(strains[0]), abs(strains[1])), 9), mirrors, round(abs(angle), 6))
            if best is None or key < best:
                best = key
                chosen = PairSolution(matrix_1, change @ matrix_2, deformation, strains, angle, mirrors)
    assert chosen is not None  # noqa: S101 - every index has at least one Hermite normal form
    return chosen


def _twist(deformation: NDArray[np.float64]) -> float:
    """Angle of the rotation nearest to a map (polar decomposition), degrees; of a mirror, that of its proper part."""
    proper = deformation if np.linalg.det(deformation) > 0 else deformation @ np.diag([1.0, -1.0])
    left, _, right = np.linalg.svd(proper)
    rotation = left @ right
    return float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])))
