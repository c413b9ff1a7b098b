"""Records without a structure of their own: they describe the material of the record that they name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Row, delete, text

from etl.copying import copy_rows, driver_cursor
from etl.dedupe.decide import VERSION
from etl.dedupe.rulings import Key, Rulings
from schema.materials import MaterialMember
from schema.vocabulary import Ruling

METHOD_NAME = "name"

# The numbers, keys and present materials of all living records without structure.
_NAMELESS = text("""
    SELECT r.id, s.key, r.external_id, m.material_id, m.evidence
    FROM source_record r
    JOIN source s ON s.id = r.source_id
    LEFT JOIN material_member m ON m.source_record_id = r.id
    WHERE r.state = 'accepted' AND r.subject IN ('monolayer', 'bulk')
      AND NOT EXISTS (SELECT FROM structure t WHERE t.source_record_id = r.id)
    ORDER BY r.id
""")

# Whom they name, by external id or further name. Best first: the same source, an external id, the better source.
_NAMED = text("""
    WITH called AS (
        SELECT r.id, r.external_id AS name, r.source_id, r.subject FROM source_record r WHERE r.id = ANY(:ids)
        UNION
        SELECT r.id, n.name, r.source_id, r.subject
        FROM record_name n JOIN source_record r ON r.id = n.source_record_id
        WHERE r.id = ANY(:ids)
    ), known AS (
        SELECT c.id, c.name, k.id AS other, k.source_id = c.source_id AS own, true AS direct, c.subject
        FROM called c JOIN source_record k ON k.external_id = c.name AND k.state = 'accepted'
        UNION ALL
        SELECT c.id, c.name, k.id, k.source_id = c.source_id, false, c.subject
        FROM called c
        JOIN record_name n ON n.name = c.name
        JOIN source_record k ON k.id = n.source_record_id AND k.state = 'accepted'
    )
    SELECT k.id, k.name, s.key AS source, o.external_id, m.material_id, k.own, k.direct, s.precedence
    FROM known k
    JOIN source_record o ON o.id = k.other
    JOIN source s ON s.id = o.source_id
    JOIN structure t ON t.source_record_id = o.id
    JOIN material_member m ON m.source_record_id = o.id
    JOIN material a ON a.id = m.material_id AND a.kind = k.subject
    ORDER BY k.id, k.own DESC, k.direct DESC, s.precedence, o.id
""")

_MEMBERS = text("""
    SELECT m.material_id, s.key, r.external_id
    FROM material_member m
    JOIN source_record r ON r.id = m.source_record_id
    JOIN source s ON s.id = r.source_id
    WHERE m.material_id = ANY(:ids)
""")


@dataclass(frozen=True, slots=True)
class _Place:
    """The material that a record without structure belongs to, and the evidence for it."""

    material_id: int
    evidence: dict[str, Any]


def place_by_name(connection: Connection, rulings: Rulings) -> tuple[int, int]:
    """Bring the materials of all records without structure up to date.

    Such a record belongs to the material of the living record whose external id or further name is its own external
    id or one of its further names: within its own source, else in any. Names that lead to several materials with
    equal right tell nothing, and a ruling may keep a record away from a material.

    Returns:
        Records whose material was found or changed by this call, and records that stay without one.
    """
    nameless = connection.execute(_NAMELESS).all()
    if not nameless:
        return 0, 0
    named: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(_NAMED, {"ids": [record.id for record in nameless]}):
        named.setdefault(row.id, []).append(row)
    barred = _barred(connection, rulings, {r.id: (r.key, r.external_id) for r in nameless}, named)
    places = {
        r.id: _place([row for row in named.get(r.id, []) if (r.id, row.material_id) not in barred]) for r in nameless
    }
    changed = [r.id for r in nameless if _stated(r) != places[r.id]]
    connection.execute(delete(MaterialMember).where(MaterialMember.source_record_id.in_(changed)))
    rows = [(number, place) for number in changed if (place := places[number]) is not None]
    copy_rows(
        driver_cursor(connection),
        "material_member",
        ("source_record_id", "material_id", "distance", "method", "version", "evidence"),
        ((number, p.material_id, math.inf, METHOD_NAME, VERSION, Jsonb(p.evidence)) for number, p in rows),
    )
    return len(rows), sum(place is None for place in places.values())


def _stated(record: Row[Any]) -> _Place | None:
    return None if record.material_id is None else _Place(record.material_id, record.evidence)


def _place(rows: Iterable[Row[Any]]) -> _Place | None:
    rows = list(rows)
    if not rows:
        return None
    first = rows[0]
    right = (first.own, first.direct, first.precedence)
    equal = {row.material_id for row in rows if (row.own, row.direct, row.precedence) == right}
    if len(equal) > 1:
        return None
    return _Place(first.material_id, {"name": first.name, "record": f"{first.source}:{first.external_id}"})


def _barred(
    connection: Connection, rulings: Rulings, keys: dict[int, Key], named: dict[int, list[Row[Any]]]
) -> set[tuple[int, int]]:
    """Pairs of a record and a material with a member from which a ruling keeps it apart."""
    ruled = {number: rulings.of(keys[number]) for number in named if rulings.of(keys[number])}
    materials = {row.material_id for number in ruled for row in named[number]}
    if not materials:
        return set()
    members: dict[int, list[Key]] = {}
    for material_id, source, external_id in connection.execute(_MEMBERS, {"ids": list(materials)}):
        members.setdefault(material_id, []).append((source, external_id))
    different = {
        (number, each.other if each.one == keys[number] else each.one)
        for number, found in ruled.items()
        for each in found
        if each.ruling is Ruling.DIFFERENT
    }
    return {
        (number, row.material_id)
        for number in ruled
        for row in named[number]
        if any((number, member) in different for member in members[row.material_id])
    }
