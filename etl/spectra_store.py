"""Writing spectra: arrays in Postgres' own format, by binary COPY, one row a spectrum."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import psycopg
from psycopg import pq, sql
from psycopg.adapt import Dumper
from psycopg.types.numeric import Int4, Int8

from etl.copying import reserve_ids
from etl.payload import clean_text
from etl.spectra import BandStructure, DensityOfStates, FloatArray, PhononSpectrum, Spectrum, StiffnessTensor
from schema.spectra import ARRAY_OIDS, element_oid, pack

_TEXT, _TEXT_ARRAY = 25, 1009
"""Numbers of Postgres' types."""


class _ArrayDumper(Dumper):
    """A numpy array as a Postgres array of the same dimensions: no Python object an element."""

    format = pq.Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return pack(obj)

    def get_key(self, obj: Any, format: Any) -> Any:
        return (self.cls, obj.dtype)

    def upgrade(self, obj: Any, format: Any) -> _ArrayDumper:
        dumper = type(self)(self.cls)
        dumper.oid = ARRAY_OIDS[element_oid(obj.dtype)]
        return dumper


class _WordsDumper(Dumper):
    """A list of words as `text[]`; psycopg's own writes an empty list as text, which a binary COPY does not take."""

    format = pq.Format.BINARY
    oid = _TEXT_ARRAY

    def dump(self, obj: Any) -> bytes:
        words = [word.encode() for word in obj]
        head = struct.pack("!3i", bool(words), 0, _TEXT) + (struct.pack("!2i", len(words), 1) if words else b"")
        return head + b"".join(struct.pack("!i", len(word)) + word for word in words)


def copy_spectra(cursor: psycopg.Cursor[Any], spectra: Sequence[tuple[int, Sequence[Spectrum]]]) -> None:
    """Write the spectra of records, in place of any that they had, within the caller's transaction.

    A record that was set aside keeps its spectra, which nothing but its file could bring back; if the file does bring
    them again, they are written anew.

    Args:
        cursor: of the transaction that writes the records.
        spectra: id of each record, and its spectra; at most one of a kind, method and treatment of spin.
    """
    flat = [(record, spectrum) for record, found in spectra for spectrum in found]
    if not flat:
        return
    records = [record for record, found in spectra if found]
    for table in _TABLES:
        statement = sql.SQL("DELETE FROM {} WHERE source_record_id = ANY(%s)").format(sql.Identifier(table))
        cursor.execute(statement, (records,))
    densities = [(record, s) for record, s in flat if isinstance(s, DensityOfStates)]
    ids = reserve_ids(cursor, "density_of_states", len(densities))
    # A cursor of its own, so that the caller's does not learn to write arrays this way.
    with cursor.connection.cursor() as writer:
        writer.adapters.register_dumper(np.ndarray, _ArrayDumper)
        writer.adapters.register_dumper(list, _WordsDumper)
        _copy(
            writer, "density_of_states", _DENSITY, (_density(i, r, s) for i, (r, s) in zip(ids, densities, strict=True))
        )
        _copy(writer, "dos_projection", _PROJECTION, _projections(zip(ids, (s for _, s in densities), strict=True)))
        _copy(writer, "band_structure", _BANDS, (_bands(r, s) for r, s in flat if isinstance(s, BandStructure)))
        _copy(writer, "phonon_spectrum", _PHONONS, (_phonons(r, s) for r, s in flat if isinstance(s, PhononSpectrum)))
        stiffness = (
            (Int8(r), s.method.value, s.tensor.astype("f8")) for r, s in flat if isinstance(s, StiffnessTensor)
        )
        _copy(writer, "stiffness_tensor", _STIFFNESS, stiffness)


def _copy(cursor: psycopg.Cursor[Any], table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _real(array: FloatArray) -> FloatArray:
    return array.astype(np.float32)


def _double(number: float | None) -> float | None:
    return None if number is None else float(number)


def _labels(labels: Sequence[tuple[int, str]]) -> tuple[Any, Any]:
    """Subscripts, from 1 as in SQL, and names."""
    return np.array([place + 1 for place, _ in labels], np.int32), [clean_text(name) for _, name in labels]


def _density(identity: int, record: int, s: DensityOfStates) -> tuple[Any, ...]:
    return (
        Int8(identity), Int8(record), s.method.value, s.spin_orbit, s.reference.value, _double(s.fermi_energy),
        _double(s.vacuum_level), Int4(_spins(s)), Int4(len(s.energies)), _real(s.energies),
        None if s.total is None else _real(s.total),
    )  # fmt: skip


def _spins(s: DensityOfStates) -> int:
    return len(s.total if s.total is not None else s.projections[0].values)


def _projections(densities: Iterable[tuple[int, DensityOfStates]]) -> Iterable[tuple[Any, ...]]:
    for identity, s in densities:
        for p in s.projections:
            spins, points = p.values.shape
            yield Int8(identity), p.element, p.orbital, Int4(spins), Int4(points), _real(p.values)


def _bands(record: int, s: BandStructure) -> tuple[Any, ...]:
    return (
        Int8(record), s.method.value, s.spin_orbit, s.reference.value, _double(s.fermi_energy),
        _double(s.vacuum_level), _real(s.wave_vectors), _real(s.energies), *_labels(s.labels),
    )  # fmt: skip


def _phonons(record: int, s: PhononSpectrum) -> tuple[Any, ...]:
    return (
        Int8(record), s.method.value, s.interpolated, _real(s.wave_vectors), _real(s.energies), *_labels(s.labels),
    )  # fmt: skip


_TABLES = ("density_of_states", "band_structure", "phonon_spectrum", "stiffness_tensor")
_DENSITY = (
    "id", "source_record_id", "method", "spin_orbit", "reference", "fermi_energy", "vacuum_level", "n_spins",
    "n_energies", "energies", "total",
)  # fmt: skip
_PROJECTION = ("density_of_states_id", "element", "orbital", "n_spins", "n_energies", "density")
_BANDS = (
    "source_record_id", "method", "spin_orbit", "reference", "fermi_energy", "vacuum_level", "wave_vectors", "energies",
    "label_positions", "label_names",
)  # fmt: skip
_PHONONS = (
    "source_record_id", "method", "interpolated", "wave_vectors", "energies", "label_positions", "label_names",
)  # fmt: skip
_STIFFNESS = ("source_record_id", "method", "tensor")
