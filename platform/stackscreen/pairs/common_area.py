"""Area of the cell in which a match meets, by who carries its misfit: one formula for a candidate and for a scan.

Both sides are strained by their parts of the principal Hencky strains s (`stackscreen.pairs.misfit`), and an area by
their sum: ln A = ln A₁ + f (s₊ + s₋) with s₊ + s₋ = ln(A₂/A₁), so A = A₁^(1−f) A₂^f, f the part of the bottom.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, error_model="numpy")
def part_of_bottom(stiffness_bottom: float, stiffness_top: float, on_bulk: bool) -> float:
    """The part of the misfit that the bottom carries, by the default policy: see `MisfitPolicy.default` and `share`.

    Args:
        stiffness_bottom, stiffness_top: N/m; NaN unknown.
        on_bulk: whether the bottom is the surface of a crystal.
    """
    part = stiffness_top / (stiffness_bottom + stiffness_top)
    return 0.0 if on_bulk else 0.5 if np.isnan(part) else part


@njit(cache=True, nogil=True, error_model="numpy")
def common_area(area_bottom: float, area_top: float, part: float) -> float:
    """A₁^(1−f) A₂^f of two nearly equal areas, without a logarithm: a scan needs it of a hundred million pairs.

    About their geometric mean it is √(A₁A₂) e^x with x = (f − ½) ln(A₂/A₁), and ln(A₂/A₁) = 2 artanh t,
    t = (A₂ − A₁)/(A₂ + A₁). To |ln(A₂/A₁)| = 0.13, the most that a misfit of 6.5 % allows, the series below are right
    to 1e-10.

    Args:
        area_bottom, area_top: Å², of the two supercells.
        part: of the bottom.
    """
    t = (area_top - area_bottom) / (area_top + area_bottom)
    t2 = t * t
    x = (part - 0.5) * 2.0 * t * (1.0 + t2 * (1.0 / 3.0 + t2 * (1.0 / 5.0 + t2 / 7.0)))
    stretch = 1.0 + x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x / 120.0))))
    return np.sqrt(area_bottom * area_top) * stretch


@njit(cache=True, nogil=True, error_model="numpy")
def parts_and_areas(
    area_bottom: NDArray[np.float64],
    area_top: NDArray[np.float64],
    stiffness_bottom: NDArray[np.float64],
    stiffness_top: NDArray[np.float64],
    on_bulk: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`part_of_bottom` and `common_area` of many pairs, each of shape (pairs,)."""
    parts, areas = np.empty(len(area_bottom)), np.empty(len(area_bottom))
    for k in range(len(area_bottom)):
        parts[k] = part_of_bottom(stiffness_bottom[k], stiffness_top[k], on_bulk[k])
        # On a crystal exactly the crystal's.
        areas[k] = area_bottom[k] if on_bulk[k] else common_area(area_bottom[k], area_top[k], parts[k])
    return parts, areas
