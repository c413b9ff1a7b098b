"""Why a number: what physics says of it, and what each feature added.

For the trees these are SHAP values, exact by TreeSHAP as LightGBM computes it (S. M. Lundberg et al., Nat. Mach.
Intell. 2, 56 (2020)): they add up to the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from ml import pair_features
from ml.artefact import PairModel
from ml.models.tree_ensemble import TreeEnsemble

MAX_ROWS = 2000
"""Rows that a global importance is averaged over: the means no longer move beyond."""
SEED = 20240


@dataclass(frozen=True)
class Contribution:
    """What one feature added to a prediction.

    Attributes:
        feature: name.
        value: of the feature, in its unit; None if unknown.
        unit: of the feature.
        shap: what it added, in the target's unit.
    """

    feature: str
    value: float | None
    unit: str
    shap: float


@dataclass(frozen=True)
class Explanation:
    """One prediction taken apart: value = physics + typical + all contributions, then kept above the target's floor.

    Attributes:
        target: quantity key.
        unit: of the target.
        value: the prediction.
        lower, upper: ends of its 90 % interval.
        physics: calibrated physics estimate of the pair.
        physics_name: which estimate that is.
        typical: mean of what the trees add, over training.
        contributions: the largest first; none where the trees are not used.
        note: why the trees are not used, if they are not.
    """

    target: str
    unit: str
    value: float
    lower: float
    upper: float
    physics: float
    physics_name: str
    typical: float
    contributions: tuple[Contribution, ...]
    note: str = ""


def shap_values(ensemble: TreeEnsemble, rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """What each feature that the trees read adds to each prediction, and what they add on average.

    Args:
        ensemble: with members; the mean of theirs is given.
        rows: pair features, shape (n, len(pair_features.NAMES)).

    Returns:
        Shape (n, len(ensemble.features) + 1), in the target's unit; the last column is the mean over training.

    Raises:
        ValueError: the ensemble has no trees.
    """
    if not ensemble.members:
        raise ValueError("an ensemble without members has no trees")
    seen = rows[:, [pair_features.COLUMN[name] for name in ensemble.features]]
    each = [lightgbm.Booster(model_str=text).predict(seen, pred_contrib=True) for text in ensemble.members]
    return np.asarray(np.mean(each, axis=0), float)


def explain(
    model: PairModel, row: NDArray[np.floating], *, registry_known: bool = False, unseen: int = 2
) -> Explanation:
    """Take one prediction apart.

    Args:
        model: what predicted.
        row: pair features, shape (len(pair_features.NAMES),).
        registry_known: whether their registry block is filled.
        unseen: how many of the two partners training has not seen.
    """
    rows = np.asarray(row, np.float32)[None, :]
    predicted = model.predict(rows, registry_known=registry_known, unseen=np.array([unseen]))
    value, lower, upper = (float(end[0]) for end in (predicted.value, predicted.lower, predicted.upper))
    ensemble = model.state(registry_known).ensemble
    physics = float(ensemble.baseline.predict(rows)[0])
    name = f"{ensemble.baseline.feature}, calibrated" if ensemble.baseline.feature else "mean of the training rows"
    if not ensemble.members:
        note = "No model beats this estimate on unseen materials, so it is given."
        return Explanation(model.target, model.unit, value, lower, upper, physics, name, 0.0, (), note)
    shares = shap_values(ensemble, rows)[0]
    order = np.argsort(-np.abs(shares[:-1]), kind="stable")
    parts = tuple(_contribution(ensemble.features[k], rows[0], float(shares[k])) for k in order if shares[k] != 0)
    return Explanation(model.target, model.unit, value, lower, upper, physics, name, float(shares[-1]), parts)


def importance(ensemble: TreeEnsemble, rows: NDArray[np.floating]) -> list[tuple[str, float]]:
    """Mean absolute SHAP value of each feature, in the target's unit, the largest first; none without trees.

    Args:
        ensemble: any.
        rows: pair features of the training rows, shape (n, len(pair_features.NAMES)); of many, `MAX_ROWS` are drawn.
    """
    if not ensemble.members or not len(rows):
        return []
    if len(rows) > MAX_ROWS:
        rows = rows[np.sort(np.random.default_rng(SEED).choice(len(rows), MAX_ROWS, replace=False))]
    mean = np.abs(shap_values(ensemble, rows)[:, :-1]).mean(axis=0)
    return [(ensemble.features[k], float(mean[k])) for k in np.argsort(-mean, kind="stable") if mean[k] > 0]


def _contribution(feature: str, row: NDArray[np.floating], shap: float) -> Contribution:
    at = pair_features.COLUMN[feature]
    value = float(row[at])
    return Contribution(feature, value if np.isfinite(value) else None, pair_features.UNITS[at], shap)
