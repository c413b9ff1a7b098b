"""Feature vectors in the database: computed once per material and inputs, kept by version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from ml import features
from ml.descriptors.slab import Slab
from ml.features import Layer
from schema.features import FeatureSet, FeatureVector
from schema.materials import Material
from schema.structures import Structure
from schema.vocabulary import Face, MaterialKind, Method, Subject

# One functional for all layers, never mixed: PBE, which most sources give.
_VALUES = text("""
    SELECT material_id, property, face, value
    FROM analyst.material_values
    WHERE preference = 1 AND method = :method AND value IS NOT NULL AND material_id = ANY(:ids)
""")


@dataclass(frozen=True)
class FeatureTable:
    """Feature vectors of materials, in the order of their ids.

    Attributes:
        material_ids: rising, shape (materials,).
        values: shape (materials, len(ml.features.NAMES)), float32.
    """

    material_ids: NDArray[np.int64]
    values: NDArray[np.float32]

    def rows(self, material_ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Row of each material, −1 where it has no features."""
        at = np.searchsorted(self.material_ids, material_ids)
        at = np.minimum(at, max(len(self.material_ids) - 1, 0))
        found = self.material_ids[at] == material_ids if len(self.material_ids) else np.zeros(len(at), bool)
        return np.where(found, at, -1).astype(np.int64)


def feature_set_id(connection: Connection) -> int:
    """Number of the present material feature set, which is entered if it is new."""
    wanted = select(FeatureSet.id).where(FeatureSet.key == features.KEY, FeatureSet.version == features.VERSION)
    found = connection.execute(wanted).scalar_one_or_none()
    if found is not None:
        return int(found)
    connection.execute(
        insert(FeatureSet)
        .values(
            key=features.KEY,
            version=features.VERSION,
            subject=Subject.MONOLAYER,
            names=list(features.NAMES),
            units=list(features.UNITS),
        )
        .on_conflict_do_nothing(index_elements=["key", "version"])
    )
    return int(connection.execute(wanted).scalar_one())


def load_layers(connection: Connection, material_ids: Sequence[int]) -> dict[int, Layer]:
    """The isolated layers of monolayers, with their preferred PBE properties, by material id.

    Where several sources give a value, the one that `analyst.monolayers` shows is taken.
    """
    ids = [int(number) for number in material_ids]
    properties: dict[int, dict[tuple[str, Face | None], float]] = {}
    for material_id, key, face, value in connection.execute(_VALUES, {"ids": ids, "method": Method.PBE.value}):
        properties.setdefault(material_id, {})[key, Face(face) if face else None] = float(value)
    query = (
        select(Material.id, Structure.numbers, Structure.positions, Structure.cell)
        .join(Structure, Structure.id == Material.structure_id)
        .where(Material.id == func.any(ids), Material.kind == MaterialKind.MONOLAYER)
        .order_by(Material.id)
    )
    return {
        row.id: Layer(
            Slab.from_cell(row.numbers, np.reshape(row.positions, (-1, 3)), np.reshape(row.cell, (3, 3))),
            properties.get(row.id, {}),
        )
        for row in connection.execute(query)
    }


def monolayer_ids(connection: Connection) -> list[int]:
    """All living monolayers, rising."""
    query = select(Material.id).where(Material.kind == MaterialKind.MONOLAYER, Material.withdrawn_at.is_(None))
    return [int(number) for number in connection.execute(query.order_by(Material.id)).scalars()]


def load_named_layers(connection: Connection, *, chunk: int = 2000) -> dict[str, Layer]:
    """All living monolayers by material uid, for training."""
    uids = {row.id: row.uid for row in connection.execute(select(Material.id, Material.uid))}
    ids = monolayer_ids(connection)
    out = {}
    for start in range(0, len(ids), chunk):
        for number, layer in load_layers(connection, ids[start : start + chunk]).items():
            out[uids[number]] = layer
    return out


def stored_digests(connection: Connection, material_ids: Iterable[int]) -> dict[int, bytes]:
    """Digest of the inputs of each material's kept features; absent where it has none."""
    query = select(FeatureVector.material_id, FeatureVector.inputs_digest).where(
        FeatureVector.feature_set_id == feature_set_id(connection),
        FeatureVector.material_id == func.any([int(number) for number in material_ids]),
    )
    return {row.material_id: bytes(row.inputs_digest) for row in connection.execute(query)}


def stale(connection: Connection, *, only: Sequence[int] | None = None, chunk: int = 2000) -> list[int]:
    """Monolayers whose features are missing or were computed from other inputs than today's, rising.

    Args:
        connection: to read with; the feature set is entered if it is new.
        only: look at these alone; all monolayers if None.
        chunk: materials read at a time.
    """
    out = []
    ids = monolayer_ids(connection) if only is None else sorted(only)
    for start in range(0, len(ids), chunk):
        part = ids[start : start + chunk]
        kept = stored_digests(connection, part)
        # Reading inputs is what takes time: only those that have a row need a second look.
        missing = [number for number in part if number not in kept]
        layers = load_layers(connection, [number for number in part if number in kept])
        changed = [number for number, layer in layers.items() if layer.digest != kept[number]]
        out += sorted([*missing, *changed])
    return out


def compute_and_store(connection: Connection, material_ids: Sequence[int]) -> int:
    """Compute and keep the features of monolayers; those whose inputs have not changed are left alone.

    Safe to repeat and to run twice at once: one row a material, the same inputs giving the same row.

    Returns:
        How many were computed.
    """
    number = feature_set_id(connection)
    layers = load_layers(connection, material_ids)
    kept = stored_digests(connection, layers)
    wanted = [key for key, layer in layers.items() if kept.get(key) != layer.digest]
    if not wanted:
        return 0
    values = features.compute([layers[key] for key in wanted])
    statement = insert(FeatureVector)
    statement = statement.on_conflict_do_update(
        index_elements=["feature_set_id", "material_id"],
        set_={
            "inputs_digest": statement.excluded.inputs_digest,
            "values": statement.excluded["values"],
            "computed_at": func.now(),
        },
    )
    connection.execute(
        statement,
        [
            {
                "feature_set_id": number,
                "material_id": key,
                "inputs_digest": layers[key].digest,
                "values": row.tolist(),
            }
            for key, row in zip(wanted, values, strict=True)
        ],
    )
    return len(wanted)


def load_table(connection: Connection, *, only: Iterable[int] | None = None) -> FeatureTable:
    """The feature vectors of the monolayers that have one in the present set.

    Args:
        connection: to read with.
        only: material ids; all of them if None.
    """
    query = (
        select(FeatureVector.material_id, FeatureVector.values)
        .join(FeatureSet, FeatureSet.id == FeatureVector.feature_set_id)
        .where(FeatureSet.key == features.KEY, FeatureSet.version == features.VERSION)
        .order_by(FeatureVector.material_id)
    )
    if only is not None:
        query = query.where(FeatureVector.material_id == func.any([int(number) for number in only]))
    rows = connection.execute(query).all()
    values = np.array([row[1] for row in rows], np.float32).reshape(len(rows), len(features.NAMES))
    return FeatureTable(np.array([row[0] for row in rows], np.int64), values)
