"""Computed interfaces: bilayers and layers on substrates that some source has calculated."""

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
    SmallInteger,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, enum_column
from schema.vocabulary import InterfaceKind


class Interface(Base):
    """One stack that a source has computed: a bottom material, a top material and how they lie on each other.

    A side is null while its material is not among the known ones; the name that the source gave it is kept.
    """

    __tablename__ = "interface"
    __table_args__ = (
        CheckConstraint(
            "kind <> 'homobilayer' OR bottom_material_id IS NOT DISTINCT FROM top_material_id", name="homo"
        ),
        {"comment": "Computed interfaces"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_record_id: Mapped[int] = mapped_column(ForeignKey("source_record.id", ondelete="CASCADE"), unique=True)
    kind: Mapped[InterfaceKind] = mapped_column(enum_column(InterfaceKind, "kind"), index=True)
    bottom_material_id: Mapped[int | None] = mapped_column(ForeignKey("material.id", ondelete="SET NULL"), index=True)
    top_material_id: Mapped[int | None] = mapped_column(ForeignKey("material.id", ondelete="SET NULL"), index=True)
    bottom_name: Mapped[str] = mapped_column(Text, index=True, comment="the source's own name of the lower side")
    top_name: Mapped[str] = mapped_column(Text, index=True, comment="the source's own name of the upper side")
    surface: Mapped[str | None] = mapped_column(Text, comment="Miller plane of the substrate, e.g. 111, for 2d-on-bulk")
    structure_id: Mapped[int | None] = mapped_column(
        ForeignKey("structure.id", ondelete="SET NULL"), comment="relaxed structure, if computed"
    )


class Stacking(Base):
    """How the two sides of an interface lie on each other."""

    __tablename__ = "stacking"
    __table_args__ = (
        CheckConstraint("cardinality(bottom_matrix) = 4 AND cardinality(top_matrix) = 4", name="matrices_are_2x2"),
        CheckConstraint("top_operation IS NULL OR cardinality(top_operation) = 4", name="operation_is_2x2"),
        {"comment": "Supercells, strain and registry of computed interfaces"},
    )

    interface_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("interface.id", ondelete="CASCADE"), primary_key=True
    )
    bottom_matrix: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), comment="integer supercell of the bottom (4)")
    top_matrix: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), comment="integer supercell of the top (4)")
    top_operation: Mapped[list[float] | None] = mapped_column(
        ARRAY(Double), comment="in-plane operation applied to the top layer, in its own lattice basis (4)"
    )
    flip: Mapped[bool] = mapped_column(server_default="false", comment="whether the top layer is turned over (z to -z)")
    shift_a: Mapped[float | None] = mapped_column(Double, comment="registry shift along a, fraction of the cell")
    shift_b: Mapped[float | None] = mapped_column(Double, comment="registry shift along b, fraction of the cell")
    twist: Mapped[float | None] = mapped_column(Double, comment="degrees, rotation of the top against the bottom")
    strain_aa: Mapped[float | None] = mapped_column(Double, comment="strain of the top along a, dimensionless")
    strain_bb: Mapped[float | None] = mapped_column(Double, comment="strain of the top along b, dimensionless")
    strain_ab: Mapped[float | None] = mapped_column(Double, comment="shear strain of the top, dimensionless")


class InterfaceMember(Base):
    """The evidence that an interface is the same stack as another: same layers, same registry.

    Every interface whose sides are both known has a row; its own representative is itself.
    """

    __tablename__ = "interface_member"
    __table_args__ = ({"comment": "Which computed interfaces are one stack, and why"},)

    interface_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("interface.id", ondelete="CASCADE"), primary_key=True
    )
    representative_id: Mapped[int] = mapped_column(
        BigInteger,
        ForeignKey("interface.id", ondelete="CASCADE"),
        index=True,
        comment="the interface it is the same as",
    )
    distance: Mapped[float] = mapped_column(
        Double, comment="Å, fingerprint distance to the representative at one interlayer distance"
    )
    method: Mapped[str] = mapped_column(Text, comment="how it was decided: representative, fingerprint+matcher")
    version: Mapped[str] = mapped_column(Text, comment="version of the method")
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}", comment="numbers behind the decision")
    decided_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
