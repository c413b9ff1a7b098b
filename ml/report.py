"""What is kept of an evaluation: figures, curves and a coarse parity plot, and none of the rows that they come from.

One form for the database, the file beside a shipped artefact, the model card and the dashboard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.evaluation import NEARLY_ALL, Evaluation
from ml.learning import LearningPoint
from ml.metrics import ClassMetrics, Metrics
from ml.splits import STRICT
from schema.vocabulary import CurveKind, PartKind

GRID = 40
"""Cells of the parity plot along each axis."""
DIGITS = 5
"""Significant digits that are kept: more than the numbers of rows allow, and the same bytes on every machine."""


@dataclass(frozen=True)
class Figure:
    """Errors of one method on all rows, or on one kind of them; as in `schema.evaluations.ModelMetric`."""

    method: str
    n: int
    part_kind: str = PartKind.ALL.value
    part: str = ""
    mae: float | None = None
    rmse: float | None = None
    r2: float | None = None
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    coverage: float | None = None
    coverage_by_material: float | None = None
    width: float | None = None
    spread: float | None = None

    @property
    def error(self) -> float:
        """What is to be small: the mean absolute error, or the share named wrongly."""
        return self.mae if self.mae is not None else 1.0 - (self.accuracy or 0.0)


@dataclass(frozen=True)
class Curve:
    """Points of one curve; as in `schema.evaluations.ModelCurve`."""

    method: str
    kind: str
    x: list[float]
    y: list[float]
    n: list[int] | None = None


@dataclass(frozen=True)
class Report:
    """One evaluation, as it is kept.

    Attributes:
        target, domain, source, split, folds, n, repeats: as in `ml.evaluation.Evaluation`.
        data_digest: SHA-256 of the rows, hexadecimal.
        method: what is judged, as a screen would use it.
        baselines: methods that are to be beaten.
        figures: of all methods, on all rows; of the judged method and the best baseline also on kinds of rows.
        curves: learning, calibration and parity.
        importance: mean absolute SHAP value by feature, in the target's unit, the largest first; empty if not a tree.
    """

    target: str
    domain: str
    source: str
    split: str
    folds: str
    data_digest: str
    n: int
    repeats: int
    method: str
    baselines: list[str]
    figures: list[Figure]
    curves: list[Curve] = field(default_factory=list)
    importance: list[tuple[str, float]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        evaluation: Evaluation,
        method: str,
        *,
        learning: Mapping[str, Sequence[LearningPoint]] | None = None,
        truth: NDArray[np.floating] | None = None,
    ) -> Report:
        """What is kept of an evaluation.

        Args:
            evaluation: what was found.
            method: which of its methods is judged, with its view: "<method>, <view>".
            learning: learning curves by method.
            truth: values of the rows, shape (rows,), for the parity plot or the confusion matrix; None for none.
        """
        best = evaluation.best_baseline if evaluation.baselines else ""
        figures = [_figure(name, found, evaluation.spread.get(name)) for name, found in evaluation.metrics.items()]
        for name in dict.fromkeys((method, best)):
            for part, found in evaluation.by_part.get(name, []):
                if found.n:
                    figures.append(_figure(name, found, None, part.kind.value, part.name))
        curves = [
            Curve(name, CurveKind.CALIBRATION.value, [x for x, _ in points], [_short(y) for _, y in points])
            for name, points in evaluation.calibration.items()
            if name in (method, best) and np.isfinite([y for _, y in points]).all()
        ]
        for name, points in (learning or {}).items():
            curves.append(
                Curve(
                    name,
                    CurveKind.LEARNING.value,
                    [_short(point.materials) for point in points],
                    [_short(point.error) for point in points],
                    [round(point.rows) for point in points],
                )
            )
        if truth is not None:
            named = isinstance(evaluation.metrics[method], ClassMetrics)
            curves.append((confusion if named else parity)(method, truth, evaluation.out_of_fold[method]))
        return cls(
            evaluation.target, evaluation.domain, evaluation.source, evaluation.split, evaluation.folds,
            evaluation.data_digest.hex(), evaluation.n, evaluation.repeats, method, list(evaluation.baselines), figures,
            curves,
        )  # fmt: skip

    @property
    def strict(self) -> bool:
        """Whether this is the split that decides what is served."""
        return self.split == STRICT.get(self.domain)

    def figure(self, method: str) -> Figure:
        """A method's errors on all rows.

        Raises:
            KeyError: there is no such method.
        """
        for one in self.figures:
            if one.method == method and one.part_kind == PartKind.ALL:
                return one
        raise KeyError(method)

    @property
    def judged(self) -> Figure:
        """Errors of the judged method."""
        return self.figure(self.method)

    @property
    def best_baseline(self) -> Figure:
        """Errors of the baseline that errs least, among those that speak of nearly all rows.

        Raises:
            ValueError: no baseline was judged.
        """
        found = [self.figure(name) for name in self.baselines]
        most = max(figure.n for figure in found)
        return min((one for one in found if one.n >= NEARLY_ALL * most), key=lambda one: one.error)

    @property
    def beats_baseline(self) -> bool:
        """Whether the judged method errs less than every baseline, on no fewer rows."""
        best = self.best_baseline
        return self.judged.error < best.error and self.judged.n >= best.n

    def curve(self, kind: CurveKind, method: str | None = None) -> Curve | None:
        """A method's curve of a kind, by default the judged one's; None if there is none."""
        name = self.method if method is None else method
        return next((curve for curve in self.curves if curve.kind == kind and curve.method == name), None)

    def with_importance(self, importance: Sequence[tuple[str, float]]) -> Report:
        """The same report with the features that matter."""
        return replace(self, importance=[(name, _short(value)) for name, value in importance])

    def metrics_json(self) -> dict[str, dict[str, Any]]:
        """Errors on all rows by method, for `model_version.metrics`."""
        drop = ("method", "part_kind", "part")
        return {
            figure.method: {k: v for k, v in asdict(figure).items() if k not in drop and v is not None}
            for figure in self.figures
            if figure.part_kind == PartKind.ALL
        }

    def as_json(self) -> dict[str, Any]:
        """For a file; nothing in it that is not known."""
        content = asdict(self)
        content["figures"] = [{k: v for k, v in one.items() if v is not None} for one in content["figures"]]
        content["curves"] = [{k: v for k, v in one.items() if v is not None} for one in content["curves"]]
        return content

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """The inverse of `as_json`."""
        return cls(
            **{
                **data,
                "figures": [Figure(**one) for one in data["figures"]],
                "curves": [Curve(**one) for one in data["curves"]],
                "importance": [(str(name), float(value)) for name, value in data["importance"]],
            }
        )


def shown(reports: Sequence[Report]) -> Report | None:
    """The evaluation that a card draws: under the strict split, of the state that a screen asks about.

    That state is the one looked at hardest, with a learning curve.
    """
    strict = [report for report in reports if report.strict]
    drawn = [report for report in strict if any(curve.kind == CurveKind.LEARNING for curve in report.curves)]
    return next(iter(drawn or strict), None)


def parity(method: str, true: NDArray[np.floating], predicted: NDArray[np.floating], grid: int = GRID) -> Curve:
    """Calculated against predicted values as counts on a grid: its filled cells' centres, in the target's unit.

    The grid spans the calculated values; predictions beyond are counted at its rim.
    """
    ok = np.isfinite(true) & np.isfinite(predicted)
    t = true[ok]
    low, high = float(t.min()), float(t.max())
    edges = np.linspace(low, high if high > low else low + 1.0, grid + 1)
    counts, _, _ = np.histogram2d(t, np.clip(predicted[ok], edges[0], edges[-1]), bins=(edges, edges))
    centres = 0.5 * (edges[1:] + edges[:-1])
    at_x, at_y = np.nonzero(counts)
    return Curve(
        method,
        CurveKind.PARITY.value,
        [_short(centres[k]) for k in at_x],
        [_short(centres[k]) for k in at_y],
        [int(counts[i, j]) for i, j in zip(at_x, at_y, strict=True)],
    )


def confusion(method: str, true: NDArray[np.floating], predicted: NDArray[np.floating]) -> Curve:
    """Calculated against named classes: the number of rows of each two that occur together, by their numbers."""
    ok = np.isfinite(true) & np.isfinite(predicted)
    cells = np.stack([np.rint(true[ok]), np.rint(predicted[ok])], axis=1)
    found, counts = np.unique(cells, axis=0, return_counts=True)
    return Curve(method, CurveKind.PARITY.value, found[:, 0].tolist(), found[:, 1].tolist(), counts.tolist())


def _figure(
    method: str, found: Metrics | ClassMetrics, spread: float | None, kind: str = PartKind.ALL.value, part: str = ""
) -> Figure:
    values: dict[str, float | None] = {"spread": spread}
    if isinstance(found, ClassMetrics):
        values |= {"accuracy": found.accuracy, "balanced_accuracy": found.balanced_accuracy}
    else:
        values |= {
            key: getattr(found, key) for key in ("mae", "rmse", "r2", "coverage", "coverage_by_material", "width")
        }
    known = {k: _short(v) for k, v in values.items() if v is not None and math.isfinite(v)}
    return Figure(method, found.n, kind, part, **known)


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
