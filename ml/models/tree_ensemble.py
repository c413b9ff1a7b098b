"""Gradient-boosted trees on the residual to calibrated physics, several of them, each on rows drawn anew.

The trees learn what the one-line physics misses. Where a pair lies outside what they saw they add a bounded
correction, and the physics carries the trend. Members differ in how they are grown (`ml.models.tree_settings`) and in
the rows and features that each tree is shown; how far they disagree tells how far to trust them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from ml import pair_features
from ml.baselines import Calibrated
from ml.models.forest import Forest
from ml.models.tree_settings import GridRule, of_values
from ml.rows import InterfaceRows

SEED = 20240


@dataclass(frozen=True)
class TreeEnsemble:
    """Calibrated physics plus the mean of the members' trees; without members the physics alone.

    Attributes:
        baseline: the physics.
        members: LightGBM's text of each.
        features: pair features that the trees read, in their order.
    """

    baseline: Calibrated
    members: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    _forests: list[Forest] = field(default_factory=list, compare=False, repr=False)

    def values(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Predictions, shape (n,), in the target's unit; NaN where the physics is unknown.

        Args:
            rows: pair features, shape (n, len(pair_features.NAMES)).
        """
        return np.asarray(self.each(rows).mean(axis=0), float)

    def each(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Predictions of each member, shape (members, n), one row if there is none; see `values`."""
        physics = self.baseline.predict(rows)
        if not self.members:
            return physics[None]
        if not self._forests:
            self._forests.extend(Forest.from_lightgbm(lightgbm.Booster(model_str=text)) for text in self.members)
        seen = np.ascontiguousarray(rows[:, [pair_features.COLUMN[name] for name in self.features]], np.float32)
        corrected = np.stack([physics + forest.predict(seen) for forest in self._forests])
        return np.maximum(corrected, self.baseline.floor)

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `ml.method.Fitted`."""
        return self.values(rows.columns(pair_features.NAMES)[which])

    def spread(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `ml.method.Spreading`."""
        return np.asarray(self.each(rows.columns(pair_features.NAMES)[which]).std(axis=0), float)

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {"baseline": self.baseline.as_json(), "members": list(self.members), "features": list(self.features)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TreeEnsemble:
        """The inverse of `as_json`."""
        return cls(Calibrated.from_json(data["baseline"]), tuple(data["members"]), tuple(data["features"]))


@dataclass(frozen=True)
class Trees:
    """The method: physics calibrated on the training rows, and trees on what is left.

    Attributes:
        physics: pair feature that is the estimate; "" for the mean.
        features: pair features that the trees read.
        floor: smallest value given, in the target's unit.
        hidden: blocks of pair features that further copies of each row are shown without, so that a missing input is
            something that the trees have met.
        grid: how the members are grown, by number of training rows.
        seed: of the first member.
        name: as tables write it.
    """

    physics: str
    features: tuple[str, ...]
    floor: float = -np.inf
    hidden: tuple[tuple[str, ...], ...] = ()
    grid: GridRule = of_values
    seed: int = SEED
    name: str = "model"

    def with_seed(self, seed: int) -> Trees:
        """See `ml.method.Seeded`."""
        return replace(self, seed=SEED + 1000 * seed)

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> TreeEnsemble:
        """See `ml.method.Method`. Rows without the physics estimate are not learned from."""
        seen = rows.columns(pair_features.NAMES)[train]
        wanted = np.asarray(rows.targets[target][train], float)
        estimate = seen[:, pair_features.COLUMN[self.physics]] if self.physics else np.zeros(len(seen))
        known = np.isfinite(wanted) & np.isfinite(estimate)
        seen, wanted = seen[known], wanted[known]
        baseline = Calibrated.fit(self.physics, estimate[known], wanted, floor=self.floor)
        residual = wanted - baseline.predict(seen)
        columns = [pair_features.COLUMN[name] for name in self.features]
        views = [seen[:, columns]]
        for block in self.hidden:
            views.append(views[0].copy())
            views[-1][:, [k for k, name in enumerate(self.features) if name in block]] = np.nan
        grid = self.grid(len(seen))
        # Binned once for all members; features that no leaf of theirs could split are left out once.
        data = lightgbm.Dataset(
            np.concatenate(views),
            np.tile(residual, len(views)),
            feature_name=list(self.features),
            params={"verbosity": -1, "min_data_in_leaf": min(settings.min_rows for settings in grid)},
            free_raw_data=False,
        )
        members = tuple(
            lightgbm.train(
                settings.parameters(self.seed + k) | settings.objective(residual), data, settings.rounds
            ).model_to_string(num_iteration=-1)
            for k, settings in enumerate(grid)
        )
        return TreeEnsemble(baseline, members, self.features)
