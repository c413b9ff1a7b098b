"""Functions of energy or wave vector that came with a record.

Arrays are Postgres arrays of single-precision numbers, with as many dimensions as their meaning has: four bytes an
element, readable in plain SQL (`energies[1][7][14]`, `unnest(total)`), and nearly as fast as packed bytes through
`array_send` and `unpack`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Integer,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, enum_column
from schema.vocabulary import EnergyReference, Method


def _finite(column: str, kind: str = "real") -> str:
    """SQL condition: no element is NaN, infinite or NULL."""
    words = ("'NaN'", "'Infinity'", "'-Infinity'")
    # IS TRUE: what a NULL among the elements makes unknown is refused, where a CHECK would let it pass.
    return "(" + " AND ".join(f"{word}::{kind} <> ALL ({column})" for word in words) + ") IS TRUE"


def _shaped(column: str, *lengths: str) -> str:
    """SQL condition: the array has these lengths, e.g. "= 3"; an empty one has none."""
    parts = [f"array_ndims({column}) = {len(lengths)}"]
    parts += [f"array_length({column}, {axis}) {length}" for axis, length in enumerate(lengths, 1)]
    return "(" + " AND ".join(parts) + ") IS TRUE"


_ONE_A_WAVE_VECTOR = "= array_length(wave_vectors, 1)"
_ONE_NAME_A_LABEL = "cardinality(label_positions) = cardinality(label_names)"


class DensityOfStates(Base):
    """The electronic density of states that one record gives, at one level of theory."""

    __tablename__ = "density_of_states"
    __table_args__ = (
        UniqueConstraint("source_record_id", "method", "spin_orbit"),
        # What a projection refers to, so that its array has the very same shape.
        UniqueConstraint("id", "n_spins", "n_energies"),
        CheckConstraint("n_spins IN (1, 2)", name="spins"),
        CheckConstraint(f"n_energies > 1 AND {_shaped('energies', '= n_energies')}", name="energies_shape"),
        CheckConstraint("energies[1] < energies[n_energies]", name="energies_ascend"),
        CheckConstraint(
            f"total IS NULL OR ({_shaped('total', '= n_spins', '= n_energies')})",
            name="total_shape",
        ),
        CheckConstraint(_finite("energies"), name="energies_finite"),
        CheckConstraint(f"total IS NULL OR ({_finite('total')})", name="total_finite"),
        {"comment": "Electronic densities of states"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_record_id: Mapped[int] = mapped_column(
        ForeignKey("source_record.id", ondelete="CASCADE"), comment="the record that gave it"
    )
    method: Mapped[Method] = mapped_column(enum_column(Method, "method"), comment="level of theory")
    spin_orbit: Mapped[bool] = mapped_column(comment="whether spin-orbit coupling is included")
    reference: Mapped[EnergyReference] = mapped_column(
        enum_column(EnergyReference, "reference"),
        comment="zero of the energies: vacuum, fermi, or the calculation's own scale",
    )
    fermi_energy: Mapped[float | None] = mapped_column(Double, comment="eV, on the scale of energies")
    vacuum_level: Mapped[float | None] = mapped_column(
        Double, comment="eV, on the scale of energies; mean of the two faces"
    )
    n_spins: Mapped[int] = mapped_column(Integer, comment="spin channels; a single one counts both spins")
    n_energies: Mapped[int] = mapped_column(Integer, comment="points of the energy grid")
    energies: Mapped[list[float]] = mapped_column(ARRAY(REAL), comment="eV, ascending [n_energies]")
    total: Mapped[list[list[float]] | None] = mapped_column(
        ARRAY(REAL), comment="states/eV per cell [n_spins][n_energies]; null where only projections are given"
    )


class DosProjection(Base):
    """The part of a density of states that one element contributes, by orbital."""

    __tablename__ = "dos_projection"
    __table_args__ = (
        ForeignKeyConstraint(
            ["density_of_states_id", "n_spins", "n_energies"],
            ["density_of_states.id", "density_of_states.n_spins", "density_of_states.n_energies"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("density_of_states_id", "element", "orbital", postgresql_nulls_not_distinct=True),
        CheckConstraint("element ~ '^[A-Z][a-z]?$'", name="element"),
        CheckConstraint("orbital IN ('s', 'p', 'd', 'f')", name="orbital"),
        CheckConstraint(_shaped("density", "= n_spins", "= n_energies"), name="density_shape"),
        CheckConstraint(_finite("density"), name="density_finite"),
        {"comment": "Densities of states projected onto elements and orbitals"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    density_of_states_id: Mapped[int] = mapped_column(BigInteger, comment="the density of states that it is part of")
    element: Mapped[str] = mapped_column(Text, comment="chemical symbol; all its atoms together")
    orbital: Mapped[str | None] = mapped_column(Text, comment="s, p, d or f; null for their sum")
    n_spins: Mapped[int] = mapped_column(Integer, comment="spin channels; a single one counts both spins")
    n_energies: Mapped[int] = mapped_column(Integer, comment="points of the energy grid")
    density: Mapped[list[list[float]]] = mapped_column(
        ARRAY(REAL), comment="states/eV per cell [n_spins][n_energies]; projections need not add up to the total"
    )


class BandStructure(Base):
    """Electronic bands along a path, as one record gives them at one level of theory."""

    __tablename__ = "band_structure"
    __table_args__ = (
        UniqueConstraint("source_record_id", "method", "spin_orbit"),
        CheckConstraint(_shaped("wave_vectors", "> 0", "= 3"), name="wave_vectors_shape"),
        CheckConstraint(_shaped("energies", "IN (1, 2)", _ONE_A_WAVE_VECTOR, "> 0"), name="energies_shape"),
        CheckConstraint(f"{_finite('energies')} AND {_finite('wave_vectors')}", name="finite"),
        CheckConstraint(_ONE_NAME_A_LABEL, name="one_name_a_label"),
        {"comment": "Electronic band structures"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_record_id: Mapped[int] = mapped_column(
        ForeignKey("source_record.id", ondelete="CASCADE"), comment="the record that gave it"
    )
    method: Mapped[Method] = mapped_column(enum_column(Method, "method"), comment="level of theory")
    spin_orbit: Mapped[bool] = mapped_column(comment="whether spin-orbit coupling is included")
    reference: Mapped[EnergyReference] = mapped_column(
        enum_column(EnergyReference, "reference"),
        comment="zero of the energies: vacuum, fermi, or the calculation's own scale",
    )
    fermi_energy: Mapped[float | None] = mapped_column(Double, comment="eV, on the scale of energies")
    vacuum_level: Mapped[float | None] = mapped_column(
        Double, comment="eV, on the scale of energies; mean of the two faces"
    )
    wave_vectors: Mapped[list[list[float]]] = mapped_column(
        ARRAY(REAL), comment="in units of the reciprocal vectors of the source's own cell, dimensionless [k][3]"
    )
    energies: Mapped[list[list[list[float]]]] = mapped_column(
        ARRAY(REAL), comment="eV [spin][k][band]; with spin-orbit coupling one channel holds the bands of both spins"
    )
    label_positions: Mapped[list[int]] = mapped_column(
        ARRAY(Integer), comment="first subscript of wave_vectors at each special point, from 1"
    )
    label_names: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="name of each special point, G for Γ")


class PhononSpectrum(Base):
    """Phonon energies at wave vectors, as one record gives them."""

    __tablename__ = "phonon_spectrum"
    __table_args__ = (
        UniqueConstraint("source_record_id", "method", "interpolated"),
        CheckConstraint(_shaped("wave_vectors", "> 0", "= 3"), name="wave_vectors_shape"),
        CheckConstraint(_shaped("energies", _ONE_A_WAVE_VECTOR, "> 0"), name="energies_shape"),
        CheckConstraint("mod(array_length(energies, 2), 3) = 0", name="three_modes_an_atom"),
        CheckConstraint(f"{_finite('energies')} AND {_finite('wave_vectors')}", name="finite"),
        CheckConstraint(_ONE_NAME_A_LABEL, name="one_name_a_label"),
        {"comment": "Phonon spectra"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_record_id: Mapped[int] = mapped_column(
        ForeignKey("source_record.id", ondelete="CASCADE"), comment="the record that gave it"
    )
    method: Mapped[Method] = mapped_column(enum_column(Method, "method"), comment="level of theory")
    interpolated: Mapped[bool] = mapped_column(
        comment="whether between the wave vectors that the supercell holds exactly; stability is read off the exact"
    )
    wave_vectors: Mapped[list[list[float]]] = mapped_column(
        ARRAY(REAL), comment="in units of the reciprocal vectors of the source's own cell, dimensionless [q][3]"
    )
    energies: Mapped[list[list[float]]] = mapped_column(
        ARRAY(REAL), comment="meV, imaginary modes negative [q][3 n_atoms]"
    )
    label_positions: Mapped[list[int]] = mapped_column(
        ARRAY(Integer), comment="first subscript of wave_vectors at each special point, from 1"
    )
    label_names: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="name of each special point, G for Γ")


class StiffnessTensor(Base):
    """The in-plane stiffness that one record gives."""

    __tablename__ = "stiffness_tensor"
    __table_args__ = (
        UniqueConstraint("source_record_id", "method"),
        CheckConstraint(_shaped("tensor", "= 3", "= 3"), name="is_3x3"),
        CheckConstraint(_finite("tensor", "double precision"), name="finite"),
        {"comment": "In-plane stiffness tensors"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_record_id: Mapped[int] = mapped_column(
        ForeignKey("source_record.id", ondelete="CASCADE"), comment="the record that gave it"
    )
    method: Mapped[Method] = mapped_column(enum_column(Method, "method"), comment="level of theory")
    tensor: Mapped[list[list[float]]] = mapped_column(
        ARRAY(Double), comment="N/m, rows and columns xx, yy, xy; Voigt: stress per engineering shear [3][3]"
    )


# Postgres' wire format of an array: dimensions, flags and element type; length and lower bound of each dimension; then
# each element behind its own length (backend/utils/adt/arrayfuncs.c: array_send, array_recv). All big-endian.
_WIRE: Final = {700: ">f4", 701: ">f8", 21: ">i2", 23: ">i4", 20: ">i8"}
_OIDS: Final = {np.dtype(wire).newbyteorder("="): oid for oid, wire in _WIRE.items()}
ARRAY_OIDS: Final = {700: 1021, 701: 1022, 21: 1005, 23: 1007, 20: 1016}
"""Type of the array by the type of its element, as Postgres numbers them."""


def element_oid(dtype: np.dtype[Any]) -> int:
    """Number of the Postgres type of an element.

    Raises:
        KeyError: it is none of float32, float64, int16, int32, int64.
    """
    return _OIDS[dtype.newbyteorder("=")]


def pack(array: NDArray[Any]) -> bytes:
    """A numpy array, shape (...), as Postgres' binary format of an array of the same dimensions (none, if empty).

    Raises:
        KeyError: see `element_oid`.
    """
    oid = element_oid(array.dtype)
    shape = array.shape if array.size else ()
    head = np.array([len(shape), 0, oid, *(number for length in shape for number in (length, 1))], ">i4").tobytes()
    wire = np.dtype(_WIRE[oid])
    elements = np.empty(array.size, [("length", ">i4"), ("value", wire)])
    elements["length"] = wire.itemsize
    elements["value"] = array.ravel()
    return head + elements.tobytes()


def unpack(sent: bytes) -> NDArray[Any]:
    """The array behind `SELECT array_send(column)`, ten times faster than through Python's lists.

    Args:
        sent: what `array_send` gives for a column of this module.

    Returns:
        Native byte order, with the dimensions of the column.

    Raises:
        ValueError: the bytes are no such array, or it holds NULLs.
    """
    head = np.frombuffer(sent, ">i4", 3)
    dimensions, with_nulls, oid = (int(number) for number in head)
    if with_nulls or oid not in _WIRE or not 0 <= dimensions <= 6:
        raise ValueError("not an array of numbers without NULLs")
    wire = np.dtype(_WIRE[oid])
    if dimensions == 0:
        return np.empty(0, wire.newbyteorder("="))
    shape = np.frombuffer(sent, ">i4", 2 * dimensions, offset=12)[::2]
    element = np.dtype([("length", ">i4"), ("value", wire)])
    elements = np.frombuffer(sent, element, offset=12 + 8 * dimensions)
    return elements["value"].astype(wire.newbyteorder("=")).reshape(shape)
