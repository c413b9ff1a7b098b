"""Predictions explained from the database: the kind of pair decides who answers, neighbours come with their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select, text

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.starter import paths
from ml import feature_store, pair_features
from ml.artefact import PairModel, State
from ml.domain import Domain
from ml.heads import HETERO, HOMO, ON_BULK
from ml.models.tree_ensemble import Trees
from ml.models.tree_settings import Settings, same
from ml.pair_features import PairFeatures
from ml.registry import Shipped, register
from ml.rows import InterfaceRows
from ml.uncertainty import ByUnseen, Conformal
from schema.materials import Material
from stackscreen.predict.pairs import PairRow, predict_pairs
from stackscreen.predict.predictor import Predictor
from stackscreen.query.explain import UnknownLayerError, explain_pair
from stackscreen.query.sides import UnknownSideError, most_stable
from stackscreen.screening.surfaces import ensure_surfaces

pytestmark = pytest.mark.services
TARGET = "binding_energy"


def model_on(table: np.ndarray, domain: str, trained_on: tuple[str, ...]) -> Shipped:
    """A model that has learned something from all pairs of some layers."""
    a, b = (index.ravel() for index in np.meshgrid(np.arange(len(table)), np.arange(len(table))))
    features = PairFeatures(table)(a, b)
    names = [str(k) for k in range(len(a))]
    target = features[:, pair_features.COLUMN["dispersion_energy"]] + features[:, 0].astype(float)
    rows = InterfaceRows(
        domain, "bidb", names, names, names, names, names, features, pair_features.NAMES, {TARGET: target}
    )  # fmt: skip
    trees = Trees("dispersion_energy", pair_features.NAMES[:6], grid=same(2, Settings(rounds=20)))
    ensemble = trees.fit(rows, TARGET, np.isfinite(target))
    state = State(ensemble, ByUnseen({0: Conformal((), (1.0,)), 2: Conformal((), (4.0,))}), "bidb")
    made = PairModel(TARGET, "meV/Å²", domain, state, state, Domain.fit(table), trained_on)
    return Shipped(TARGET, domain, made.family, f"{domain} v9", "", made.to_bytes(), b"\0" * 32, {}, {"unit": "meV/Å²"})


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Layers, computed homobilayers, features, and a model of each kind of bilayer that has seen the first layers."""
    import_file(engine, "c2db", paths().c2db)
    import_file(engine, "bidb", paths().bidb)
    dedupe(engine)
    with engine.begin() as connection:
        feature_store.compute_and_store(connection, feature_store.monolayer_ids(connection))
        table = feature_store.load_table(connection)
        seen = (uid_of(connection, "MoS2"),)
        for domain in (HOMO, HETERO):
            register(connection, model_on(table.values, domain, seen))
    return engine


def uid_of(connection, formula: str) -> str:
    query = select(Material.uid).where(Material.formula == formula, Material.kind == "monolayer")
    return connection.execute(query.order_by(Material.id)).scalars().first()


def test_the_kind_of_pair_decides_which_model_answers(filled: Engine) -> None:
    with filled.connect() as connection:
        mos2, wse2 = uid_of(connection, "MoS2"), uid_of(connection, "WSe2")
        (alike,) = explain_pair(connection, mos2, mos2)
        (different,) = explain_pair(connection, mos2, wse2, target=TARGET)
        assert explain_pair(connection, mos2, wse2, target="gap") == []
    assert (alike.domain, different.domain) == (HOMO, HETERO)
    for found in (alike.explanation, different.explanation):
        whole = found.physics + found.typical + sum(part.shap for part in found.contributions)
        assert whole == pytest.approx(found.value, abs=1e-5)
    # One stranger takes the next wider interval that was calibrated.
    assert alike.explanation.upper - alike.explanation.value == pytest.approx(1.0)
    assert different.explanation.upper - different.explanation.value == pytest.approx(4.0)


def test_the_nearest_computed_bilayer_of_a_layer_is_its_own_with_its_values(filled: Engine) -> None:
    with filled.connect() as connection:
        mos2 = uid_of(connection, "MoS2")
        (found,) = explain_pair(connection, mos2, mos2)
    nearest = found.neighbours[0]
    assert (nearest.bottom_uid, nearest.top_uid, nearest.distance) == (mos2, mos2, 0.0)
    assert nearest.smallest <= nearest.mean <= nearest.largest
    assert 10 < nearest.mean < 40
    distances = [one.distance for one in found.neighbours]
    assert distances == sorted(distances)
    assert len(distances) == 5


def test_a_layer_on_a_crystal_is_explained_by_the_number_that_is_predicted_of_it(filled: Engine) -> None:
    import_file(filled, "bulk", paths().metals)
    dedupe(filled)
    ensure_surfaces(filled)
    with filled.begin() as connection:
        register(connection, model_on(feature_store.load_table(connection).values, ON_BULK, ()))
        face = (
            connection.execute(
                select(Material.uid).where(Material.formula == "Au", Material.kind == "bulk")
            ).scalar_one()
            + "(111)"
        )
        mos2 = uid_of(connection, "MoS2")
        (found,) = explain_pair(connection, face, mos2, target=TARGET)
        row = PairRow("1", {"bottom": face, "top": mos2})
        (predicted,) = predict_pairs(Predictor(connection), [row], Path())
        with pytest.raises(UnknownSideError, match="may be"):
            most_stable(connection, "Au")
    assert (found.domain, found.neighbours) == (ON_BULK, [])
    assert isinstance(predicted, list)
    (same,) = [one for one in predicted if one.target == TARGET]
    assert found.explanation.value == pytest.approx(same.value, rel=1e-6)
    assert (found.explanation.lower, found.explanation.upper) == pytest.approx((same.lower, same.upper), rel=1e-6)
    assert max(found.domain_distance) == pytest.approx(same.domain_distance, rel=1e-6)


def test_a_formula_of_several_layers_means_the_most_stable_one(filled: Engine) -> None:
    with filled.connect() as connection:
        values = text("SELECT uid, hull_energy FROM analyst.monolayers WHERE formula = :formula ORDER BY hull_energy")
        known = connection.execute(values, {"formula": "MoS2"}).all()
        assert len(known) > 1
        found = most_stable(connection, "MoS2")
        assert found.uid == known[0].uid
        assert set(found.others) == {row.uid for row in known[1:]}
        assert most_stable(connection, known[1].uid).uid == known[1].uid
        assert most_stable(connection, known[1].uid).others == ()
        with pytest.raises(UnknownSideError, match="No layer"):
            most_stable(connection, "Xx9")


def test_what_is_no_layer_or_has_no_features_is_said(filled: Engine) -> None:
    with filled.begin() as connection:
        mos2 = uid_of(connection, "MoS2")
        with pytest.raises(UnknownLayerError, match="Ag is not a monolayer"):
            explain_pair(connection, mos2, "Ag")
        connection.execute(feature_store.FeatureVector.__table__.delete())
        with pytest.raises(UnknownLayerError, match="not computed yet"):
            explain_pair(connection, mos2, mos2)
