"""What a model must beat: one-line physics, raw and calibrated by a straight line on the training rows.

- any target: the mean of the training rows;
- gap: the monolayer's gap (the smaller of two), and the gap of the aligned bands (Anderson; for a layer on itself the
  gap less the shift of the facing vacuum levels);
- distance: the sum of van der Waals radii, and the minimum of the averaged dispersion potential;
- binding energy: the depth of that minimum; on a substrate also how much the electronegativities of the facing atoms
  differ;
- band edges: the higher valence and the lower conduction edge of the two layers.

Gaps and edges by the layers' levels with spin-orbit coupling, and by those without.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import pair_features
from schema.quantities import BINDING_ENERGY, BINDING_ENERGY_PER_ATOM, CBM, GAP, INTERLAYER_DISTANCE, VBM

CANDIDATES: dict[str, tuple[str, ...]] = {
    BINDING_ENERGY.key: ("dispersion_energy", "registry_dispersion_energy"),
    INTERLAYER_DISTANCE.key: (
        "vdw_distance",
        "dispersion_distance",
        "probe_distance_mean",
        "registry_dispersion_distance",
    ),
    GAP.key: ("gap_min", "gap_aligned", "nosoc_gap_min", "nosoc_gap_aligned"),
    VBM.key: ("vbm_higher", "nosoc_vbm_higher"),
    CBM.key: ("cbm_lower", "nosoc_cbm_lower"),
    BINDING_ENERGY_PER_ATOM.key: ("dispersion_energy", "facing_diff_electronegativity"),
}
"""Pair features that are an estimate of each target by themselves."""
PHYSICS: dict[str, str] = {
    BINDING_ENERGY.key: "dispersion_energy",
    INTERLAYER_DISTANCE.key: "dispersion_distance",
    GAP.key: "gap_aligned",
}
"""The estimate that a model's residual is taken against: it needs no registry, so that every pair has it."""


@dataclass(frozen=True)
class Calibrated:
    """A straight line through one pair feature.

    Attributes:
        feature: name of the pair feature; "" for a constant.
        intercept: in the target's unit.
        slope: target's unit per feature's unit.
        floor: smallest value given, in the target's unit; a gap and a distance are not negative.
    """

    feature: str
    intercept: float
    slope: float
    floor: float = -np.inf

    @classmethod
    def fit(
        cls, feature: str, x: NDArray[np.floating], y: NDArray[np.floating], *, floor: float = -np.inf
    ) -> Calibrated:
        """Least absolute deviations (the metric is the mean absolute error), by reweighted least squares.

        Args:
            feature: pair feature whose values are x; "" fits the mean.
            x, y: shape (n,); rows with a NaN are ignored.
            floor: see the class.
        """
        ok = np.isfinite(x) & np.isfinite(y)
        a, b = np.asarray(x[ok], float), np.asarray(y[ok], float)
        if not feature or len(a) < 2 or np.ptp(a) == 0:
            return cls("", float(b.mean()) if len(b) else np.nan, 0.0, floor)
        design = np.column_stack([np.ones(len(a)), a])
        weights = np.ones(len(a))
        solution = np.zeros(2)
        for _ in range(50):
            root = np.sqrt(weights)[:, None]
            solution = np.linalg.lstsq(design * root, b * root[:, 0], rcond=None)[0]
            weights = 1.0 / np.maximum(np.abs(b - design @ solution), 1e-3 * np.std(b) + 1e-12)
        return cls(feature, float(solution[0]), float(solution[1]), floor)

    def predict(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Values for rows of pair features, shape (n,); NaN where the feature is unknown."""
        if not self.feature:
            return np.full(len(rows), max(self.intercept, self.floor))
        x = rows[:, pair_features.COLUMN[self.feature]].astype(float)
        return np.maximum(self.intercept + self.slope * x, self.floor)

    def as_json(self) -> dict[str, Any]:
        """For an artefact; an absent floor is null."""
        return asdict(self) | {"floor": None if np.isinf(self.floor) else self.floor}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Calibrated:
        """The inverse of `as_json`."""
        floor = -np.inf if data["floor"] is None else float(data["floor"])
        return cls(str(data["feature"]), float(data["intercept"]), float(data["slope"]), floor)


FLOORS: dict[str, float] = {BINDING_ENERGY.key: -np.inf, INTERLAYER_DISTANCE.key: 1.0, GAP.key: 0.0}
"""Smallest value that is predicted of each target, in its unit."""
