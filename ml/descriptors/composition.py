"""Magpie composition statistics: matminer's numbers, from its own tables, vectorised over materials.

matminer's featurizer goes one composition at a time; the arithmetic here is the same and is tested against it.
Source: L. Ward et al., npj Comput. Mater. 2, 16028 (2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.elements import magpie_table

PROPERTIES = (
    "Number", "MendeleevNumber", "AtomicWeight", "MeltingT", "Column", "Row", "CovalentRadius", "Electronegativity",
    "NsValence", "NpValence", "NdValence", "NfValence", "NValence", "NsUnfilled", "NpUnfilled", "NdUnfilled",
    "NfUnfilled", "NUnfilled", "GSvolume_pa", "GSbandgap", "GSmagmom", "SpaceGroupNumber",
)  # fmt: skip
STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
NAMES = tuple(f"magpie_{stat}_{prop}" for prop in PROPERTIES for stat in STATISTICS)
"""Names of the 132 columns, in matminer's order."""


def magpie(compositions: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """The 132 Magpie statistics of each composition.

    Args:
        compositions: atomic numbers of the atoms of each material, one array a material, not empty.

    Returns:
        Shape (materials, 132), columns as `NAMES`, each in its element property's own unit.
    """
    counted = [np.unique(numbers, return_counts=True) for numbers in compositions]
    width = max((len(elements) for elements, _ in counted), default=1)
    elements = np.zeros((len(counted), width), np.int64)
    weights = np.zeros((len(counted), width))
    for row, (kinds, counts) in enumerate(counted):
        # Padding repeats the first element with weight 0: it changes no extreme and no mean.
        elements[row] = kinds[0]
        elements[row, : len(kinds)] = kinds
        weights[row, : len(kinds)] = counts / counts.sum()
    most_frequent = np.isclose(weights, weights.max(axis=1, keepdims=True))
    out = np.empty((len(counted), len(PROPERTIES), len(STATISTICS)))
    for k, name in enumerate(PROPERTIES):
        values = magpie_table(name)[elements]
        mean = (values * weights).sum(axis=1)
        low, high = values.min(axis=1), values.max(axis=1)
        out[:, k, 0], out[:, k, 1], out[:, k, 2], out[:, k, 3] = low, high, high - low, mean
        out[:, k, 4] = (np.abs(values - mean[:, None]) * weights).sum(axis=1)
        out[:, k, 5] = np.where(most_frequent, values, np.inf).min(axis=1)
    return out.reshape(len(counted), -1)
