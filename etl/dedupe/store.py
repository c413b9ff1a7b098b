"""Reading the structures that deduplication needs, and writing the materials that it found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb
from pymatgen.core import Composition
from sqlalchemy import Connection, Row, Select, and_, case, delete, exists, func, not_, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from etl.copying import copy_rows, driver_cursor, reserve_ids
from etl.dedupe.clusters import Cluster, Member
from etl.dedupe.decide import VERSION
from etl.dedupe.layers import Layer, space_group
from etl.dedupe.rulings import Rulings
from etl.dedupe.unions import ANCHOR, MERGED_FROM, Union, state_evidence, unite
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
    """The structures that stand for the materials of one formula and kind that are not withdrawn, with their ids.

    A material that took in others by a person's ruling is known by their structures too.
    """
    taken_in = (
        select(MaterialMember.material_id)
        .join(Material, Material.id == MaterialMember.material_id)
        .where(Material.formula == formula)
    )
    home = aliased(Material)
    merged_into = (
        taken_in.where(MaterialMember.evidence[MERGED_FROM].astext == home.uid)
        .limit(1)
        .correlate(home)
        .scalar_subquery()
    )
    identity = case((home.withdrawn_at.is_(None), home.id), else_=merged_into)
    statement = (
        _structures()
        .join(home, home.structure_id == Structure.id)
        .where(home.formula == formula, home.kind == kind)
        .add_columns(identity, home.id)
        .order_by(home.id)
    )
    return [(row[-2], _layer(row[:-2])) for row in connection.execute(statement) if row[-2] is not None]


def layer_of_material(connection: Connection, material_id: int) -> Layer:
    """The structure that a material's row shows."""
    statement = _structures().join(Material, Material.structure_id == Structure.id).where(Material.id == material_id)
    return _layer(connection.execute(statement).one())


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
    materials = (
        select(Material.id, Material.uid, Material.structure_id, Material.withdrawn_at)
        .where(Material.formula.in_(formulas))
        .order_by(Material.id)
    )
    by_uid: dict[str, Cluster] = {}
    for identity, uid, structure_id, withdrawn_at in connection.execute(materials):
        layer = by_structure[structure_id]
        found = Cluster(identity, layer, uid=uid, live=withdrawn_at is None, structure_id=structure_id)
        clusters[identity] = by_uid[uid] = found
        blocks.setdefault((layer.formula, layer.periodicity), ([], []))[0].append(found)
    for record_id, layer in by_record.items():
        held = evidence.get(record_id)
        if held is not None:
            # Members of one material by a person's ruling are told apart by the material that was theirs without it.
            merged_from = held.evidence.get(MERGED_FROM)
            home = clusters[held.material_id] if merged_from is None else by_uid[merged_from]
            home.members.append(_member(layer, held))
            if held.evidence.get(ANCHOR):
                home.representative = layer
        elif record_id in living:
            blocks.setdefault((layer.formula, layer.periodicity), ([], []))[1].append(layer)
    return blocks


def _member(layer: Layer, held: Row[Any]) -> Member:
    return Member(layer, held.distance, held.method, dict(held.evidence), material_id=held.material_id, fresh=False)


def save(connection: Connection, blocks: Iterable[Sequence[Cluster]], rulings: Rulings) -> int:
    """Write what changed: new materials, their members, new representatives, withdrawals.

    Args:
        blocks: the clusters of each formula and periodicity; they know afterwards that they are written.

    Returns:
        Materials made.
    """
    blocks = list(blocks)
    clusters = [c for block in blocks for c in block]
    new = [c for c in clusters if c.id is None]
    _name(connection, new)
    unions = [union for block in blocks for union in unite(block, rulings)]
    shown = {}
    for union in unions:
        state_evidence(union)
        shown[union.leader] = union.face.representative
    _insert_materials(connection, [(c, shown.get(c)) for c in new])
    for c in clusters:
        layer = shown.get(c)
        if c.structure_id is not None and _has_changed(c, layer):
            _update_material(connection, c, layer)
    _write_members(connection, unions)
    for c in clusters:
        c.live, c.structure_id = c in shown, shown.get(c, c.representative).structure_id
    return sum(c in shown for c in new)


