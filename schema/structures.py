"""Atoms: canonical slabs, bulk cells and stacked structures."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Double, ForeignKey, Identity, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, Digest


class Structure(Base):
    """One arrangement of atoms, in the one convention that everything downstream relies on.

    A slab (periodicity 2) has its first two cell vectors in the xy plane, a along +x, its normal along +z, the layer
    unwrapped across the boundary and centred at z = 0; its third vector is (0, 0, thickness + 20 Å) whatever vacuum
    the source used, which is kept in `vacuum`. A crystal (periodicity 3) is kept as its source gave it.
    """

    __tablename__ = "structure"
    __table_args__ = (
        CheckConstraint("periodicity IN (2, 3)", name="periodicity"),
        CheckConstraint("n_atoms > 0", name="has_atoms"),
        CheckConstraint("cardinality(cell) = 9", name="cell_is_3x3"),
        CheckConstraint("cardinality(numbers) = n_atoms", name="one_number_an_atom"),
        CheckConstraint("cardinality(positions) = 3 * n_atoms", name="three_coordinates_an_atom"),
        {"comment": "Atomic structures, canonical"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_record_id: Mapped[int] = mapped_column(
        ForeignKey("source_record.id", ondelete="CASCADE"), unique=True, comment="the record that gave it"
    )
    formula: Mapped[str] = mapped_column(Text, index=True, comment="reduced formula, e.g. MoS2")
    formula_anonymous: Mapped[str] = mapped_column(Text, comment="anonymous formula, e.g. AB2")
    n_atoms: Mapped[int] = mapped_column(comment="atoms in the cell")
    periodicity: Mapped[int] = mapped_column(SmallInteger, comment="2 slab, 3 crystal")
    cell: Mapped[list[float]] = mapped_column(ARRAY(Double), comment="Å, rows a, b, c flattened (9)")
    numbers: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), comment="atomic numbers (n_atoms)")
    positions: Mapped[list[float]] = mapped_column(ARRAY(Double), comment="Å, Cartesian x, y, z flattened (3 n_atoms)")
    vacuum: Mapped[float | None] = mapped_column(Double, comment="Å, empty space along the normal in the source's cell")
    digest: Mapped[bytes] = mapped_column(
        Digest, index=True, comment="SHA-256 of cell, numbers and positions to 1e-4 Å"
    )
