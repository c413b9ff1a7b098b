"""A stack served from a database: screens, predictions and explanations of a layer on itself give one number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select, update
from stacked import MOS2, moved, plain, stacks

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.starter import paths
from ml import embedding_store, feature_store, heads, pair_features, registry
from ml.artefact import ArtefactError, PairModel, State
from ml.domain import Domain
from ml.graph_half import GraphHalf
from ml.heads import HOMO
from ml.models.fusion import FusionMethod
from ml.models.layer_inputs import layer_inputs
from ml.models.stack import Stack
from ml.models.tree_ensemble import Trees
from ml.models.tree_settings import Settings, same
from ml.pair_features import PairFeatures
from ml.registry import EMBEDDING, Shipped, register
from ml.rows import InterfaceRows
from ml.scorer import PairScorer
from ml.uncertainty import ByUnseen, Conformal
from schema.features import Embedding
from schema.materials import Material
from schema.vocabulary import EdgeMethod
from stackscreen.predict.inputs import from_ase
from stackscreen.predict.pairs import PairRow, predict_pairs
from stackscreen.predict.predictor import Prediction, Predictor
from stackscreen.query.explain import explain_pair
from stackscreen.screening.members import fingerprints, snapshot

pytestmark = pytest.mark.services
TARGET, PHYSICS = "binding_energy", "dispersion_energy"
OF_TREES, OF_STACK = (ByUnseen({2: Conformal((), (width,))}) for width in (2.0, 1.0))


@pytest.fixture
def served(engine: Engine) -> Engine:
    """The starter's layers with features and embeddings, and a stack that has learned something of each on itself."""
    import_file(engine, "c2db", paths().c2db)
    dedupe(engine)
    encoder = next(model for model in registry.shipped() if model.target == EMBEDDING)
    with engine.begin() as connection:
        register(connection, encoder)
        ids = feature_store.monolayer_ids(connection)
        feature_store.compute_and_store(connection, ids)
        embedding_store.compute_and_store(connection, ids)
        register(connection, _stack(connection, encoder.card["digest"]))
    return engine


def _stack(connection, encoder: str) -> Shipped:
    table = feature_store.load_table(connection)
    faces = embedding_store.load_faces(connection, encoder)
    names = [str(number) for number in table.material_ids]
    inputs = layer_inputs(names, table.values, faces.of(table.material_ids), encoder=encoder)
    own = np.arange(len(names))
    features = PairFeatures(table.values)(own, own)
    target = features[:, pair_features.COLUMN[PHYSICS]] + np.sin(own)
    rows = InterfaceRows(
        HOMO, "bidb", names, names, names, names, names, features, pair_features.NAMES, {TARGET: target}
    )
    fusion = FusionMethod(inputs, members=2, steps=20, physics=PHYSICS, features=heads.BOTH)
    trees = Trees(PHYSICS, heads.BOTH, grid=same(2, Settings(rounds=20, min_rows=2)))
    fitted = Stack(trees, fusion).fit(rows, TARGET, np.isfinite(target))
    state = State(fitted.trees, OF_TREES, "bidb", GraphHalf.of(fitted.fusion, OF_STACK))
    made = PairModel(TARGET, "meV/Å²", HOMO, state, state, Domain.fit(table.values))
    return Shipped(TARGET, HOMO, made.family, "stack v9", "", made.to_bytes(), b"\0" * 32, {}, {"unit": "meV/Å²"})


def mos2_of(connection) -> tuple[int, str]:
    query = select(Material.id, Material.uid).where(Material.formula == "MoS2").order_by(Material.id)
    row = connection.execute(query).first()
    return row.id, row.uid


def scored(connection, number: int) -> tuple[float, float]:
    found = PairScorer.load(connection).score(np.array([number]), np.array([number]))
    return float(found[TARGET][0]), float(found[f"{TARGET}_upper"][0])


