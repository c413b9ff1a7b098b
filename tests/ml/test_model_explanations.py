"""Explanations add up to the number that they explain, and neighbours are the near ones, either way round."""

import numpy as np
import pytest

from ml import pair_features
from ml.artefact import PairModel, State
from ml.baselines import Calibrated
from ml.domain import Domain
from ml.explain import explain, importance, shap_values
from ml.features import NAMES
from ml.models.tree_ensemble import TreeEnsemble, Trees
from ml.models.tree_settings import Settings, same
from ml.neighbours import pair_distance
from ml.rows import InterfaceRows
from ml.uncertainty import ByUnseen, Conformal

PHYSICS = "dispersion_energy"


@pytest.fixture(scope="module")
def rows() -> InterfaceRows:
    rng = np.random.default_rng(0)
    n = 800
    features = rng.normal(size=(n, len(pair_features.NAMES))).astype(np.float32)
    unknown = pair_features.COLUMN[pair_features.REGISTRY[0]]
    features[::2, unknown] = np.nan
    target = 15 + 2 * features[:, pair_features.COLUMN[PHYSICS]] + np.sin(features[:, 0]) + features[:, 1]
    names = [f"M{k}" for k in range(n)]
    families = ["AB2"] * n
    return InterfaceRows(
        "homobilayer", "bidb", names, names, names, families, families, features, pair_features.NAMES,
        {"binding_energy": np.asarray(target, float)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(rows) -> PairModel:
    read = (*pair_features.NAMES[:4], pair_features.REGISTRY[0])
    method = Trees(PHYSICS, read, grid=same(2, Settings(rounds=40)))
    ensemble = method.fit(rows, "binding_energy", np.ones(len(rows), bool))
    intervals = ByUnseen({0: Conformal((), (0.5,)), 2: Conformal((), (1.5,))})
    state = State(ensemble, intervals, "bidb")
    domain = Domain.fit(np.random.default_rng(1).normal(size=(60, len(NAMES))))
    return PairModel("binding_energy", "meV/Å²", "homobilayer", state, state, domain)


def test_physics_and_all_contributions_add_up_to_the_prediction(model, rows) -> None:
    for row in rows.features[:20]:
        found = explain(model, row)
        whole = found.physics + found.typical + sum(one.shap for one in found.contributions)
        assert whole == pytest.approx(found.value, abs=1e-5)
        assert found.lower <= found.value <= found.upper
        sizes = [abs(one.shap) for one in found.contributions]
        assert sizes == sorted(sizes, reverse=True)


def test_values_of_features_come_with_their_units_and_unknown_ones_are_unknown(model, rows) -> None:
    for row in rows.features[:2]:
        for one in explain(model, row).contributions:
            at = pair_features.COLUMN[one.feature]
            assert one.unit == pair_features.UNITS[at]
            assert (one.value is None) == bool(np.isnan(row[at]))


def test_a_pair_of_strangers_has_the_wider_interval(model, rows) -> None:
    known, strange = (explain(model, rows.features[0], unseen=number) for number in (0, 2))
    assert strange.upper - strange.lower > known.upper - known.lower
    assert strange.contributions == known.contributions


def test_where_physics_is_served_the_explanation_is_that_physics(model, rows) -> None:
    line = TreeEnsemble(Calibrated(PHYSICS, 1.0, 2.0))
    state = State(line, ByUnseen({2: Conformal((), (1.0,))}), "bidb")
    found = explain(PairModel("binding_energy", "meV/Å²", "homobilayer", state, state, model.domain), rows.features[0])
    assert found.contributions == ()
    assert found.value == found.physics == pytest.approx(1 + 2 * rows.features[0, pair_features.COLUMN[PHYSICS]])
    assert "No model beats this estimate" in found.note
    with pytest.raises(ValueError, match="no trees"):
        shap_values(line, rows.features)


def test_importance_is_the_mean_size_of_the_contributions_and_finds_what_matters(model, rows) -> None:
    ensemble = model.unknown.ensemble
    found = importance(ensemble, rows.features)
    mean = np.abs(shap_values(ensemble, rows.features)[:, :-1]).mean(axis=0)
    assert [value for _, value in found] == sorted(mean[mean > 0].tolist(), reverse=True)
    assert {name for name, _ in found[:2]} == set(pair_features.NAMES[:2])
    assert importance(ensemble, rows.features[:0]) == []


def test_the_nearest_pair_is_found_whichever_layer_lies_below() -> None:
    points = np.array([[0.0], [1.0], [5.0], [0.1], [1.2]])
    asked = np.array([0, 1])
    below, above = np.array([3, 4, 2, 0]), np.array([4, 3, 2, 0])
    distance = pair_distance(points, asked, below, above)
    np.testing.assert_allclose(distance, [0.2, 0.2, 5.0, 1.0])


def test_a_pair_is_as_far_out_as_its_farther_partner() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, len(NAMES)))
    domain = Domain.fit(table)
    asked = np.vstack([table[:1], table[:1] + 20.0])
    found = domain.partners(asked, np.array([0, 0]), np.array([0, 1]))
    assert found[0, 0] == found[0, 1] == found[1, 0] < 1 < found[1, 1]
    # Points are scaled as distances are: their nearest centre lies as far as the distance says.
    centre = domain.centres / domain.edge
    nearest = np.sqrt(((domain.points(asked)[1] - centre) ** 2).sum(axis=1)).min()
    assert nearest == pytest.approx(found[1, 1])
