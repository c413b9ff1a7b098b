"""Why a pair is predicted to be what it is: what each feature adds, and the computed interfaces nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from ml.artefact import PairModel
from ml.descriptors.slab import Slab
from ml.embedding_store import load_encoder, load_faces
from ml.explain import Explanation, Layers, explain
from ml.feature_store import FeatureTable, load_layers, load_table
from ml.features import Layer
from ml.heads import HETERO, HOMO, ON_BULK, SCREENED
from ml.interface_store import load_rows
from ml.interfaces import Interface, LayerTable, assemble
from ml.models.layer_inputs import PairLayers, layer_inputs
from ml.neighbours import Neighbour, nearest, nearest_on_bulk
from ml.on_bulk import crystal_face
from ml.pair_features import PairFeatures
from ml.registry import load_artefact, served_versions
from ml.uncertainty import unseen_partners
from schema import Material, ModelVersion, ScreeningRunModel
from schema.errors import StackscreenError
from schema.vocabulary import MaterialKind
from stackscreen.predict.recognise import KnownLayers


class UnknownLayerError(StackscreenError):
    """A pair cannot be explained, for want of one of its layers."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One prediction of one pair, explained.

    Attributes:
        model: name of the model.
        domain: what it learned from.
        version: its number.
        explanation: physics and contributions.
        domain_distance: of the lower and the upper layer from the training layers, 1 = the edge.
        neighbours: the nearest computed interfaces, with their values.
    """

    model: str
    domain: str
    version: int
    explanation: Explanation
    domain_distance: tuple[float, float]
    neighbours: list[Neighbour]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pair as the models are asked about it.

    Attributes:
        kind: domain of the models that speak of it.
        features: of the pair, shape (len(ml.pair_features.NAMES),).
        sides: material features of bottom and top, shape (2, len(ml.features.NAMES)).
        materials: ids of the two monolayers; None where the lower side is the face of a crystal.
        table: features of the monolayers; None likewise.
    """

    kind: str
    features: NDArray[np.float32]
    sides: NDArray[np.float32]
    materials: tuple[int, int] | None = None
    table: FeatureTable | None = None


def explain_pair(
    connection: Connection, bottom_uid: str, top_uid: str, *, target: str | None = None, run_id: int | None = None
) -> list[Explained]:
    """Explain what is predicted of two monolayers, or of one on the face of a crystal, in no particular registry.

    Args:
        connection: to read with.
        bottom_uid, top_uid: uids of the layers; of the lower side also a face, as Ag-1f0c22ab(111).
        target: quantity key; all served targets if None.
        run_id: explain the versions that this run predicted with; None takes those served now. A run predicts nothing
            of faces.

    Raises:
        UnknownLayerError: a uid is that of no monolayer and no face, or the layer's features are not computed yet.
    """
    faces = KnownLayers(connection).faces(bottom_uid) if run_id is None else {}
    if bottom_uid in faces:
        asked = _on_face(connection, bottom_uid, faces[bottom_uid], top_uid)
    else:
        asked = _on_each_other(connection, bottom_uid, top_uid)
    computed = load_rows(connection, ON_BULK) if asked.materials is None else []
    found = []
    for version in _versions(connection, run_id, target, asked.kind):
        model = _model(load_artefact(connection, version.id))
        strangers = unseen_partners([bottom_uid], [top_uid], frozenset(model.trained_on))
        distance = model.domain.distance(asked.sides)
        if asked.materials is None:
            near = nearest_on_bulk(computed, model.domain, model.target, asked.sides)
        else:
            near = nearest(connection, model.domain, version.domain, model.target, *asked.materials)
        found.append(
            Explained(
                version.name,
                version.domain,
                version.id,
                explain(model, asked.features, unseen=int(strangers[0]), layers=_layers(connection, model, asked)),
                (float(distance[0]), float(distance[1])),
                near,
            )
        )
    return found


