"""Canonical materials: what all the records that describe the same thing were judged to be."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, enum_column
from schema.vocabulary import MaterialKind, Ruling

TAU_RE_RANGE = "tau_re BETWEEN 0 AND 0.5"
TAU_OUTSIDE_UNIT_CIRCLE = "tau_re * tau_re + tau_im * tau_im >= 0.999999 AND tau_im > 0"


class Material(Base):
    """One distinct material: a freestanding layer or a crystal."""

    __tablename__ = "material"
    __table_args__ = ({"comment": "Distinct materials, after deduplication"},)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    uid: Mapped[str] = mapped_column(
        Text, unique=True, comment="stable name: formula and 8 hex digits, e.g. MoS2-1f0c22ab"
    )
    kind: Mapped[MaterialKind] = mapped_column(enum_column(MaterialKind, "kind"), index=True)
    formula: Mapped[str] = mapped_column(Text, index=True, comment="reduced formula")
    formula_anonymous: Mapped[str] = mapped_column(Text, comment="anonymous formula")
    elements: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="element symbols, sorted")
    n_atoms: Mapped[int] = mapped_column(comment="atoms in the cell of the representative structure")
    structure_id: Mapped[int] = mapped_column(
        ForeignKey("structure.id", ondelete="RESTRICT"), index=True, comment="representative structure"
    )
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    withdrawn_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), comment="set when no living record describes it any more"
    )


class Monolayer(Base):
    """One distinct freestanding layer: all source records judged to be the same material.

    The in-plane lattice is kept as (ln area, τ): see `schema.plane_lattice`.
    """

    __tablename__ = "monolayer"
    __table_args__ = (
        CheckConstraint(TAU_RE_RANGE, name="tau_re_reduced"),
        CheckConstraint(TAU_OUTSIDE_UNIT_CIRCLE, name="tau_reduced"),
        CheckConstraint("thickness >= 0", name="thickness"),
        CheckConstraint("layer_group BETWEEN 1 AND 80", name="layer_group"),
        {"comment": "Freestanding layers"},
    )

    material_id: Mapped[int] = mapped_column(ForeignKey("material.id", ondelete="CASCADE"), primary_key=True)
    ln_area: Mapped[float] = mapped_column(Double, comment="natural logarithm of the cell area in Å²")
    tau_re: Mapped[float] = mapped_column(Double, comment="Re of b/a of the reduced basis, dimensionless")
    tau_im: Mapped[float] = mapped_column(Double, comment="Im of b/a of the reduced basis, dimensionless")
    basis: Mapped[list[float]] = mapped_column(
        ARRAY(Double), comment="Å, rows a and b of the reduced basis in the structure's frame, flattened (4)"
    )
    thickness: Mapped[float] = mapped_column(Double, comment="Å, lowest to highest nucleus")
    layer_group: Mapped[int | None] = mapped_column(SmallInteger, comment="layer group number 1-80 at 0.1 Å")
    polar: Mapped[bool] = mapped_column(comment="whether the two faces differ (no operation of the layer swaps them)")


class BulkPhase(Base):
    """One distinct crystal."""

    __tablename__ = "bulk_phase"
    __table_args__ = (
        CheckConstraint("space_group BETWEEN 1 AND 230", name="space_group"),
        CheckConstraint("volume_per_atom > 0", name="volume"),
        {"comment": "Bulk phases"},
    )

    material_id: Mapped[int] = mapped_column(ForeignKey("material.id", ondelete="CASCADE"), primary_key=True)
    space_group: Mapped[int] = mapped_column(SmallInteger, comment="space group number 1-230")
    volume_per_atom: Mapped[float] = mapped_column(Double, comment="Å³ per atom")


class Surface(Base):
    """One low-index face of a bulk phase, on which a layer may lie."""

    __tablename__ = "surface"
    __table_args__ = (
        UniqueConstraint("material_id", "miller_h", "miller_k", "miller_l", "termination"),
        CheckConstraint(TAU_RE_RANGE, name="tau_re_reduced"),
        CheckConstraint(TAU_OUTSIDE_UNIT_CIRCLE, name="tau_reduced"),
        {"comment": "Low-index faces of bulk phases"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    material_id: Mapped[int] = mapped_column(ForeignKey("bulk_phase.material_id", ondelete="CASCADE"))
    miller_h: Mapped[int] = mapped_column(SmallInteger, comment="Miller index h of the conventional cell")
    miller_k: Mapped[int] = mapped_column(SmallInteger, comment="Miller index k of the conventional cell")
    miller_l: Mapped[int] = mapped_column(SmallInteger, comment="Miller index l of the conventional cell")
    termination: Mapped[int] = mapped_column(SmallInteger, server_default="0", comment="number of the distinct cut")
    ln_area: Mapped[float] = mapped_column(Double, comment="natural logarithm of the surface cell area in Å²")
    tau_re: Mapped[float] = mapped_column(Double, comment="Re of b/a of the reduced basis, dimensionless")
    tau_im: Mapped[float] = mapped_column(Double, comment="Im of b/a of the reduced basis, dimensionless")
    basis: Mapped[list[float]] = mapped_column(
        ARRAY(Double), comment="Å, rows a and b of the reduced basis, flattened (4)"
    )
    cell: Mapped[list[float]] = mapped_column(
        ARRAY(Double), comment="Å, slab cell, rows a, b, c flattened (9); c along +z"
    )
    numbers: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), comment="atomic numbers of the slab")
    positions: Mapped[list[float]] = mapped_column(
        ARRAY(Double), comment="Å, Cartesian, flattened; top of the slab at z = 0"
    )
    n_atoms: Mapped[int] = mapped_column(comment="atoms of the slab per surface cell")


class MaterialMember(Base):
    """The evidence that a source record describes a material."""

    __tablename__ = "material_member"
    __table_args__ = ({"comment": "Which record is which material, and why"},)

    source_record_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("source_record.id", ondelete="CASCADE"), primary_key=True
    )
    material_id: Mapped[int] = mapped_column(ForeignKey("material.id", ondelete="CASCADE"), index=True)
    distance: Mapped[float] = mapped_column(
        Double, comment="Å, fingerprint distance to the representative; 0 for the representative"
    )
    method: Mapped[str] = mapped_column(
        Text, comment="how it was decided: representative, fingerprint+matcher, by hand"
    )
    version: Mapped[str] = mapped_column(Text, comment="version of the deduplication method")
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}", comment="numbers behind the decision")
    decided_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class DedupeRuling(Base):
    """What a person has ruled about two records: one material, or two.

    The newest ruling on a pair stands, in whichever order it names them.

    A ruling goes by source and external id, so that it outlives corrections of either record.
    """

    __tablename__ = "dedupe_ruling"
    __table_args__ = (
        Index("ix_dedupe_ruling_a", "source_a_id", "external_id_a"),
        Index("ix_dedupe_ruling_b", "source_b_id", "external_id_b"),
        {"comment": "Rulings by hand about which records are one material"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_a_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="RESTRICT"))
    external_id_a: Mapped[str] = mapped_column(Text, comment="the one record")
    source_b_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="RESTRICT"))
    external_id_b: Mapped[str] = mapped_column(Text, comment="the other record")
    ruling: Mapped[Ruling] = mapped_column(enum_column(Ruling, "ruling"))
    author: Mapped[str] = mapped_column(Text, comment="who ruled")
    note: Mapped[str | None] = mapped_column(Text, comment="why")
    ruled_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
