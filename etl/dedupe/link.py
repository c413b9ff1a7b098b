"""Tying the sides of computed interfaces to materials: by the names that their source uses, or by structure."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, exists, or_, select, text, update
from sqlalchemy.orm import InstrumentedAttribute

from etl.canonical import canonical_slab
from etl.dedupe.fingerprint import distance
from etl.dedupe.layers import Layer
from etl.dedupe.store import layers_of_materials
from etl.errors import RecordError
from etl.formula import formulas
from etl.source import Source, get_source, source_names
from schema.interfaces import Interface
from schema.materials import BulkPhase, Material
from schema.provenance import Source as SourceTable
from schema.provenance import SourceRecord
from schema.vocabulary import InterfaceKind, MaterialKind, RecordState

FILM_FINGERPRINT = 0.35
"""Å: an unrelaxed film differs from its freestanding layer by the strain alone, which is scaled out."""
FILM_AMBIGUITY = 0.1
"""Å by which the best layer must beat the second best."""
FILM_AREA_RATIO = 0.12
"""Largest |ln| of the ratio of areas per atom of a strained film and its freestanding layer."""

# A name is an external id, or a further name that the record carries along. Sources of the same label come first.
_BY_NAME = text("""
    WITH names AS (
        SELECT DISTINCT ON (name) name, material_id
        FROM (
            SELECT r.external_id AS name, m.material_id, array_position(:families, s.key) AS family, 0 AS alias, r.id
            FROM source_record r
            JOIN source s ON s.id = r.source_id AND s.key = ANY(:families)
            JOIN material_member m ON m.source_record_id = r.id
            WHERE r.state = 'accepted'
            UNION ALL
            SELECT n.name, m.material_id, array_position(:families, s.key), 1, r.id
            FROM record_name n
            JOIN source_record r ON r.id = n.source_record_id AND r.state = 'accepted'
            JOIN source s ON s.id = r.source_id AND s.key = ANY(:families)
            JOIN material_member m ON m.source_record_id = r.id
        ) named
        ORDER BY name, alias, family, id
    ), wanted AS (
        -- What no name tells may have been found by structure.
        SELECT i.id,
               coalesce(b.material_id, CASE WHEN kb.withdrawn_at IS NULL THEN kb.id END) AS bottom,
               coalesce(t.material_id, CASE WHEN kt.withdrawn_at IS NULL THEN kt.id END) AS top
        FROM interface i
        JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted' AND r.source_id = :source
        LEFT JOIN names b ON b.name = i.bottom_name
        LEFT JOIN names t ON t.name = i.top_name
        LEFT JOIN material kb ON kb.id = i.bottom_material_id
        LEFT JOIN material kt ON kt.id = i.top_material_id
    )
    UPDATE interface i
    SET bottom_material_id = w.bottom, top_material_id = w.top
    FROM wanted w
    WHERE w.id = i.id
      AND (i.bottom_material_id, i.top_material_id) IS DISTINCT FROM (w.bottom, w.top)
    RETURNING num_nonnulls(w.bottom, w.top)
""")

_UNLINKED = text("""
    SELECT coalesce(sum(2 - num_nonnulls(i.bottom_material_id, i.top_material_id)), 0)
    FROM interface i JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted'
