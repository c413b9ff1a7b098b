"""Conformal 90 % intervals, calibrated on the errors made on unseen materials.

Split conformal prediction with Mondrian categories (V. Vovk et al., Algorithmic Learning in a Random World, 2005): the
half-width of a category is the ⌈(n+1)·0.9⌉-th smallest absolute error of its calibration rows, each predicted by a
model that saw nothing of the row's material. Categories are bins of the prediction, as errors grow with it.

Where the registry is known, a row is one stacking, and rows count alike. Where it is not, all stackings of a layer
share one prediction: rows are then weighted so that every layer counts alike, as it does in a screen over layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
N_BINS = 5
MIN_IN_BIN = 100


@dataclass(frozen=True)
class Conformal:
    """Half-widths by bin of the prediction.

    Attributes:
        edges: inner edges of the bins, rising, in the target's unit.
        half_width: of each bin, in the target's unit, length len(edges) + 1.
    """

    edges: tuple[float, ...]
    half_width: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        predicted: NDArray[np.floating],
        true: NDArray[np.floating],
        groups: NDArray[np.int64] | None = None,
        *,
        level: float = LEVEL,
        n_bins: int = N_BINS,
    ) -> Conformal:
        """Calibrate on out-of-fold predictions.

        Args:
            predicted, true: shape (n,), in the target's unit; rows with a NaN are ignored.
            groups: number of each row's material, shape (n,), if every material is to count alike; None if every row.
            level: share of rows that the intervals are to cover.
            n_bins: bins by quantile of the prediction; fewer where a bin would hold under `MIN_IN_BIN` rows.
        """
        ok = np.isfinite(predicted) & np.isfinite(true)
        p, error = predicted[ok], np.abs(true[ok] - predicted[ok])
        group = np.arange(len(p)) if groups is None else groups[ok]
        bins = max(1, min(n_bins, len(p) // MIN_IN_BIN))
        # Metals pile up at one prediction: equal edges would leave an empty bin, so they are merged.
        edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])) if bins > 1 else np.array([])
        which = np.searchsorted(edges, p, side="right")
        half = []
        for b in range(len(edges) + 1):
            inside = which == b
            chosen = inside if inside.any() else np.ones(len(p), bool)
            half.append(_weighted_quantile(error[chosen], group[chosen], level))
        return cls(tuple(float(e) for e in edges), tuple(half))

    def half_widths(self, predicted: NDArray[np.floating]) -> NDArray[np.float64]:
        """Half-width of the interval of each prediction, shape as given; NaN for NaN."""
        widths = np.array(self.half_width)[np.searchsorted(self.edges, predicted, side="right")]
        return np.where(np.isfinite(predicted), widths, np.nan)

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {"edges": list(self.edges), "half_width": list(self.half_width)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Conformal:
        """The inverse of `as_json`."""
        return cls(tuple(map(float, data["edges"])), tuple(map(float, data["half_width"])))


def _weighted_quantile(error: NDArray[np.floating], group: NDArray[np.int64], level: float) -> float:
    _, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    weights = 1.0 / counts[index]
    order = np.argsort(error)
    reached = np.cumsum(weights[order])
    # The (n+1) of split conformal: one unseen material more than those calibrated on.
    wanted = level * (reached[-1] + 1.0)
    at = min(int(np.searchsorted(reached, wanted)), len(order) - 1)
    return float(error[order[at]])
