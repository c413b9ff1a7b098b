"""Who carries the misfit of a match: the one place that decides it.

The misfit is the map between the two supercells; s are its principal Hencky (logarithmic) strains, which take the
bottom's supercell onto the top's (`PairSolution.strains`). A policy cuts them in two parts that add up to 1: the bottom
is strained by `+fraction_bottom · s` and the top by `-fraction_top · s`.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np


class MisfitPolicy(StrEnum):
    """Who carries the misfit. The value is what a person types."""

    STIFFNESS = "stiffness"
    """The softer layer carries more; half and half where the stiffness of either is not known."""
    EQUAL = "equal"
    """Half and half."""
    TOP = "top"
    """The upper layer alone: a film on a crystal, which does not give way."""
    BOTTOM = "bottom"
    """The lower layer alone."""

    @classmethod
    def default(cls, bottom_is_surface: bool) -> MisfitPolicy:
        """All on the film where the bottom is the surface of a crystal; else by stiffness."""
        return cls.TOP if bottom_is_surface else cls.STIFFNESS


def mean_stiffness(c11: float | None, c22: float | None) -> float | None:
    """One number for the stiffness of a layer, N/m: the mean of c₁₁ and c₂₂.

    A misfit has two principal strains along directions that neither layer's axes need follow, so the mean is what is
    known without the whole tensor and the orientation. None where either is unknown, not finite or not positive (an
    unstable layer has no elastic energy to minimise).

    Args:
        c11, c22: in-plane stiffness along x and y, N/m.
    """
    if c11 is None or c22 is None:
        return None
    known = np.isfinite([c11, c22]).all() and c11 > 0 and c22 > 0
    return 0.5 * (c11 + c22) if known else None


def share(
    policy: MisfitPolicy, stiffness_bottom: float | None = None, stiffness_top: float | None = None
) -> tuple[float, float]:
    """The parts of the misfit that the bottom and the top carry; they add up to 1.

    By stiffness: the parts that minimise ½ C₁ (f₁ s)² + ½ C₂ (f₂ s)² with f₁ + f₂ = 1 are f₁ = C₂ / (C₁ + C₂) and
    f₂ = C₁ / (C₁ + C₂), both layers covering the same area.

    Args:
        policy: who carries it.
        stiffness_bottom, stiffness_top: N/m, as from `mean_stiffness`; only STIFFNESS looks at them.
    """
    match policy:
        case MisfitPolicy.TOP:
            return 0.0, 1.0
        case MisfitPolicy.BOTTOM:
            return 1.0, 0.0
        case MisfitPolicy.STIFFNESS if stiffness_bottom is not None and stiffness_top is not None:
            bottom = stiffness_top / (stiffness_bottom + stiffness_top)
            return bottom, 1.0 - bottom
        case _:
            return 0.5, 0.5
