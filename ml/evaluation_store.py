"""Evaluations in the database: written once each, read by the gate, the model cards and the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from ml.report import Curve, Figure, Report
from schema.evaluations import ModelCurve, ModelEvaluation, ModelMetric

_FIGURE = (
    "mae", "rmse", "r2", "accuracy", "balanced_accuracy", "coverage", "coverage_by_material", "width", "spread",
)  # fmt: skip


def store(connection: Connection, report: Report, model_version_id: int | None = None) -> int:
    """Write an evaluation. One that speaks of no model takes the place of the last of its method, source and folds.

    Args:
        connection: in a transaction.
        report: what to write.
        model_version_id: the model that it speaks of; None for methods that were evaluated only.

    Returns:
        The evaluation's number.
    """
    if model_version_id is None:
        same = (
            (ModelEvaluation.target == report.target)
            & (ModelEvaluation.domain == report.domain)
            & (ModelEvaluation.source == report.source)
            & (ModelEvaluation.folds == report.folds)
            & (ModelEvaluation.method == report.method)
            & ModelEvaluation.model_version_id.is_(None)
        )
        connection.execute(delete(ModelEvaluation).where(same))
    number = connection.execute(
        insert(ModelEvaluation)
        .values(
            model_version_id=model_version_id,
            target=report.target,
            domain=report.domain,
            source=report.source,
            split=report.split,
            folds=report.folds,
            data_digest=bytes.fromhex(report.data_digest),
            n_rows=report.n,
            method=report.method,
            baseline=report.best_baseline.method if report.baselines else "",
            beats_baseline=bool(report.baselines) and report.beats_baseline,
            repeats=report.repeats,
            features=[name for name, _ in report.importance],
            shap=[value for _, value in report.importance],
            code_version=version("stackscreen"),
        )
        .returning(ModelEvaluation.id)
    ).scalar_one()
    connection.execute(
        insert(ModelMetric),
        [
            {
                "evaluation_id": number,
                "method": figure.method,
                "part_kind": figure.part_kind,
                "part": figure.part,
                "is_baseline": figure.method in report.baselines,
                "n": figure.n,
                **{key: getattr(figure, key) for key in _FIGURE},
            }
            for figure in report.figures
        ],
    )
    if report.curves:
        connection.execute(
            insert(ModelCurve),
            [
                {"evaluation_id": number, "method": c.method, "kind": c.kind, "x": c.x, "y": c.y, "n": c.n}
                for c in report.curves
            ],
        )
    return int(number)


def replace_all(connection: Connection, reports: Sequence[Report], model_version_id: int) -> None:
    """Let these, in their order, be the evaluations of a model."""
    connection.execute(delete(ModelEvaluation).where(ModelEvaluation.model_version_id == model_version_id))
    for report in reports:
        store(connection, report, model_version_id)


def of_model(connection: Connection, model_version_id: int) -> list[Report]:
    """Evaluations of a model, the newest last."""
    return _load(connection, ModelEvaluation.model_version_id == model_version_id)


def latest(connection: Connection, target: str, domain: str, split: str) -> Report | None:
    """The newest evaluation of a target under a split, of whatever methods; None if there is none."""
    chosen = (ModelEvaluation.target == target) & (ModelEvaluation.domain == domain) & (ModelEvaluation.split == split)
    found = _load(connection, chosen)
    return found[-1] if found else None


def _load(connection: Connection, chosen: Any) -> list[Report]:
    heads = connection.execute(
        select(ModelEvaluation.__table__).where(chosen).order_by(ModelEvaluation.evaluated_at, ModelEvaluation.id)
    ).all()
    if not heads:
        return []
    numbers = [head.id for head in heads]
    figures = _by_evaluation(connection, ModelMetric, numbers, ModelMetric.part_kind, ModelMetric.part)
    curves = _by_evaluation(connection, ModelCurve, numbers, ModelCurve.kind, ModelCurve.method)
    return [
        Report(
            head.target,
            head.domain.value,
            head.source,
            head.split,
            head.folds,
            bytes(head.data_digest).hex(),
            head.n_rows,
            head.repeats,
            head.method,
            [row.method for row in figures[head.id] if row.is_baseline and row.part_kind == "all"],
            [
                Figure(row.method, row.n, row.part_kind.value, row.part, **{key: getattr(row, key) for key in _FIGURE})
                for row in figures[head.id]
            ],
            [
                Curve(row.method, row.kind.value, list(row.x), list(row.y), None if row.n is None else list(row.n))
                for row in curves[head.id]
            ],
            list(zip(head.features, head.shap, strict=True)),
        )
        for head in heads
    ]


def _by_evaluation(connection: Connection, model: Any, numbers: Sequence[int], *order: Any) -> dict[int, list[Any]]:
    out: dict[int, list[Any]] = {number: [] for number in numbers}
    query = select(model.__table__).where(model.evaluation_id.in_(numbers)).order_by(*order)
    for row in connection.execute(query):
        out[row.evaluation_id].append(row)
    return out