def _on_each_other(connection: Connection, bottom_uid: str, top_uid: str) -> _Asked:
    ids = _material(connection, bottom_uid), _material(connection, top_uid)
    table = load_table(connection, only=sorted(set(ids)))
    rows = table.rows(np.array(ids))
    for uid, row in zip((bottom_uid, top_uid), rows, strict=True):
        if row < 0:
            raise UnknownLayerError(f"The features of {uid} are not computed yet.", hint="Run `stackscreen features`.")
    features = PairFeatures(table.values)(rows[:1], rows[1:])[0]
    kind = HOMO if ids[0] == ids[1] else HETERO
    return _Asked(kind, features, table.values[rows], ids, table)


def _on_face(connection: Connection, face: str, slab: Slab, top_uid: str) -> _Asked:
    """As `stackscreen predict pairs` describes it."""
    top = load_layers(connection, [_material(connection, top_uid)]).popitem()[1]
    table = LayerTable.of({face: Layer(crystal_face(slab)), top_uid: top}, {})
    rows = assemble(ON_BULK, "", [Interface("", face, top_uid, {})], table)
    sides = table.features[[table.row[face], table.row[top_uid]]]
    return _Asked(ON_BULK, rows.features[0], sides)


def _layers(connection: Connection, model: PairModel, asked: _Asked) -> Layers | None:
    """What the graph half of a stack is explained with; None where trees answer, as in a screen."""
    ids, table = asked.materials, asked.table
    if asked.kind != HOMO or model.unknown.graph is None or ids is None or table is None:
        return None
    encoder = model.unknown.graph.encoder
    faces = load_faces(connection, encoder, only=ids)
    wanted = np.array(ids[:1])
    inputs = layer_inputs([str(ids[0])], table.values[table.rows(wanted)], faces.of(wanted), encoder=encoder)
    # A layer on itself: the lower one shows its top face, the upper one its bottom face.
    pair = PairLayers(inputs, np.array([1]), np.array([0]))
    slab = load_layers(connection, ids)[ids[0]].slab
    return Layers(load_encoder(connection, encoder), pair, slab, slab)


def _material(connection: Connection, uid: str) -> int:
    query = select(Material.id).where(
        Material.uid == uid, Material.kind == MaterialKind.MONOLAYER, Material.withdrawn_at.is_(None)
    )
    number = connection.execute(query).scalar_one_or_none()
    if number is None:
        raise UnknownLayerError(
            f"{uid} is not a monolayer of the database.",
            hint="Explained are pairs of monolayers, and monolayers on faces of crystals. Find a uid: SELECT uid FROM "
            "analyst.monolayers, or the dashboard.",
        )
    return int(number)


def _versions(connection: Connection, run_id: int | None, target: str | None, kind: str) -> list[Any]:
    """The versions that speak of a kind of pair; of two layers and a target that has no other, the homobilayers'."""
    if kind == ON_BULK:
        chosen = ModelVersion.served & (ModelVersion.domain == ON_BULK)
    elif run_id is None:
        chosen = ModelVersion.id.in_(list(served_versions(connection))) & ModelVersion.target.in_(SCREENED)
    else:
        of_run = select(ScreeningRunModel.model_version_id).where(ScreeningRunModel.run_id == run_id)
        chosen = ModelVersion.id.in_(of_run) & ModelVersion.target.in_(SCREENED)
    query = select(ModelVersion.id, ModelVersion.name, ModelVersion.domain, ModelVersion.target)
    rows = connection.execute(query.where(chosen)).all()
    by_target: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: row.domain == kind):
        if (row.domain == kind or (row.domain == HOMO and kind != ON_BULK)) and target in {None, row.target}:
            by_target[row.target] = row
    return [by_target[key] for key in sorted(by_target)]


@lru_cache(maxsize=16)
def _model(artefact: bytes) -> PairModel:
    # Reading a model costs more than asking it, and the same few are asked again and again.
    return PairModel.from_bytes(artefact)