def _has_changed(c: Cluster, shown: Layer | None) -> bool:
    """Whether the row of a material has to be written; `shown` is None where it is to be withdrawn."""
    layer = c.representative if shown is None else shown
    return layer.structure_id != c.structure_id or c.live != (shown is not None)


def _write_members(connection: Connection, unions: Iterable[Union]) -> None:
    rows = []
    for union in unions:
        identity = union.leader.id
        rows += [(identity, m) for m in union.members if m.fresh or m.material_id != identity]
    if not rows:
        return
    ids = [member.layer.record_id for _, member in rows]
    connection.execute(delete(MaterialMember).where(MaterialMember.source_record_id.in_(ids)))
    copy_rows(
        driver_cursor(connection),
        "material_member",
        ("source_record_id", "material_id", "distance", "method", "version", "evidence"),
        (
            (member.layer.record_id, identity, member.distance, member.method, VERSION, Jsonb(member.evidence))
            for identity, member in rows
        ),
    )
    for identity, member in rows:
        member.material_id, member.fresh = identity, False


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


_MATERIAL = ("id", "uid", "kind", "formula", "formula_anonymous", "elements", "n_atoms", "structure_id",
             "withdrawn_at")  # fmt: skip
_MONOLAYER = ("material_id", "ln_area", "tau_re", "tau_im", "basis", "thickness", "layer_group", "polar")
_BULK = ("material_id", "space_group", "volume_per_atom")


def _name(connection: Connection, new: Sequence[Cluster]) -> None:
    """Give new clusters the id and uid that their materials' rows will have."""
    uids = _free_uids(connection, new)
    ids = reserve_ids(driver_cursor(connection), "material", len(new))
    for c, identity, uid in zip(new, ids, uids, strict=True):
        c.id, c.uid = identity, uid


def _insert_materials(connection: Connection, new: Sequence[tuple[Cluster, Layer | None]]) -> None:
    """Write the rows of new materials; one that shows no structure was ruled to be another, and is withdrawn."""
    if not new:
        return
    cursor = driver_cursor(connection)
    now = datetime.now(UTC)
    written = [(c, shown or c.representative, now if shown is None else None) for c, shown in new]
    rows = []
    for c, layer, withdrawn_at in written:
        composition = Composition(layer.formula)
        elements = sorted(str(element) for element in composition.elements)
        kind = MaterialKind.MONOLAYER if layer.periodicity == 2 else MaterialKind.BULK
        rows.append(
            (
                c.id, c.uid, kind.value, layer.formula, composition.anonymized_formula, elements, _n_atoms(layer),
                layer.structure_id, withdrawn_at,
            )
        )  # fmt: skip
    copy_rows(cursor, "material", _MATERIAL, rows)
    slabs = [(c, layer) for c, layer, _ in written if layer.periodicity == 2]
    crystals = [(c, layer) for c, layer, _ in written if layer.periodicity == 3]
    copy_rows(cursor, "monolayer", _MONOLAYER, (tuple(_monolayer(c, layer).values()) for c, layer in slabs))
    copy_rows(cursor, "bulk_phase", _BULK, (tuple(_bulk_phase(c, layer).values()) for c, layer in crystals))


def _n_atoms(layer: Layer) -> int:
    return len(layer.numbers) if layer.periodicity == 2 else space_group(layer)[1]


def _monolayer(c: Cluster, layer: Layer) -> dict[str, Any]:
    lattice = layer.lattice
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


def _bulk_phase(c: Cluster, layer: Layer) -> dict[str, Any]:
    return {
        "material_id": c.id,
        "space_group": space_group(layer)[0],
        "volume_per_atom": layer.size_per_atom,
    }


def _update_material(connection: Connection, changed: Cluster, shown: Layer | None) -> None:
    layer = shown or changed.representative
    connection.execute(
        update(Material)
        .where(Material.id == changed.id)
        .values(
            structure_id=layer.structure_id,
            n_atoms=_n_atoms(layer),
            withdrawn_at=None if shown is not None else func.coalesce(Material.withdrawn_at, func.now()),
        )
    )
    if layer.structure_id == changed.structure_id:
        return
    table, values = (
        (Monolayer, _monolayer(changed, layer)) if layer.periodicity == 2 else (BulkPhase, _bulk_phase(changed, layer))
    )
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
