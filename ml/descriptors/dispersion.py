"""Dispersion between two layers: a Lennard-Jones pair potential, laterally averaged or with the registry kept.

Pair potential: u(r) = −C6/r⁶ + C12/r¹², with C6 by geometric mean of free-atom values (`ml.descriptors.elements.c6`;
combination rule of S. Grimme, J. Comput. Chem. 27, 1787 (2006), eq. 13) and C12 = C6 x⁶/2, so that an isolated pair
rests at x = 2√(R_i R_j), R the van der Waals radii (Alvarez 2013).

Averaged over all lateral shifts, as a moiré is, r⁻⁶ and r⁻¹² become π/2 z⁻⁴ and π/5 z⁻¹⁰ per pair and cell area. As
z⁻ⁿ = ∫ t^(n-1) e^(−tz) dt / (n−1)!, the double sum over atoms factorises into one-layer transforms

    F(t) = Σ_i √C6_i e^(−t depth_i) / A ,   G(t) = Σ_i √C6_i R_i³ e^(−t depth_i) / A ,

which are computed once a face; a pair then costs two short dot products a distance. Free-atom C6 overbinds cations and
knows no screening: use the energy after calibration, as a descriptor, not as a result.
"""

from __future__ import annotations

from math import factorial, pi
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ml.descriptors.elements import c6, vdw_radius
from ml.descriptors.slab import Slab

NODES = 12
T_MAX = 9.0
"""1/Å: at the distances of layers (2-6 Å) the integrands have decayed here."""
DISTANCES = np.arange(1.6, 6.01, 0.1)
"""Å: distances at which the averaged potential is sampled before its minimum is interpolated."""

_x, _w = np.polynomial.legendre.leggauss(NODES)
T = 0.5 * T_MAX * (_x + 1.0)
"""1/Å: quadrature nodes of the transforms, shape (NODES,)."""
_WEIGHTS = 0.5 * T_MAX * _w
_DECAY = np.exp(-np.outer(T, DISTANCES))
_ATTRACTION = -0.5 * pi * (_WEIGHTS * T**3 / factorial(3))[:, None] * _DECAY
_REPULSION = 32.0 * 0.2 * pi * (_WEIGHTS * T**9 / factorial(9))[:, None] * _DECAY
# G grows as R³ and the nodes span decades: float32 holds both, as the sums are of one sign each.
_KERNEL = np.concatenate([_ATTRACTION, _REPULSION]).astype(np.float32)

EV_TO_MEV = 1000.0


class Contact(NamedTuple):
    """Where the pair potential is lowest.

    Attributes:
        distance: Å, between the facing outermost nuclei.
        energy: depth of the minimum, meV/Å², positive = bound.
    """

    distance: NDArray[np.float64]
    energy: NDArray[np.float64]


def face_transforms(slab: Slab, top: bool) -> NDArray[np.float64]:
    """Transforms F and G of one face, at the nodes `T`.

    Args:
        slab: the layer.
        top: which face.

    Returns:
        F then G, shape (2 * NODES,); eV^½ Å and eV^½ Å⁴.
    """
    strength = np.sqrt(c6()[slab.numbers]) / slab.area
    decay = np.exp(-np.outer(T, slab.depth(top)))
    return np.concatenate([decay @ strength, decay @ (strength * vdw_radius()[slab.numbers] ** 3)])


def averaged_contact(transforms_a: NDArray[np.floating], transforms_b: NDArray[np.floating]) -> Contact:
    """Minimum of the laterally averaged potential of many pairs of faces.

    Args:
        transforms_a, transforms_b: rows from `face_transforms`, shape (pairs, 2 * NODES).
    """
    product = transforms_a.astype(np.float32) * transforms_b.astype(np.float32)
    energies = product @ _KERNEL
    at = np.clip(energies.argmin(axis=1), 1, len(DISTANCES) - 2)
    rows = np.arange(len(at))
    left, mid, right = (energies[rows, at + k].astype(float) for k in (-1, 0, 1))
    curvature = left - 2 * mid + right
    step = np.where(curvature > 0, 0.5 * (left - right) / np.where(curvature > 0, curvature, 1.0), 0.0)
    step = np.clip(step, -0.5, 0.5)
    distance = DISTANCES[at] + step * (DISTANCES[1] - DISTANCES[0])
    depth = mid - 0.25 * (left - right) * step
    return Contact(distance, -depth * EV_TO_MEV)


