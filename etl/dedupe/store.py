"""Reading the structures that deduplication needs, and writing the materials that it found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb
from pymatgen.core import Composition
from sqlalchemy import Connection, Select, and_, delete, exists, func, not_, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from etl.copying import copy_rows, driver_cursor, reserve_ids
from etl.dedupe.clusters import Cluster, Member
from etl.dedupe.decide import VERSION
from etl.dedupe.layers import Layer, space_group
from schema import quantities as q
from schema.materials import BulkPhase, Material, MaterialMember, Monolayer
from schema.properties import Property, PropertyValue
from schema.provenance import Source, SourceRecord
from schema.structures import Structure
from schema.vocabulary import MaterialKind, RecordState, Subject

_SUBJECTS = (Subject.MONOLAYER, Subject.BULK)
_MAGNETIC = ("NM", "FM", "AFM", "FIM")
_UID_DIGITS = 8


def touched_formulas(connection: Connection) -> list[str]:
    """Reduced formulas with a record that is no member yet, or a member whose record no longer lives."""
    pending = (
        select(Structure.formula)
        .join(SourceRecord, SourceRecord.id == Structure.source_record_id)
        .where(SourceRecord.state == RecordState.ACCEPTED, SourceRecord.subject.in_(_SUBJECTS))
        .where(not_(exists().where(MaterialMember.source_record_id == SourceRecord.id)))
    )
    stale = (
        select(Material.formula)
        .join(MaterialMember, MaterialMember.material_id == Material.id)
        .join(SourceRecord, SourceRecord.id == MaterialMember.source_record_id)
        .where(SourceRecord.state != RecordState.ACCEPTED)
    )
    return sorted(set(connection.scalars(pending)) | set(connection.scalars(stale)))


def drop_stale_members(connection: Connection, formulas: Sequence[str]) -> None:
    """Remove the membership of records that no longer live."""
    dead = (
        select(MaterialMember.source_record_id)
        .join(SourceRecord, SourceRecord.id == MaterialMember.source_record_id)
        .join(Material, Material.id == MaterialMember.material_id)
        .where(SourceRecord.state != RecordState.ACCEPTED, Material.formula.in_(formulas))
    )
    connection.execute(delete(MaterialMember).where(MaterialMember.source_record_id.in_(dead)))


def _structures() -> Select[*tuple[Any, ...]]:
    """Structures with what a `Layer` needs, in its order."""
    magnetic = (
        select(func.max(PropertyValue.label))
        .join(Property, Property.id == PropertyValue.property_id)
        .where(
            PropertyValue.source_record_id == SourceRecord.id,
            Property.key == q.MAGNETIC_STATE.key,
            PropertyValue.label.in_(_MAGNETIC),
        )
        .scalar_subquery()
    )
    return (
        select(
            SourceRecord.id, Structure.id, Source.precedence, Source.key, SourceRecord.external_id, Structure.formula,
            Structure.numbers, Structure.positions, Structure.cell, Structure.periodicity, magnetic,
        )
        .select_from(Structure)
        .join(SourceRecord, SourceRecord.id == Structure.source_record_id)
        .join(Source, Source.id == SourceRecord.source_id)
    )  # fmt: skip


def _layer(row: Sequence[Any]) -> Layer:
    record, structure, precedence, source, external_id, formula, numbers, positions, cell, periodicity, magnetic = row
    return Layer(
        record_id=record,
        structure_id=structure,
        key=(precedence, source, external_id),
        formula=formula,
        numbers=np.array(numbers, np.int64),
        positions=np.array(positions, float).reshape(-1, 3),
        cell=np.array(cell, float).reshape(3, 3),
        periodicity=periodicity,
        magnetic=magnetic,
    )


def layers_of_materials(connection: Connection, formula: str, kind: MaterialKind) -> list[tuple[int, Layer]]:
    """The representatives of all materials of one formula and kind that are not withdrawn, with their ids."""
    statement = (
        _structures()
        .join(Material, Material.structure_id == Structure.id)
        .where(Material.formula == formula, Material.kind == kind, Material.withdrawn_at.is_(None))
        .add_columns(Material.id)
        .order_by(Material.id)
    )
    return [(row[-1], _layer(row[:-1])) for row in connection.execute(statement)]


Block = tuple[list[Cluster], list[Layer]]
"""The materials of one formula and periodicity, and the records that have none yet."""


def load_blocks(connection: Connection, formulas: Sequence[str]) -> dict[tuple[str, int], Block]:
    """Materials and newcomers of some formulas, by formula and periodicity.

    Withdrawn materials are among them: a record that comes back finds its old name.
    """
    blocks: dict[tuple[str, int], Block] = {}
    members = (
        select(MaterialMember)
        .join(Material, Material.id == MaterialMember.material_id)
        .where(Material.formula.in_(formulas))
    )
    evidence = {row.source_record_id: row for row in connection.execute(members)}
    statement = _structures().where(
        Structure.formula.in_(formulas),
        or_(
            and_(SourceRecord.state == RecordState.ACCEPTED, SourceRecord.subject.in_(_SUBJECTS)),
            exists().where(Material.structure_id == Structure.id),
        ),
    )
    by_structure: dict[int, Layer] = {}
    by_record: dict[int, Layer] = {}
    for row in connection.execute(statement):
        layer = _layer(row)
        by_structure[layer.structure_id], by_record[layer.record_id] = layer, layer
    living = set(
        connection.scalars(
            select(SourceRecord.id).where(
                SourceRecord.id.in_(list(by_record)), SourceRecord.state == RecordState.ACCEPTED
            )
        )
    )
    clusters: dict[int, Cluster] = {}
    materials = select(Material.id, Material.structure_id).where(Material.formula.in_(formulas)).order_by(Material.id)
    for identity, structure_id in connection.execute(materials):
        representative = by_structure[structure_id]
        clusters[identity] = Cluster(identity, representative)
        key = (representative.formula, representative.periodicity)
        blocks.setdefault(key, ([], []))[0].append(clusters[identity])
    for record_id, layer in by_record.items():
        held = evidence.get(record_id)
        if held is not None:
            clusters[held.material_id].members.append(Member(layer, held.distance, held.method, dict(held.evidence)))
        elif record_id in living:
            blocks.setdefault((layer.formula, layer.periodicity), ([], []))[1].append(layer)
    return blocks


def save(connection: Connection, clusters: Iterable[Cluster]) -> None:
    """Write what changed: new materials, their members, new representatives, withdrawals."""
    clusters = list(clusters)
    # Before new materials get their ids, which is what tells old from new.
    for changed in (c for c in clusters if c.changed and c.id is not None):
        _update_material(connection, changed)
    _insert_materials(connection, [c for c in clusters if c.id is None])
    withdrawn = [c.id for c in clusters if not c.members]
    connection.execute(
        update(Material)
        .where(Material.id.in_(withdrawn), Material.withdrawn_at.is_(None))
        .values(withdrawn_at=datetime.now(UTC))
    )
    fresh = [(c.id, member) for c in clusters for member in c.fresh]
    ids = [member.layer.record_id for _, member in fresh]
    connection.execute(delete(MaterialMember).where(MaterialMember.source_record_id.in_(ids)))
    copy_rows(
        driver_cursor(connection),
        "material_member",
        ("source_record_id", "material_id", "distance", "method", "version", "evidence"),
        (
            (member.layer.record_id, identity, member.distance, member.method, VERSION, Jsonb(member.evidence))
            for identity, member in fresh
        ),
    )


def _uid(layer: Layer, attempt: int) -> str:
    _, source, external_id = layer.key
    name = f"{source}:{external_id}" + (f":{attempt}" if attempt else "")
    return f"{layer.formula}-{hashlib.sha256(name.encode()).hexdigest()[:_UID_DIGITS]}"


def _free_uids(connection: Connection, clusters: Sequence[Cluster]) -> list[str]:
    """A uid for each new material; a further attempt where the name is taken (its record has moved away from it)."""
    first = [_uid(c.representative, 0) for c in clusters]
    taken = set(connection.scalars(select(Material.uid).where(Material.uid.in_(first))))
    uids = []
    for member, candidate in zip(clusters, first, strict=True):
        uid, attempt = candidate, 0
        while uid in taken or (attempt and _is_taken(connection, uid)):
            attempt += 1
            uid = _uid(member.representative, attempt)
        taken.add(uid)
        uids.append(uid)
    return uids


def _is_taken(connection: Connection, uid: str) -> bool:
    return bool(connection.scalar(select(exists().where(Material.uid == uid))))


_MATERIAL = ("id", "uid", "kind", "formula", "formula_anonymous", "elements", "n_atoms", "structure_id")
_MONOLAYER = ("material_id", "ln_area", "tau_re", "tau_im", "basis", "thickness", "layer_group", "polar")
_BULK = ("material_id", "space_group", "volume_per_atom")


def _insert_materials(connection: Connection, clusters: Sequence[Cluster]) -> None:
    if not clusters:
        return
    uids = _free_uids(connection, clusters)
    cursor = driver_cursor(connection)
    for c, identity in zip(clusters, reserve_ids(cursor, "material", len(clusters)), strict=True):
        c.id = identity
    rows = []
    for c, uid in zip(clusters, uids, strict=True):
        layer = c.representative
        composition = Composition(layer.formula)
        elements = sorted(str(element) for element in composition.elements)
        kind = MaterialKind.MONOLAYER if layer.periodicity == 2 else MaterialKind.BULK
        rows.append(
            (
                c.id, uid, kind.value, layer.formula, composition.anonymized_formula, elements, _n_atoms(layer),
                layer.structure_id,
            )
        )  # fmt: skip
    copy_rows(cursor, "material", _MATERIAL, rows)
    slabs = [c for c in clusters if c.representative.periodicity == 2]
    crystals = [c for c in clusters if c.representative.periodicity == 3]
    copy_rows(cursor, "monolayer", _MONOLAYER, (tuple(_monolayer(c).values()) for c in slabs))
    copy_rows(cursor, "bulk_phase", _BULK, (tuple(_bulk_phase(c).values()) for c in crystals))


def _n_atoms(layer: Layer) -> int:
    return len(layer.numbers) if layer.periodicity == 2 else space_group(layer)[1]


def _monolayer(c: Cluster) -> dict[str, Any]:
    layer, lattice = c.representative, c.representative.lattice
    return {
        "material_id": c.id,
        "ln_area": lattice.ln_area,
        "tau_re": lattice.tau.real,
        "tau_im": lattice.tau.imag,
        "basis": lattice.basis.ravel().tolist(),
        "thickness": layer.thickness,
        "layer_group": layer.symmetry.layer_group,
        "polar": not layer.symmetry.swaps_faces,
    }


def _bulk_phase(c: Cluster) -> dict[str, Any]:
    layer = c.representative
    return {
        "material_id": c.id,
        "space_group": space_group(layer)[0],
        "volume_per_atom": layer.size_per_atom,
    }


def _update_material(connection: Connection, changed: Cluster) -> None:
    layer = changed.representative
    connection.execute(
        update(Material)
        .where(Material.id == changed.id)
        .values(structure_id=layer.structure_id, n_atoms=_n_atoms(layer), withdrawn_at=None)
    )
    table, values = (Monolayer, _monolayer(changed)) if layer.periodicity == 2 else (BulkPhase, _bulk_phase(changed))
    statement = insert(table).values(values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["material_id"], set_={k: statement.excluded[k] for k in values if k != "material_id"}
        )
    )


def count(connection: Connection, statement: str) -> int:
    """One number from a fixed statement."""
    found: int = connection.scalar(text(statement)) or 0
    return found
