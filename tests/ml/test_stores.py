"""Features, models, embeddings and scores in a real Postgres, on the starter set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine, func, select, update

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.starter import paths
from ml import embedding_store, feature_store, features, listing, registry
from ml.artefact import ArtefactError
from ml.heads import HETERO, HOMO, SCREENED
from ml.interface_store import load_rows
from ml.scorer import PairScorer
from schema.features import FeatureSet, FeatureVector, ModelVersion
from schema.interfaces import Interface
from schema.materials import Material
from schema.quantities import GAP
from schema.structures import Structure

pytestmark = pytest.mark.services


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A database with the starter's monolayers and bilayers, deduplicated."""
    import_file(engine, "c2db", paths().c2db, label="starter")
    import_file(engine, "bidb", paths().bidb, label="starter")
    dedupe(engine)
    return engine


def material(engine: Engine, formula: str) -> int:
    with engine.connect() as connection:
        query = select(Material.id).where(Material.formula == formula, Material.kind == "monolayer")
        return int(connection.execute(query.order_by(Material.id)).scalars().first())


def test_features_are_computed_once_and_again_only_when_inputs_change(filled: Engine) -> None:
    with filled.begin() as connection:
        ids = feature_store.monolayer_ids(connection)
        assert feature_store.stale(connection) == ids
        assert feature_store.compute_and_store(connection, ids) == len(ids) > 20
        assert feature_store.compute_and_store(connection, ids) == 0
        assert feature_store.stale(connection) == []
        changed = connection.execute(select(Material.structure_id).where(Material.id == ids[0])).scalar_one()
        cell = connection.execute(select(Structure.cell).where(Structure.id == changed)).scalar_one()
        connection.execute(
            update(Structure).where(Structure.id == changed).values(cell=[1.01 * number for number in cell])
        )
        assert feature_store.stale(connection) == [ids[0]]
        assert feature_store.compute_and_store(connection, ids) == 1
    with filled.connect() as connection:
        assert connection.execute(select(func.count()).select_from(FeatureVector)).scalar() == len(ids)
        row = connection.execute(select(FeatureSet)).one()
        assert tuple(row.names) == features.NAMES
        assert tuple(row.units) == features.UNITS


