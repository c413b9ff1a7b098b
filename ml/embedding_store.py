"""Embeddings in the database, and what they are good for: the graph half of stacks, and the layers most alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, LargeBinary, func, select
from sqlalchemy.dialects.postgresql import insert

from ml import registry
from ml.artefact import ArtefactError, check_digest, sha256
from ml.descriptors.slab import Slab
from ml.feature_store import load_layers, monolayer_ids
from ml.models.embeddings import DIMENSIONS, FACE_DIMENSIONS, Embeddings
from schema.features import Embedding, ModelVersion
from schema.materials import Material

if TYPE_CHECKING:
    from ml.models.slab_encoder import SlabEncoder


@dataclass(frozen=True)
class FaceTable:
    """Stored embeddings of layers and of their faces, in the order of the materials' ids.

    Attributes:
        encoder: SHA-256 of the encoder, hexadecimal.
        material_ids: rising, shape (materials,).
        embeddings: of them.
    """

    encoder: str
    material_ids: NDArray[np.int64]
    embeddings: Embeddings

    def of(self, material_ids: NDArray[np.integer]) -> Embeddings:
        """Those of some materials, NaN where one has not been encoded."""
        if not len(self.material_ids):
            return self.embeddings.take(np.full(len(material_ids), -1))
        at = np.minimum(np.searchsorted(self.material_ids, material_ids), len(self.material_ids) - 1)
        return self.embeddings.take(np.where(self.material_ids[at] == material_ids, at, -1))


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
    """Embed monolayers and their faces with the served encoder; those whose atoms have not changed are left alone.

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
    vectors = embed(model, [slab_graph(slabs[number]) for number in wanted])
    statement = insert(Embedding)
    statement = statement.on_conflict_do_update(
        index_elements=["model_version_id", "material_id"],
        set_={name: statement.excluded[name] for name in ("inputs_digest", "vector", "bottom", "top")},
    )
    connection.execute(
        statement,
        [
            {
                "model_version_id": encoder,
                "material_id": number,
                "inputs_digest": structure_digest(slabs[number]),
                "vector": whole,
                "bottom": bottom,
                "top": top,
            }
            for number, whole, bottom, top in zip(wanted, *vectors, strict=True)
        ],
    )
    return len(wanted)


def load_faces(connection: Connection, encoder: str, *, only: Iterable[int] | None = None) -> FaceTable:
    """The embeddings that one encoder has made of materials.

    Args:
        connection: to read with.
        encoder: SHA-256 of its weights, hexadecimal.
        only: material ids; all of them if None.
    """
    # As Postgres sends vectors between servers: numbers need not be written out and parsed.
    parts = [
        func.vector_send(column, type_=LargeBinary) for column in (Embedding.vector, Embedding.bottom, Embedding.top)
    ]
    query = (
        select(Embedding.material_id, *parts)
        .join(ModelVersion, ModelVersion.id == Embedding.model_version_id)
        .where(ModelVersion.artefact_digest == bytes.fromhex(encoder), Embedding.top.is_not(None))
        .order_by(Embedding.material_id)
    )
    if only is not None:
        query = query.where(Embedding.material_id == func.any([int(number) for number in only]))
    rows = connection.execute(query).all()
    widths = (DIMENSIONS, FACE_DIMENSIONS, FACE_DIMENSIONS)
    found = [_numbers([bytes(row[1 + k]) for row in rows], width) for k, width in enumerate(widths)]
    return FaceTable(encoder, np.array([row[0] for row in rows], np.int64), Embeddings(*found))


def load_encoder(connection: Connection | None, encoder: str) -> SlabEncoder:
    """The encoder that a model needs: of the database, or the one that comes with the project.

    Args:
        connection: to read with; None for the project's own.
        encoder: SHA-256 of its weights, hexadecimal.

    Raises:
        ArtefactError: there is none with this digest.
    """
    if connection is not None:
        query = select(ModelVersion.id).where(
            ModelVersion.target == registry.EMBEDDING, ModelVersion.artefact_digest == bytes.fromhex(encoder)
        )
        number = connection.execute(query).scalars().first()
        if number is not None:
            return _load(connection, number)
    for one in registry.shipped():
        if one.target == registry.EMBEDDING and one.card["digest"] == encoder:
            return _from_bytes(one.artefact, bytes.fromhex(encoder))
    raise ArtefactError(
        f"A model needs the slab encoder {encoder[:12]}, and there is none with this digest.",
        hint="Register the shipped models again (stackscreen models register) or train anew (stackscreen train).",
    )


def present_encoder(connection: Connection) -> SlabEncoder | None:
    """The encoder that is served, or the one that comes with the project; None if there is neither."""
    number = registry.served_encoder(connection)
    if number is not None:
        return _load(connection, number)
    own = [one.artefact for one in registry.shipped() if one.target == registry.EMBEDDING]
    return _from_bytes(own[0], sha256(own[0])) if own else None


def _numbers(sent: Sequence[bytes], width: int) -> NDArray[np.float32]:
    """Vectors from pgvector's wire format: two 16-bit words, then big-endian 32-bit numbers."""
    flat = np.frombuffer(b"".join(one[4:] for one in sent), ">f4").astype(np.float32)
    return flat.reshape(len(sent), width)


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
        Embedding.model_version_id == encoder,
        Embedding.material_id == func.any([int(number) for number in ids]),
        Embedding.top.is_not(None),
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