def registry_contact(bottom: Slab, top: Slab) -> tuple[float, float]:
    """Minimum of the potential of two commensurate layers in the registry given, moved rigidly along z.

    Args:
        bottom, top: layers on one in-plane lattice; their heights do not matter.

    Returns:
        Distance (Å) and energy (meV/Å², positive = bound), as in `Contact`.
    """
    near_b, near_t = bottom.depth(True) <= 6.0, top.depth(False) <= 6.0
    coefficient, radius = np.sqrt(c6()), vdw_radius() ** 3
    energies = _lattice_energies(
        bottom.positions[near_b, :2],
        top.positions[near_t, :2],
        bottom.depth(True)[near_b],
        top.depth(False)[near_t],
        coefficient[bottom.numbers[near_b]],
        coefficient[top.numbers[near_t]],
        radius[bottom.numbers[near_b]],
        radius[top.numbers[near_t]],
        bottom.cell,
        DISTANCES,
    )
    at = int(np.clip(np.argmin(energies), 1, len(DISTANCES) - 2))
    left, mid, right = energies[at - 1 : at + 2]
    curvature = left - 2 * mid + right
    step = float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)) if curvature > 0 else 0.0
    distance = float(DISTANCES[at] + step * (DISTANCES[1] - DISTANCES[0]))
    return distance, float(-(mid - 0.25 * (left - right) * step)) * EV_TO_MEV / bottom.area


@numba.njit(cache=True)
def _lattice_energies(
    xy_b: NDArray[np.float64],
    xy_t: NDArray[np.float64],
    depth_b: NDArray[np.float64],
    depth_t: NDArray[np.float64],
    c_b: NDArray[np.float64],
    c_t: NDArray[np.float64],
    r3_b: NDArray[np.float64],
    r3_t: NDArray[np.float64],
    cell: NDArray[np.float64],
    distances: NDArray[np.float64],
) -> NDArray[np.float64]:  # pragma: no cover - compiled
    cutoff = 9.0
    out = np.zeros(len(distances))
    area = abs(cell[0, 0] * cell[1, 1] - cell[0, 1] * cell[1, 0])
    na = int(np.ceil(cutoff * np.hypot(cell[1, 0], cell[1, 1]) / area)) + 1
    nb = int(np.ceil(cutoff * np.hypot(cell[0, 0], cell[0, 1]) / area)) + 1
    inverse_00, inverse_01 = cell[1, 1], -cell[0, 1]
    inverse_10, inverse_11 = -cell[1, 0], cell[0, 0]
    determinant = cell[0, 0] * cell[1, 1] - cell[0, 1] * cell[1, 0]
    for i in range(len(depth_b)):
        for j in range(len(depth_t)):
            dx, dy = xy_t[j, 0] - xy_b[i, 0], xy_t[j, 1] - xy_b[i, 1]
            fa = (dx * inverse_00 + dy * inverse_10) / determinant
            fb = (dx * inverse_01 + dy * inverse_11) / determinant
            fa, fb = fa - np.floor(fa), fb - np.floor(fb)
            six = c_b[i] * c_t[j]
            twelve = 32.0 * six * r3_b[i] * r3_t[j]
            deep = depth_b[i] + depth_t[j]
            for a in range(-na, na + 1):
                for b in range(-nb, nb + 1):
                    x = (fa + a) * cell[0, 0] + (fb + b) * cell[1, 0]
                    y = (fa + a) * cell[0, 1] + (fb + b) * cell[1, 1]
                    rho = x * x + y * y
                    if rho > cutoff * cutoff:
                        continue
                    for k in range(len(distances)):
                        z = deep + distances[k]
                        inverse6 = 1.0 / (rho + z * z) ** 3
                        out[k] += (twelve * inverse6 - six) * inverse6
            # Beyond the cutoff the lattice is a continuum: ∫ 2πρ dρ (ρ²+z²)⁻³ = π/2 (cutoff²+z²)⁻².
            for k in range(len(distances)):
                z = deep + distances[k]
                out[k] -= six * 0.5 * np.pi / area / (cutoff * cutoff + z * z) ** 2
    return out


def vdw_distance(radius_a: NDArray[np.floating], radius_b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Sum of the van der Waals radii of the facing atoms, Å: the distance of two flat faces atop each other."""
    return radius_a + radius_b
