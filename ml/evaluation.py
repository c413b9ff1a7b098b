"""How far to trust a method: errors and coverage on rows that it could not know, beside the baselines'.

Every number is out of fold: a row is predicted by what was fitted without its fold, and its interval is calibrated
without it. Choices that a method makes (`ml.selection`) are made on inner folds of what it learns from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.method import Combined, Fitted, Method, Seeded, Spreading
from ml.metrics import ClassMetrics, Metrics, group_numbers
from ml.parts import Part, parts_of
from ml.rows import InterfaceRows
from ml.splits import N_FOLDS, VERSION, Partition, Split, pair_names, partitions
from ml.uncertainty import counting_weights, honest_half_widths

MIN_TRAINING = 20
"""A part of a split with fewer labelled rows to learn from is not judged."""
NEARLY_ALL = 0.9
"""Share of the rows that a baseline must speak of to be a yardstick."""
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Shares that intervals are asked to cover, for the calibration curve."""

Views = Mapping[str, Callable[[InterfaceRows], InterfaceRows]]
"""How rows may be shown to a fitted method, by name: as they are (""), without the registry, ..."""
AS_THEY_ARE: Views = {"": lambda rows: rows}
OnFold = Callable[[], None]


@dataclass(frozen=True)
class Evaluation:
    """All methods on one target under one split.

    Attributes:
        domain, source: of the rows.
        target: quantity key.
        split: name of the split.
        folds: rule, version and number of the folds, or the digest of a fold file.
        data_digest: SHA-256 of the rows, 32 bytes.
        n: labelled rows.
        baselines: names of the methods that are to be beaten.
        metrics: by method; a method under a view is called "<method>, <view>".
        by_part: by method: errors within families, element blocks or classes.
        out_of_fold: prediction of each row by each method, shape (rows,), NaN where it has none.
        half_width: of each row's 90 % interval by each method, shape (rows,), in the target's unit.
        calibration: by method: share asked for, and share covered, rows counting as in `ml.uncertainty`.
        disagreement: of ensembles: standard deviation of the members' predictions of each row, shape (rows,), in the
            target's unit.
        spread: by method: standard deviation of its error over repeats, in the target's unit (classes: a share).
        repeats: how often folds and seeds were drawn for it; 1 if not repeated.
    """

    domain: str
    source: str
    target: str
    split: str
    folds: str
    data_digest: bytes
    n: int
    baselines: tuple[str, ...]
    metrics: dict[str, Metrics | ClassMetrics]
    by_part: dict[str, list[tuple[Part, Metrics | ClassMetrics]]]
    out_of_fold: dict[str, NDArray[np.float64]]
    half_width: dict[str, NDArray[np.float64]]
    calibration: dict[str, list[tuple[float, float]]]
    spread: dict[str, float]
    repeats: int = 1
    disagreement: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def best_baseline(self) -> str:
        """The baseline that errs least, among those that speak of nearly all rows."""
        most = max(self.metrics[name].n for name in self.baselines)
        whole = [name for name in self.baselines if self.metrics[name].n >= NEARLY_ALL * most]
        return min(whole, key=lambda name: self.metrics[name].error)

    def beats_baseline(self, method: str) -> bool:
        """Whether a method errs less than every baseline, on as many rows."""
        ours, theirs = self.metrics[method], self.metrics[self.best_baseline]
        return ours.n >= theirs.n and ours.error < theirs.error


def evaluate(
    rows: InterfaceRows,
    target: str,
    methods: Sequence[Method],
    split: Split | Sequence[Partition],
    *,
    baselines: Sequence[Method] = (),
    classes: bool = False,
    views: Views = AS_THEY_ARE,
    own: bytes | None = None,
    on_fold: OnFold | None = None,
) -> Evaluation:
    """Predict every labelled row out of fold by every method.

    Args:
        rows: labelled interfaces.
        target: quantity key.
        methods: what is judged.
        split: a rule, or parts made from a fold file.
        baselines: what is to be beaten; judged alike. They see rows as they are: what knows a registry that a view
            hides from the methods belongs among the methods.
        classes: whether the target's values name classes.
        views: how test rows are shown to the fitted methods; they learn from the rows as they are.
        own: contents of the fold file that the parts come from, for the record.
        on_fold: called after each part and method, for a progress bar.

    Raises:
        SplitError: the split cannot be made of the labelled rows.
    """
    labelled = rows.take(rows.labelled(target))
    truth = labelled.targets[target]
    if isinstance(split, Split):
        parts = partitions(labelled, split)
        name, folds = split.value, f"{split.value}-v{VERSION}, {N_FOLDS} folds"
    else:
        keep = rows.labelled(target)
        parts = [part._replace(train=part.train[keep], test=part.test[keep]) for part in split]
        name, folds = "own folds", f"own folds, SHA-256 {hashlib.sha256(own or b'').hexdigest()[:16]}"
    out, _ = out_of_fold(labelled, target, baselines, parts, on_fold=on_fold)
    found, spreads = out_of_fold(labelled, target, methods, parts, views=views, on_fold=on_fold)
    out |= {method: predicted for method, predicted in found.items() if np.isfinite(predicted).any()}
    pairs = group_numbers(pair_names(labelled))
    weights = counting_weights(pairs)
    metrics: dict[str, Metrics | ClassMetrics] = {}
    half: dict[str, NDArray[np.float64]] = {}
    calibration: dict[str, list[tuple[float, float]]] = {}
    for method, predicted in out.items():
        if classes:
            metrics[method] = ClassMetrics.of(truth, predicted)
            continue
        plain = Metrics.of(truth, predicted)
        spread = spreads.get(method)
        half[method] = honest_half_widths(predicted, truth, parts, pairs, spread=spread)
        metrics[method] = _with_coverage(plain, truth, predicted, half[method], pairs)
        calibration[method] = [
            (level, _covered(truth, predicted, asked, weights))
            for level in LEVELS
            for asked in [honest_half_widths(predicted, truth, parts, pairs, spread=spread, level=level)]
        ]
    score = ClassMetrics.of if classes else Metrics.of
    shares = parts_of(labelled, truth if classes else None)
    by_part = {
        method: [(part, score(truth[mask], predicted[mask])) for part, mask in shares]
        for method, predicted in out.items()
    }
    return Evaluation(
        rows.domain, rows.source, target, name, folds, rows.digest, len(labelled), tuple(b.name for b in baselines),
        metrics, by_part, _on_all(out, rows, target), _on_all(half, rows, target), calibration, {},
        disagreement=_on_all(spreads, rows, target),
    )  # fmt: skip


