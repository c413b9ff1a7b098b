"""Tying the sides of computed interfaces to materials: by the names that their source uses, or by structure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlalchemy import Connection, Row, and_, or_, select, text, update
from sqlalchemy.orm import aliased

from etl.canonical import canonical_slab
from etl.dedupe.fingerprint import distance
from etl.dedupe.layers import Layer
from etl.dedupe.store import layers_of_materials
from etl.errors import RecordError
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

# A name is an external id, or the older uid that the record carries along. Sources of the same label come first.
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
            SELECT r.payload->'key_value_pairs'->>'olduid', m.material_id, array_position(:families, s.key), 1, r.id
            FROM source_record r
            JOIN source s ON s.id = r.source_id AND s.key = ANY(:families)
            JOIN material_member m ON m.source_record_id = r.id
            WHERE r.state = 'accepted' AND r.payload->'key_value_pairs' ? 'olduid'
        ) named
        ORDER BY name, alias, family, id
    ), wanted AS (
        SELECT i.id, b.material_id AS bottom, t.material_id AS top
        FROM interface i
        JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted' AND r.source_id = :source
        LEFT JOIN names b ON b.name = i.bottom_name
        LEFT JOIN names t ON t.name = i.top_name
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
    keys = {key: identity for identity, key in connection.execute(select(SourceTable.id, SourceTable.key))}
    for key, source_id in keys.items():
        reader = reader_of(key)
        if reader is None:
            continue
        if reader.info.names_from is not None:
            families = _families(key, reader, sorted(keys))
            counts = connection.scalars(_BY_NAME, {"families": families, "source": source_id})
            linked += sum(counts)
        linked += _link_films(connection, reader, source_id)
    return linked, int(connection.scalar(_UNLINKED) or 0)


def reader_of(key: str) -> Source | None:
    """The reader of a source key such as `c2db` or `starter-c2db`; None for a source of another kind."""
    for name in source_names():
        reader = get_source(name)
        if key == reader.info.key or key.endswith(f"-{reader.info.key}"):
            return reader
    return None


def _families(key: str, reader: Source, keys: list[str]) -> list[str]:
    """Sources whose names `key` uses: those of its own label first, then the plain one, then the others."""
    wanted = get_source(reader.info.names_from or "").info.key
    label = key.removesuffix(reader.info.key)
    first = [f"{label}{wanted}", wanted]
    others = [k for k in keys if k.endswith(f"-{wanted}")]
    return list(dict.fromkeys([*first, *others]))


@dataclass(frozen=True, slots=True)
class _Sides:
    bottom: int | None
    top: int | None


def _link_films(connection: Connection, reader: Source, source_id: int) -> int:
    """Link layers on substrates: the substrate by formula and space group, the film by its structure."""
    bottom, top = aliased(Material), aliased(Material)
    loose = (
        select(Interface, SourceRecord.payload)
        .join(SourceRecord, SourceRecord.id == Interface.source_record_id)
        .outerjoin(bottom, bottom.id == Interface.bottom_material_id)
        .outerjoin(top, top.id == Interface.top_material_id)
        .where(
            SourceRecord.source_id == source_id,
            SourceRecord.state == RecordState.ACCEPTED,
            Interface.kind == InterfaceKind.ON_BULK,
            or_(
                Interface.bottom_material_id.is_(None),
                Interface.top_material_id.is_(None),
                bottom.withdrawn_at.is_not(None),
                top.withdrawn_at.is_not(None),
            ),
        )
        .order_by(Interface.id)
    )
    linked = 0
    films: dict[str, list[tuple[int, Layer]]] = {}
    columns = (Interface.id, Interface.bottom_name, Interface.top_name, Interface.bottom_material_id,
               Interface.top_material_id, SourceRecord.payload)  # fmt: skip
    for row in connection.execute(loose.with_only_columns(*columns)).all():
        found = _Sides(_substrate(connection, row, reader), _film(connection, row, reader, films))
        if (found.bottom, found.top) == (row.bottom_material_id, row.top_material_id):
            continue
        connection.execute(
            update(Interface)
            .where(Interface.id == row.id)
            .values(bottom_material_id=found.bottom, top_material_id=found.top)
        )
        linked += sum(side is not None for side in (found.bottom, found.top))
    return linked


def _substrate(connection: Connection, row: Row[tuple[object, ...]], reader: Source) -> int | None:
    group = reader.substrate_space_group(row.payload)
    statement = (
        select(Material.id)
        .join(BulkPhase, BulkPhase.material_id == Material.id)
        .where(
            Material.kind == MaterialKind.BULK,
            Material.formula == row.bottom_name,
            Material.withdrawn_at.is_(None),
            and_(True, BulkPhase.space_group == group) if group is not None else True,
        )
        .order_by(Material.id)
    )
    found = connection.scalars(statement).all()
    # Without a space group only a single known phase is no guess.
    return found[0] if len(found) == 1 or (found and group is not None) else None


def _film(
    connection: Connection, row: Row[tuple[object, ...]], reader: Source, films: dict[str, list[tuple[int, Layer]]]
) -> int | None:
    try:
        atoms = reader.film(row.payload)
        slab = None if atoms is None else canonical_slab(atoms)
    except RecordError:
        return None
    if slab is None:
        return None
    if row.top_name not in films:
        films[row.top_name] = layers_of_materials(connection, row.top_name, MaterialKind.MONOLAYER)
    film = Layer(0, 0, (0, "", ""), row.top_name, slab.numbers, slab.positions, slab.cell, 2, None)
    ranked = sorted(
        (distance(film.fingerprint_at(film.size_per_atom), layer.fingerprint_at(film.size_per_atom)), identity)
        for identity, layer in films[row.top_name]
        if abs(math.log(layer.size_per_atom / film.size_per_atom)) <= FILM_AREA_RATIO
    )
    if not ranked or ranked[0][0] > FILM_FINGERPRINT:
        return None
    if len(ranked) > 1 and ranked[1][0] - ranked[0][0] < FILM_AMBIGUITY:
        return None
    return ranked[0][1]
