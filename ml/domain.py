"""How far a layer lies from those that a model learned from.

Layers are points in the standardised structural features; the training layers are summed up by a few hundred centres
(k-means). The distance of a layer is that to its nearest centre, in units of the edge of the domain: the distance that
95 % of layers stay below when the centres were made without them. Beyond 1 a prediction extrapolates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import features

FEATURES: tuple[str, ...] = (
    "thickness", "atom_density", "n_elements",
    *(f"magpie_mean_{name}" for name in (
        "MendeleevNumber", "Row", "Column", "CovalentRadius", "Electronegativity", "NValence", "NUnfilled",
        "GSvolume_pa",
    )),
    "magpie_avg_dev_Electronegativity", "magpie_avg_dev_Number",
    *(f"{face}_{name}" for face in ("bottom", "top") for name in (
        "electronegativity", "vdw_radius", "column", "row", "density", "roughness", "charge", "probe_small_mean",
        "probe_small_min",
    )),
)  # fmt: skip
"""Material features in which distance is measured; all are known of any layer."""

CENTRES = 160
EDGE_QUANTILE = 0.95
SEED = 20240


@dataclass(frozen=True)
class Domain:
    """The region that training covered.

    Attributes:
        mean, scale: of each feature over the training layers, in its unit.
        centres: standardised, shape (centres, len(FEATURES)).
        edge: distance at which the domain ends, standardised.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    centres: NDArray[np.float64]
    edge: float

    @classmethod
    def fit(cls, materials: NDArray[np.floating], *, centres: int = CENTRES) -> Domain:
        """Sum up training layers.

        Args:
            materials: feature vectors of the distinct training layers, shape (n, len(ml.features.NAMES)).
            centres: at most how many; never more than a third of the layers.
        """
        table = _columns(materials)
        mean, scale = table.mean(axis=0), table.std(axis=0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        points = (table - mean) / scale
        count = max(1, min(centres, len(points) // 3))
        order = np.random.default_rng(SEED).permutation(len(points))
        held_out = []
        for part in np.array_split(order, min(5, len(points))):
            rest = np.setdiff1d(order, part)
            if len(rest):
                held_out.append(_nearest(points[part], _cluster(points[rest], min(count, len(rest)))))
        edge = float(np.quantile(np.concatenate(held_out), EDGE_QUANTILE)) if held_out else 1.0
        return cls(mean, scale, np.round(_cluster(points, count), 4), max(edge, 1e-6))

    def distance(self, materials: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distance of each layer, 1 = the edge of the domain; shape (materials,); NaN for NaN."""
        points = (_columns(materials) - self.mean) / self.scale
        known = np.isfinite(points).all(axis=1)
        out = np.full(len(points), np.nan)
        if known.any():
            out[known] = _nearest(points[known], self.centres) / self.edge
        return out

    def partners(
        self, materials: NDArray[np.floating], bottom: NDArray[np.integer], top: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Distance of either partner of pairs: a pair is as far out as its farther one.

        Args:
            materials: feature vectors, shape (materials, len(ml.features.NAMES)).
            bottom, top: rows of it, shape (pairs,).

        Returns:
            Shape (pairs, 2), 1 = the edge of the domain.
        """
        each = self.distance(materials)
        return np.column_stack([each[bottom], each[top]])

    def points(self, materials: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where layers lie, shape (materials, len(FEATURES)), in units in which the domain ends at 1."""
        return np.asarray((_columns(materials) - self.mean) / self.scale / self.edge, float)

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {
            "features": list(FEATURES),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "centres": self.centres.tolist(),
            "edge": self.edge,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Domain:
        """The inverse of `as_json`."""
        return cls(np.array(data["mean"]), np.array(data["scale"]), np.array(data["centres"]), float(data["edge"]))


def _columns(materials: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(materials[:, [features.COLUMN[name] for name in FEATURES]], float)


def _cluster(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans

    return KMeans(count, n_init=1, random_state=SEED).fit(points).cluster_centers_


def _nearest(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial import cKDTree

    return cKDTree(centres).query(points)[0]
