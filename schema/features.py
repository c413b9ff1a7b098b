"""What the models see, and the models."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    ARRAY,
    REAL,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, Digest, enum_column
from schema.vocabulary import Subject


class FeatureSet(Base):
    """A named, versioned list of descriptors."""

    __tablename__ = "feature_set"
    __table_args__ = (
        UniqueConstraint("key", "version"),
        CheckConstraint("cardinality(names) = cardinality(units)", name="one_unit_a_name"),
        {"comment": "Versioned lists of descriptors"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    key: Mapped[str] = mapped_column(Text, comment="name of the set")
    version: Mapped[int] = mapped_column(Integer, comment="raised whenever a value would change")
    subject: Mapped[Subject] = mapped_column(enum_column(Subject, "subject"))
    names: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="name of each component")
    units: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="unit of each component; 1 is dimensionless")


class FeatureVector(Base):
    """The descriptors of one material in one feature set."""

    __tablename__ = "feature_vector"
    __table_args__ = ({"comment": "Descriptors of materials"},)

    feature_set_id: Mapped[int] = mapped_column(ForeignKey("feature_set.id", ondelete="CASCADE"), primary_key=True)
    material_id: Mapped[int] = mapped_column(
        ForeignKey("material.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    inputs_digest: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of structure and properties that went in")
    values: Mapped[list[float]] = mapped_column(
        ARRAY(REAL), comment="components, units as in feature_set; NaN = unknown"
    )
    computed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ModelVersion(Base):
    """One trained model, with what it was trained on and how it did; the artefact lies in the row itself.

    So a worker needs no shared disk: the database address is enough.
    """

    __tablename__ = "model_version"
    __table_args__ = (
        UniqueConstraint("target", "domain", "artefact_digest"),
        Index("uq_model_version_served", "target", "domain", unique=True, postgresql_where=text("served")),
        {"comment": "Trained models"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    target: Mapped[str] = mapped_column(Text, comment="key of the predicted property; embedding for an encoder")
    domain: Mapped[str] = mapped_column(Text, comment="what it was trained and validated on, e.g. homobilayer")
    family: Mapped[str] = mapped_column(Text, comment="kind of model, e.g. lightgbm-residual, calibrated-baseline")
    name: Mapped[str] = mapped_column(Text, comment="name and version for people")
    feature_set_id: Mapped[int | None] = mapped_column(ForeignKey("feature_set.id", ondelete="RESTRICT"))
    artefact: Mapped[bytes] = mapped_column(LargeBinary, comment="LightGBM text, safetensors or JSON; never a pickle")
    artefact_digest: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of the artefact, checked on load")
    data_digest: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of the training rows")
    split: Mapped[str] = mapped_column(Text, comment="name and version of the folds behind the metrics")
    metrics: Mapped[dict[str, Any]] = mapped_column(
        JSONB, comment="errors in the target's unit, of model and baselines, by split"
    )
    card: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="everything else that the model card says")
    code_version: Mapped[str] = mapped_column(Text)
    served: Mapped[bool] = mapped_column(server_default="false", comment="whether predictions are made with it")
    trained_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Embedding(Base):
    """A material as an encoder sees it."""

    __tablename__ = "embedding"
    __table_args__ = ({"comment": "Learned vectors of materials"},)

    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_version.id", ondelete="CASCADE"), primary_key=True)
    material_id: Mapped[int] = mapped_column(
        ForeignKey("material.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    inputs_digest: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of the structure that went in")
    vector: Mapped[Any] = mapped_column(Vector(64), comment="64 components, dimensionless, Euclidean distance")
    bottom: Mapped[Any | None] = mapped_column(
        Vector(32), comment="what the bottom face shows a partner, 32 components; null: still to be computed"
    )
    top: Mapped[Any | None] = mapped_column(Vector(32), comment="the same of the top face")