def test_features_of_an_earlier_version_of_the_set_are_computed_anew(
    filled: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled.begin() as connection:
        ids = feature_store.monolayer_ids(connection)
        with monkeypatch.context() as before:
            before.setattr(features, "VERSION", features.VERSION - 1)
            feature_store.compute_and_store(connection, ids)
        assert feature_store.stale(connection) == ids
        assert len(feature_store.load_table(connection).material_ids) == 0
        assert feature_store.compute_and_store(connection, ids) == len(ids)
        assert feature_store.stale(connection) == []


def test_features_in_the_database_are_those_computed(filled: Engine) -> None:
    number = material(filled, "MoS2")
    with filled.begin() as connection:
        feature_store.compute_and_store(connection, [number])
        layer = feature_store.load_layers(connection, [number])[number]
        table = feature_store.load_table(connection)
    np.testing.assert_array_equal(table.values[0], features.compute([layer])[0])
    assert table.values[0][features.COLUMN["gap"]] > 1
    assert table.rows(np.array([number, number + 10**6])).tolist() == [0, -1]


def test_shipped_models_are_registered_once_and_one_is_served_a_target(filled: Engine) -> None:
    with filled.begin() as connection:
        first = [registry.register(connection, model) for model in registry.shipped()]
        assert [registry.register(connection, model) for model in registry.shipped()] == first
    with filled.connect() as connection:
        served = connection.execute(select(ModelVersion.target, ModelVersion.domain).where(ModelVersion.served))
        assert sorted(map(tuple, served)) == sorted((model.target, model.domain) for model in registry.shipped())
        assert len(registry.served_versions(connection)) == len({(t, d) for t in SCREENED for d in (HOMO, HETERO)})
        assert len(listing.entries(connection)) == len(first)
        assert "leave-material-out" in str(listing.card_content(connection, "gap/homobilayer")["metrics"])
        with pytest.raises(registry.UnknownModelError):
            listing.card_content(connection, "hardness")


def test_another_version_takes_the_place_of_the_served_one(filled: Engine) -> None:
    gap = next(model for model in registry.shipped() if (model.target, model.domain) == ("gap", HOMO))
    with filled.begin() as connection:
        old = registry.register(connection, gap)
        new = registry.register(connection, replace(gap, artefact=gap.artefact + b" "))
        assert old != new
        assert list(registry.served_versions(connection)) == [new]


def test_a_release_replaces_its_own_models_and_never_one_that_was_trained_here(filled: Engine) -> None:
    models = {(model.target, model.domain): model for model in registry.shipped()}
    gap, energy = models["gap", HOMO], models["binding_energy", HOMO]
    with filled.begin() as connection:
        registry.register(connection, gap)
        assert registry.served_by_own_models(connection) == set()
        mine = {key: value for key, value in energy.card.items() if key != "origin"}
        registry.register(connection, replace(energy, artefact=energy.artefact + b" ", card=mine))
        assert registry.served_by_own_models(connection) == {("binding_energy", HOMO)}


def test_a_model_damaged_in_the_database_is_refused(filled: Engine) -> None:
    with filled.begin() as connection:
        for model in registry.shipped():
            registry.register(connection, model)
        damaged = (ModelVersion.target == GAP.key) & (ModelVersion.domain == HOMO)
        connection.execute(update(ModelVersion).where(damaged).values(artefact=b"{}"))
        with pytest.raises(ArtefactError, match="changed or damaged"):
            PairScorer.load(connection)


def test_pairs_are_scored_by_material_and_unknown_layers_get_no_number(filled: Engine) -> None:
    with filled.begin() as connection:
        for model in registry.shipped():
            registry.register(connection, model)
        feature_store.compute_and_store(connection, feature_store.monolayer_ids(connection))
        scorer = PairScorer.load(connection)
    mos2, wse2 = material(filled, "MoS2"), material(filled, "WSe2")
    scored = scorer.score(np.array([mos2, mos2, wse2, mos2]), np.array([mos2, wse2, mos2, 10**6]), strain=np.zeros(4))
    for target in SCREENED:
        value, lower, upper = (scored[f"{target}{end}"] for end in ("", "_lower", "_upper"))
        assert np.isfinite(value[:3]).all()
        assert (lower[:3] <= value[:3]).all()
        assert (value[:3] <= upper[:3]).all()
        assert np.isnan(value[3])
        # Both are mirror symmetric: which one lies below makes no difference.
        assert value[1] == pytest.approx(value[2], rel=1e-5)
    graphene = material(filled, "C")
    metal = scorer.score(np.array([mos2]), np.array([graphene]))
    # One metal makes the stack a metal, and that is known better than the gap of two semiconductors.
    assert metal["gap"][0] < 0.05
    assert metal["gap_upper"][0] < 0.5
    assert (scored["domain_distance"][:3] < 1).all()
    assert (scored["distance_vdw"][:3] > 3).all()


def test_embeddings_find_the_layers_that_chemistry_calls_similar(filled: Engine) -> None:
    with filled.begin() as connection:
        assert embedding_store.stale(connection) == []
        assert embedding_store.compute_and_store(connection, feature_store.monolayer_ids(connection)) == 0
        for model in registry.shipped():
            registry.register(connection, model)
        ids = embedding_store.stale(connection)
        assert ids == feature_store.monolayer_ids(connection)
        assert embedding_store.compute_and_store(connection, ids) == len(ids)
        assert embedding_store.compute_and_store(connection, ids) == 0
        assert embedding_store.stale(connection) == []
        uid = connection.execute(select(Material.uid).where(Material.id == material(filled, "MoS2"))).scalar_one()
        found = embedding_store.nearest(connection, uid, limit=5)
    assert [n.distance for n in found] == sorted(n.distance for n in found)
    assert {"WS2", "MoSe2", "WSe2"} & {n.formula for n in found}


def test_moving_the_upper_layer_along_z_changes_no_feature(filled: Engine) -> None:
    with filled.begin() as connection:
        (before,) = load_rows(connection, HOMO, sources=("starter-bidb",))
        rows = connection.execute(
            select(Structure.id, Structure.positions, Structure.n_atoms, Structure.cell).join(
                Interface, Interface.structure_id == Structure.id
            )
        ).all()
        for row in rows:
            xyz = np.reshape(row.positions, (-1, 3))
            upper = np.argsort(xyz[:, 2])[row.n_atoms // 2 :]
            xyz[upper, 2] += 0.7
            cell = list(row.cell)
            cell[8] += 0.7
            connection.execute(
                update(Structure).where(Structure.id == row.id).values(positions=xyz.ravel().tolist(), cell=cell)
            )
        (after,) = load_rows(connection, HOMO, sources=("starter-bidb",))
    assert rows
    np.testing.assert_array_equal(after.features, before.features)
