"""Properties: one row a fact, with unit, method and origin."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, enum_column
from schema.vocabulary import Face, Method


class Property(Base):
    """A quantity that may be known of a material or an interface; filled from `schema.quantities`."""

    __tablename__ = "property"
    __table_args__ = ({"comment": "Definitions of the quantities"},)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    key: Mapped[str] = mapped_column(Text, unique=True, comment="identifier, e.g. gap")
    symbol: Mapped[str] = mapped_column(Text, comment="symbol in figures")
    unit: Mapped[str] = mapped_column(Text, comment="unit of every value; empty for a label")
    definition: Mapped[str] = mapped_column(Text, comment="what it is, with its sign convention")
    applies_to: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="monolayer, bulk, interface")
    low: Mapped[float | None] = mapped_column(Double, comment="smallest physically possible value, in the unit")
    high: Mapped[float | None] = mapped_column(Double, comment="largest physically possible value, in the unit")


class PropertyValue(Base):
    """One fact: the value of one property by one method, from one source record or from one model.

    A measured or computed value belongs to its source record; the material is reached through `material_member`, so
    that merging or splitting materials moves no fact. A predicted value belongs to a model version and names its
    subject itself.
    """

    __tablename__ = "property_value"
    __table_args__ = (
        CheckConstraint("num_nonnulls(source_record_id, model_version_id) = 1", name="one_origin"),
        CheckConstraint("num_nonnulls(value, label) = 1", name="number_or_label"),
        CheckConstraint("value IS NULL OR value NOT IN ('NaN', 'Infinity', '-Infinity')", name="finite"),
        CheckConstraint(
            "(model_version_id IS NULL) = (num_nonnulls(material_id, interface_id) = 0)",
            name="prediction_names_its_subject",
        ),
        Index(
            "uq_property_value_fact", "source_record_id", "property_id", "method", "face",
            unique=True, postgresql_nulls_not_distinct=True, postgresql_where=text("source_record_id IS NOT NULL"),
        ),
        Index(
            "uq_property_value_prediction", "model_version_id", "property_id", "material_id", "interface_id", "face",
            unique=True, postgresql_nulls_not_distinct=True, postgresql_where=text("model_version_id IS NOT NULL"),
        ),
        Index("ix_property_value_property", "property_id", "method"),
        {"comment": "One row a fact"},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    property_id: Mapped[int] = mapped_column(ForeignKey("property.id", ondelete="RESTRICT"))
    source_record_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("source_record.id", ondelete="CASCADE"))
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_version.id", ondelete="CASCADE"))
    material_id: Mapped[int | None] = mapped_column(ForeignKey("material.id", ondelete="CASCADE"), index=True)
    interface_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("interface.id", ondelete="CASCADE"), index=True
    )
    method: Mapped[Method] = mapped_column(enum_column(Method, "method"), comment="level of theory or experiment")
    face: Mapped[Face | None] = mapped_column(enum_column(Face, "face"), comment="null where the faces do not differ")
    value: Mapped[float | None] = mapped_column(Double, comment="number in the property's unit")
    label: Mapped[str | None] = mapped_column(Text, comment="word, for properties without unit")
    lower: Mapped[float | None] = mapped_column(Double, comment="lower end of the 90 % interval, in the unit")
    upper: Mapped[float | None] = mapped_column(Double, comment="upper end of the 90 % interval, in the unit")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
