"""Gradient-boosted trees that name a class: several ensembles on top of what physics says, probabilities averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from ml.models.class_physics import (
    LEAST,
    ClassPhysics,
    FitPhysics,
    Frequencies,
    most_probable,
    physics_from_json,
)
from ml.models.tree_ensemble import SEED
from ml.models.tree_settings import GridRule, of_classes
from ml.rows import InterfaceRows


@dataclass(frozen=True)
class FittedClasses:
    """What has learned.

    Attributes:
        physics: what the trees correct, in logarithms of probabilities.
        members: LightGBM's text of each; without members physics speaks alone.
        features: what the trees read, in their order.
    """

    physics: ClassPhysics
    members: tuple[str, ...]
    features: tuple[str, ...]
    _boosters: list[lightgbm.Booster] = field(default_factory=list, compare=False, repr=False)

    @property
    def classes(self) -> tuple[float, ...]:
        """Value of each class, rising."""
        return self.physics.classes

    @property
    def without_trees(self) -> FittedClasses:
        """Its physics alone."""
        return FittedClasses(self.physics, (), ())

    def probabilities(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of each class, averaged over the members, shape (rows in `which`, classes); NaN where physics is unknown."""
        seen = rows.take(which)
        physics = self.physics.probabilities(seen)
        if not self.members or not len(seen):
            return physics
        if not self._boosters:
            self._boosters.extend(lightgbm.Booster(model_str=text) for text in self.members)
        start = np.log(np.maximum(physics, LEAST))
        read = seen.columns(self.features)
        found = [_softmax(start + booster.predict(read, raw_score=True, num_threads=1)) for booster in self._boosters]
        return np.asarray(np.mean(found, axis=0), float)

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `ml.method.Fitted`: the most probable class."""
        return most_probable(self.probabilities(rows, which), self.classes)

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {"physics": self.physics.as_json(), "members": list(self.members), "features": list(self.features)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FittedClasses:
        """The inverse of `as_json`."""
        return cls(physics_from_json(data["physics"]), tuple(data["members"]), tuple(data["features"]))


@dataclass(frozen=True)
class ClassTrees:
    """The method.

    Attributes:
        features: what the trees read.
        physics: calibrates what they correct.
        grid: how the members are grown, by number of training rows.
        seed: of the first member.
        name: as tables write it.
    """

    features: tuple[str, ...]
    physics: FitPhysics = Frequencies.fit
    grid: GridRule = of_classes
    seed: int = SEED
    name: str = "model"

    def with_seed(self, seed: int) -> ClassTrees:
        """See `ml.method.Seeded`."""
        return replace(self, seed=SEED + 1000 * seed)

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> FittedClasses:
        """See `ml.method.Method`. Rows without the physics are not learned from."""
        values = rows.targets[target]
        physics = self.physics(rows.take(train), values[train])
        before = physics.probabilities(rows)
        learned = train & np.isfinite(before).all(axis=1)
        numbers = np.searchsorted(physics.classes, values[learned])
        grid = self.grid(int(learned.sum()))
        data = lightgbm.Dataset(
            rows.columns(self.features)[learned],
            numbers,
            init_score=np.log(np.maximum(before[learned], LEAST)),
            params={"verbosity": -1, "min_data_in_leaf": min(settings.min_rows for settings in grid)},
            free_raw_data=False,
        )
        loss = {"objective": "multiclass", "num_class": len(physics.classes)}
        members = tuple(
            lightgbm.train(settings.parameters(self.seed + k) | loss, data, settings.rounds)
            .model_to_string(num_iteration=-1)
            for k, settings in enumerate(grid)
        )  # fmt: skip
        return FittedClasses(physics, members, self.features)


def _softmax(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), float)