def out_of_fold(
    rows: InterfaceRows,
    target: str,
    methods: Sequence[Method],
    parts: Sequence[Partition],
    *,
    views: Views = AS_THEY_ARE,
    least: int = MIN_TRAINING,
    on_fold: OnFold | None = None,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Out-of-fold predictions, and for ensembles their members' spread, by method and view, each of shape (rows,)."""
    out: dict[str, NDArray[np.float64]] = {}
    spreads: dict[str, NDArray[np.float64]] = {}
    has = rows.labelled(target)
    shown = {view: change(rows) for view, change in views.items()}
    for part in parts:
        train, test = part.train & has, part.test & has
        done: dict[str, Fitted] = {}
        for method in methods:
            if test.any() and train.sum() >= least:
                fitted = done[method.name] = _fit(method, rows, target, train, done)
                for view, seen in shown.items():
                    name = f"{method.name}, {view}" if view else method.name
                    out.setdefault(name, np.full(len(rows), np.nan))[test] = fitted.predict(seen, test)
                    if isinstance(fitted, Spreading):
                        spreads.setdefault(name, np.full(len(rows), np.nan))[test] = fitted.spread(seen, test)
            if on_fold is not None:
                on_fold()
    return out, spreads


def _fit(
    method: Method, rows: InterfaceRows, target: str, train: NDArray[np.bool_], done: Mapping[str, Fitted]
) -> Fitted:
    """Fit a method; of parts that have been fitted on these rows nothing is fitted twice."""
    if not isinstance(method, Combined):
        return method.fit(rows, target, train)
    parts = [done.get(part.name) or part.fit(rows, target, train) for part in method.parts]
    return method.of(parts)


def repeated(
    evaluation: Evaluation,
    rows: InterfaceRows,
    methods: Sequence[Method],
    split: Split,
    repeats: int,
    *,
    views: Views = AS_THEY_ARE,
    on_fold: OnFold | None = None,
) -> Evaluation:
    """The same evaluation with how much its errors move when folds and seeds are drawn again.

    Args:
        evaluation: with the folds and seeds that figures are quoted for; its figures stay.
        rows, methods, split, views, on_fold: as in `evaluate`; of the methods, baselines included.
        repeats: how many draws in all, this one included.
    """
    labelled = rows.take(rows.labelled(evaluation.target))
    truth = labelled.targets[evaluation.target]
    errors: dict[str, list[float]] = {name: [metrics.error] for name, metrics in evaluation.metrics.items()}
    score = _score_of(evaluation)
    for draw in range(1, repeats):
        drawn = [method.with_seed(draw) if isinstance(method, Seeded) else method for method in methods]
        parts = partitions(labelled, split, draw=draw)
        out, _ = out_of_fold(labelled, evaluation.target, drawn, parts, views=views, on_fold=on_fold)
        for name, predicted in out.items():
            if name in errors:
                errors[name].append(score(truth, predicted).error)
    spread = {name: float(np.std(found, ddof=1)) for name, found in errors.items() if len(found) > 1}
    return replace(evaluation, spread=spread, repeats=repeats)


def _score_of(evaluation: Evaluation) -> Callable[..., Metrics | ClassMetrics]:
    return ClassMetrics.of if isinstance(next(iter(evaluation.metrics.values())), ClassMetrics) else Metrics.of


def _covered(
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    half: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> float:
    """Share inside, each row counting as much as its weight."""
    ok = np.isfinite(half) & np.isfinite(truth)
    if not ok.any():
        return float("nan")
    return float(np.average((np.abs(truth - predicted) <= half)[ok], weights=weights[ok]))


def _with_coverage(
    metrics: Metrics,
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    half: NDArray[np.float64],
    pairs: NDArray[np.int64],
) -> Metrics:
    judged = np.isfinite(half) & np.isfinite(truth)
    if not judged.any():
        return metrics
    alike = np.zeros(len(truth))
    alike[judged] = counting_weights(pairs[judged]) ** 2
    return replace(
        metrics,
        coverage=_covered(truth, predicted, half, np.ones(len(truth))),
        coverage_by_material=_covered(truth, predicted, half, alike),
        width=float(np.nanmean(half)),
    )


def _on_all(values: dict[str, NDArray[np.float64]], rows: InterfaceRows, target: str) -> dict[str, Any]:
    """Values of the labelled rows, put where these stand among all."""
    labelled = rows.labelled(target)
    out = {}
    for name, some in values.items():
        out[name] = np.full(len(rows), np.nan)
        out[name][labelled] = some
    return out
