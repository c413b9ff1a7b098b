"""Whether a model may be served: only where it beats every calibrated baseline on materials that it had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.evaluation import Evaluation
from ml.metrics import ClassMetrics
from ml.report import Report
from ml.splits import STRICT
from schema.errors import StackscreenError


class NotBetterError(StackscreenError):
    """A model may not be served."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        served: whether the model may be served.
        why: in a sentence, with the figures.
    """

    served: bool
    why: str


def judge(reports: Sequence[Report], domain: str, unit: str) -> Verdict:
    """Judge a model by its evaluation under its domain's strict split.

    Args:
        reports: its evaluations, the newest last.
        domain: of the model.
        unit: of its target.
    """
    strict = [report for report in reports if report.strict]
    if not strict:
        return Verdict(False, f"It was never evaluated under {STRICT[domain].value}.")
    report = strict[-1]
    if not report.baselines:
        return Verdict(False, f"Under {report.split} no baseline was evaluated beside it.")
    ours, theirs = report.judged, report.best_baseline
    if report.method == theirs.method:
        # Where trees did not win, what answers for two strangers is what they did not beat.
        error = _error(ours.error, unit, ours.mae is None)
        return Verdict(True, f"Under {report.split} it answers by {theirs.method} itself, the best baseline: {error}.")
    numbers = f"{_error(ours.error, unit, ours.mae is None)} against {_error(theirs.error, unit, theirs.mae is None)}"
    what = "share named wrongly" if ours.mae is None else "mean absolute error"
    if report.beats_baseline:
        return Verdict(True, f"Under {report.split} it beats {theirs.method}: {what} {numbers}, {ours.n} rows.")
    if ours.n < theirs.n:
        few = f"it predicts {ours.n} rows only, and {theirs.method} {theirs.n}"
        return Verdict(False, f"Under {report.split} {few}.")
    return Verdict(False, f"Under {report.split} it does not beat {theirs.method}: {what} {numbers}, {ours.n} rows.")


def clearly_ahead(judged: Evaluation, method: str, truth: NDArray[np.floating]) -> bool:
    """Whether a method errs less than the best baseline by more than chance makes of the difference.

    That is one standard error of the mean difference, row by row: √(var(loss − loss of the baseline) / n), of classes
    the binomial one; and what either error moves by when folds and seeds are drawn again, where they were. Other folds
    of the same rows do not tell what other rows would have, nor these what other folds do.

    Args:
        judged: under one split.
        method: one of its methods.
        truth: values of the rows, shape (rows,), NaN where unlabelled.
    """
    best = judged.best_baseline
    if not judged.beats_baseline(method):
        return False
    ahead = judged.metrics[best].error - judged.metrics[method].error
    ours, theirs = judged.out_of_fold[method], judged.out_of_fold[best]
    both = np.isfinite(ours) & np.isfinite(theirs) & np.isfinite(truth)
    apart = np.abs(np.stack([ours, theirs])[:, both] - truth[both])
    losses = apart > 0 if isinstance(judged.metrics[method], ClassMetrics) else apart
    difference = losses[1].astype(float) - losses[0].astype(float)
    by_chance = float(difference.std() / np.sqrt(max(len(difference), 1)))
    return ahead > max(by_chance, *(judged.spread.get(name, 0.0) for name in (method, best)))


def _error(value: float, unit: str, is_class: bool) -> str:
    return f"{100 * value:.1f} %" if is_class else f"{value:.3g} {unit}"
