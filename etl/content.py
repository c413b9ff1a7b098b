"""What is derived from a record: its structure, values, doubts, names, spectra and stacking, written and removed.

Imports, releases and rechecks all write through here, so that a record is the same whichever way it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, select

from etl.canonical import Canonical
from etl.copying import copy_rows, reserve_ids
from etl.formula import formulas
from etl.payload import clean_text
from etl.records import Fact, Stack
from etl.spectra import Spectrum
from etl.spectra_store import copy_spectra
from etl.validate import Accepted
from schema.properties import Property

_STRUCTURE = (
    "id", "source_record_id", "formula", "formula_anonymous", "n_atoms", "periodicity", "cell", "numbers", "positions",
    "vacuum", "digest",
)  # fmt: skip
_VALUE = ("property_id", "source_record_id", "method", "face", "value", "label")
_FLAG = ("source_record_id", "rule", "property_key", "detail")
_NAME = ("source_record_id", "name")
_INTERFACE = ("id", "source_record_id", "kind", "bottom_name", "top_name", "surface", "structure_id")
_STACKING = (
    "interface_id", "bottom_matrix", "top_matrix", "top_operation", "flip", "shift_a", "shift_b", "twist", "strain_aa",
    "strain_bb", "strain_ab",
)  # fmt: skip


def property_ids(connection: Connection) -> dict[str, int]:
    """Ids of the rows of `property`, by key."""
    return {row.key: row.id for row in connection.execute(select(Property.key, Property.id))}


def write_content(
    cursor: psycopg.Cursor[Any], properties: dict[str, int], derived: Sequence[tuple[int, Accepted]]
) -> None:
    """Write the content of records that have none, within the caller's transaction.

    Args:
        cursor: of the transaction.
        properties: see `property_ids`.
        derived: id of each record, and what may be used of it.
    """
    structure_ids = _write_structures(cursor, [(i, a.structure) for i, a in derived if a.structure is not None])
    stacks = [(i, structure_ids.get(i), a.stack) for i, a in derived if a.stack is not None]
    spectra: list[tuple[int, Sequence[Spectrum]]] = [(i, a.spectra) for i, a in derived if a.spectra]
    write_values(cursor, properties, [(i, fact) for i, a in derived for fact in a.facts])
    write_flags(cursor, derived)
    write_names(cursor, derived)
    copy_spectra(cursor, spectra)
    interface_ids = reserve_ids(cursor, "interface", len(stacks))
    copy_rows(
        cursor, "interface", _INTERFACE,
        (
            (identity, record_id, s.kind.value, s.bottom_name, s.top_name, s.surface, structure_id)
            for identity, (record_id, structure_id, s) in zip(interface_ids, stacks, strict=True)
        ),
    )  # fmt: skip
    rows = (_stacking(identity, s) for identity, (_, _, s) in zip(interface_ids, stacks, strict=True))
    copy_rows(cursor, "stacking", _STACKING, rows)


def write_values(cursor: psycopg.Cursor[Any], properties: dict[str, int], facts: Sequence[tuple[int, Fact]]) -> None:
    """Append facts of records."""
    rows: list[tuple[Any, ...]] = []
    for record_id, fact in facts:
        number, label = (None, fact.value) if isinstance(fact.value, str) else (fact.value, None)
        rows.append((properties[fact.quantity.key], record_id, fact.method.value, fact.face, number, label))
    copy_rows(cursor, "property_value", _VALUE, rows)


def write_flags(cursor: psycopg.Cursor[Any], derived: Sequence[tuple[int, Accepted]]) -> None:
    """Append the doubts about values of records."""
    flags: list[tuple[int, str, str, str]] = []
    for record_id, accepted in derived:
        unique = {(doubt.rule, doubt.property_key): doubt.detail for doubt in accepted.doubts}
        flags.extend((record_id, rule, key, detail) for (rule, key), detail in unique.items())
    copy_rows(cursor, "record_flag", _FLAG, flags)


def write_names(cursor: psycopg.Cursor[Any], derived: Sequence[tuple[int, Accepted]]) -> None:
    """Append the further names of records."""
    names = {(record_id, clean_text(name)): None for record_id, accepted in derived for name in accepted.names}
    copy_rows(cursor, "record_name", _NAME, names)


def rewrite_facts(cursor: psycopg.Cursor[Any], properties: dict[str, int], record: int, accepted: Accepted) -> None:
    """Replace the values, doubts and names of one record; its structure, stacking and spectra stay."""
    for table in ("property_value", "record_flag", "record_name"):
        _delete(cursor, table, [record])
    write_values(cursor, properties, [(record, fact) for fact in accepted.facts])
    write_flags(cursor, [(record, accepted)])
    write_names(cursor, [(record, accepted)])


def clear_content(cursor: psycopg.Cursor[Any], records: Sequence[int]) -> None:
    """Remove what was derived from records, within the caller's transaction.

    A structure that represents a material stays until deduplication has found another representative; it is written
    anew if the record comes back. Spectra stay with the record, out of sight: only its file could give them again.
    """
    for table in ("property_value", "record_flag", "record_name", "interface"):
        _delete(cursor, table, records)
    cursor.execute(
        "DELETE FROM structure s WHERE source_record_id = ANY(%s)"
        " AND NOT EXISTS (SELECT FROM material m WHERE m.structure_id = s.id)",
        (list(records),),
    )


def _delete(cursor: psycopg.Cursor[Any], table: str, records: Sequence[int]) -> None:
    statement = sql.SQL("DELETE FROM {} WHERE source_record_id = ANY(%s)").format(sql.Identifier(table))
    cursor.execute(statement, (list(records),))


def _write_structures(cursor: psycopg.Cursor[Any], structures: Sequence[tuple[int, Canonical]]) -> dict[int, int]:
    """Write structures, over those that these records left behind; gives back their ids by record."""
    records = [record_id for record_id, _ in structures]
    cursor.execute("SELECT source_record_id, id FROM structure WHERE source_record_id = ANY(%s)", (records,))
    left: dict[int, int] = dict(cursor.fetchall())
    fresh = [(i, s) for i, s in structures if i not in left]
    ids = dict(zip((i for i, _ in fresh), reserve_ids(cursor, "structure", len(fresh)), strict=True))
    copy_rows(cursor, "structure", _STRUCTURE, (_structure(ids[i], i, s) for i, s in fresh))
    assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in _STRUCTURE[2:])
    rewrite = sql.SQL("UPDATE structure SET {} WHERE id = %s").format(assignments)
    for record_id, structure in structures:
        if record_id in left:
            cursor.execute(rewrite, (*_structure(left[record_id], record_id, structure)[2:], left[record_id]))
    return ids | left


def _structure(identity: int, record_id: int, structure: Canonical) -> tuple[Any, ...]:
    formula, anonymous = formulas(structure.numbers.tolist())
    return (
        identity,
        record_id,
        formula,
        anonymous,
        len(structure.numbers),
        structure.periodicity,
        structure.cell.ravel().tolist(),
        structure.numbers.tolist(),
        structure.positions.ravel().tolist(),
        structure.vacuum,
        structure.digest,
    )


def _stacking(interface_id: int, s: Stack) -> tuple[Any, ...]:
    return (
        interface_id, list(s.bottom_matrix), list(s.top_matrix),
        None if s.top_operation is None else list(s.top_operation),
        s.flip, s.shift_a, s.shift_b, s.twist, s.strain_aa, s.strain_bb, s.strain_ab,
    )  # fmt: skip