def test_a_screen_a_prediction_and_an_explanation_give_one_number(served: Engine) -> None:
    with served.connect() as connection:
        number, uid = mos2_of(connection)
        value, upper = scored(connection, number)
        assert upper - value == pytest.approx(1.0)
        row = PairRow("x", {"bottom": uid, "top": uid})
        ((one,),) = predict_pairs(Predictor(connection, (TARGET,)), [row], Path())
        assert isinstance(one, Prediction)
        assert (one.value, one.upper) == pytest.approx((value, upper), rel=1e-5)
        (said,) = explain_pair(connection, uid, uid)
        assert said.explanation.value == pytest.approx(value, rel=1e-5)
        assert said.explanation.graph is not None
        assert {part.element for part in said.explanation.graph.contributions} == {"Mo", "S"}


def test_a_layer_that_has_not_been_encoded_is_scored_by_the_trees_until_it_is(served: Engine) -> None:
    with served.begin() as connection:
        number, uid = mos2_of(connection)
        before = scored(connection, number)
        connection.execute(update(Embedding).where(Embedding.material_id == number).values(bottom=None, top=None))
        assert embedding_store.stale(connection) == [number]
        value, upper = scored(connection, number)
        assert value != before[0]
        assert upper - value == pytest.approx(2.0)
        (said,) = explain_pair(connection, uid, uid)
        assert said.explanation.graph is None
        assert embedding_store.compute_and_store(connection, [number]) == 1
        assert scored(connection, number) == pytest.approx(before, rel=1e-6)


def test_a_layer_that_has_now_been_encoded_is_a_new_input_of_a_run(served: Engine) -> None:
    with served.begin() as connection:
        number, _ = mos2_of(connection)
        edges = EdgeMethod("PBE")
        before = (
            {row["material_id"]: row["inputs_digest"] for row in snapshot(connection, edges)},
            fingerprints(connection),
        )
        connection.execute(update(Embedding).where(Embedding.material_id == number).values(bottom=None, top=None))
        after = (
            {row["material_id"]: row["inputs_digest"] for row in snapshot(connection, edges)},
            fingerprints(connection),
        )
    for old, new in zip(before, after, strict=True):
        assert {key for key in old if old[key] != new[key]} == {number}


def test_faces_come_back_from_the_database_as_the_encoder_made_them(served: Engine) -> None:
    from ml.models.slab_encoder import embed
    from ml.models.slab_graph import slab_graph

    encoder = next(model for model in registry.shipped() if model.target == EMBEDDING).card["digest"]
    with served.connect() as connection:
        ids = feature_store.monolayer_ids(connection)
        found = embedding_store.load_faces(connection, encoder).of(np.array([*ids, 10**6]))
        layers = feature_store.load_layers(connection, ids)
        made = embed(embedding_store.load_encoder(connection, encoder), [slab_graph(layers[k].slab) for k in ids])
    for stored, fresh in zip(found, made, strict=True):
        np.testing.assert_allclose(stored[:-1], fresh, rtol=1e-5, atol=1e-5)
        assert np.isnan(stored[-1]).all()


def test_an_encoder_that_is_nowhere_is_named(served: Engine) -> None:
    with served.connect() as connection, pytest.raises(ArtefactError, match="needs the slab encoder 000000000000"):
        embedding_store.load_encoder(connection, "0" * 64)


def test_moving_the_upper_layer_changes_no_prediction_of_a_stack(served: Engine) -> None:
    with served.connect() as connection:
        predictor = Predictor(connection, (TARGET,))
        for stack in stacks(MOS2, MOS2, 3.3):
            frames = [from_ase(str(dz), plain(moved(stack, dz))) for dz in (0.0, 1.5, -1.5)]
            found = [(one.value, one.lower, one.upper) for (one,) in predictor.structures(frames)]
            assert found[0] == found[1] == found[2]
            assert found[0][2] - found[0][0] == pytest.approx(1.0)
