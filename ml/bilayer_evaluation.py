"""Errors and coverage of the homobilayer models on rows that they could not know, beside the baselines'.

Every number is out of fold: a row is predicted by a model fitted on the other folds. Intervals are calibrated without
the fold that they are tested on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ml import baselines, pair_features
from ml.baselines import Calibrated
from ml.datasets import TrainingTable
from ml.metrics import Metrics, group_numbers
from ml.models.lightgbm_pair import ResidualModel, without_optional, without_registry
from ml.splits import N_FOLDS, Split, folds
from ml.uncertainty import Conformal
from schema.quantities import GAP

REGISTRY_KNOWN = "model, registry known"
REGISTRY_UNKNOWN = "model, registry unknown"
GAPS_ONLY = "model, registry unknown, only gaps known"


@dataclass(frozen=True)
class Evaluation:
    """All methods on one target under one split.

    Attributes:
        target: quantity key.
        split: which split.
        metrics: by method.
        out_of_fold: prediction of each row by each method, shape (rows,), NaN where not labelled.
    """

    target: str
    split: Split
    metrics: dict[str, Metrics]
    out_of_fold: dict[str, NDArray[np.float64]]


def evaluate(
    table: TrainingTable, target: str, split: Split, *, on_fold: Callable[[], None] | None = None
) -> Evaluation:
    """Predict every labelled row out of fold, by the baselines and by the model.

    Args:
        table: training rows.
        target: quantity key.
        split: which rows are kept together.
        on_fold: called after each fold, for a progress bar.
    """
    truth, fold = table.targets[target], folds(table, split)
    out: dict[str, NDArray[np.float64]] = {}

    def put(method: str, rows: NDArray[np.bool_], values: NDArray[np.floating]) -> None:
        out.setdefault(method, np.full(len(table), np.nan))[rows] = values

    for k in range(N_FOLDS):
        test = (fold == k) & np.isfinite(truth)
        train = (fold != k) & np.isfinite(truth)
        if not test.any() or not train.any():
            continue
        rows, wanted, seen = table.known[train], truth[train], table.known[test]
        floor = baselines.FLOORS[target]
        put("mean", test, Calibrated.fit("", wanted, wanted, floor=floor).predict(seen))
        for name in baselines.CANDIDATES[target]:
            column = pair_features.COLUMN[name]
            put(f"{name}, as it is", test, seen[:, column])
            line = Calibrated.fit(name, rows[:, column], wanted, floor=floor)
            put(f"{name}, calibrated", test, line.predict(seen))
        model = ResidualModel.fit(target, rows, wanted)
        put(REGISTRY_KNOWN, test, model.predict(seen))
        put(REGISTRY_UNKNOWN, test, model.predict(without_registry(seen)))
        if target == GAP.key:
            put(GAPS_ONLY, test, model.predict(without_optional(without_registry(seen))))
        if on_fold is not None:
            on_fold()
    groups = group_numbers(table.groups)
    metrics = {}
    for method, predicted in out.items():
        metrics[method] = Metrics.of(truth, predicted)
        if method.startswith("model") or method == f"{baselines.PHYSICS[target]}, calibrated":
            metrics[method] = _with_coverage(
                metrics[method], truth, predicted, fold, groups, by_material=method != REGISTRY_KNOWN
            )
    return Evaluation(target, split, metrics, out)


def _with_coverage(
    metrics: Metrics,
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    fold: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    by_material: bool,
) -> Metrics:
    """Add the coverage of intervals that were calibrated on the other folds' rows."""
    ok = np.isfinite(truth) & np.isfinite(predicted)
    half = np.full(len(truth), np.nan)
    for k in range(N_FOLDS):
        test, calibrate = ok & (fold == k), ok & (fold != k)
        if test.any() and calibrate.any():
            conformal = Conformal.fit(
                predicted[calibrate], truth[calibrate], groups[calibrate] if by_material else None
            )
            half[test] = conformal.half_widths(predicted[test])
    inside = (np.abs(truth - predicted) <= half)[ok]
    _, index, counts = np.unique(groups[ok], return_inverse=True, return_counts=True)
    covered = np.bincount(index, inside) / counts
    values = asdict(metrics) | {
        "coverage": float(inside.mean()),
        "coverage_by_material": float(covered.mean()),
        "width": float(np.nanmean(half[ok])),
    }
    return Metrics(**values)
