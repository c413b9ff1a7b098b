"""Gradient-boosted trees that name a class: several ensembles, whose probabilities are averaged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from ml.models.tree_ensemble import FIXED, SEED, Settings
from ml.rows import InterfaceRows


@dataclass(frozen=True)
class FittedClasses:
    """What has learned.

    Attributes:
        members: LightGBM's text of each.
        features: what the trees read, in their order.
        classes: value of each class, rising.
    """

    members: tuple[str, ...]
    features: tuple[str, ...]
    classes: tuple[float, ...]

    def probabilities(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of each class, averaged over the members, shape (rows in `which`, classes)."""
        seen = rows.columns(self.features)[which]
        found = [np.asarray(lightgbm.Booster(model_str=text).predict(seen, num_threads=1)) for text in self.members]
        return np.asarray(np.mean(found, axis=0), float)

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `ml.method.Fitted`: the most probable class."""
        if not which.any():
            return np.empty(0)
        return np.array(self.classes)[self.probabilities(rows, which).argmax(axis=1)]


@dataclass(frozen=True)
class ClassTrees:
    """The method.

    Attributes:
        features: what the trees read.
        settings: how they are grown; its loss is not used.
        seed: of the first member.
        name: as tables write it.
    """

    features: tuple[str, ...]
    settings: Settings
    seed: int = SEED
    name: str = "model"

    def with_seed(self, seed: int) -> ClassTrees:
        """See `ml.method.Seeded`."""
        return replace(self, seed=SEED + 1000 * seed)

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> FittedClasses:
        """See `ml.method.Method`."""
        classes, numbers = np.unique(rows.targets[target][train], return_inverse=True)
        data = lightgbm.Dataset(
            rows.columns(self.features)[train],
            numbers,
            params={"verbosity": -1, "min_data_in_leaf": self.settings.min_rows},
            free_raw_data=False,
        )
        members = []
        for k in range(self.settings.members):
            parameters: dict[str, Any] = {
                **FIXED,
                "objective": "multiclass",
                "num_class": len(classes),
                "learning_rate": self.settings.rate,
                "num_leaves": self.settings.leaves,
                "min_data_in_leaf": self.settings.min_rows,
                "feature_fraction": self.settings.columns,
                "bagging_fraction": self.settings.rows,
                "seed": self.seed + k,
            }
            booster = lightgbm.train(parameters, data, self.settings.rounds)
            members.append(booster.model_to_string(num_iteration=-1))
        return FittedClasses(tuple(members), self.features, tuple(float(value) for value in classes))
