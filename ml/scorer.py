"""Predictions for pairs of layers, as a screen asks for them: millions at a time, by material id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from ml import pair_features
from ml.artefact import ArtefactError, PairModel
from ml.embedding_store import FaceTable, load_faces
from ml.feature_store import FeatureTable, load_table
from ml.heads import HETERO, HOMO, SCREENED
from ml.models.layer_inputs import PairLayers, layer_inputs
from ml.pair_features import PairFeatures
from ml.registry import load_artefact, served_versions
from schema.features import ModelVersion
from schema.materials import Material
from schema.screening import ScreeningRunModel

__all__ = ["PairScorer", "served_versions"]

BATCH = 16_384
"""Pairs at a time: their features then stay within a few megabytes."""

ALIKE = 0
"""Side of a scorer that speaks of a layer on itself; 1 is that of two different ones."""

_PHYSICS = {"distance_vdw": "vdw_distance", "dispersion_energy": "dispersion_energy"}
"""What the scorer hands on of the pair features, by its own name."""


@dataclass(frozen=True)
class PairScorer:
    """Served models and the layers' features, ready to score.

    A layer on itself is asked of the homobilayers' models, two different layers of the heterobilayers': of the
    homobilayers' where a target has no other.

    Attributes:
        table: features of the layers.
        alike, different: models by target for a layer on itself and for two different layers; a target without a
            served model scores NaN.
        unseen: of the models, by id of the object: whether each layer of the table is a stranger to it.
        faces: embeddings of the layers that are asked about on themselves, for stacks; None where no model needs them.
        domain_distance: for a layer on itself and for two different ones: of each layer of the table, 1 = the edge of
            the training domain; the largest over the models.
    """

    table: FeatureTable
    alike: dict[str, PairModel]
    different: dict[str, PairModel]
    unseen: dict[int, NDArray[np.bool_]]
    faces: FaceTable | None
    domain_distance: tuple[NDArray[np.float64], NDArray[np.float64]]
    _pairs: tuple[PairFeatures, PairFeatures]

    @classmethod
    def build(
        cls,
        table: FeatureTable,
        models: Iterable[PairModel],
        row_of: Mapping[str, int] | None = None,
        faces: FaceTable | None = None,
    ) -> PairScorer:
        """A scorer from features and models at hand.

        Args:
            table: features of the layers.
            models: one a target and domain at most.
            row_of: rows of the layers that the models were trained on, by the names that they know them by; layers
                that are not among them count as strangers.
            faces: embeddings by the encoder that stacks need; without them their trees answer alone.
        """
        by_domain: dict[str, dict[str, PairModel]] = {}
        for model in models:
            by_domain.setdefault(model.domain_name, {})[model.target] = model
        alike = by_domain.get(HOMO, {})
        different = {**alike, **by_domain.get(HETERO, {})}
        unseen = {}
        for model in (*alike.values(), *different.values()):
            strange = np.ones(len(table.material_ids), bool)
            strange[[row for name in model.trained_on if (row := (row_of or {}).get(name, -1)) >= 0]] = False
            unseen[id(model)] = strange
        return cls(
            table,
            alike,
            different,
            unseen,
            faces,
            (_farthest(table, alike), _farthest(table, different)),
            (
                PairFeatures(table.values, _wanted(alike)),
                PairFeatures(table.values, _wanted(different, trees_alone=True)),
            ),
        )

    @classmethod
    def load(
        cls,
        connection: Connection,
        *,
        run_id: int | None = None,
        only: Sequence[int] | None = None,
        alike: Sequence[int] | None = None,
    ) -> PairScorer:
        """A scorer from the database.

        Args:
            connection: to read with.
            run_id: take the model versions that this screening run was planned with, so that no run mixes versions;
                None takes those served now.
            only: ids of the materials that will be scored; all that have features if None.
            alike: ids of those that will be scored on themselves; the same as `only` if None.

        Raises:
            ArtefactError: a model's bytes are not what its digest says, or two need different encoders.
        """
        if run_id is None:
            numbers = list(served_versions(connection))
        else:
            query = (
                select(ScreeningRunModel.model_version_id)
                .join(ModelVersion, ModelVersion.id == ScreeningRunModel.model_version_id)
                .where(ScreeningRunModel.run_id == run_id, ModelVersion.target.in_(SCREENED))
            )
            numbers = list(connection.execute(query).scalars())
        models = [_read(load_artefact(connection, number)) for number in numbers]
        table = load_table(connection, only=only)
        names = sorted({name for model in models for name in model.trained_on})
        known = connection.execute(select(Material.uid, Material.id).where(Material.uid == func.any(names)))
        uids = {row.uid: row.id for row in known}
        rows = table.rows(np.array(list(uids.values()), np.int64))
        faces = _faces(connection, models, only if alike is None else alike)
        return cls.build(table, models, dict(zip(uids, rows.tolist(), strict=True)), faces)

    def score(
        self,
        material_a: NDArray[np.integer],
        material_b: NDArray[np.integer],
        *,
        strain: NDArray[np.floating] | None = None,
        top_a: NDArray[np.bool_] | None = None,
        top_b: NDArray[np.bool_] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Predict pairs of layers in no particular registry.

        Args:
            material_a, material_b: material ids of the lower and the upper layer, shape (pairs,).
            strain: misfit of the match, dimensionless, shape (pairs,). The models know unstrained layers only and do
                not use it; it is asked for so that a caller need not change when one does.
            top_a, top_b: whether the layer turns its top face to its partner. By default the lower one turns its top
                face up and the upper one its bottom face down.

        Returns:
            Each shape (pairs,): for every target `target`, `target_lower`, `target_upper` (90 % interval, target's
            unit), and `distance_vdw` (Å), `dispersion_energy` (meV/Å², see `ml.descriptors.dispersion`) and
            `domain_distance` (1 = edge of the training domain, the farther layer).
            NaN where a layer has no features or no model is served.
        """
        del strain
        a, b = self.table.rows(np.asarray(material_a)), self.table.rows(np.asarray(material_b))
        names = [f"{target}{end}" for target in SCREENED for end in ("", "_lower", "_upper")]
        out = {name: np.full(len(a), np.nan) for name in [*names, *_PHYSICS, "domain_distance"]}
        known = (a >= 0) & (b >= 0)
        for side, chosen in enumerate((known & (a == b), known & (a != b))):
            numbers = np.flatnonzero(chosen)
            for start in range(0, len(numbers), BATCH):
                part = numbers[start : start + BATCH]
                faces_a, faces_b = (None if top is None else top[part] for top in (top_a, top_b))
                self._score(side, part, a[part], b[part], faces_a, faces_b, out)
        return out

    def _score(
        self,
        side: int,
        part: NDArray[np.int64],
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        top_a: NDArray[np.bool_] | None,
        top_b: NDArray[np.bool_] | None,
        out: dict[str, NDArray[np.float64]],
    ) -> None:
        rows = self._pairs[side](a, b, top_a=top_a, top_b=top_b)
        for name, feature in _PHYSICS.items():
            out[name][part] = rows[:, pair_features.COLUMN[feature]]
        layers = self._layers(a, top_a, top_b) if side == ALIKE else None
        distance = self.domain_distance[side]
        out["domain_distance"][part] = np.maximum(distance[a], distance[b])
        for target, model in (self.alike, self.different)[side].items():
            strange = self.unseen[id(model)]
            predicted = model.predict(rows, unseen=strange[a].astype(np.int64) + strange[b], layers=layers)
            out[target][part] = predicted.value
            out[f"{target}_lower"][part] = predicted.lower
            out[f"{target}_upper"][part] = predicted.upper

    def _layers(
        self, rows: NDArray[np.int64], top_a: NDArray[np.bool_] | None, top_b: NDArray[np.bool_] | None
    ) -> PairLayers | None:
        """Layers on themselves as the graph half of a stack looks at them; None without embeddings."""
        if self.faces is None:
            return None
        used, place = np.unique(rows, return_inverse=True)
        ids = self.table.material_ids[used]
        names = [str(number) for number in ids]
        inputs = layer_inputs(names, self.table.values[used], self.faces.of(ids), encoder=self.faces.encoder)
        shows_top = [default if top is None else top for top, default in ((top_a, True), (top_b, False))]
        return PairLayers(inputs, 2 * place + shows_top[0], 2 * place + shows_top[1])


