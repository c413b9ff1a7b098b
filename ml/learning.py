"""How an error falls as more is learned from: whether more calculations would help."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ml.evaluation import AS_THEY_ARE, MIN_TRAINING, OnFold, out_of_fold
from ml.method import Method
from ml.metrics import ClassMetrics, Metrics
from ml.rows import InterfaceRows
from ml.splits import Split, partitions
from schema.vocabulary import InterfaceKind

MIN_ON_CURVE = 8
"""A learning curve goes down to where a part has so few rows: there it is to show how much is missing."""
FRACTIONS = (0.125, 0.25, 0.5, 0.75, 1.0)
"""Shares of the training materials, for the learning curve."""


@dataclass(frozen=True)
class LearningPoint:
    """One point of a learning curve.

    Attributes:
        fraction: of the training materials.
        materials, rows: in training, on average over the parts.
        error: mean absolute error in the target's unit, or the share named wrongly.
    """

    fraction: float
    materials: float
    rows: float
    error: float


def learning_curve(
    rows: InterfaceRows,
    target: str,
    method: Method,
    split: Split,
    *,
    classes: bool = False,
    fractions: Sequence[float] = FRACTIONS,
    view: Callable[[InterfaceRows], InterfaceRows] | None = None,
    whole: float | None = None,
    on_fold: OnFold | None = None,
) -> list[LearningPoint]:
    """Error on the same test rows when less has been learned from.

    A fraction of the training materials is kept by their names' digests, so that smaller sets lie within larger ones,
    and with them the rows both of whose layers are kept. Fractions that leave a part with fewer than `MIN_ON_CURVE`
    rows have no point.

    Args:
        rows, target, split, classes, on_fold: as in `evaluate`.
        method: whose curve.
        fractions: shares of the training materials, rising.
        view: how test rows are shown; as they are by default.
        whole: error of the method when it learns from all, where that has been found already.
    """
    labelled = rows.take(rows.labelled(target))
    truth = labelled.targets[target]
    parts = [part for part in partitions(labelled, split) if part.train.sum() >= MIN_TRAINING]
    if labelled.domain == InterfaceKind.ON_BULK.value:
        # A handful of films or substrates would make a ragged curve: rows are drawn.
        rank = np.array([_unit(name) for name in labelled.ids])
    else:
        rank = np.array([max(map(_unit, pair)) for pair in zip(labelled.bottom, labelled.top, strict=True)])
    points = []
    for fraction in fractions:
        kept = rank < fraction if fraction < 1 else np.ones(len(labelled), bool)
        smaller = [part._replace(train=part.train & kept) for part in parts]
        if not smaller or min(part.train.sum() for part in smaller) < MIN_ON_CURVE:
            continue
        names = [{*np.array(labelled.bottom)[p.train], *np.array(labelled.top)[p.train]} for p in smaller]
        if whole is None or fraction < 1:
            shown = {"": view} if view else AS_THEY_ARE
            out, _ = out_of_fold(labelled, target, [method], smaller, views=shown, least=MIN_ON_CURVE, on_fold=on_fold)
            error = (ClassMetrics.of if classes else Metrics.of)(truth, out[method.name]).error
        else:
            error = whole
        points.append(
            LearningPoint(
                fraction,
                float(np.mean([len(found) for found in names])),
                float(np.mean([p.train.sum() for p in smaller])),
                error,
            )
        )
    return points


def _unit(name: str) -> float:
    return int.from_bytes(hashlib.sha256(f"learning-v1:{name}".encode()).digest()[:8], "big") / 2.0**64
