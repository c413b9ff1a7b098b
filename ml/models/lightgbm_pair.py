"""Gradient-boosted trees on the residual to calibrated physics.

The trees learn what the one-line physics misses. Where a pair lies outside what they saw they add a bounded
correction, and the physics carries the trend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from ml import baselines, pair_features
from ml.baselines import Calibrated
from ml.models.forest import Forest
from schema.quantities import GAP

SEED = 20240
ROUNDS = 300
PARAMETERS: dict[str, Any] = {
    "objective": "l1",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    # One thread and fixed column order: the same rows give the same trees, bit for bit.
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "seed": SEED,
    "verbosity": -1,
}

_REGISTRY = [pair_features.COLUMN[name] for name in pair_features.REGISTRY]
_OPTIONAL = [
    column
    for name, column in pair_features.COLUMN.items()
    if name not in pair_features.STRUCTURAL and name not in ("gap_min", "gap_aligned")
]


def feature_names(target: str) -> tuple[str, ...]:
    """Pair features that the model of a target reads.

    Energy and distance need no electronic property (their errors do not change without), so that a layer known by its
    atoms alone is scored as well as any. The gap needs the layers' gaps.
    """
    return pair_features.NAMES if target == GAP.key else pair_features.STRUCTURAL


def without_registry(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """The same rows as a moiré would show them: registry unknown."""
    out = np.array(rows, np.float32)
    out[:, _REGISTRY] = np.nan
    return out


def without_optional(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """The same rows with nothing electronic known but the gaps."""
    out = np.array(rows, np.float32)
    out[:, _OPTIONAL] = np.nan
    return out


@dataclass(frozen=True)
class ResidualModel:
    """Calibrated physics plus trees.

    Attributes:
        target: quantity key.
        baseline: the physics.
        trees: LightGBM's text.
        features: pair features that the trees read, in their order.
    """

    target: str
    baseline: Calibrated
    trees: str
    features: tuple[str, ...]
    _forest: list[Forest] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def fit(cls, target: str, rows: NDArray[np.floating], values: NDArray[np.floating]) -> ResidualModel:
        """Train on rows of pair features with the registry known.

        Each row is shown as it is, with its registry hidden and, for the gap, with its optional properties hidden as
        well: a missing input is then something the trees have met.

        Args:
            target: quantity key.
            rows: shape (n, len(pair_features.NAMES)).
            values: shape (n,); rows without a value or without the physics estimate are ignored.
        """
        name = baselines.PHYSICS[target]
        ok = np.isfinite(values) & np.isfinite(rows[:, pair_features.COLUMN[name]])
        seen, wanted = np.asarray(rows[ok], np.float32), np.asarray(values[ok], float)
        column = seen[:, pair_features.COLUMN[name]]
        baseline = Calibrated.fit(name, column, wanted, floor=baselines.FLOORS[target])
        residual = wanted - baseline.predict(seen)
        views = [seen, without_registry(seen)]
        if target == GAP.key:
            views.append(without_optional(without_registry(seen)))
        names = feature_names(target)
        columns = [pair_features.COLUMN[n] for n in names]
        data = lightgbm.Dataset(
            np.concatenate([view[:, columns] for view in views]),
            np.tile(residual, len(views)),
            feature_name=list(names),
            params={"verbosity": -1},
        )
        booster = lightgbm.train(PARAMETERS, data, ROUNDS)
        return cls(target, baseline, booster.model_to_string(num_iteration=-1), names)

    def predict(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Values for rows of pair features, shape (n,), in the target's unit; NaN where the physics is unknown."""
        if not self._forest:
            self._forest.append(Forest.from_lightgbm(lightgbm.Booster(model_str=self.trees)))
        columns = [pair_features.COLUMN[n] for n in self.features]
        correction = self._forest[0].predict(rows[:, columns])
        return np.maximum(self.baseline.predict(rows) + correction, self.baseline.floor)