def _faces(connection: Connection, models: Sequence[PairModel], alike: Sequence[int] | None) -> FaceTable | None:
    """The embeddings that the models of a layer on itself need; None if they need none, or nobody is asked about."""
    needed = sorted({model.encoder for model in models if model.domain_name == HOMO and model.encoder is not None})
    if not needed or (alike is not None and not len(alike)):
        return None
    if len(needed) > 1:
        raise ArtefactError(
            f"The served models of homobilayers need {len(needed)} different encoders: "
            f"{', '.join(one[:12] for one in needed)}.",
            hint="Train them together (stackscreen train), or take the shipped ones (stackscreen models register).",
        )
    return load_faces(connection, needed[0], only=alike)


def _farthest(table: FeatureTable, models: Mapping[str, PairModel]) -> NDArray[np.float64]:
    distances = [model.domain.distance(table.values) for model in models.values()]
    return np.asarray(np.max(distances, axis=0) if distances else np.full(len(table.material_ids), np.nan))


def _wanted(models: Mapping[str, PairModel], *, trees_alone: bool = False) -> frozenset[str]:
    """Pair features that the models read where the registry is not known, and what the scorer hands on."""
    if not trees_alone and any(model.unknown.graph is not None for model in models.values()):
        return frozenset(pair_features.NAMES)
    ensembles = [model.unknown.ensemble for model in models.values()]
    return frozenset(
        {*_PHYSICS.values(), *(name for one in ensembles for name in (*one.features, one.baseline.feature) if name)}
    )


@lru_cache(maxsize=16)
def _read(artefact: bytes) -> PairModel:
    """A model from its bytes; kept, as it compiles its trees only once."""
    return PairModel.from_bytes(artefact)
