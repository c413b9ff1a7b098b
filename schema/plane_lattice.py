"""The reduced form of an in-plane lattice, which is what the lattice columns of the database hold.

A two-dimensional lattice, up to rotation and reflection, is a point (ln A, τ): A its cell area, and τ = b/a the ratio
of its reduced basis vectors as complex numbers, 0 ≤ Re τ ≤ 1/2, |τ| ≥ 1, Im τ > 0 (Lagrange-Gauss reduction).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schema.errors import StackscreenError

MIN_AREA = 0.5
"""Å²: no lattice of atoms has a smaller cell; below, the two vectors are parallel for practical purposes."""


class DegenerateLatticeError(StackscreenError):
    """The two vectors span no area, or are not finite."""


@dataclass(frozen=True, slots=True)
class PlaneLattice:
    """An in-plane lattice in reduced form.

    Attributes:
        basis: reduced basis, rows a and b, Å, shape (2, 2); |a| ≤ |b|, 0 ≤ a·b ≤ |a|²/2; may be left-handed.
        transform: integers, shape (2, 2), |det| = 1, with basis = transform @ the vectors it was made from.
    """

    basis: NDArray[np.float64]
    transform: NDArray[np.int64]

    @classmethod
    def from_vectors(cls, a: ArrayLike, b: ArrayLike) -> PlaneLattice:
        """Reduce the lattice spanned by two in-plane vectors (Lagrange 1773, Gauss 1801).

        Args:
            a, b: vectors, Å, shape (2,).

        Raises:
            DegenerateLatticeError: the vectors are not finite, or span less than `MIN_AREA`.
        """
        vectors = np.array([np.asarray(a, float)[:2], np.asarray(b, float)[:2]])
        if not np.isfinite(vectors).all() or abs(np.linalg.det(vectors)) < MIN_AREA:
            raise DegenerateLatticeError(
                f"The in-plane vectors {vectors.tolist()} Å span no area.",
                hint="Check that the first two cell vectors lie in the plane of the layer.",
            )
        transform = np.eye(2, dtype=np.int64)
        u, v = vectors
        # The tolerance stops the reduction from swapping two equally long vectors for ever.
        for _ in range(1000):
            if v @ v < u @ u * (1 - 1e-12):
                u, v = v, u
                transform = transform[::-1].copy()
            shift = int(np.rint(u @ v / (u @ u)))
            if shift == 0:
                break
            v = v - shift * u
            transform[1] -= shift * transform[0]
        if u @ v < 0:
            v = -v
            transform[1] = -transform[1]
        return cls(np.array([u, v]), transform)

    @property
    def area(self) -> float:
        """Area of the primitive cell, Å²."""
        return float(abs(np.linalg.det(self.basis)))

    @property
    def ln_area(self) -> float:
        """Natural logarithm of the cell area in Å²."""
        return float(np.log(self.area))

    @property
    def tau(self) -> complex:
        """Shape b/a of the reduced basis: 0 ≤ Re τ ≤ 1/2, |τ| ≥ 1, Im τ > 0."""
        u, v = self.basis
        uu = float(u @ u)
        real = min(max(float(u @ v) / uu, 0.0), 0.5)
        imag = self.area / uu
        return complex(real, imag)

    @property
    def lengths_and_angle(self) -> tuple[float, float, float]:
        """|a| and |b| in Å, and the angle between them in degrees (60 to 90)."""
        u, v = self.basis
        a, b = float(np.linalg.norm(u)), float(np.linalg.norm(v))
        return a, b, float(np.degrees(np.arccos(np.clip(u @ v / (a * b), -1, 1))))
