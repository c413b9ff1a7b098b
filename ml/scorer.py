"""Predictions for pairs of layers, as a screen asks for them: millions at a time, by material id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from ml import pair_features
from ml.artefact import PairModel
from ml.datasets import TARGETS
from ml.feature_store import FeatureTable, load_table
from ml.pair_features import PairFeatures
from ml.registry import load_artefact, served_versions
from schema.features import ModelVersion
from schema.screening import ScreeningRunModel

__all__ = ["PairScorer", "served_versions"]

BATCH = 16_384
"""Pairs at a time: their features then stay within a few megabytes."""

_PHYSICS = {"distance_vdw": "vdw_distance", "dispersion_energy": "dispersion_energy"}
"""What the scorer hands on of the pair features, by its own name."""


@dataclass(frozen=True)
class PairScorer:
    """Served models and the layers' features, ready to score.

    Attributes:
        table: features of the layers.
        models: by target; a target without a served model scores NaN.
        domain_distance: of each layer of the table, 1 = the edge of the training domain; the largest over the models.
    """

    table: FeatureTable
    models: dict[str, PairModel]
    domain_distance: NDArray[np.float64]
    _pairs: PairFeatures

    @classmethod
    def build(cls, table: FeatureTable, models: dict[str, PairModel]) -> PairScorer:
        """A scorer from features and models at hand."""
        distances = [model.domain.distance(table.values) for model in models.values()]
        worst = np.max(distances, axis=0) if distances else np.full(len(table.material_ids), np.nan)
        return cls(table, models, worst, PairFeatures(table.values))

    @classmethod
    def load(
        cls, connection: Connection, *, run_id: int | None = None, only: Iterable[int] | None = None
    ) -> PairScorer:
        """A scorer from the database.

        Args:
            connection: to read with.
            run_id: take the model versions that this screening run was planned with, so that no run mixes versions;
                None takes those served now.
            only: ids of the materials that will be scored; all that have features if None.

        Raises:
            ArtefactError: a model's bytes are not what its digest says.
        """
        if run_id is None:
            numbers = list(served_versions(connection))
        else:
            query = (
                select(ScreeningRunModel.model_version_id)
                .join(ModelVersion, ModelVersion.id == ScreeningRunModel.model_version_id)
                .where(ScreeningRunModel.run_id == run_id, ModelVersion.target.in_(TARGETS))
            )
            numbers = list(connection.execute(query).scalars())
        models = [_read(load_artefact(connection, number)) for number in numbers]
        return cls.build(load_table(connection, only=only), {model.target: model for model in models})

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
        names = [f"{target}{end}" for target in TARGETS for end in ("", "_lower", "_upper")]
        out = {name: np.full(len(a), np.nan) for name in [*names, *_PHYSICS, "domain_distance"]}
        known = np.flatnonzero((a >= 0) & (b >= 0))
        for start in range(0, len(known), BATCH):
            part = known[start : start + BATCH]
            rows = self._pairs(
                a[part],
                b[part],
                top_a=None if top_a is None else top_a[part],
                top_b=None if top_b is None else top_b[part],
            )
            for name, feature in _PHYSICS.items():
                out[name][part] = rows[:, pair_features.COLUMN[feature]]
            out["domain_distance"][part] = np.maximum(self.domain_distance[a[part]], self.domain_distance[b[part]])
            # A metal makes any stack a metal, and the trees know metals: what is said of two different layers holds
            # for semiconductors.
            different = (a[part] != b[part]) & (rows[:, pair_features.COLUMN["gap_min"]] != 0)
            for target, model in self.models.items():
                predicted = model.predict(rows, different=different)
                out[target][part] = predicted.value
                out[f"{target}_lower"][part] = predicted.lower
                out[f"{target}_upper"][part] = predicted.upper
        return out


@lru_cache(maxsize=16)
def _read(artefact: bytes) -> PairModel:
    """A model from its bytes; kept, as it compiles its trees only once."""
    return PairModel.from_bytes(artefact)
