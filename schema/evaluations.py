"""How far to trust the models: errors, coverage and curves of every evaluation, for analysts to query."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, Digest, enum_column
from schema.vocabulary import CurveKind, InterfaceKind, PartKind


class ModelEvaluation(Base):
    """One method, among others, judged on one target of one source under one split.

    It speaks of a model version, or of none: methods can be evaluated that no model is made of. Of these the newest of
    a method, source and folds is kept.
    """

    __tablename__ = "model_evaluation"
    __table_args__ = (
        Index("ix_model_evaluation_of", "target", "domain", "split"),
        CheckConstraint("repeats >= 1", name="repeats"),
        CheckConstraint("cardinality(features) = cardinality(shap)", name="one_shap_a_feature"),
        {"comment": "Evaluations of models on rows that they could not know"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    model_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("model_version.id", ondelete="CASCADE"), index=True, comment="the model that it speaks of, if any"
    )
    target: Mapped[str] = mapped_column(Text, comment="key of the predicted property")
    domain: Mapped[InterfaceKind] = mapped_column(enum_column(InterfaceKind, "domain"))
    source: Mapped[str] = mapped_column(Text, comment="key of the source of the labelled interfaces")
    split: Mapped[str] = mapped_column(Text, comment="name of the split")
    folds: Mapped[str] = mapped_column(Text, comment="rule, version and number of folds, or digest of a fold file")
    data_digest: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of names, features and targets of the rows")
    n_rows: Mapped[int] = mapped_column(Integer, comment="labelled interfaces")
    method: Mapped[str] = mapped_column(Text, comment="method that is judged, as a screen would use it")
    baseline: Mapped[str] = mapped_column(Text, comment="calibrated baseline that errs least")
    beats_baseline: Mapped[bool] = mapped_column(comment="whether the method errs less than every baseline")
    repeats: Mapped[int] = mapped_column(Integer, comment="draws of folds and seeds behind the spread")
    features: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default="{}", comment="what the trees go by, the most important first; empty if no trees"
    )
    shap: Mapped[list[float]] = mapped_column(
        ARRAY(Double), server_default="{}", comment="mean absolute SHAP value of each feature, target's unit"
    )
    code_version: Mapped[str] = mapped_column(Text)
    evaluated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ModelMetric(Base):
    """Errors of one method in one evaluation, on all rows or on one kind of them."""

    __tablename__ = "model_metric"
    __table_args__ = ({"comment": "Errors of methods, in the target's unit"},)

    evaluation_id: Mapped[int] = mapped_column(ForeignKey("model_evaluation.id", ondelete="CASCADE"), primary_key=True)
    method: Mapped[str] = mapped_column(Text, primary_key=True, comment="model or baseline")
    part_kind: Mapped[PartKind] = mapped_column(enum_column(PartKind, "part_kind"), primary_key=True)
    part: Mapped[str] = mapped_column(Text, primary_key=True, comment="which family, block or class; empty for all")
    is_baseline: Mapped[bool] = mapped_column(comment="whether the method is to be beaten")
    n: Mapped[int] = mapped_column(Integer, comment="rows")
    mae: Mapped[float | None] = mapped_column(comment="mean absolute error, target's unit; empty for classes")
    rmse: Mapped[float | None] = mapped_column(comment="root mean square error, target's unit")
    r2: Mapped[float | None] = mapped_column(comment="share of variance explained, dimensionless")
    accuracy: Mapped[float | None] = mapped_column(comment="share of rows named rightly; empty for numbers")
    balanced_accuracy: Mapped[float | None] = mapped_column(comment="mean over classes of the share named rightly")
    coverage: Mapped[float | None] = mapped_column(comment="share of rows inside the 90 % interval")
    coverage_by_material: Mapped[float | None] = mapped_column(comment="the same, every pair of layers counting alike")
    width: Mapped[float | None] = mapped_column(comment="mean half-width of the 90 % interval, target's unit")
    spread: Mapped[float | None] = mapped_column(
        comment="standard deviation over repeats of mae (classes: of accuracy), same unit"
    )


class ModelCurve(Base):
    """A curve of one method in one evaluation: what is asked and what is found, point by point."""

    __tablename__ = "model_curve"
    __table_args__ = (
        CheckConstraint("cardinality(x) = cardinality(y)", name="as_many_x_as_y"),
        CheckConstraint("n IS NULL OR cardinality(n) = cardinality(x)", name="as_many_n_as_x"),
        {"comment": "Learning, calibration and parity of methods"},
    )

    evaluation_id: Mapped[int] = mapped_column(ForeignKey("model_evaluation.id", ondelete="CASCADE"), primary_key=True)
    method: Mapped[str] = mapped_column(Text, primary_key=True, comment="model or baseline")
    kind: Mapped[CurveKind] = mapped_column(enum_column(CurveKind, "kind"), primary_key=True)
    x: Mapped[list[float]] = mapped_column(
        ARRAY(Double),
        comment="learning: training materials; calibration: share asked for; parity: calculated, target's unit",
    )
    y: Mapped[list[float]] = mapped_column(
        ARRAY(Double),
        comment="learning: error, target's unit; calibration: share covered; parity: predicted, target's unit",
    )
    n: Mapped[list[int] | None] = mapped_column(
        ARRAY(Integer), comment="learning: training rows; parity: rows in the cell of the grid; else empty"
    )