""")


def link_interfaces(connection: Connection) -> tuple[int, int]:
    """Bring the materials of all living interfaces up to date.

    Returns:
        Sides of interfaces linked by this call, and sides that stay without a material.
    """
    linked = 0
    sources = connection.execute(select(SourceTable.id, SourceTable.key, SourceTable.reader, SourceTable.names_from))
    rows = sources.all()
    keys = sorted(row.key for row in rows)
    for row in rows:
        if row.names_from is not None:
            families = _families(row.key, row.reader, row.names_from, keys)
            counts = connection.scalars(_BY_NAME, {"families": families, "source": row.id})
            linked += sum(counts)
        if row.reader in source_names():
            linked += _link_by_structure(connection, get_source(row.reader), row.id)
    return linked, int(connection.scalar(_UNLINKED) or 0)


def unlink(connection: Connection, material_ids: Collection[int]) -> None:
    """Forget where the sides of interfaces lead that lead to some materials, so that they are looked up anew."""
    for side in (Interface.bottom_material_id, Interface.top_material_id):
        other = Interface.top_material_id if side is Interface.bottom_material_id else Interface.bottom_material_id
        # Both sides of a homobilayer are one material, at any moment.
        connection.execute(
            update(Interface)
            .where(side.in_(material_ids))
            .values({side: None, other: case((Interface.kind == InterfaceKind.HOMOBILAYER, None), else_=other)})
        )


def _families(key: str, reader: str, names_from: str, keys: list[str]) -> list[str]:
    """Sources whose names `key` uses: those of its own label first, then the plain one, then the others."""
    label = key.removesuffix(reader) if key.endswith(f"-{reader}") else ""
    first = [f"{label}{names_from}", names_from]
    others = [k for k in keys if k.endswith(f"-{names_from}")]
    return list(dict.fromkeys([*first, *others]))


def _link_by_structure(connection: Connection, reader: Source, source_id: int) -> int:
    """Link what names cannot: a substrate by formula and space group, a layer by its structure."""
    statement = (
        select(
            Interface.id,
            Interface.kind,
            Interface.bottom_name,
            Interface.bottom_material_id.label("bottom"),
            Interface.top_material_id.label("top"),
            _is_loose(Interface.bottom_material_id).label("bottom_is_loose"),
            _is_loose(Interface.top_material_id).label("top_is_loose"),
            SourceRecord.payload,
        )
        .join(SourceRecord, SourceRecord.id == Interface.source_record_id)
        .where(
            SourceRecord.source_id == source_id,
            SourceRecord.state == RecordState.ACCEPTED,
            or_(_is_loose(Interface.bottom_material_id), _is_loose(Interface.top_material_id)),
        )
        .order_by(Interface.id)
    )
    linked = 0
    known = _KnownLayers(connection)
    for row in connection.execute(statement).all():
        # A side that has its material, by name or from before, keeps it while the other is looked for.
        top = _layer_of(reader, row.payload, known) if row.top_is_loose else row.top
        if row.kind is InterfaceKind.HOMOBILAYER:
            bottom = top
        elif row.bottom_is_loose:
            bottom = _substrate(connection, row.bottom_name, row.payload, reader)
        else:
            bottom = row.bottom
        if (bottom, top) == (row.bottom, row.top):
            continue
        connection.execute(
            update(Interface).where(Interface.id == row.id).values(bottom_material_id=bottom, top_material_id=top)
        )
        linked += sum(new is not None and new != old for new, old in ((bottom, row.bottom), (top, row.top)))
    return linked


def _is_loose(side: InstrumentedAttribute[int | None]) -> ColumnElement[bool]:
    """Whether a side has no material, or one that was withdrawn."""
    return or_(side.is_(None), exists().where(Material.id == side, Material.withdrawn_at.is_not(None)))


class _KnownLayers:
    """The freestanding layers of each formula, fetched once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._layers: dict[str, list[tuple[int, Layer]]] = {}

    def of(self, formula: str) -> list[tuple[int, Layer]]:
        if formula not in self._layers:
            self._layers[formula] = layers_of_materials(self._connection, formula, MaterialKind.MONOLAYER)
        return self._layers[formula]


def _substrate(connection: Connection, formula: str, payload: dict[str, Any], reader: Source) -> int | None:
    group = reader.substrate_space_group(payload)
    statement = (
        select(Material.id)
        .join(BulkPhase, BulkPhase.material_id == Material.id)
        .where(Material.kind == MaterialKind.BULK, Material.formula == formula, Material.withdrawn_at.is_(None))
        .order_by(Material.id)
    )
    if group is not None:
        statement = statement.where(BulkPhase.space_group == group)
    found = connection.scalars(statement).all()
    # Without a space group only a single known phase is no guess.
    return found[0] if len(found) == 1 or (found and group is not None) else None


def _layer_of(reader: Source, payload: dict[str, Any], known: _KnownLayers) -> int | None:
    try:
        atoms = reader.film(payload)
        slab = None if atoms is None else canonical_slab(atoms)
    except RecordError:
        return None
    if slab is None:
        return None
    formula, _ = formulas(slab.numbers.tolist())
    film = Layer(0, 0, (0, "", ""), formula, slab.numbers, slab.positions, slab.cell, 2, None)
    ranked = sorted(
        (distance(film.fingerprint_at(film.size_per_atom), layer.fingerprint_at(film.size_per_atom)), identity)
        for identity, layer in known.of(formula)
        if abs(math.log(layer.size_per_atom / film.size_per_atom)) <= FILM_AREA_RATIO
    )
    if not ranked or ranked[0][0] > FILM_FINGERPRINT:
        return None
    nearest, chosen = ranked[0]
    others = [apart for apart, identity in ranked if identity != chosen]
    return None if others and others[0] - nearest < FILM_AMBIGUITY else chosen
