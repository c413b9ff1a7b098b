"""The ranking score: how promising a pair is, between 0 and 1. `docs/ranking.md` explains it to people.

It is a product of factors that each say why a stack would be hard to make, to keep or to compute. It claims no physics
beyond them; every factor's column can be filtered and sorted by itself.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

STRAIN_SCALE: Final = 0.01
"""Misfit strain at which the strain factor falls to 1/e, dimensionless."""
ATOMS_SCALE: Final = 100.0
"""Atoms in the supercell at which the size factor falls to 1/e."""
HULL_SCALE: Final = 0.1
"""eV/atom above the convex hull at which the stability factor falls to 1/e."""
UNKNOWN_HULL: Final = 0.15
"""eV/atom assumed where nobody has computed a layer's stability: worse than most layers that have been made."""
BINDING_SCALE: Final = 10.0
"""meV/Å²: weaker binding than this barely holds a stack together; typical layers bind with 15 to 25 meV/Å²."""


def geometric_score(strain: NDArray[np.float64], n_atoms: NDArray[np.int64]) -> NDArray[np.float64]:
    """exp(-ε/1 %) · exp(-N/100): the part of the score that every matched pair has.

    Args:
        strain: largest principal Hencky strain of the misfit, dimensionless; NaN where there is no match.
        n_atoms: atoms in the supercell.

    Returns:
        0 to 1, same shape; 0 where there is no match.
    """
    score = np.exp(-strain / STRAIN_SCALE - n_atoms / ATOMS_SCALE)
    return np.where(np.isnan(strain), 0.0, score)


def candidate_score(
    geometric: NDArray[np.float64], hull_energy: NDArray[np.float64], binding_energy: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The geometric score times stability exp(-E_hull/0.1 eV) and binding 1 - exp(-E_b/10 meV/Å²).

    Args:
        geometric: see `geometric_score`.
        hull_energy: eV/atom, larger of the two layers'; NaN counts as `UNKNOWN_HULL`.
        binding_energy: meV/Å², predicted; NaN (2D-on-bulk) leaves the factor out; negative counts as 0.
    """
    hull = np.clip(np.where(np.isnan(hull_energy), UNKNOWN_HULL, hull_energy), 0.0, None)
    bound = 1.0 - np.exp(-np.clip(binding_energy, 0.0, None) / BINDING_SCALE)
    return geometric * np.exp(-hull / HULL_SCALE) * np.where(np.isnan(binding_energy), 1.0, bound)
