"""Embeddings in the database, and what they are good for: the known layers that are most alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from ml import registry
from ml.artefact import check_digest
from ml.descriptors.slab import Slab
from ml.feature_store import load_layers, monolayer_ids
from schema.features import Embedding, ModelVersion
from schema.materials import Material

if TYPE_CHECKING:
    from ml.models.slab_encoder import SlabEncoder


@dataclass(frozen=True)
class Neighbour:
    """A known layer near another.

    Attributes:
        uid: of the material.
        formula: reduced.
        distance: Euclidean, in the embedding's own scale; 0 = the encoder sees no difference.
    """

    uid: str
    formula: str
    distance: float


def structure_digest(slab: Slab) -> bytes:
    """SHA-256 of the atoms to 1e-4 Å: all that an embedding depends on besides the encoder."""
    hasher = hashlib.sha256(np.ascontiguousarray(slab.numbers, np.int64).tobytes())
    for numbers in (slab.positions, slab.cell):
        hasher.update((np.round(numbers, 4) + 0.0).tobytes())
    return hasher.digest()


def stale(connection: Connection, *, only: Sequence[int] | None = None, chunk: int = 2000) -> list[int]:
    """Monolayers without an up-to-date embedding under the served encoder, rising; none if no encoder is served.

    Args:
        connection: to read with.
        only: look at these alone; all monolayers if None.
        chunk: materials read at a time.
    """
    encoder = registry.served_encoder(connection)
    if encoder is None:
        return []
    ids = monolayer_ids(connection) if only is None else sorted(only)
    out = []
    for start in range(0, len(ids), chunk):
        part = ids[start : start + chunk]
        kept = _stored(connection, encoder, part)
        # Reading atoms is what takes time: only those that have a row need a second look.
        missing = [number for number in part if number not in kept]
        layers = load_layers(connection, [number for number in part if number in kept])
        changed = [number for number, layer in layers.items() if structure_digest(layer.slab) != kept[number]]
        out += sorted([*missing, *changed])
    return out


def compute_and_store(connection: Connection, material_ids: Sequence[int]) -> int:
    """Embed monolayers with the served encoder; those whose atoms have not changed are left alone.

    Returns:
        How many were embedded; 0 if no encoder is served.
    """
    from ml.models.slab_encoder import embed
    from ml.models.slab_graph import slab_graph

    encoder = registry.served_encoder(connection)
    if encoder is None:
        return 0
    slabs = {number: layer.slab for number, layer in load_layers(connection, material_ids).items()}
    kept = _stored(connection, encoder, list(slabs))
    wanted = [number for number, slab in slabs.items() if kept.get(number) != structure_digest(slab)]
    if not wanted:
        return 0
    model = _load(connection, encoder)
    vectors = embed(model, [slab_graph(slabs[number]) for number in wanted]).whole
    statement = insert(Embedding)
    statement = statement.on_conflict_do_update(
        index_elements=["model_version_id", "material_id"],
        set_={"inputs_digest": statement.excluded.inputs_digest, "vector": statement.excluded.vector},
    )
    connection.execute(
        statement,
        [
            {
                "model_version_id": encoder,
                "material_id": number,
                "inputs_digest": structure_digest(slabs[number]),
                "vector": vector,
            }
            for number, vector in zip(wanted, vectors, strict=True)
        ],
    )
    return len(wanted)


def nearest(connection: Connection, uid: str, *, limit: int = 10) -> list[Neighbour]:
    """The known layers most like one, nearest first, itself left out.

    Args:
        connection: to read with.
        uid: of the material.
        limit: how many.
    """
    own = (
        select(Embedding.vector, Embedding.model_version_id, Embedding.material_id)
        .join(Material, Material.id == Embedding.material_id)
        .join(ModelVersion, ModelVersion.id == Embedding.model_version_id)
        .where(Material.uid == uid, ModelVersion.served)
        .subquery()
    )
    distance = Embedding.vector.l2_distance(own.c.vector)
    query = (
        select(Material.uid, Material.formula, distance.label("distance"))
        .select_from(Embedding)
        .join(own, own.c.model_version_id == Embedding.model_version_id)
        .join(Material, Material.id == Embedding.material_id)
        .where(Embedding.material_id != own.c.material_id, Material.withdrawn_at.is_(None))
        .order_by(distance)
        .limit(limit)
    )
    return [Neighbour(row.uid, row.formula, float(row.distance)) for row in connection.execute(query)]


def _stored(connection: Connection, encoder: int, ids: Sequence[int]) -> dict[int, bytes]:
    query = select(Embedding.material_id, Embedding.inputs_digest).where(
        Embedding.model_version_id == encoder, Embedding.material_id == func.any([int(number) for number in ids])
    )
    return {row.material_id: bytes(row.inputs_digest) for row in connection.execute(query)}


def _load(connection: Connection, encoder: int) -> SlabEncoder:
    digest = connection.execute(select(ModelVersion.artefact_digest).where(ModelVersion.id == encoder)).scalar_one()
    return _from_bytes(registry.load_artefact(connection, encoder), bytes(digest))


@lru_cache(maxsize=2)
def _from_bytes(data: bytes, digest: bytes) -> SlabEncoder:
    from ml.models.slab_encoder import from_bytes

    check_digest(data, digest, "encoder")
    return from_bytes(data)
