"""Explanations add up to the number that they explain, and neighbours are the near ones, either way round."""

import numpy as np
import pytest
from ml_helpers import layers

from ml import pair_features
from ml.artefact import PairModel
from ml.datasets import TARGETS
from ml.domain import Domain
from ml.explain import explain, importance, shap_values
from ml.features import NAMES, compute
from ml.neighbours import pair_distance
from ml.pair_features import PairFeatures
from ml.registry import shipped

MODELS = {model.target: PairModel.from_bytes(model.artefact) for model in shipped() if model.target in TARGETS}


@pytest.fixture(scope="module")
def rows():
    a, b = (index.ravel() for index in np.meshgrid(np.arange(4), np.arange(4)))
    return PairFeatures(compute(layers()))(a, b)


@pytest.mark.parametrize("target", TARGETS)
def test_physics_and_all_contributions_add_up_to_the_prediction(target: str, rows) -> None:
    model = MODELS[target]
    for row in rows:
        found = explain(model, row)
        whole = found.physics + found.typical + sum(one.shap for one in found.contributions)
        assert max(whole, model.baseline.floor) == pytest.approx(found.value, abs=1e-5)
        assert found.lower <= found.value <= found.upper
        sizes = [abs(one.shap) for one in found.contributions]
        assert sizes == sorted(sizes, reverse=True)


def test_the_values_of_features_come_with_their_units_and_unknown_ones_are_unknown(rows) -> None:
    found = explain(MODELS["interlayer_distance"], rows[0])
    by_name = {one.feature: one for one in found.contributions}
    for name, one in by_name.items():
        at = pair_features.COLUMN[name]
        assert one.unit == pair_features.UNITS[at]
        assert (one.value is None) == bool(np.isnan(rows[0, at]))


def test_where_physics_is_served_the_explanation_is_that_physics(rows) -> None:
    model = MODELS["gap"]
    if model.different is None:
        pytest.skip("the shipped model of the gap needs no physics for different layers")
    found = explain(model, rows[1], different=True)
    assert found.contributions == ()
    assert found.value == pytest.approx(rows[1, pair_features.COLUMN[model.different.feature]])
    assert "given as it is" in found.note


def test_importance_is_the_mean_size_of_the_contributions(rows) -> None:
    model = MODELS["binding_energy"]
    found = importance(model, rows)
    mean = np.abs(shap_values(model, rows)[:, :-1]).mean(axis=0)
    assert [value for _, value in found] == sorted(mean[mean > 0].tolist(), reverse=True)
    assert importance(model, rows[:0]) == []


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
